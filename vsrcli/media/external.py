"""Encoders of an ffmpeg binary: frames go in through one pipe, packets come back through another.

PyAV's build lacks some encoders. What is muxed, counted and put in place stays as it is: the binary
gives packets of one stream and nothing else. It is started once for a trial, whose stream is the
template of the real one, and once for each segment.
"""

from __future__ import annotations

import io
import math
import queue
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import av
from av.bitstream import BitStreamFilterContext
from av.codec.codec import Codec
from av.format import Flags

from vsrcli import stops
from vsrcli.errors import EncodeError
from vsrcli.frames import Color
from vsrcli.media.encode import (
    Encoder,
    FrameWriter,
    StreamEncoder,
    add_video,
    say_turn,
    tag_colors,
    tag_hevc,
    told_rate,
)
from vsrcli.media.ffmpeg import ffmpeg_binary
from vsrcli.media.info import VideoInfo
from vsrcli.media.packet import SidePacket
from vsrcli.media.pixels import av_range
from vsrcli.media.settings import (
    VideoOptions,
    check_even,
    check_held,
    choose_format,
    default_codec,
    encoded_color,
    encoder_named,
    private_options,
    refusal,
    told_color,
    warn_of_lost_hdr,
    warn_of_lost_matrix,
    warn_of_lost_range,
)

AUTO = "auto"
"""For --ffmpeg: the binary that comes along, for what PyAV lacks."""
_MUXERS = ("mp4", "mov", "nut")
"""Muxers that tell the times of each packet to a pipe. mov takes codecs that mp4 does not, and nut,
which says when each is shown but not when it is decoded, VP8."""
_UNCODED = {"rawvideo", "wrapped_avframe"}
"""Pictures as they are: there is nothing to do for a binary."""
_ALPHA_APART = {"libvpx", "libvpx-vp9"}
"""Encoders that give transparency as a picture beside the other, which mp4 and mov drop."""
_TRIED = Fraction(25)
"""Frames a second where an encoder is only tried."""
_FRAGMENTS = "+frag_every_frame+empty_moov+default_base_moof"
_IN_BAND = {
    **{"h264": "h264_mp4toannexb", "hevc": "hevc_mp4toannexb"},
    **dict.fromkeys(("mpeg4", "mpeg2video", "mpeg1video"), "dump_extra"),
}
"""Filters that put a stream's header before its keyframes, by codec: some containers have no other
place for it."""


@dataclass(frozen=True)
class BinaryCodec:
    """An encoder of an ffmpeg binary, as its own help describes it."""

    binary: str
    name: str
    video_formats: tuple[av.VideoFormat, ...]


def codec_of(options: VideoOptions, container: str) -> Codec | BinaryCodec:
    """The encoder that the options name, and who has it. Raises EncodeError if nobody does."""
    name = options.codec or default_codec(container)
    if options.ffmpeg is None or name in _UNCODED:
        return encoder_named(name)
    if options.ffmpeg != AUTO:
        return binary_codec(options.ffmpeg, name)
    try:
        Codec(name, "w")
    except ValueError:  # unknown, or not even UTF-8
        return binary_codec(ffmpeg_binary(), name)
    return encoder_named(name)


@cache
def binary_codec(binary: str, name: str) -> BinaryCodec:
    """An encoder of this binary. Raises EncodeError if it is not there."""
    said = _run((binary, "-hide_banner", "-h", f"encoder={name}")).stdout.decode(errors="replace")
    if not said.startswith("Encoder "):
        raise EncodeError(f"{Path(binary).name} has no encoder {name!r}; see `vsr doctor`")
    formats = re.search(r"Supported pixel formats: (.*)", said)
    return BinaryCodec(binary, name, tuple(_formats(formats[1].split() if formats else ())))


