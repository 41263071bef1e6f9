"""The process around a command line: its signals, its standard streams, its exit code.

It takes signals and mends closed streams before it loads the command line, which takes a while.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TextIO

from vsrcli import stops

READER_GONE = 141
_ESCAPES = {code: repr(chr(code))[1:-1] for code in (*range(32), *range(127, 160), 0x2028, 0x2029)}
"""Control characters and Unicode's line breaks, as Python writes them: \\n, \\x1b, \\u2028."""
_STREAMS = (
    ("stdin", "r", os.O_WRONLY),
    ("stdout", "w", os.O_RDONLY),
    ("stderr", "w", os.O_WRONLY),
)
"""Name and mode of each standard stream, and how nothing is opened in the place of a closed one:
data can neither be read nor written there, while what is said is lost."""


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    try:
        _take_signals()
        _open_streams()
        from vsrcli.cli.main import run

        code = _flushed(run(sys.argv[1:]))
    except stops.Stop as exc:  # as all of this loads
        code = say(f"{exc.word}; nothing was written", exc.code)
    sys.stderr.flush()
    os._exit(code)  # all is closed; to take engines and codecs apart would take 60 ms more


def say(message: str, code: int) -> int:
    """The code, after the message has gone to stderr as one line."""
    from vsrcli.errors import one_line

    print(f"vsr: {escaped(one_line(message))}", file=sys.stderr, flush=True)  # noqa: T201
    return code


def escaped(text: str) -> str:
    """The text without what would break a line or command a terminal, as a file's name can hold."""
    return text.translate(_ESCAPES)


class _Output(io.TextIOWrapper):
    """The standard output. Raises OutputError where it cannot be written."""

    def write(self, text: str) -> int:
        with _named():
            return super().write(text)

    def flush(self) -> None:
        with _named():
            super().flush()


class _Talk(io.TextIOWrapper):
    """The standard error, which nobody need hear: its terminal may be closed, its disk full."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


@contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        from vsrcli.errors import OutputError, is_reader_gone

        if is_reader_gone(exc):
            raise BrokenPipeError from exc
        raise OutputError(f"the standard output cannot be written ({exc.strerror})") from exc


def _open_streams() -> None:
    for number, (name, mode, flags) in enumerate(_STREAMS):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, flags), True)  # the lowest number that is free
            setattr(sys, name, os.fdopen(number, mode))
    sys.stdout, sys.stderr = _as(_Output, sys.stdout), _as(_Talk, sys.stderr)


def _as(kind: type[io.TextIOWrapper], stream: TextIO) -> io.TextIOWrapper:
    """The stream, of another kind: what its encoding lacks is written in ASCII, and lines end alike
    on every system."""
    assert isinstance(stream, io.TextIOWrapper)
    return kind(
        stream.detach(),
        encoding=stream.encoding,
        errors="backslashreplace" if stream.errors == "strict" else stream.errors,
        newline="\n",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _flushed(code: int) -> int:
    """The exit code once all is out that was printed; that of what prevents it where it was 0."""
    from vsrcli.errors import OutputError

    if code > 128:  # stopped: it waits for no reader
        return code
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return code or READER_GONE
    except OutputError as exc:
        return code or say(str(exc), exc.exit_code)
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
