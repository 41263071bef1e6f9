"""The encoder's settings: what the user says, and what is usual where nothing is said."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import av
from av.codec.codec import Codec

from vsrcli.errors import EncodeError
from vsrcli.frames import BT601, IDENTITY, UNSPECIFIED, Color, Frame, Layout, Role, assumed_matrix
from vsrcli.media.colors import matrix_name
from vsrcli.media.hdr import encoder_parameters
from vsrcli.media.info import VideoInfo
from vsrcli.media.pixels import (
    best_format,
    can_be_made,
    full_name,
    layout_of,
    sws_matrix,
    without_alpha,
)
from vsrcli.media.y4m import Y4M

log = logging.getLogger("vsr")
MATROSKA = "matroska"
TS_PICTURES = {"h264", "hevc", "vvc", "mpeg2video", "mpeg1video", "mpeg4", "vc1"}
"""Codecs of pictures that mpegts has a name for; it takes any, and writes others as data that no
reader knows. It has one for Dirac, whose frames are counted wrong or not found by readers."""
_PS_PICTURES = {"h264", "hevc", "mpeg2video", "mpeg1video", "mpeg4"}
"""Those that readers find in a program stream, whose muxers take any, too."""
_PS = {"mpeg", "vob", "dvd", "svcd", "vcd"}
_X26X = {"libx264", "libx264rgb", "libx265"}
_NVENC = ("h264_nvenc", "hevc_nvenc", "av1_nvenc")
_QUALITY = dict.fromkeys(("libsvtav1", "libvpx-vp9", "libvpx", "libaom-av1", *_X26X), "crf") | {
    "librav1e": "qp",
    "libvvenc": "qp",
    **dict.fromkeys(_NVENC, "cq"),
}
_OWN_QUALITY = {"qsv": "global_quality", "vaapi": "qp"}
"""What others call it, on a scale of their own, by a part of their names."""
_USUAL_CRF = {"libx264": 16, "libx264rgb": 16} | dict.fromkeys(_NVENC, 19)
"""Where it is not left to the encoder: NVENC's own choice is 2 Mbit/s, whatever the size."""
_OWN_RATES = {("rc", "constqp"), ("tune", "lossless")}
"""NVENC's options that set the quality by themselves, besides qp."""
_FREE_RATE = {"libvpx": "1G", "libvpx-vp9": "0", "libaom-av1": "0"} | dict.fromkeys(_NVENC, "0")
"""Encoders that keep the quality only where no bit rate limits it, and the rate that means that."""
_PRESETS = (
    *("ultrafast", "superfast", "veryfast", "faster", "fast"),
    *("medium", "slow", "slower", "veryslow", "placebo"),
)
_RGB_STILLS = {"png", "tiff", "bmp"}
_Y4M = (
    *("yuv420p", "yuv422p", "yuv444p", "yuv411p", "gray", "gray9le", "gray10le", "gray12le"),
    *(f"yuv{s}p{b}le" for s in (420, 422, 444) for b in (9, 10, 12, 14, 16)),
    *("gray16le", "yuva444p"),
)
_UNTAGGED_STILLS = {"mjpeg": True, "libwebp": False}
"""Pictures that are read as BT.601 whatever they were; whether of full range."""
_LIMITED = {
    *("prores", "mpeg1video", "mpeg2video", "mpeg2", "mpeg4", "libxvid", "msmpeg4", "msmpeg4v2"),
    *("wmv1", "wmv2", "flv", "h261", "h263", "h263p", "libtheora", "libvpx", "vp8", "svq1", "asv1"),
    *("asv2", "dvvideo", "speedhq", "cfhd", "snow", "utvideo", "huffyuv", "ffvhuff", "magicyuv"),
}
"""Encoders whose YUV is read as limited range whatever it was, by their names up to a "_"."""
_SILENT = {"rawvideo", "ffv1", "jpeg2000", "libopenjpeg", "v210", "v308", "v408", "v410", "yuv4"}
"""Encoders that leave it to the container to say the range."""
_SILENT_CONTAINERS = {"avi", "nut", "mov"}
"""Containers that do not say it. mp4 does beside the other tags of colour alone."""
_MATRIXLESS = {
    *_SILENT,
    *("wrapped", "huffyuv", "ffvhuff", "magicyuv", "mpeg1video", "mpeg4", "wmv1", "wmv2", "flv"),
    *("cfhd", "snow"),
}
"""Encoders that leave it to the container to say the matrix, by their names up to a "_"."""
_MATRIXLESS_CONTAINERS = {"avi", "nut", "asf", "mpegts", "mpeg", Y4M}
"""Containers that do not say it."""
STILLS = {*_RGB_STILLS, *_UNTAGGED_STILLS}
"""Encoders of single pictures."""
_USUAL_CODECS = {
    **dict.fromkeys(("webm", "ivf"), "libvpx-vp9"),
    **dict.fromkeys(("ogv", "ogg"), "libvpx"),
    "obu": "libsvtav1",
    "hevc": "libx265",
}
"""Where H.264 cannot be."""
_DNXHR = {
    "yuv422p": "dnxhr_hq",
    "yuv422p10le": "dnxhr_hqx",
    "yuv444p10le": "dnxhr_444",
    "gbrp10le": "dnxhr_444",
}
"""Of any size and rate, where DNxHD needs one of its own bit rates."""
_UNMET = {
    "libvpx-vp9": ("yuva422p", "yuva444p", "gbrap"),
    "libx265": ("yuva420p", "yuva420p10le"),
}
"""Pixel formats that an encoder lists but cannot be opened with."""
_SAID_ELSEWHERE = {
    "time_base": "every frame keeps its timestamp",
    "video_size": "--width and --height say the size",
    "pixel_format": "--pix-fmt says it",
}
"""Options of every encoder that would override what other options say, and which do."""
_PLAIN_NAMES = {"wrapped_avframe": "y4m"}


