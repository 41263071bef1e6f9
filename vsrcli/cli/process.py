"""The process around a command line: its signals and its exit code.

It takes signals before it loads the command line, which takes a while.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from types import FrameType

from vsrcli import stops


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    try:
        _take_signals()
        from vsrcli.cli.main import run

        code = run(sys.argv[1:])
        with suppress(OSError):
            sys.stdout.flush()
    except stops.Stop as exc:  # as all of this loads
        code = say(f"{exc.word}; nothing was written", exc.code)
    os._exit(code)  # all is closed; to take engines and codecs apart would take 60 ms more


def say(message: str, code: int) -> int:
    """The code, after the message has gone to stderr as one line."""
    line = " ".join(message.split())
    with suppress(OSError):  # a terminal that was closed
        print(f"vsr: {line}", file=sys.stderr, flush=True)  # noqa: T201
    return code


def _take_signals() -> None:
    for number in stops.SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as background jobs and nohup have it
            signal.signal(number, _stop)


def _stop(number: int, _: FrameType | None) -> None:
    """The first signal ends the run in order; a second one, while that takes its time, at once:
    but for that of a closed terminal, which comes from the shell and from the system."""
    for each in stops.SIGNALS:
        signal.signal(each, signal.SIG_IGN if each == stops.HANGUP else _stop_now)
    stops.ask(number)


def _stop_now(number: int, _: FrameType | None) -> None:
    os._exit(128 + number)
