"""An encoder in its container, and frames on their way into it."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Protocol, cast

import av
from av.codec.codec import Codec
from av.codec.context import Flags
from av.video.reformatter import VideoReformatter

from vsrcli.errors import EncodeError
from vsrcli.frames import (
    IDENTITY,
    UNSPECIFIED,
    Color,
    Frame,
    assumed_matrix,
)
from vsrcli.media.exif import Exif
from vsrcli.media.info import VideoInfo
from vsrcli.media.nut import NUT
from vsrcli.media.packet import SidePacket
from vsrcli.media.pixels import EXACT, LANCZOS, av_range, sws_matrix, to_av
from vsrcli.media.raw import check_raw
from vsrcli.media.scheduling import usual_scheduling
from vsrcli.media.settings import (
    STILLS,
    VideoOptions,
    check_even,
    check_held,
    check_opaque,
    choose_format,
    default_codec,
    encoded_color,
    encoder_named,
    loses_alpha,
    private_options,
    refusal,
    told_color,
    warn_of_lost_hdr,
    warn_of_lost_matrix,
    warn_of_lost_range,
)
from vsrcli.media.side_data import Attached
from vsrcli.media.y4m import Y4M

log = logging.getLogger("vsr")
_CAPTIONED = ("libx264", "libx265", "mpeg2video", "_nvenc", "_qsv", "_vaapi", "_videotoolbox")
"""Encoders that write captions."""
_PROFILED = {"png", "mjpeg"}
"""Pictures that are written with their colour profile."""
HARDWARE = {
    "nvenc": "no NVIDIA GPU or driver that encodes",
    "qsv": "no Intel GPU or driver that encodes",
    "amf": "no AMD GPU or driver that encodes",
    "v4l2m2m": "no V4L2 device that encodes",
}
"""What is missing where a hardware encoder cannot be opened, by a part of its name."""
_NARROW = 48
"""Width, px, up to which a row of x265's cutree has fewer than four blocks; it writes four."""
_SOFTWARE = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1"}
_SELF_SHAPED = {"h264", "hevc", "mpeg4"}
"""Codecs that say the pixel aspect themselves."""
_SHAPED_BY_CODE = {"mpeg2video", "mpeg1video"}
"""Those that say the nearest of a few."""
_UNORDERED = 2
"""Streams of at most so many frames are not reordered; libx265 leaves their dts unset."""
_MPEG4_TICKS = 65_535
"""A second at most, by the standard."""
_FASTEST = {"libsvtav1": Fraction(240)}
"""Frames a second at most that an encoder may be told, whatever the timestamps say."""
_BITS_BY_TICK = {"vc2": 600_000_000}
"""Encoders whose bit rate is that of frames that last a tick, and which it is by default."""
_SHAPELESS = {"avi", "flv"}
"""Containers that leave the pixel aspect to the codec."""
_MPEG2_SHAPES = (Fraction(4, 3), Fraction(16, 9), Fraction(221, 100))
"""Of whole pictures, beside square pixels; the encoder writes the nearest."""
_SHAPES_APART = Fraction(3, 100)
"""Less than this lies between the ways to count the pixels of a line of television."""
_MPEG1_ASPECTS = tuple(
    Fraction(10_000, height)
    for height in (
        *(6735, 7031, 7615, 8055, 8437, 8935, 9157),
        *(9815, 10_255, 10_695, 10_950, 11_575, 12_015),
    )
)
"""Of pixels, beside square ones; the encoder writes the nearest."""
_ASPECTS_APART = Fraction(1, 100)
"""By less than this those are off that are meant for television."""
_SHAPED = {"mp4", "mov", "ipod", "3gp", "3g2", "psp"}
"""Containers whose muxer says the pixel aspect."""
_SHAPED_LATER = {"matroska", "webm", NUT, Y4M}
"""Containers whose muxer takes the pixel aspect from a field that PyAV cannot set."""
_WITHOUT_DURATIONS = {"asf", "asf_stream"}
"""Containers whose demuxers take a frame's duration from the frame rate in the codec's header."""
_TURNED_IN = {"mp4", "mov", "ipod", "3gp", "3g2", "psp", "matroska", "webm"}
"""Containers with a place for a display matrix."""


class Encoder(Protocol):
    """An open encoder for pictures of one size and format."""

    name: str
    width: int
    height: int
    pix_fmt: str
    header: bytes
    """The parameter sets that the container keeps for the whole stream."""
    stays: bool
    """Its memory in this process is freed with its container, not by `close`."""
    sees_attached: bool
    """It is given what is attached to a frame, such as captions."""

    def encode(self, picture: av.VideoFrame | None) -> list[SidePacket]:
        """Packets that are ready; None flushes the encoder. Raises FFmpeg's errors, EncodeError."""
        ...

    def close(self) -> None:
        """Frees what it holds outside this process."""
        ...