@dataclass(frozen=True, kw_only=True)
class VideoOptions:
    """How the new picture is encoded, in FFmpeg's words."""

    codec: str | None = None
    """None: libx264, or libvpx-vp9 in webm."""
    crf: float | None = None
    """None: 16 with libx264, 19 with NVENC; the encoder's own default elsewhere."""
    preset: str | None = None
    bitrate: int | None = None
    """Bits a second; excludes crf. 0: no limit, where an encoder has one unless it is told."""
    pix_fmt: str | None = None
    """None: the source's, or the nearest the encoder has."""
    extra: Mapping[str, str] = field(default_factory=dict)
    """The encoder's private options, by name."""
    ffmpeg: str | None = None
    """The ffmpeg binary that encodes; auto: the one that comes along, for what PyAV lacks."""


class Offer(Protocol):
    """An encoder and the pixel formats that it takes; none named: any."""

    @property
    def name(self) -> str:
        """FFmpeg's name."""
        ...

    @property
    def video_formats(self) -> Sequence[av.VideoFormat] | None:
        """In the encoder's order."""
        ...


def encoder_named(name: str) -> Codec:
    """PyAV's encoder of this name. Raises EncodeError if its build of FFmpeg has none."""
    if name == "copy":
        raise EncodeError("the picture is a new one and cannot be copied; -c:v takes an encoder")
    try:
        codec = Codec(name, "w")
    except ValueError as exc:  # unknown, or not even UTF-8
        raise EncodeError(
            f"there is no encoder {name!r} here; `vsr doctor` lists those that work, "
            "and --ffmpeg auto takes others from the ffmpeg binary"
        ) from exc
    if codec.type != "video":
        raise EncodeError(f"{name} is not a video encoder; use libx264, libx265, ffv1 …")
    return codec


def choose_format(codec: Offer, layout: Layout, wanted: str | None) -> str:
    """The pixel format to encode. Raises EncodeError if the encoder lacks the one asked for, or
    pictures cannot be converted to it."""
    chosen = _chosen_format(codec, layout, wanted)
    if chosen != layout.name and not can_be_made(chosen):
        raise EncodeError(
            f"{codec.name} would encode {chosen}, which pictures cannot be converted to here; "
            "choose another --pix-fmt or -c:v"
        )
    return chosen


def _chosen_format(codec: Offer, layout: Layout, wanted: str | None) -> str:
    offered, name = _offered(codec), _PLAIN_NAMES.get(codec.name, codec.name)
    if wanted:
        wanted = full_name(wanted)
        if offered and wanted not in offered:
            raise EncodeError(f"{name} cannot encode {wanted}; it takes {', '.join(offered)}")
        return wanted
    if not offered or layout.name in offered:
        return layout.name
    chosen = best_format(offered, layout)
    if loses_alpha(layout, chosen):
        log.info("%s cannot hold transparency: all frames have to be opaque", name)
        layout = without_alpha(layout)
    if layout_of(chosen) != layout:  # packed formats hold the same samples
        level = logging.INFO if codec.name in STILLS else logging.WARNING
        log.log(level, "%s cannot encode %s: converted to %s", name, layout.name, chosen)
    return chosen


