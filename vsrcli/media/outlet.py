"""Where an output goes: a file, one picture, numbered pictures, or the standard output.

What has a place on the disk grows under another name and is put there when it is whole.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import shutil
import sys
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol, cast

import av

from vsrcli import stops
from vsrcli.errors import OutputError, is_reader_gone
from vsrcli.media import nut, y4m
from vsrcli.media.inlet import format_named
from vsrcli.media.mapping import is_cover
from vsrcli.media.nut import NUT
from vsrcli.media.settings import VideoOptions
from vsrcli.media.y4m import Y4M
from vsrcli.paths import PICTURES, PIPE, Numbered, behind, is_picture, local, numbered

log = logging.getLogger("vsr")
MOV = ("mp4", "mov", "ipod", "3gp", "psp")
_STREAMED = {"movflags": "+frag_keyframe+delay_moov+default_base_moof"}
_STILLS: Mapping[str, VideoOptions] = {
    ".png": VideoOptions(codec="png"),
    ".jpg": VideoOptions(codec="mjpeg", extra={"flags": "+qscale", "global_quality": "236"}),
    ".webp": VideoOptions(codec="libwebp", extra={"quality": "95"}),
    ".tif": VideoOptions(codec="tiff"),
    ".bmp": VideoOptions(codec="bmp"),
}
"""The encoder of each kind of picture, at a quality that shows no loss (JPEG's -q:v 2)."""
_DEEP = {Y4M: {"strict": "-1"}}
"""Options of muxers that take more than 8 bits only with them."""
_PICTURES = "image2"
_STILL_FILES = ("avif", "webp")
"""Muxers whose files FFmpeg reads one picture of."""
_FLASH = ("swf", "avm2")
"""Muxers of codecs that PyAV gives to neither."""
_NOTHING = "null"
"""What ffmpeg -f null - writes: nothing, for those who measure."""
_SAME = {".jpeg": ".jpg", ".tiff": ".tif"}
_FILED = {
    **{"rawvideo": "rawvideo", Y4M: "wrapped_avframe"},
    **{name: name for name in ("gif", "apng", "mjpeg", "mpeg1video", "mpeg2video")},
}
"""What is in files that hold nothing else."""
_CRFLESS = {
    **dict.fromkeys(("mpeg1video", "mpeg2video", "mjpeg"), "use --bitrate"),
    "gif": ".apng and .webm hold more colours",
}
"""Those of them that lose some of the picture and know no --crf, and what to do instead."""
_PIPED = {**_FILED, "nut": "rawvideo"}
"""What goes between programs is not compressed unless -c:v says so."""
_ASPECT_IN_HEADER = {Y4M: y4m.with_aspect, NUT: nut.with_aspect}
"""Formats that say the pixel aspect where they begin, but not through PyAV."""
_WHOLE = {Y4M, "apng", "gif"}
"""Muxers whose video cannot be joined from several encoders' packets: APNG counts its chunks, a GIF
begins with a header, and y4m's packets do not hold the frames."""


class Outlet(Protocol):
    """An output on its way. Methods raise the system's and FFmpeg's errors, and OutputError."""

    format: str
    """FFmpeg's name of the container."""
    holds: int | None
    """How many frames at most."""

    def open(
        self, options: Mapping[str, str], *, aspect: Fraction = Fraction(1)
    ) -> av.container.OutputContainer:
        """The container, with these options of its muxer, for pixels of this aspect."""
        ...

    def settings(self, video: VideoOptions) -> VideoOptions:
        """The encoder's settings, with what is usual here where the user left them open."""
        ...

    def bytes(self) -> int:
        """How many were written so far."""
        ...

    def frames(self, video: int, size: tuple[int, int]) -> int | None:
        """How many frames the closed output holds, read back; None where that cannot be. `video` is
        the number of their stream as it was written, `size` theirs."""
        ...

    def place(self, *, overwrite: bool) -> None:
        """Puts the closed output where it belongs; `overwrite`: also where something is by now."""
        ...

    def check(self) -> None:
        """Raises the stop that came while FFmpeg wrote, through which it could not propagate."""
        ...

    def abandon(self) -> None:
        """The output will not be finished: what closing the container writes may be dropped."""
        ...

    def discard(self) -> None:
        """Removes every trace of it, once the container is closed."""
        ...


def open_outlet(target: Path, format_: str | None = None, part: Path | None = None) -> Outlet:
    """The outlet for a target. `part` is where a file grows; None: beside the target.

    Raises OutputError where neither the name nor `format_` says which container to write.
    """
    if target == PIPE:
        return PipeOutlet(format_)
    pictures = numbered(target)
    if pictures:
        _check_kind(target)
        return SequenceOutlet(pictures)
    if is_picture(target) and format_ is None:
        return PictureOutlet(behind(target), part)
    return FileOutlet(behind(target), container_of(target, format_), part)


def container_of(path: Path, format_: str | None = None) -> str:
    """FFmpeg's muxer name for a path. Raises OutputError if neither suffix nor format names one
    that writes a file."""
    name = format_named(format_)
    if path == PIPE and name is None:
        raise OutputError("-o - does not say which format to write; add -f nut, matroska ...")
    if is_picture(path) and name is None:  # .webp alone would be a muxer of its own
        _check_kind(path)
        return _PICTURES
    try:
        with av.open(f"{os.devnull}{path.suffix}", "w", format=name) as probe:
            found = probe.format
    except (ValueError, av.FFmpegError, OSError) as exc:
        if name is not None:
            raise OutputError(
                f"there is no format {format_!r} to write; use nut, matroska ..."
            ) from exc
        known = ".mp4, .mov, .mkv, .webm, .ts, .avi"
        raise OutputError(
            f"{path.name} does not say which container to write; end it in one of {known}"
        ) from exc
    if found.no_file and found.name != (_NOTHING if path == PIPE else _PICTURES):
        raise OutputError(
            f"{found.name} is no file but many, or a device; write .mp4 or .mkv and let ffmpeg "
            "-c copy make that of it"
        )
    if found.name in _STILL_FILES:
        raise OutputError(
            f"{found.name} files are not written; pictures that move go into .apng, .gif or .webm, "
            "single ones into .png, .webp, .jpg, .tif or .bmp"
        )
    if found.name in _FLASH:
        raise OutputError(f"{found.name} files are not written; write .flv, .mp4 or .webm")
    return str(found.name)


def _check_kind(path: Path) -> None:
    """Raises OutputError for a kind of picture that is only read."""
    if path.suffix.lower() not in PICTURES:
        raise OutputError(
            f"{path.suffix} pictures are not written; choose .png or .tif, which hold 16 bit, "
            ".jpg, .webp or .bmp"
        )


def in_pieces(container: str) -> bool:
    """Whether such a file's video may be joined from the packets of several encoders."""
    return container not in _WHOLE


def still_settings(suffix: str, video: VideoOptions) -> VideoOptions:
    """The settings for pictures of this suffix."""
    usual = _STILLS[_SAME.get(suffix.lower(), suffix.lower())]
    if video.codec not in (None, usual.codec):
        return video
    return replace(_plain(video), codec=usual.codec, extra={**usual.extra, **video.extra})


def _settled(video: VideoOptions, codec: str | None) -> VideoOptions:
    """The settings with this encoder where they name none; None: the usual one."""
    if video.codec or codec is None:
        return video
    if video.crf is not None and codec in _CRFLESS:
        log.warning("--crf has no effect: %s has none; %s", codec, _CRFLESS[codec])
    if codec == "mjpeg" and not video.bitrate:
        return still_settings(".jpg", video)
    return replace(_plain(video), codec=codec)


def _plain(video: VideoOptions) -> VideoOptions:
    """Without what only encoders of films have: a config file may set it for these."""
    return video if video.codec else replace(video, crf=None, preset=None)


class FileOutlet:
    """A file of its own container."""

    holds: int | None = None

    def __init__(self, target: Path, container: str, part: Path | None) -> None:
        self._target, self.format = target, container
        self._temp = part or hidden_beside(target)

    def open(
        self, options: Mapping[str, str], *, aspect: Fraction = Fraction(1)
    ) -> av.container.OutputContainer:
        self._temp.touch(exist_ok=False)
        return av.open(
            local(self._temp),
            "w",
            format=self.format,
            container_options={**_DEEP.get(self.format, {}), **options},
        )

    def settings(self, video: VideoOptions) -> VideoOptions:
        return _settled(video, _FILED.get(self.format))

    def bytes(self) -> int:
        return self._temp.stat().st_size

    def frames(self, video: int, size: tuple[int, int]) -> int | None:
        if self.format == "rawvideo":  # which does not say how large its pictures are
            return None
        with av.open(local(self._temp)) as container:
            count = 0
            film = _film(container, video, size)
            for packet in container.demux(film) if film else ():
                stops.check()
                count += packet.size > 0
            return count

    def place(self, *, overwrite: bool) -> None:
        with self._temp.open("rb+") as file:
            os.fsync(file.fileno())
        move_into_place(self._temp, self._target, overwrite=overwrite)

    def check(self) -> None:
        pass

    def abandon(self) -> None:
        pass

    def discard(self) -> None:
        self._temp.unlink(missing_ok=True)


def _film(
    container: av.container.InputContainer, video: int, size: tuple[int, int]
) -> av.stream.Stream | None:
    """The stream of a picture that was written as number `video`; None if no reader knows it for
    one. MPEG's program streams number theirs as they begin, and mp4 its covers after the rest."""
    films = [s for s in container.streams.video if not is_cover(s)]
    alike = [s for s in films if (s.width, s.height) == size] or films
    return next((s for s in alike if s.index == video), alike[0] if alike else None)


class PictureOutlet(FileOutlet):
    """One picture."""

    holds: int | None = 1

    def __init__(self, target: Path, part: Path | None) -> None:
        super().__init__(target, _PICTURES, part)

    def open(
        self, options: Mapping[str, str], *, aspect: Fraction = Fraction(1)
    ) -> av.container.OutputContainer:
        return super().open({"update": "1"})

    def settings(self, video: VideoOptions) -> VideoOptions:
        return still_settings(self._target.suffix, video)


class SequenceOutlet:
    """Numbered pictures, in a hidden folder until all are there.

    That is in the one they are for, which may be a mount point, or beside it if it is to be made.
    """

    holds: int | None = None

    def __init__(self, pictures: Numbered) -> None:
        self._pictures, self.format = pictures, _PICTURES
        folder = pictures.path.absolute().parent
        where = folder if folder.exists() else folder.parent
        self._temp = where / f".{folder.name}.{uuid.uuid4().hex[:8]}.part"
        self._growing = replace(pictures, path=self._temp / pictures.path.name)
        self._next, self._bytes = 1, 0  # the first number that is not counted yet

    def open(
        self, options: Mapping[str, str], *, aspect: Fraction = Fraction(1)
    ) -> av.container.OutputContainer:
        self._temp.mkdir()
        return av.open(self._growing.pattern, "w", format=_PICTURES)

    def settings(self, video: VideoOptions) -> VideoOptions:
        return still_settings(self._pictures.path.suffix, video)

    def bytes(self) -> int:
        # Asked at every frame, of maybe 100,000: a picture does not change once it is written.
        with suppress(FileNotFoundError):
            while True:
                self._bytes += self._growing.file(self._next).stat().st_size
                self._next += 1
        return self._bytes

    def frames(self, video: int, size: tuple[int, int]) -> int | None:
        return sum(path.stat().st_size > 0 for path in self._temp.iterdir())

    def place(self, *, overwrite: bool) -> None:
        folder = self._pictures.path.parent
        if not folder.exists():
            os.rename(self._temp, folder)
            return
        old = {self._pictures.file(number) for number in self._pictures.numbers()}
        if old and not overwrite:
            raise _come_since(min(old))
        for path in sorted(self._temp.iterdir()):
            move_into_place(path, folder / path.name, overwrite=overwrite)
            old.discard(folder / path.name)
        for path in old:  # of a longer sequence that this one replaces
            path.unlink()
        self._temp.rmdir()

    def check(self) -> None:
        pass

    def abandon(self) -> None:
        pass

    def discard(self) -> None:
        shutil.rmtree(self._temp, ignore_errors=True)


class PipeOutlet:
    """The standard output, which nothing else can write to from here on."""

    holds: int | None = None

    def __init__(self, format_: str | None) -> None:
        self.format = container_of(PIPE, format_)
        if sys.stdout.isatty():
            raise OutputError("the standard output is a terminal; pipe it into a program or a file")

    def open(
        self, options: Mapping[str, str], *, aspect: Fraction = Fraction(1)
    ) -> av.container.OutputContainer:
        options = _DEEP.get(self.format, {})
        if self.format in MOV:
            options = _STREAMED
        tells = None if aspect in (0, 1) else _ASPECT_IN_HEADER.get(self.format)
        self._stream = _Stream(tells and partial(tells, aspect=aspect))
        return av.open(
            cast(BinaryIO, self._stream), "w", format=self.format, container_options=dict(options)
        )

    def settings(self, video: VideoOptions) -> VideoOptions:
        return _settled(video, _PIPED.get(self.format))

    def bytes(self) -> int:
        return self._stream.written

    def frames(self, video: int, size: tuple[int, int]) -> int | None:
        return None

    def place(self, *, overwrite: bool) -> None:
        pass

    def check(self) -> None:
        if self._stream.raised:
            raise self._stream.raised

    def abandon(self) -> None:
        self._stream.deaf = True

    def discard(self) -> None:
        pass


class NoOutlet:
    """Stands for an outlet where a run is only tried: what goes there is lost."""

    def __init__(self, outlet: Outlet) -> None:
        self.format, self.holds, self.settings = outlet.format, outlet.holds, outlet.settings

    def open(
        self, options: Mapping[str, str], *, aspect: Fraction = Fraction(1)
    ) -> av.container.OutputContainer:
        return av.open(
            os.devnull,
            "w",
            format=self.format,
            container_options={**_DEEP.get(self.format, {}), **options},
        )

    def bytes(self) -> int:
        return 0

    def frames(self, video: int, size: tuple[int, int]) -> int | None:
        return None

    def place(self, *, overwrite: bool) -> None:
        pass

    def check(self) -> None:
        pass

    def abandon(self) -> None:
        pass

    def discard(self) -> None:
        pass


class _Stream:
    """The standard output as FFmpeg writes to it. What libraries print there goes to stderr."""

    name = "the standard output"

    def __init__(self, headed: Callable[[bytes], bytes] | None = None) -> None:
        """`headed` changes the first bytes that are written, with the header in them."""
        sys.stdout.flush()
        self._headed = headed
        self.written, self.deaf = 0, False
        self.raised: BaseException | None = None
        self._descriptor = os.dup(1)
        os.dup2(2, 1)

    def write(self, data: bytes) -> int:
        """Waits until the reader has taken everything."""
        taken = len(data)
        if self._headed:
            data, self._headed = self._headed(bytes(data)), None
        view = memoryview(b"" if self.deaf else data)
        try:
            with stops.at_once():
                while view:
                    view = view[self._write(view) :]
        except BaseException as exc:
            self.deaf = True
            if isinstance(exc, OSError) and is_reader_gone(exc):
                raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from exc
            if isinstance(exc, Exception):
                raise
            self.raised = exc
        self.written += len(data)
        return taken

    def _write(self, view: memoryview) -> int:
        """How many bytes were taken; 0 after a wait for a reader of a pipe that does not wait."""
        try:
            return os.write(self._descriptor, view)
        except BlockingIOError:
            if os.name == "nt":  # its select knows sockets only
                raise
            stops.check()
            select.select([], [self._descriptor], [], stops.POLL_S)
            return 0

    def flush(self) -> None:
        pass

    def close(self) -> None:
        """The reader sees the end."""
        os.close(self._descriptor)


def move_into_place(whole: Path, target: Path, *, overwrite: bool) -> None:
    """Moves a file that is whole to its place, on the same device.

    Raises OutputError where another one has come to be there that may not be replaced.
    """
    if not overwrite:
        try:
            os.link(whole, target)  # which, unlike a rename, fails where something is
            whole.unlink()
            return
        except FileExistsError as exc:
            raise _come_since(target) from exc
        except OSError as exc:  # no hard links: FAT, some network drives
            if os.path.lexists(target):
                raise _come_since(target) from exc
    os.replace(whole, target)


def _come_since(target: Path) -> OutputError:
    return OutputError(
        f"{target} has come to be there since the run began; use -y to replace it or choose "
        "another -o"
    )


def hidden_beside(target: Path) -> Path:
    """A hidden name beside a target, for what is not whole yet."""
    return target.with_name(f".{target.stem}.{uuid.uuid4().hex[:8]}.part{target.suffix}")
