"""A stop that a signal asks for, obeyed where nothing is half done.

Python runs a signal's handler between any two steps of the main thread: inside a lock's `__enter__`
as well as inside a callback whose exceptions nobody sees. An exception from there can leave a lock
taken for ever or a folder that nobody owns yet, or be lost. So while something is `orderly` a stop
is only noted, and everything that may take long looks for it with `check`.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

POLL_S = 0.1
"""How long a wait may last before it looks for a stop again."""
HANGUP = getattr(signal, "SIGHUP", None)
"""The terminal was closed; None on Windows, which has no such signal."""
BREAK = getattr(signal, "SIGBREAK", None)
"""Ctrl-Break, which alone reaches a program of its own group on Windows; None elsewhere."""
SIGNALS = tuple(n for n in (signal.SIGINT, signal.SIGTERM, HANGUP, BREAK) if n is not None)
"""What asks for a stop."""
_WORDS = {signal.SIGINT: "interrupted", HANGUP: "hung up", BREAK: "interrupted"}


class Stop(BaseException):
    """A signal asked for an end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.code = 128 + number
        """The exit code it leads to."""
        self.word = _WORDS.get(number, "terminated")
        """What happened to the run."""


class _Noted:
    """What this process was asked for."""

    number = 0
    """The signal; 0: none came."""
    depth = 0
    """How many `orderly` blocks are open."""


def ask(number: int) -> None:
    """Asks for a stop, from a signal's handler: raises Stop at once where nothing is orderly."""
    _Noted.number = number
    if not _Noted.depth:
        raise Stop(number)


def check() -> None:
    """Raises Stop if one was asked for. In any thread."""
    if _Noted.number:
        raise Stop(_Noted.number)


@contextmanager
def orderly() -> Iterator[None]:
    """Stops are noted inside, not raised; the block looks for them. What fails in it after one was
    asked for fails for that: a program that the terminal stopped as well."""
    _Noted.depth += 1
    try:
        yield
    except Exception as exc:
        if not _Noted.number:
            raise
        stop = Stop(_Noted.number)
        for note in getattr(exc, "__notes__", ()):
            stop.add_note(note)
        raise stop from exc
    finally:
        _Noted.depth -= 1


@contextmanager
def at_once() -> Iterator[None]:
    """Stops are raised where they come, inside an orderly block: around a wait for another program
    that cannot be cut into short ones."""
    depth, _Noted.depth = _Noted.depth, 0
    try:
        check()
        yield
    finally:
        _Noted.depth = depth