def loses_alpha(layout: Layout, pix_fmt: str) -> bool:
    """Whether a format has no place for the transparency of a layout."""
    has_place = any(c.is_alpha for c in av.VideoFormat(pix_fmt).components)
    return bool(layout.planes_of(Role.ALPHA)) and not has_place


def check_opaque(frame: Frame, encoder: str) -> None:
    """Raises EncodeError for a frame that shows what would be behind it, which the encoder loses:
    that takes a word of the user."""
    (index,) = frame.layout.planes_of(Role.ALPHA)
    if int(frame.planes[index].min()) < frame.layout.peak:
        able = "-c:v prores_ks (.mov), ffv1 (.mkv) or libvpx-vp9 (.webm)"
        able = ".png, .webp or .tif" if encoder in STILLS else able
        raise EncodeError(
            f"frame {frame.index} is transparent, which {_PLAIN_NAMES.get(encoder, encoder)} "
            f"cannot hold; use {able}, or --alpha drop"
        )


def _offered(codec: Offer) -> list[str]:
    """The encoder's pixel formats that every reader of its files understands."""
    unmet = _UNMET.get(codec.name, ())
    offered = [f.name for f in codec.video_formats or () if f.name not in unmet]
    if codec.name == "wrapped_avframe":
        return list(_Y4M)
    if codec.name in _RGB_STILLS:
        return [n for n in offered if not n.startswith("yuv")]
    return [n for n in offered if n.startswith("yuvj")] if codec.name == "mjpeg" else offered


def check_even(codec: Offer, pix_fmt: str, width: int, height: int) -> None:
    """Raises EncodeError where subsampled chroma wants even sides and the picture's are odd."""
    layout = layout_of(pix_fmt)
    odd = [n for n, s in ((width, layout.chroma_w), (height, layout.chroma_h)) if n % s]
    if odd:
        raise EncodeError(
            f"{codec.name} needs even sides in {pix_fmt} and the output is {width}x{height}; "
            "use --pix-fmt yuv444p, another --scale, or --width/--height"
        )


def encoded_color(info: VideoInfo, pix_fmt: str, codec: str, container: str) -> Color:
    """The source's tags; what is converted between RGB and YUV gets those of the result."""
    color = info.color
    is_rgb = bool(info.layout.planes_of(Role.RGB))
    if av.VideoFormat(pix_fmt).is_rgb:
        return color if is_rgb else replace(color, matrix=IDENTITY, full_range=True)
    if codec in _UNTAGGED_STILLS:
        return replace(color, matrix=BT601, full_range=_UNTAGGED_STILLS[codec])
    if is_rgb:
        return replace(color, matrix=assumed_matrix(info.height), full_range=False)
    is_lost = bool(_no_range(info, pix_fmt, codec, container))
    return replace(color, full_range=False) if is_lost else color


def warn_of_lost_range(name: str, info: VideoInfo, pix_fmt: str, container: str) -> None:
    """Says that full-range YUV is scaled where it would be read as limited range."""
    is_yuv = not info.layout.planes_of(Role.RGB) and not av.VideoFormat(pix_fmt).is_rgb
    reason = _no_range(info, pix_fmt, name, container)
    if is_yuv and reason:
        log.warning("%s: full range is scaled to it", reason)


def warn_of_lost_matrix(name: str, color: Color, pix_fmt: str, container: str, lines: int) -> None:
    """Says that colours are taken for others where nothing tells their matrix and it is not the
    usual one of a picture of so many lines."""
    usual, kind = assumed_matrix(lines), name.split("_")[0]
    is_told = kind not in _MATRIXLESS or container not in _MATRIXLESS_CONTAINERS
    is_usual = color.matrix == UNSPECIFIED or sws_matrix(color.matrix) == sws_matrix(usual)
    if is_told or is_usual or not layout_of(pix_fmt).planes_of(Role.CHROMA):
        return
    log.warning(
        "%s with %s does not say that its colours are %s, and players take them for %s; write "
        ".mkv to keep them",
        *(container, _PLAIN_NAMES.get(name, name)),
        *(matrix_name(color.matrix), matrix_name(usual)),
    )


def _no_range(info: VideoInfo, pix_fmt: str, codec: str, container: str) -> str:
    """Why full-range samples would be read as limited range; "" if they would not."""
    color, kind = info.color, codec.split("_")[0]
    if not color.full_range or len(av.VideoFormat(pix_fmt).components) < 3:
        return ""  # grey is read as full range everywhere
    if kind in _LIMITED:
        return f"{codec} holds limited range only"
    is_partly_tagged = UNSPECIFIED in (color.primaries, color.transfer, color.matrix)
    is_silent = container in _SILENT_CONTAINERS or (container == "mp4" and is_partly_tagged)
    if kind in _SILENT and is_silent:
        return f"{container} holds {codec} of limited range only"
    return ""


