"""A run told to programs: JSON events one a line, or FFmpeg's `-progress` blocks of key=value.

`vsr help progress` is the description of both; it is what render queues build on, so fields are
only ever added while `v` is 1.
"""

from __future__ import annotations

import json
import select
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO

from vsrcli import stops
from vsrcli.errors import OutputError, UsageError, VsrError
from vsrcli.progress import Finishing, Progress, Report, Stage, Started
from vsrcli.stops import Stop

SCHEMA = 1
"""The version of the JSON events, their field `v`."""
_EVERY_S = 0.5
_TOLD = "told_to_programs"
_PIECE = getattr(select, "PIPE_BUF", 512)
"""Bytes that a pipe with any room takes without waiting."""


class Pace:
    """Lets through what comes at least half a second after the last, and a run's last frame."""

    def __init__(self) -> None:
        self._last = float("-inf")

    def lets(self, progress: Progress) -> bool:
        now = time.monotonic()
        if now - self._last < _EVERY_S and progress.frame != progress.frames:
            return False
        self._last = now
        return True


class JsonEvents:
    """The events of one run, written to a stream. `more` is added to each, first the source."""

    def __init__(self, stream: IO[str], source: Path | None, **more: object) -> None:
        named = {} if source is None else {"source": str(source)}
        self._stream, self._more, self._pace = stream, named | more, Pace()
        self._last: Progress | None = None
        self._began = time.monotonic()

    def stage(self, stage: Stage) -> None:
        """Writes "start", or the last "progress" of all, whose stage is "finish"."""
        if isinstance(stage, Started):
            self._began = time.monotonic()
            self.write("start", **_described(stage), frames=stage.frames or None)
        elif isinstance(stage, Finishing) and self._last is not None:
            self.write("progress", stage="finish", **self._where(self._last))

    def step(self, progress: Progress) -> None:
        """Writes "progress", at most two a second."""
        self._last = progress
        if self._pace.lets(progress):
            self.write("progress", stage="upscale", **self._where(progress))

    def done(self, report: Report) -> None:
        """Writes "done": the file is in place."""
        self.write(
            "done",
            **_described(report),
            frames=report.frames,
            damaged=report.damaged,
            replaced=report.replaced,
            resumed=report.resumed,
            dropped=report.dropped,
            repeated=report.repeated,
            cleaned=[asdict(shot) for shot in report.cleaned] or None,
            seconds=round(report.seconds, 3),
        )

    def failed(self, code: int, message: str) -> None:
        """Writes "error": nothing was written, and the process is about to exit with the code."""
        self.write("error", code=code, message=message)

    def write(self, event: str, **fields: object) -> None:
        """One object on a line of its own, flushed. Raises OutputError, and Stop where nobody
        reads."""
        line = json.dumps({"v": SCHEMA, "event": event, **self._more, **fields})
        _write(self._stream, f"{line}\n")

    def _where(self, progress: Progress) -> dict[str, object]:
        speed = progress.done_s / max(time.monotonic() - self._began, 1e-6)
        return {
            "frame": progress.frame,
            "frames": progress.frames or None,
            "fps": round(progress.fps, 3),
            "speed": round(speed, 4),
            "eta_s": None if progress.eta_s is None else round(progress.eta_s, 3),
            "out_time_s": round(progress.out_time_s, 6),
            "out_bytes": progress.out_bytes,
        }


def _described(run: Started | Report) -> dict[str, object]:
    return {
        "target": str(run.target),
        "model": run.model,
        "device": run.device,
        "scale": run.scale,
        "width": run.width,
        "height": run.height,
    }