def _run(command: tuple[str, ...], given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """A program that has ended, and what it said. Raises EncodeError if it cannot be run."""
    try:
        with stops.at_once():
            return subprocess.run(command, input=given, capture_output=True, check=False)
    except OSError as exc:
        raise _unable(command, exc) from exc


def _unable(command: tuple[str, ...], exc: OSError) -> EncodeError:
    return EncodeError(f"{command[0]} cannot be run ({exc.strerror}); check --ffmpeg")


def _formats(names: list[str] | tuple[()]) -> Iterator[av.VideoFormat]:
    for name in names:
        with suppress(ValueError):  # one that PyAV does not know yet
            yield av.VideoFormat(name)


def open_writer(
    container: av.container.OutputContainer,
    info: VideoInfo,
    options: VideoOptions,
    *,
    size: tuple[int, int],
    threads: int,
) -> tuple[av.VideoStream, FrameWriter]:
    """The picture's stream in an output container, and the encoder for it. Raises EncodeError."""
    target = container.format.name
    codec = codec_of(options, target)
    if isinstance(codec, Codec):
        stream = add_video(container, info, options, size=size, threads=threads)
        return stream, FrameWriter(StreamEncoder(stream), info, options, target)
    pix_fmt = choose_format(codec, info.layout, options.pix_fmt)
    _check_alpha(codec, pix_fmt)
    rate = told_rate(codec.name, info)
    color = told_color(encoded_color(info, pix_fmt, codec.name, target), info, size[1])
    warn_of_lost_matrix(codec.name, color, pix_fmt, target, size[1])
    command = _command(codec, info, options, pix_fmt, color, threads, target, rate)
    try:
        muxer, trial = _trial(command, size, pix_fmt, rate)
    except EncodeError:
        check_even(codec, pix_fmt, *size)
        raise
    with av.open(io.BytesIO(trial), format=muxer) as template:
        source = template.streams.video[0]
        header = bytes(source.codec_context.extradata or b"")
        kind = source.codec_context.codec.canonical_name
        check_held(target, kind, codec.name)
        try:
            stream = container.add_stream_from_template(source, opaque=True)
        except ValueError as exc:
            raise EncodeError(f"{refusal(target, codec.name)}; change -c:v or -o") from exc
        in_band = None
        if kind in _IN_BAND and Flags.global_header not in Flags(container.format.flags):
            in_band = BitStreamFilterContext(_IN_BAND[kind], source)
            stream.codec_context.extradata = None
        if kind == "prores":
            stream.codec_context.codec_tag = source.codec_context.codec_tag  # says its profile
    stream.time_base, stream.codec_context.framerate = info.time_base, rate
    tag_colors(stream.codec_context, color)  # nut does not say them
    if info.sample_aspect not in (0, 1):  # AV1's own word for it may be another
        stream.codec_context.sample_aspect_ratio = info.sample_aspect
    say_turn(container, stream, info, size)
    if kind == "hevc":
        command = (*command, "-tag:v", "hvc1")  # nor any header in the packets
        tag_hevc(stream.codec_context, target)
    command = (*command, "-f", muxer, "pipe:1")
    external = External(command, codec.name, size, pix_fmt, info.time_base, rate, header, in_band)
    return stream, FrameWriter(external, info, options, target)


def _check_alpha(codec: BinaryCodec, pix_fmt: str) -> None:
    """Raises EncodeError where transparency would be lost in silence."""
    has_alpha = any(c.is_alpha for c in av.VideoFormat(pix_fmt).components)
    if codec.name in _ALPHA_APART and has_alpha:
        raise EncodeError(
            f"{codec.name} of {Path(codec.binary).name} would lose the transparency on its way; "
            "leave out --ffmpeg, or use --alpha drop"
        )


def try_encoder(name: str, size: tuple[int, int]) -> None:
    """Encodes two blank frames with the binary that comes along. Raises EncodeError."""
    codec = binary_codec(ffmpeg_binary(), name)
    offered = [f.name for f in codec.video_formats]
    pix_fmt = offered[0] if offered and "yuv420p" not in offered else "yuv420p"
    _trial(_started(codec, pix_fmt, "null", 0, _TRIED), size, pix_fmt, _TRIED)


def _command(
    codec: BinaryCodec,
    info: VideoInfo,
    options: VideoOptions,
    pix_fmt: str,
    color: Color,
    threads: int,
    target: str,
    rate: Fraction,
) -> tuple[str, ...]:
    tags = f"setparams=range={av_range(color.full_range)}:color_primaries={color.primaries}"
    tags += f":color_trc={color.transfer}:colorspace={color.matrix}"
    if info.sample_aspect not in (0, 1):
        tags += f",setsar={info.sample_aspect}"
    words = list(_started(codec, pix_fmt, tags, threads, rate))
    if options.bitrate is not None:
        words += ["-b:v", str(options.bitrate)]
    warn_of_lost_hdr(codec.name, info)
    warn_of_lost_range(codec.name, info, pix_fmt, target)
    for key, value in private_options(codec.name, options, info, pix_fmt).items():
        words += [f"-{'b:v' if key == 'b' else key}", value]
    return tuple(words)


def _started(
    codec: BinaryCodec, pix_fmt: str, filters: str, threads: int, rate: Fraction
) -> tuple[str, ...]:
    tick = f"{rate.denominator}:{rate.numerator}"
    return (
        *(codec.binary, "-hide_banner", "-loglevel", "error", "-f", "nut", "-i", "pipe:0"),
        *("-vf", filters, "-copyts", "-fps_mode", "passthrough", "-enc_time_base", tick),
        *("-c:v", codec.name, "-pix_fmt", pix_fmt, "-strict", "-2", "-threads", str(threads)),
        *("-movflags", _FRAGMENTS, "-video_track_timescale", str(rate.numerator)),
    )


@cache
def _trial(
    command: tuple[str, ...], size: tuple[int, int], pix_fmt: str, rate: Fraction
) -> tuple[str, bytes]:
    """The muxer that takes what the encoder makes, and two blank frames in it."""
    raw = io.BytesIO()
    with av.open(raw, "w", format="nut") as nut:
        stream = _raw_stream(nut, size, pix_fmt, rate)
        for pts in range(2):
            frame = av.VideoFrame(*size, pix_fmt)
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))  # any other may be too much for its bits
            frame.pts, frame.time_base = pts, 1 / rate
            nut.mux(stream.encode(frame))
    said = ""
    for muxer in _MUXERS:
        done = _run((*command, "-f", muxer, "pipe:1"), raw.getvalue())
        if done.returncode == 0 and _is_film(done.stdout, muxer):
            return muxer, done.stdout
        said = said or done.stderr.decode(errors="replace")
    raise _refused(command, said)


