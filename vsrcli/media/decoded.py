"""Decoded frames as ours: in planes, and all of the first one's size and pixel format."""

from __future__ import annotations

import logging

import av
from av.video.reformatter import VideoReformatter

from vsrcli.frames import Frame
from vsrcli.media.pixels import layout_of, plain_copy, planes_of
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
        self._seen = {_shape(first)}
        if "f32" in first.format.name or "f16" in first.format.name:
            log.warning("floats become 16 bit: what is below 0 or above 1 is cut off")

    def plain(self, frame: av.VideoFrame) -> Frame:
        """A frame with a timestamp, in planes. Its number is not known here."""
        origin, shape = frame, _shape(frame)
        if shape != _shape(self.first):
            self._say_once(frame)
            frame = self._conformed(frame)
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

    def _conformed(self, frame: av.VideoFrame) -> av.VideoFrame:
        """As ffmpeg does: a picture that changes its size midway is brought to the first's."""
        pts, base, duration = frame.pts, frame.time_base, frame.duration
        frame = self._reformatter.reformat(frame, *_shape(self.first), interpolation="LANCZOS")
        frame.pts, frame.time_base, frame.duration = pts, base, duration
        return frame

    def _say_once(self, frame: av.VideoFrame) -> None:
        if _shape(frame) not in self._seen:
            self._seen.add(_shape(frame))
            log.warning(
                "the video changes to %dx%d %s at %.3f s; scaled to the first frame's %dx%d %s",
                *(*_shape(frame), frame.time or 0.0),
                *_shape(self.first),
            )


def _shape(frame: av.VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name
