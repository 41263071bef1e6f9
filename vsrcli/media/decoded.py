"""Decoded frames as ours: in planes, and all of the first one's size, pixel format and colours."""

from __future__ import annotations

import logging

import av
from av.video.reformatter import VideoReformatter

from vsrcli.frames import UNSPECIFIED, Frame, assumed_matrix
from vsrcli.media.colors import matrix_name, range_name
from vsrcli.media.pixels import (
    EXACT,
    LANCZOS,
    av_range,
    is_full_range,
    layout_of,
    plain_copy,
    planes_of,
    sws_matrix,
    to_av,
)
from vsrcli.media.rotation import read_turn
from vsrcli.media.side_data import Attached

log = logging.getLogger("vsr")


class PlainFrames:
    """Turns the decoder's frames into ours; the first one says what they all have in common.

    For one thread.
    """

    def __init__(self, first: av.VideoFrame) -> None:
        self.first, self._attached = first, Attached()
        self.notes = self._attached.read(first)
        """What is attached to the first one."""
        self.turn = read_turn(self.notes)
        self._layout = layout_of(first.format.name)
        self._reformatter = VideoReformatter()
        said = int(first.colorspace)
        matrix = assumed_matrix(first.height) if said == UNSPECIFIED else said
        self._look = _look(first, (matrix, False))
        self._seen_shapes, self._seen_looks = {_shape(first)}, {self._look}
        if "f32" in first.format.name or "f16" in first.format.name:
            log.warning("floats become 16 bit: what is below 0 or above 1 is cut off")

    def plain(self, frame: av.VideoFrame) -> Frame:
        """A frame with a timestamp, in planes. Its number is not known here."""
        origin, look = frame, _look(frame, self._look)
        if _shape(frame) != _shape(self.first) or look != self._look:
            self._say_once(frame, look)
            frame = self._conformed(frame, look)
        pts, duration, base = frame.pts, frame.duration or 0, frame.time_base
        assert pts is not None  # the clock has set both
        assert base is not None
        if frame.format.name.replace("yuvj", "yuv") != self._layout.name:
            frame = plain_copy(frame, self._layout.name, self._reformatter)
        return Frame(
            planes=planes_of(frame, self._layout),
            layout=self._layout,
            width=frame.width,
            height=frame.height,
            pts=pts,
            time_base=base,
            duration=duration,
            origin=origin if self._attached.is_handed_on(origin) else None,
        )

    def _conformed(self, frame: av.VideoFrame, look: tuple[int, bool]) -> av.VideoFrame:
        """As ffmpeg does: a picture that changes midway is brought to the first one's size, format
        and colours."""
        pts, base, duration = frame.pts, frame.time_base, frame.duration
        first = self.first
        if frame.format.name.startswith("yuvj") and not look[1]:
            frame = _renamed(frame)
        frame = self._reformatter.reformat(
            frame,
            first.width,
            first.height,
            first.format.name,
            src_colorspace=None if frame.format.is_rgb else sws_matrix(look[0]),
            dst_colorspace=sws_matrix(self._look[0]),
            interpolation=EXACT if _shape(frame) == _shape(first) else LANCZOS,
            src_color_range=av_range(look[1] or frame.format.is_rgb),
            dst_color_range=av_range(self._look[1] or first.format.is_rgb),
        )
        frame.pts, frame.time_base, frame.duration = pts, base, duration
        return frame

    def _say_once(self, frame: av.VideoFrame, look: tuple[int, bool]) -> None:
        at = frame.time or 0.0
        if _shape(frame) not in self._seen_shapes:
            self._seen_shapes.add(_shape(frame))
            log.warning(
                "the video changes to %dx%d %s at %.3f s; scaled to the first frame's %dx%d %s",
                *(*_shape(frame), at),
                *_shape(self.first),
            )
        if look not in self._seen_looks and not self.first.format.is_rgb:
            self._seen_looks.add(look)
            log.warning(
                "the colours change to %s, %s range, at %.3f s; converted to the first frame's %s, "
                "%s range",
                *(matrix_name(look[0]), range_name(look[1]), at),
                *(matrix_name(self._look[0]), range_name(self._look[1])),
            )


def _shape(frame: av.VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name.replace("yuvj", "yuv")


def _look(frame: av.VideoFrame, unsaid: tuple[int, bool]) -> tuple[int, bool]:
    """The matrix of a frame and whether its range is full; what it does not say, and a matrix that
    cannot be converted, is as in `unsaid`."""
    if frame.format.is_rgb:
        return unsaid
    code, full = int(frame.colorspace), is_full_range(frame)
    matrix = unsaid[0] if _is_same(code, unsaid[0]) else code
    return matrix, unsaid[1] if full is None else full


def _renamed(frame: av.VideoFrame) -> av.VideoFrame:
    """A copy in yuv of a yuvj frame, which swscale takes for full range whatever its tag says."""
    layout = layout_of(frame.format.name)
    made = to_av(planes_of(frame, layout), layout)
    made.colorspace = frame.colorspace
    return made


def _is_same(code: int, other: int) -> bool:
    """Both matrices are the same, as BT.601's two are, or one of them says nothing."""
    known = (sws_matrix(code), sws_matrix(other))
    return None in known or known[0] == known[1]