class StreamEncoder(Encoder):
    """The encoder of a stream of PyAV's."""

    stays = sees_attached = True

    def __init__(self, stream: av.VideoStream) -> None:
        self._stream, context = stream, stream.codec_context
        self.name, self.pix_fmt = context.codec.name, stream.pix_fmt or ""
        self.width, self.height = stream.width, stream.height
        self.header = bytes(context.extradata or b"")

    def encode(self, picture: av.VideoFrame | None) -> list[SidePacket]:
        return list(self._stream.encode(picture))

    def close(self) -> None:
        pass


def add_video(
    container: av.container.OutputContainer,
    info: VideoInfo,
    options: VideoOptions,
    *,
    size: tuple[int, int],
    threads: int,
) -> av.VideoStream:
    """The encoder's stream in an output container, set up to keep the source's time and colour."""
    muxer = container.format.name
    codec = encoder_named(options.codec or default_codec(muxer))
    pix_fmt = choose_format(codec, info.layout, options.pix_fmt)
    private = private_options(codec.name, options, info, pix_fmt)
    private |= _options_for(muxer, codec.name, private, info, width=size[0])
    if codec.name == "rawvideo":
        check_raw(muxer, pix_fmt)
    check_held(muxer, codec.canonical_name, codec.name)
    warn_of_lost_hdr(codec.name, info)
    warn_of_lost_range(codec.name, info, pix_fmt, muxer)
    if codec.name == "libsvtav1":  # else it prints its settings on stderr
        os.environ.setdefault("SVT_LOG", "1")
    rate = told_rate(codec.name, info)
    try:
        stream = cast(av.VideoStream, container.add_stream(codec.name, rate=rate, options=private))
    except ValueError as exc:
        raise EncodeError(f"{refusal(muxer, codec.name)}; change -c:v or -o") from exc
    context = stream.codec_context
    stream.width, stream.height = size
    stream.pix_fmt = pix_fmt
    # Set before the first frame: the stream's own time base is not what the encoder uses.
    context.time_base = _time_base(codec, info)
    context.flags |= Flags.frame_duration
    context.thread_type = "AUTO"
    context.thread_count = threads
    if options.bitrate is not None:
        context.bit_rate = options.bitrate
    if codec.name in _BITS_BY_TICK:
        bits = options.bitrate or _BITS_BY_TICK[codec.name]
        context.bit_rate = round(bits / (rate * context.time_base))
    if info.sample_aspect not in (0, 1):
        context.sample_aspect_ratio = info.sample_aspect
        _warn_of_lost_shape(muxer, codec, info.sample_aspect, size)
    if codec.canonical_name == "hevc":
        tag_hevc(context, muxer)
    color = told_color(encoded_color(info, pix_fmt, codec.name, muxer), info, size[1])
    warn_of_lost_matrix(codec.name, color, pix_fmt, muxer, size[1])
    tag_colors(context, color)
    say_turn(container, stream, info, size)
    _open(context, codec)
    return stream


