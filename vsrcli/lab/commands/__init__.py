"""The lab's commands, one file each: `add(parser)` and `run(args)`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import suppress
from math import inf

from vsrcli.errors import UsageError

_MOST = 2**31 - 1
"""What torch takes for a number of threads."""


def at_least(least: int) -> Callable[[str], int]:
    """What reads a whole number that is no smaller, in ASCII."""

    def read(word: str) -> int:
        with suppress(ValueError):
            if word.isascii() and least <= int(word) <= _MOST:
                return int(word)
        raise argparse.ArgumentTypeError(f"{word} is not a whole number from {least} on")

    return read


def loss(word: str) -> float:
    """Reads a number from 0 on."""
    with suppress(ValueError):
        if 0 <= float(word) < inf:
            return float(word)
    raise argparse.ArgumentTypeError(f"{word} is not a number from 0 on")


def unfit(kind: str, **given: object) -> None:
    """Raises UsageError for the first of some options, by name, that was given to a `kind` of model
    that makes nothing of it."""
    for name, value in given.items():
        if value:
            raise UsageError(f"--{name} is not for {kind} model; leave it out")


def check_scale(id_: str, scale: int, asked: int | None) -> None:
    """Raises UsageError for another scale than a recipe's only one."""
    if asked not in (None, scale):
        raise UsageError(f"the recipe {id_} is for x{scale}; leave --scale out, or take another")


def share(word: str) -> float:
    """Reads a number from 0 to 1."""
    with suppress(ValueError):
        if 0 <= float(word) <= 1:
            return float(word)
    raise argparse.ArgumentTypeError(f"{word} is not a number from 0 to 1")