class KeyValueEvents:
    """FFmpeg's `-progress`: a block each half second, ended by `progress=continue` or `=end`."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream, self._pace = stream, Pace()
        self._last = Progress(frame=0, frames=0, fps=0.0, out_time_s=0.0, eta_s=None)
        self._began = time.monotonic()

    def stage(self, stage: Stage) -> None:
        if isinstance(stage, Started):
            self._began = time.monotonic()

    def step(self, progress: Progress) -> None:
        self._last = progress
        if self._pace.lets(progress):
            self._write("continue")

    def done(self, report: Report) -> None:
        self._write(
            "end",
            repeated=report.repeated,
            dropped=report.dropped,
            size=_size(report.target),
        )

    def failed(self, code: int, message: str) -> None:
        """Nothing: a block that says `end` would be taken for success."""

    def _write(
        self, state: str, *, repeated: int = 0, dropped: int = 0, size: int | None = None
    ) -> None:
        last = self._last
        size = last.out_bytes if size is None else size
        micros = round(last.out_time_s * 1_000_000)
        rate = size * 8 / 1000 / last.out_time_s if last.out_time_s > 0 else 0.0
        speed = last.done_s / max(time.monotonic() - self._began, 1e-6)
        block = {
            "frame": last.frame,
            "fps": f"{last.fps:.2f}",
            "bitrate": f"{rate:6.1f}kbits/s" if rate else "N/A",
            "total_size": size,
            "out_time_us": micros,
            "out_time_ms": micros,  # microseconds in FFmpeg too
            "out_time": _clock(micros),
            "dup_frames": repeated,
            "drop_frames": dropped,
            "speed": f"{speed:4.3g}x",
            "progress": state,
        }
        _write(self._stream, "".join(f"{key}={value}\n" for key, value in block.items()))


def _write(stream: IO[str], text: str) -> None:
    """Writes ASCII and flushes. Raises OutputError; BrokenPipeError where the reader has gone; Stop
    where one is asked for while nobody reads."""
    try:
        for at in range(0, len(text), _PIECE):
            while not _has_room(stream):
                stops.check()
            stream.write(text[at : at + _PIECE])
            stream.flush()
    except BrokenPipeError:
        raise
    except OSError as exc:  # of a file: the standard output has its own OutputError
        raise OutputError(f"-progress {stream.name} cannot be written ({exc.strerror})") from exc


def _has_room(stream: IO[str]) -> bool:
    """Whether a write need not wait, as far as that can be known; looks for POLL_S."""
    try:
        return bool(select.select([], [stream], [], stops.POLL_S)[1])
    except (OSError, ValueError):  # no descriptor, or Windows, where only sockets can be asked
        return True


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # a pipe, or many pictures
        return 0


def _clock(micros: int) -> str:
    sign, rest = ("-" if micros < 0 else ""), abs(micros)
    seconds, rest = divmod(rest, 1_000_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{sign}{hours:02}:{minutes:02}:{seconds:02}.{rest:06}"


@contextmanager
def key_value_stream(url: str) -> Iterator[IO[str]]:
    """What `-progress` names: a file, `-`, `pipe:1` or `pipe:2`. Raises UsageError, OutputError."""
    if url in ("-", "pipe:", "pipe:1", "pipe:2"):
        yield sys.stderr if url == "pipe:2" else sys.stdout
        return
    if url.startswith("pipe:") or "://" in url:
        raise UsageError(f"-progress {url!r} is not supported; use a file, pipe:1 or pipe:2")
    stream = _opened(url)
    try:
        yield stream
    finally:
        with suppress(OSError):  # all of it is flushed, or has failed before
            stream.close()


def _opened(url: str) -> IO[str]:
    try:
        with stops.at_once():  # a FIFO waits until somebody opens its other end
            return Path(url).open("w", encoding="utf-8")
    except OSError as exc:
        raise OutputError(f"-progress {url} cannot be written: {exc.strerror}") from exc


def mark_told(exc: BaseException) -> None:
    """Notes on a failure that its events are out."""
    setattr(exc, _TOLD, True)


def is_told(exc: BaseException) -> bool:
    """Whether programs have heard of a failure."""
    return hasattr(exc, _TOLD)


def fate(exc: BaseException) -> tuple[int, str]:
    """The exit code that an exception leads to, and its message."""
    if isinstance(exc, VsrError):
        return exc.exit_code, str(exc)
    if isinstance(exc, KeyboardInterrupt):
        return 130, "interrupted"
    if isinstance(exc, Stop):
        return exc.code, exc.word
    return 1, f"internal error: {type(exc).__name__}: {exc}"