def _time_base(codec: Codec, info: VideoInfo) -> Fraction:
    """The source's or, where its ticks are too many for the codec, one that its frame rate fits."""
    if codec.canonical_name != "mpeg4" or info.time_base.denominator <= _MPEG4_TICKS:
        return info.time_base
    rate = info.rate.numerator
    return Fraction(1, _MPEG4_TICKS // rate * rate or _MPEG4_TICKS)


def _options_for(
    muxer: str, encoder: str, private: Mapping[str, str], info: VideoInfo, *, width: int
) -> dict[str, str]:
    """Changes to an encoder's options that a container, or a picture of this width, asks for."""
    if encoder == "libx264" and muxer in _WITHOUT_DURATIONS:
        # Else it says the rate of ticks, and the last frame is read at the time of the one before.
        return {"x264-params": f"force-cfr=1:{private.get('x264-params', '')}".rstrip(":")}
    if encoder == "libx265" and width <= _NARROW:
        return {"x265-params": f"cutree=0:{private['x265-params']}"}
    if muxer == Y4M and info.codec != "rawvideo":  # which does not say it
        return {"chroma_sample_location": info.color.siting.value} | dict(private)
    return {}


def _warn_of_lost_shape(muxer: str, codec: Codec, aspect: Fraction, size: tuple[int, int]) -> None:
    """Says that a picture of this size, whose pixels are not square, is shown in another shape."""
    kind, shape = codec.canonical_name, aspect * Fraction(*size)
    if muxer in _SHAPED | _SHAPED_LATER:
        return
    if muxer in _SHAPELESS and kind not in _SELF_SHAPED | _SHAPED_BY_CODE:
        log.warning("%s with %s holds no pixel aspect; write .mkv to keep it", muxer, codec.name)
    if kind == "mpeg2video" and _distance(shape, _MPEG2_SHAPES) > _SHAPES_APART:
        log.warning(
            "mpeg2video is shown in 4:3, 16:9 or 2.21:1, not in %.2f:1; choose another -c:v to "
            "keep the pixel aspect",
            shape,
        )
    if kind == "mpeg1video" and _distance(aspect, _MPEG1_ASPECTS) > _ASPECTS_APART:
        log.warning(
            "mpeg1video has no pixel aspect of %d:%d, but only others; choose another -c:v to "
            "keep it",
            *aspect.as_integer_ratio(),
        )


def _distance(ratio: Fraction, known: Sequence[Fraction]) -> Fraction:
    """By how much of itself the nearest of the known ones is off."""
    return min(abs(each / ratio - 1) for each in known)


def lacks_shape(
    container: av.container.OutputContainer, stream: av.VideoStream, info: VideoInfo
) -> bool:
    """No header says the pixel aspect: it has to be written into the finished file."""
    wants = info.sample_aspect not in (0, 1) and container.format.name in _SHAPED_LATER
    return wants and stream.codec_context.codec.canonical_name not in _SELF_SHAPED


def told_rate(encoder: str, info: VideoInfo) -> Fraction:
    """Frames a second, as an encoder is told."""
    return min(info.rate, _FASTEST.get(encoder, info.rate))


def tag_hevc(context: av.VideoCodecContext, muxer: str) -> None:
    """Names HEVC as Apple's players know it."""
    if muxer in ("mp4", "mov"):
        context.codec_tag = "hvc1"


def say_turn(
    container: av.container.OutputContainer,
    stream: av.VideoStream,
    info: VideoInfo,
    size: tuple[int, int],
) -> None:
    """Hands the display matrix on to the container; warns where that has no place for it."""
    if info.turn is None:
        return
    if container.format.name in _TURNED_IN:
        stream.set_display_matrix(info.turn.moved(size[0] / info.width, size[1] / info.height))
        return
    log.warning(
        "%s holds no rotation, so the picture will not be turned; use --autorotate",
        container.format.name,
    )


def _open(context: av.VideoCodecContext, codec: Codec) -> None:
    """Opens the encoder before anything is written. Raises EncodeError for settings it refuses."""
    try:
        with usual_scheduling():
            context.open(strict=False)
    except (av.FFmpegError, ValueError) as exc:
        if not isinstance(exc, PermissionError):  # a hardware encoder without its hardware
            check_even(codec, context.pix_fmt or "", context.width, context.height)
        if missing := _missing(codec.name, exc):
            instead = _SOFTWARE.get(codec.canonical_name, "libx264")
            raise EncodeError(
                f"{codec.name} cannot be opened, as there is {missing}; use -c:v {instead}, or see "
                "`vsr doctor` for those that work"
            ) from exc
        frame = f"frames of {context.width}x{context.height} {context.pix_fmt}"
        raise _refused(codec.name, exc, frame) from exc
    unknown = ", ".join(context.options)  # what opening did not use up
    if unknown:
        raise EncodeError(f"{codec.name} has no option {unknown}; check --encoder-option")


def _missing(name: str, exc: Exception) -> str:
    """The hardware without which this encoder failed to open; empty if it was something else."""
    if isinstance(exc, av.error.ArgumentError) or not isinstance(exc, av.FFmpegError):
        return ""
    return next((missing for part, missing in HARDWARE.items() if part in name), "")


def _refused(name: str, exc: Exception, frame: str = "the frame") -> EncodeError:
    reason = getattr(exc, "strerror", None) or str(exc)
    return EncodeError(
        f"{name} refused the settings or {frame} ({reason}); check --preset, --crf, --pix-fmt and "
        "--encoder-option, or see `vsr doctor` for encoders that work here"
    )


class FrameWriter:
    """Turns frames into encoded packets of one stream."""

    def __init__(
        self, encoder: Encoder, info: VideoInfo, options: VideoOptions, muxer: str
    ) -> None:
        self._encoder, self._info = encoder, info
        self._has_to_be_opaque = not options.pix_fmt and loses_alpha(info.layout, encoder.pix_fmt)
        self._reformatter, self._attached = VideoReformatter(), Attached()
        self._saw_captions = False
        self._exif = Exif(encoder.name, self._attached)
        self._color = encoded_color(info, encoder.pix_fmt, encoder.name, muxer)
        self._told = told_color(self._color, info, encoder.height)
        self._given = 0
        self.last_pts: int | None = None
        """Of the frame given last; the next one must come after it."""
        self.is_fresh = True
        """No frame was given yet."""

    @property
    def header(self) -> bytes:
        """The parameter sets that the container keeps for the whole stream."""
        return self._encoder.header

    @property
    def stays(self) -> bool:
        """Its encoder takes up memory until the container is closed."""
        return self._encoder.stays

    def encode(self, frame: Frame, pts: int) -> list[SidePacket]:
        """Packets that are ready. `pts` is in the frame's time base. Raises EncodeError."""
        if self._has_to_be_opaque:
            check_opaque(frame, self._encoder.name)
        picture = self._picture(frame)
        if self.last_pts is not None and pts <= self.last_pts:
            raise EncodeError(
                f"frame {frame.index} does not come after the one before it "
                f"({pts} after {self.last_pts}); remux the source first"
            )
        picture.pts, picture.time_base, picture.duration = pts, frame.time_base, frame.duration
        self._exif.note(frame.origin, (picture.width, picture.height))
        self._given += 1
        picture.pict_type = 0  # the source's I/P/B types would be forced on the encoder
        self.last_pts, self.is_fresh = pts, False
        return self._send(picture)

    def flush(self) -> list[SidePacket]:
        """The packets the encoder still holds."""
        packets = self._send(None)
        if self._given <= _UNORDERED:
            for packet in packets:
                packet.dts = packet.pts
        return packets

    def _picture(self, frame: Frame) -> av.VideoFrame:
        """The frame as it is encoded, tags and what is attached to it included."""
        picture, color = self._converted(frame), self._told
        picture.colorspace, picture.color_range = color.matrix, av_range(color.full_range)
        picture.color_primaries, picture.color_trc = color.primaries, color.transfer
        if isinstance(frame.origin, av.VideoFrame):
            self._warn_of_lost(frame.origin)
            return self._attached.hand_on(frame.origin, picture)
        return picture

    def _warn_of_lost(self, origin: av.VideoFrame) -> None:
        codec, sees = self._encoder.name, self._encoder.sees_attached
        is_still = codec in STILLS - _PROFILED
        if is_still and self._given == 0 and self._attached.has_profile(origin):
            log.warning("the colour profile is not kept by %s; write .png or .jpg", codec)
        if (codec.endswith(_CAPTIONED) and sees) or self._saw_captions:
            return
        self._saw_captions = self._attached.has_captions(origin)
        if self._saw_captions:
            able = "libx264 and libx265 keep them" + ("" if sees else " without --ffmpeg")
            log.warning("the captions are not kept by %s; %s", codec, able)

    def _converted(self, frame: Frame) -> av.VideoFrame:
        picture = to_av(frame.planes, frame.layout)
        encoder = self._encoder
        color = self._info.color
        picture.colorspace = color.matrix
        picture.color_range = av_range(color.full_range)
        same_size = (picture.width, picture.height) == (encoder.width, encoder.height)
        twin = _full_range_twin(picture) if color.full_range else picture.format.name
        same_color = color == self._color or picture.format.is_rgb
        if same_size and same_color and encoder.pix_fmt in (picture.format.name, twin):
            return picture
        flags = EXACT if same_size else LANCZOS
        ranges = self._ranges(picture)
        return self._reformatter.reformat(
            picture, encoder.width, encoder.height, encoder.pix_fmt, interpolation=flags, **ranges
        )

    def _ranges(self, picture: av.VideoFrame) -> dict[str, int | None]:
        if picture.format.is_rgb and not av.VideoFormat(self._encoder.pix_fmt).is_rgb:
            full = av_range(self._color.full_range) or 1
            return {"dst_colorspace": sws_matrix(self._color.matrix), "dst_color_range": full}
        color = self._info.color
        full = av_range(color.full_range) or 1
        if color == self._color:
            return {"src_color_range": full, "dst_color_range": full}
        ranges: dict[str, int | None] = {
            "src_color_range": full,
            "dst_color_range": av_range(self._color.full_range),
        }
        if color.matrix == self._color.matrix:
            picture.colorspace = UNSPECIFIED  # swscale refuses some, and none is converted
            return ranges
        matrix = assumed_matrix(self._info.height) if color.matrix == UNSPECIFIED else color.matrix
        picture.colorspace = matrix
        if self._color.matrix != IDENTITY:
            ranges["dst_colorspace"] = sws_matrix(self._color.matrix)
        return ranges

    def _send(self, picture: av.VideoFrame | None) -> list[SidePacket]:
        try:
            return self._exif.put(self._encoder.encode(picture))
        except (av.FFmpegError, ValueError) as exc:
            raise _refused(self._encoder.name, exc) from exc

    def close(self) -> None:
        """Frees the encoder, flushed or not."""
        self._encoder.close()


def _full_range_twin(picture: av.VideoFrame) -> str:
    return picture.format.name.replace("yuv", "yuvj")


def tag_colors(context: av.VideoCodecContext, color: Color) -> None:
    """Says the colours of a picture."""
    context.colorspace = color.matrix
    context.color_primaries = color.primaries
    context.color_trc = color.transfer
    context.color_range = av_range(color.full_range)
