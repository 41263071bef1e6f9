"""`vsr probe`."""


def probe() -> None:
    """later"""
