"""`vsr doctor`."""


def doctor() -> None:
    """later"""
