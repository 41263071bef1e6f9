"""later"""


def evaluate() -> None:
    """later"""
