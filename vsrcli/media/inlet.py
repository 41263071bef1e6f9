"""Where a source is read from: a file, numbered pictures, or a pipe."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Protocol, cast

import av

from vsrcli import stops
from vsrcli.errors import InputError
from vsrcli.media.demuxer_options import check_options
from vsrcli.media.hwaccel import NONE, accelerator
from vsrcli.media.truncation import (
    FEWER_BYTES,
    HEAD_BYTES,
    breaks_off_in_box,
    declared_bytes,
    unindexed_frames,
)
from vsrcli.media.unopened import moves
from vsrcli.paths import PIPE, Numbered, is_pipe, local, numbered

_BUFFER = 1 << 18
"""Bytes that are read from a pipe at once: some frames of raw video would take thousands else."""
_TAPED = 64 << 20
"""Bytes of a pipe that are kept to be looked at again, at most."""
_ALIASES = {"y4m": "yuv4mpegpipe", "mkv": "matroska", "ts": "mpegts"}


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How FFmpeg is to read a source that does not say it by itself."""

    format: str | None = None
    """The demuxer's name; None: found by looking."""
    options: Mapping[str, str] = field(default_factory=dict)
    """The demuxer's: video_size, pixel_format and framerate of raw video."""
    rate: Fraction | None = None
    """Of numbered pictures; None: FFmpeg's 25."""
    hwaccel: str = NONE
    """The device that decodes, in FFmpeg's words; none: the CPU."""


class Inlet(Protocol):
    """An open source."""

    container: av.container.InputContainer
    seekable: bool

    def stop(self) -> None:
        """Ends a read that is waiting, from another thread: it gives the end of the source."""
        ...

    def check(self) -> None:
        """Raises the stop that came while FFmpeg read, through which it could not propagate."""
        ...

    def lack(self) -> str:
        """What a source has not, though its header says so; empty if it has it all."""
        ...

    def between(self, begin: int, end: int | None) -> bytes:
        """What a transport stream has from one place to another, None: to its end; empty where it
        cannot be read again. Places are asked for in order. Raises OSError."""
        ...

    def close(self) -> None:
        """Frees the container and what it is read from; nothing may read any more."""
        ...


def open_inlet(path: Path, reading: Reading) -> Inlet:
    """The source opened. Raises InputError where it cannot be; FFmpeg's and the system's errors."""
    if path == PIPE:
        return _Pipe(_standard_input(), "the standard input", reading)
    if is_pipe(path):
        with stops.at_once():  # until somebody opens its other end
            descriptor = os.open(path, os.O_RDONLY)
        return _Pipe(descriptor, str(path), reading)
    pictures = numbered(path)
    return _Pictures(pictures, reading) if pictures else _File(path, reading)


def format_named(word: str | None) -> str | None:
    """FFmpeg's name of a format that goes by another one, too."""
    return _ALIASES.get(word or "", word)


class _File:
    seekable = True

    def __init__(self, path: Path, reading: Reading) -> None:
        self._path = path
        self.container = _open(local(path), reading, dict(reading.options))
        if self.container.format.name.startswith("webp") and moves(self._path):
            self.container.close()
            raise _moving(path)

    def stop(self) -> None:
        pass

    def check(self) -> None:
        pass

    def lack(self) -> str:
        with suppress(OSError, av.FFmpegError):
            with self._path.open("rb") as file:
                declared = declared_bytes(file.read(HEAD_BYTES))
                length = os.fstat(file.fileno()).st_size
                if length < (declared or 0) or breaks_off_in_box(file, length):
                    return FEWER_BYTES
            if missing := unindexed_frames(local(self._path), self.container):
                return f"is damaged: its index does not reach {missing} frames"
        return ""

    def between(self, begin: int, end: int | None) -> bytes:
        if not self._path.is_file():
            return b""
        with self._path.open("rb") as file:
            file.seek(begin)
            return file.read(-1 if end is None else end - begin)

    def close(self) -> None:
        self.container.close()


class _Pictures:
    """Numbered pictures, all of them there from the first to the last."""

    seekable = False

    def __init__(self, pictures: Numbered, reading: Reading) -> None:
        numbers = pictures.numbers()
        if not numbers:
            raise InputError(
                f"there is no picture {pictures.path}; check the folder and the digits"
            )
        for number, following in pairwise(numbers):
            if following != number + 1:
                raise InputError(
                    f"{pictures.file(number + 1)} is missing: pictures go on to {numbers[-1]}"
                )
        files = map(pictures.file, numbers if pictures.path.suffix.lower() == ".webp" else [])
        if moving := next(filter(moves, files), None):
            raise _moving(moving)
        options = dict(reading.options)
        options |= {"start_number": str(numbers[0]), "pattern_type": "sequence"}
        if reading.rate:
            options["framerate"] = str(reading.rate)
        reading = Reading(format="image2", options=options)
        self.container = _open(pictures.pattern, reading, options)

    def stop(self) -> None:
        pass

    def check(self) -> None:
        pass

    def lack(self) -> str:
        return ""

    def between(self, begin: int, end: int | None) -> bytes:
        return b""

    def close(self) -> None:
        self.container.close()


