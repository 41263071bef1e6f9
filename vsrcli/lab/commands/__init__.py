"""The lab's commands, one file each: `add(parser)` and `run(args)`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import suppress


def at_least(least: int) -> Callable[[str], int]:
    """What reads a whole number that is no smaller."""

    def read(word: str) -> int:
        if not word.lstrip("-").isdecimal() or int(word) < least:
            raise argparse.ArgumentTypeError(f"{word} is not a whole number from {least} on")
        return int(word)

    return read


def share(word: str) -> float:
    """Reads a number from 0 to 1."""
    with suppress(ValueError):
        if 0 <= float(word) <= 1:
            return float(word)
    raise argparse.ArgumentTypeError(f"{word} is not a number from 0 to 1")
