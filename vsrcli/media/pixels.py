"""FFmpeg's pixel formats as layouts of planes, and frames in and out of FFmpeg's memory."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from functools import cache
from typing import Self

import av
import numpy as np
from av.codec.codec import find_best_pix_fmt_of_list
from av.video.plane import VideoPlane
from av.video.reformatter import Interpolation, VideoReformatter

from vsrcli.errors import InputError
from vsrcli.frames import Arriving, Layout, Plane, Role

_DEPTHS = ("", "9le", "10le", "12le", "14le", "16le")
_YUV = tuple(f"yuv{s}p{d}" for s in ("420", "422", "444", "440", "411", "410") for d in _DEPTHS)
_YUVA = tuple(f"yuva{s}p{d}" for s in ("420", "422", "444") for d in _DEPTHS)
_OTHERS = tuple(f"{s}{d}" for s in ("gray", "gbrp", "gbrap") for d in _DEPTHS)
EXACT = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)
"""swscale flags that convert formats within one code value (its default tables do not)."""
LANCZOS = Interpolation.LANCZOS | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP
"""swscale flags that scale pictures down."""
_SWS_MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}
"""ITU-T H.273's codes to swscale's."""


@cache
def _planar_formats() -> tuple[str, ...]:
    return tuple(n for n in (*_YUV, *_YUVA, *_OTHERS) if _exists(n))


@cache
def layout_of(pix_fmt: str) -> Layout:
    """The planar layout that holds this pixel format without loss (the nearest where none does).

    yuvj* is yuv* whose tag says full range. Packed, semi-planar, big-endian and palette formats get
    their planar twin. Raises InputError for a format this FFmpeg does not know.
    """
    name = pix_fmt.replace("yuvj", "yuv")
    if name not in _planar_formats():
        if not _exists(name):
            raise InputError(f"pixel format {pix_fmt} is not known; convert the source first")
        best, _ = find_best_pix_fmt_of_list(_planar_formats(), name, _is_clear(name))
        assert best is not None  # the list is not empty
        name = best.name
    fmt = av.VideoFormat(name, 64, 64)
    return Layout(
        name=name,
        bits=fmt.components[0].bits,
        roles=_roles(fmt),
        chroma_w=64 // fmt.chroma_width(64),
        chroma_h=64 // fmt.chroma_height(64),
    )


def is_full_range(frame: av.VideoFrame) -> bool | None:
    """None where the frame does not say. H.264's decoder goes on with the yuvj that it began with
    when the stream turns to limited range, so the tag comes before the name."""
    if not frame.color_range:
        return True if frame.format.name.startswith("yuvj") else None
    return int(frame.color_range) != 1


def av_range(full_range: bool | None) -> int:
    """FFmpeg's number of a range (AVColorRange): 1 limited, 2 full, 0 where it is not said."""
    return {None: 0, False: 1, True: 2}[full_range]


def sws_matrix(code: int) -> int | None:
    """swscale's own number of a matrix; None for one that it does not know."""
    return _SWS_MATRICES.get(code)


def without_alpha(layout: Layout) -> Layout:
    """The layout without its alpha, which is the last plane."""
    return layout_of(layout.name.replace("yuva", "yuv").replace("gbrap", "gbrp"))


def full_name(pix_fmt: str) -> str:
    """The name with the byte order, which FFmpeg lets one leave out: yuv420p10le for yuv420p10.
    What is no such name stays."""
    return av.VideoFormat(pix_fmt).name if _exists(pix_fmt) else pix_fmt


def planes_of(frame: av.VideoFrame, layout: Layout) -> tuple[Plane, ...]:
    """The frame's planes as views of its own memory, (H, W) each; they keep the frame alive."""
    return tuple(_view(plane, layout) for plane in frame.planes)


def _view(plane: VideoPlane, layout: Layout) -> Plane:
    samples = np.frombuffer(memoryview(plane), layout.dtype)
    lines = samples.reshape(-1, plane.line_size // layout.dtype.itemsize)
    return lines[: plane.height, : plane.width]


class OwnPlanes(tuple[Plane, ...]):
    """All planes of an FFmpeg frame that was made for them, as views: `to_av` gives it back."""

    frame: av.VideoFrame

    def __new__(cls, frame: av.VideoFrame, layout: Layout) -> Self:
        planes = super().__new__(cls, planes_of(frame, layout))
        planes.frame = frame
        return planes


def to_av(planes: Sequence[Plane], layout: Layout) -> av.VideoFrame:
    """The FFmpeg frame of OwnPlanes, else a new one that holds copies of these planes."""
    if isinstance(planes, Arriving):
        planes = planes.landed
    if isinstance(planes, OwnPlanes):
        return planes.frame
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, layout.name)
    for target, plane in zip(planes_of(frame, layout), planes, strict=True):
        target[:] = plane
    return frame


def best_format(offered: list[str], layout: Layout) -> str:
    """The encoder's pixel format that loses least of this layout."""
    best, _ = find_best_pix_fmt_of_list(offered, layout.name, bool(layout.planes_of(Role.ALPHA)))
    return layout.name if best is None else best.name


@cache
def can_be_made(pix_fmt: str) -> bool:
    """Whether libswscale converts to it, which it does not to palettes and a sensor's patterns."""
    try:
        VideoReformatter().reformat(av.VideoFrame(16, 16, "yuv420p"), format=pix_fmt)
    except (av.FFmpegError, ValueError):
        return False
    return True


def plain_copy(frame: av.VideoFrame, pix_fmt: str, reformatter: VideoReformatter) -> av.VideoFrame:
    """The frame in another pixel format; size, range and matrix stay.

    Raises InputError for a format that swscale writes but cannot read, as rgb4.
    """
    same = {"src_color_range": 1, "dst_color_range": 1} if _is_yuv(frame, pix_fmt) else {}
    try:
        return reformatter.reformat(frame, format=pix_fmt, interpolation=EXACT, **same)
    except av.FFmpegError as exc:
        if exc.errno not in (errno.ENOTSUP, errno.EINVAL):
            raise
        raise InputError(
            f"pixel format {frame.format.name} cannot be converted; convert the source first"
        ) from exc


def _is_yuv(frame: av.VideoFrame, pix_fmt: str) -> bool:
    return not frame.format.is_rgb and not av.VideoFormat(pix_fmt).is_rgb


def _roles(fmt: av.VideoFormat) -> tuple[Role, ...]:
    if fmt.is_rgb:
        color: tuple[Role, ...] = (Role.RGB,) * 3
    elif len(fmt.components) > 2:
        color = (Role.LUMA, Role.CHROMA, Role.CHROMA)
    else:
        color = (Role.LUMA,)
    return color + (Role.ALPHA,) * any(c.is_alpha for c in fmt.components)


def _is_clear(pix_fmt: str) -> bool:
    """It holds transparency, or its palette may."""
    return pix_fmt == "pal8" or any(c.is_alpha for c in av.VideoFormat(pix_fmt).components)


def _exists(pix_fmt: str) -> bool:
    try:
        av.VideoFormat(pix_fmt)
    except ValueError:
        return False
    return True