def _moving(webp: Path) -> InputError:
    return InputError(
        f"{webp} is a WebP that moves, which PyAV does not decode; a new ffmpeg does: "
        "ffmpeg -i FILE -c:v ffv1 -f nut - | vsr upscale - -o OUT"
    )


def _standard_input() -> int:
    """A descriptor of its own, to be closed."""
    if sys.stdin.isatty():
        raise InputError("the standard input is a terminal; pipe a video into it")
    return os.dup(sys.stdin.fileno())


class _Pipe:
    """What is read but once."""

    seekable = False

    def __init__(self, descriptor: int, name: str, reading: Reading) -> None:
        self._feed = _Feed(descriptor, name)
        try:
            self.container = _open(cast(BinaryIO, self._feed), reading, dict(reading.options))
        except BaseException:
            self._feed.release()
            raise
        finally:
            self.check()
        if self.container.format.name != "mpegts":
            self._feed.tape = None

    def stop(self) -> None:
        self._feed.stop()

    def check(self) -> None:
        if self._feed.raised:
            raise self._feed.raised

    def lack(self) -> str:
        return FEWER_BYTES if self._feed.given < (declared_bytes(self._feed.head) or 0) else ""

    def between(self, begin: int, end: int | None) -> bytes:
        return self._feed.tape.between(begin, end) if self._feed.tape else b""

    def close(self) -> None:
        self.container.close()
        self._feed.release()


class _Feed:
    """A pipe as FFmpeg reads it. Waiting for bytes can be ended by `stop`."""

    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor, self.name = descriptor, name
        self._wake, self._waker = os.pipe()
        self._open: tuple[int, ...] = (descriptor, self._wake, self._waker)
        self._lock = threading.Lock()
        self.raised: BaseException | None = None
        self.head, self.given = b"", 0
        """The first bytes, and how many came in all."""
        self.tape: _Tape | None = _Tape()

    def read(self, size: int) -> bytes:
        """What there is, at least a byte; nothing at the end."""
        data = b""
        try:
            data = self._read(size) if self._open and not self.raised else b""
        except BaseException as exc:
            if isinstance(exc, Exception):
                raise
            self.raised = exc
        self.given += len(data)
        self.head += data[: max(0, HEAD_BYTES - len(self.head))]
        if self.tape:
            self.tape.add(data)
        return data

    def _read(self, size: int) -> bytes:
        ready: list[int] = []
        while os.name != "nt" and not ready:  # its select knows sockets only
            stops.check()
            ready, _, _ = select.select([self._descriptor, self._wake], [], [], stops.POLL_S)
        if self._wake in ready:
            return b""
        return os.read(self._descriptor, size)

    def stop(self) -> None:
        """Ends the waiting, now and later."""
        with self._lock:
            if self._open:
                os.write(self._waker, b"\0")

    def release(self) -> None:
        """Closes the descriptors, once. Not `close`, which FFmpeg's container would call."""
        with self._lock:  # a number that is closed may be another file's by the time of a write
            descriptors, self._open = self._open, ()
            for descriptor in descriptors:
                os.close(descriptor)


class _Tape:
    """The last bytes of a pipe."""

    def __init__(self) -> None:
        self._data, self._begin = bytearray(), 0

    def add(self, data: bytes) -> None:
        """More came."""
        self._data += data
        self._forget(self._begin + len(self._data) - _TAPED)

    def between(self, begin: int, end: int | None) -> bytes:
        """What is still there from one place to another; what lies before is forgotten."""
        self._forget(begin)
        return bytes(self._data[: None if end is None else max(0, end - self._begin)])

    def _forget(self, before: int) -> None:
        count = max(0, before - self._begin)
        del self._data[:count]
        self._begin += count


def _open(
    source: str | BinaryIO, reading: Reading, options: dict[str, str]
) -> av.container.InputContainer:
    name = format_named(reading.format)
    if name is not None and name not in av.formats_available:
        raise InputError(f"there is no format {reading.format!r}; use nut, matroska, rawvideo ...")
    container = av.open(
        source,
        format=name,
        container_options=options,
        metadata_errors="replace",
        buffer_size=_BUFFER,
        hwaccel=accelerator(reading.hwaccel),
    )
    try:
        check_options(container.format.name.partition(",")[0], reading.options)
    except BaseException:
        container.close()
        raise
    return cast(av.container.InputContainer, container)