def told_color(color: Color, info: VideoInfo, lines: int) -> Color:
    """The tags as they are written with a picture of so many lines. YUV without a matrix is taken
    for BT.601 or BT.709 by its lines: where more of them would change that, it is told."""
    before = assumed_matrix(info.height)
    is_guessed = color.matrix == UNSPECIFIED and bool(info.layout.planes_of(Role.CHROMA))
    return (
        replace(color, matrix=before) if is_guessed and before != assumed_matrix(lines) else color
    )


def check_held(container: str, kind: str, encoder: str) -> None:
    """Raises EncodeError where a muxer takes what an encoder makes, a codec of this kind, and no
    reader knows it there."""
    known = TS_PICTURES if container == "mpegts" else _PS_PICTURES if container in _PS else {kind}
    if kind not in known:
        raise EncodeError(f"{refusal(container, encoder)}; change -c:v or -o")


def refusal(container: str, codec: str) -> str:
    """Why a codec does not go into a container. Matroska holds any that Windows has a name for, but
    PyAV asks FFmpeg for those alone that have a name of Matroska's own."""
    if container == MATROSKA:
        return f"PyAV writes no {codec} into matroska"
    return f"{container} cannot hold {codec}"


def default_codec(container: str) -> str:
    """What a newcomer wants in this container."""
    return _USUAL_CODECS.get(container, "libx264")


def private_options(
    name: str, options: VideoOptions, info: VideoInfo, pix_fmt: str
) -> dict[str, str]:
    """The settings of an encoder by the names it gives them. Raises EncodeError."""
    for key in _SAID_ELSEWHERE.keys() & options.extra.keys():
        raise EncodeError(f"--encoder-option {key} has no place here: {_SAID_ELSEWHERE[key]}")
    chosen = _quality(name, options)
    if name == "libvpx" and info.layout.planes_of(Role.ALPHA):
        chosen["auto-alt-ref"] = "0"  # its alternate frames are of the colours alone
    if name == "dnxhd" and not options.bitrate:
        chosen["profile"] = _DNXHR.get(pix_fmt, "dnxhd")
    preset = options.preset or ("medium" if name in _X26X else None)
    if preset:
        check_preset(name, preset)
        chosen["preset"] = preset
    chosen |= options.extra
    key, told = encoder_parameters(name, info.mastering)
    if name == "libx265":  # it prints on stderr by itself, past FFmpeg's log
        told = f"log-level=none:{told}".rstrip(":")
        chosen.setdefault("a53cc", "1")
    if told:  # the user's own come last, so they win
        chosen[key] = f"{told}:{chosen.get(key, '')}".rstrip(":")
    return chosen


def _quality(name: str, options: VideoOptions) -> dict[str, str]:
    """What keeps the quality that is asked for, or that is usual."""
    crf, key = options.crf, _QUALITY.get(name)
    is_nvenc = key == "cq"
    chooses = "qp" in options.extra or not _OWN_RATES.isdisjoint(options.extra.items())
    if crf is None and (options.bitrate or (is_nvenc and chooses)):
        return {}
    crf = _USUAL_CRF.get(name) if crf is None else crf
    if crf is None:
        return {}
    if key is None:
        own = next((word for part, word in _OWN_QUALITY.items() if part in name), "")
        other = f" {own}={crf:g}" if own else ""
        raise EncodeError(f"{name} has no --crf; use --encoder-option{other}, or --bitrate")
    chosen = {key: f"{crf:g}"}
    if name in _FREE_RATE:
        chosen["b"] = _FREE_RATE[name]
    return chosen | ({"rc": "vbr"} if is_nvenc else {})


def check_preset(name: str, preset: str) -> None:
    """Raises EncodeError for one that x264 or x265 lacks: they would print lines of their own."""
    if name in _X26X and preset not in _PRESETS:
        raise EncodeError(f"{name} has no preset {preset!r}; use {', '.join(_PRESETS)}")


def warn_of_lost_hdr(name: str, info: VideoInfo) -> None:
    """Says which metadata of a picture's range an encoder is not told."""
    if info.dynamic:
        log.warning(
            "%s metadata is not kept: it described each frame at its old size",
            " and ".join(info.dynamic),
        )
    if info.mastering and not encoder_parameters(name, info.mastering)[1]:
        log.warning("%s is not told the HDR mastering metadata; libx265 and libsvtav1 do", name)