def _is_film(data: bytes, muxer: str) -> bool:
    with suppress(av.FFmpegError), av.open(io.BytesIO(data), format=muxer) as container:
        return bool(container.streams.video)
    return False


def _raw_stream(
    nut: av.container.OutputContainer, size: tuple[int, int], pix_fmt: str, rate: Fraction
) -> av.VideoStream:
    stream = nut.add_stream("rawvideo", rate=rate)
    stream.width, stream.height = size
    stream.pix_fmt = pix_fmt
    stream.codec_context.time_base = 1 / rate
    return stream


def _refused(command: tuple[str, ...], said: str) -> EncodeError:
    name = command[command.index("-c:v") + 1]
    lines = [line.split("] ", 1)[-1].strip() for line in said.splitlines() if line.strip()]
    reason = next((line for line in lines if not line.startswith("Compiled")), "without a reason")
    return EncodeError(
        f"{name} of {Path(command[0]).name} refused the settings or the frame ({reason}); check "
        "--preset, --crf, --pix-fmt and --encoder-option, or see `vsr doctor`"
    )


def _apart() -> dict[str, Any]:
    """Popen's options for a program that Ctrl-C does not reach, as this process has to end it."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


class External(Encoder):
    """A running binary. It is given the frames at a constant rate, as encoders share out their bits
    by the clock, and its packets get the times of the frames they were made of."""

    stays = sees_attached = False

    def __init__(
        self,
        command: tuple[str, ...],
        name: str,
        size: tuple[int, int],
        pix_fmt: str,
        time_base: Fraction,
        rate: Fraction,
        header: bytes,
        in_band: BitStreamFilterContext | None,
    ) -> None:
        """`in_band` puts the header into the packets."""
        self.name, self.pix_fmt, self.header = name, pix_fmt, header
        self.width, self.height = size
        self._command, self._base, self._in_band = command, time_base, in_band
        self._rate = rate
        self._process: subprocess.Popen[bytes] | None = None
        self._given = 0
        self._due: dict[int, tuple[int, int]] = {}
        """Frames that no packet came of yet, by number: their times and durations."""
        self._times: dict[int, int] = {}
        """Of all frames, but for those before the one at whose time a packet was decoded last."""
        self._shift: Fraction | None = None
        self._step = 1 / (rate * time_base)
        """From one frame to the next, ticks."""
        self._delay = 0
        """Frames by which packets are decoded before the first one is shown."""

    def encode(self, picture: av.VideoFrame | None) -> list[SidePacket]:
        """Packets that are ready; None flushes the encoder. Raises EncodeError."""
        if picture is None:
            return self._finish() if self._process else []
        process = self._process or self._begin()
        assert picture.pts is not None
        assert picture.time_base is not None
        at, duration = (
            round(ticks * picture.time_base / self._base)
            for ticks in (picture.pts, picture.duration or 0)
        )
        self._due[self._given], self._times[self._given] = (at, duration), at
        picture.pts, picture.time_base, picture.duration = self._given, 1 / self._rate, 1
        self._given += 1
        self._nut.mux(self._raw.encode(picture))
        if self._feed.is_broken:
            self._ended(process)
            raise self._failure()
        return self._ready()

    def close(self) -> None:
        """Ends the binary, whether it is done or not."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        self._feed.is_broken = True
        self._nut.close()
        self._reader.join()
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):
                cast(IO[bytes], pipe).close()
        self._said.close()

    def _begin(self) -> subprocess.Popen[bytes]:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the process
        try:
            process = self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                bufsize=0,
                **_apart(),
            )
        except OSError as exc:
            self._said.close()
            raise _unable(self._command, exc) from exc
        self._packets: queue.SimpleQueue[SidePacket] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        self._reader.start()
        self._feed = _Feed(cast(IO[bytes], process.stdin))
        self._nut = av.open(cast(BinaryIO, self._feed), "w", format="nut")
        self._raw = _raw_stream(self._nut, (self.width, self.height), self.pix_fmt, self._rate)
        return process

    def _read(self, pipe: BinaryIO) -> None:
        with suppress(OSError, ValueError, av.FFmpegError):  # the process says what went wrong
            muxer = self._command[self._command.index("pipe:1") - 1]
            with av.open(_Unseekable(pipe), "r", format=muxer) as container:
                for packet in container.demux(video=0):
                    if packet.size:
                        self._packets.put(packet)
        pipe.close()  # else it would wait for ever where it gives what is no film

    def _finish(self) -> list[SidePacket]:
        process = self._process
        assert process is not None
        self._nut.close()
        cast(IO[bytes], process.stdin).close()
        if self._ended(process):
            raise self._failure()
        packets = self._ready()
        missing = len(self._due)
        self.close()
        if missing:
            raise EncodeError(f"{self.name} left out {missing} frames; use another --encoder")
        return packets

    def _ended(self, process: subprocess.Popen[bytes]) -> int:
        """The exit code of the binary, once it has given all packets."""
        while self._reader.is_alive():
            stops.check()
            self._reader.join(stops.POLL_S)
        while True:
            stops.check()
            with suppress(subprocess.TimeoutExpired):
                return process.wait(stops.POLL_S)

    def _ready(self) -> list[SidePacket]:
        packets = []
        while not self._packets.empty():
            packets.append(self._timed(self._packets.get()))
        return packets

    def _timed(self, packet: SidePacket) -> SidePacket:
        """A packet with the time of its frame: the pipe counts from the first decoding time."""
        assert packet.pts is not None  # its muxer says it
        base = packet.time_base
        if self._shift is None:
            self._shift = Fraction(packet.pts * base)
        shown, decoded = (
            round((ticks * base - self._shift) * self._rate)
            for ticks in (packet.pts, packet.pts if packet.dts is None else packet.dts)
        )
        if shown not in self._due:
            raise EncodeError(
                f"{self.name} gives frame {shown}, which it was not given; use another --encoder"
            )
        made: SidePacket = av.Packet(bytes(packet))
        made.is_keyframe = packet.is_keyframe
        if self._in_band:
            (made,) = self._in_band.filter(made)
        made.time_base, made.dts = self._base, self._decoded_at(min(decoded, shown))
        made.pts, made.duration = self._due.pop(shown)
        return made

    def _decoded_at(self, number: int) -> int:
        """The time of the frame of this number; before the first one, as much earlier as the first
        frames lie before the one that the delay ends at. That is not before 0 if no frame is shown
        at 0: in an mp4 that starts later FFmpeg's reader would take that time off all frames."""
        if number >= 0:
            for past in [n for n in self._times if n < number]:
                del self._times[past]
            return self._times[number]
        self._delay = self._delay or -number
        first = self._times[0]
        early, earliest = (
            self._time_of(self._delay) - self._time_of(n) for n in (number + self._delay, 0)
        )
        if 0 < first < earliest:
            early *= first / earliest
        return math.floor(first - early)

    def _time_of(self, number: int) -> Fraction:
        """Of one of the first frames, which may be fewer."""
        return Fraction(self._times.get(number, self._times[0] + number * self._step))

    def _failure(self) -> EncodeError:
        self._said.seek(0)
        said = self._said.read().decode(errors="replace")
        self.close()
        return _refused(self._command, said)


class _Feed:
    """The stdin of a binary, as PyAV writes to it. What the binary does not take is dropped: an
    exception could not pass through FFmpeg."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe, self.is_broken = pipe, False

    def write(self, data: bytes) -> int:
        view = memoryview(b"" if self.is_broken else data)
        try:
            with stops.at_once():
                while view:
                    view = view[self._pipe.write(view) :]
        except (OSError, stops.Stop):  # which is noted, too
            self.is_broken = True
        return len(data)


class _Unseekable:
    """A pipe that offers nothing but reading."""

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe

    def read(self, size: int) -> bytes:
        return self._pipe.read(size)
