"""Interlaced frames made progressive by FFmpeg's bwdif, before anything else sees them."""

from __future__ import annotations

import logging
from fractions import Fraction

import av

from vsrcli.errors import InputError
from vsrcli.media.filter_chain import open_chain
from vsrcli.media.pixels import layout_of

log = logging.getLogger("vsr")
MODES = ("auto", "off", "send_frame", "send_field")
_NO_BWDIF = {"gray9le", "gray10le", "gray12le", "gray14le"}
"""It would be given another format than its own without a word."""


class Deinterlacer:
    """Frames in, deinterlaced frames out, in order and one or two frames later.

    `send_frame` gives one frame for each, at the same instant. `send_field` gives two, the second
    halfway to the next frame; its time base is half the source's, so that instant is exact. `auto`
    is `send_frame` from the first frame that is flagged as interlaced, and leaves frames that are
    flagged as progressive alone. `off` changes nothing.
    """

    def __init__(self, mode: str) -> None:
        self._mode = mode
        self._waits = mode in ("auto", "off")
        self._kind: tuple[int, int, str] | None = None
        self._graph: av.filter.Graph | None = None
        self._given = self._taken = 0

    @property
    def factor(self) -> int:
        """Frames out for each frame in."""
        return 2 if self._mode == "send_field" else 1

    def push(self, frame: av.VideoFrame) -> list[av.VideoFrame]:
        """The frames that are ready. `frame` has its timestamp and time base."""
        if self._waits and not self._begins(frame):
            return [frame]
        ready = []
        kind = (frame.width, frame.height, frame.format.name)
        if kind != self._kind:
            ready = self.flush()
            self._kind, self._graph = kind, self._open(frame)
        assert self._graph is not None
        self._given += 1
        self._graph.vpush(frame)
        return ready + self._pull()

    def flush(self) -> list[av.VideoFrame]:
        """What is left at the end. Raises InputError if a frame went missing."""
        if self._graph is None:
            return []
        self._graph.vpush(None)
        ready = self._pull()
        self._graph = None
        if self.factor == 2 and len(ready) > 1:
            _halve_last(*ready[-2:])
        if self._taken != self._given * self.factor:
            raise InputError(
                f"deinterlacing made {self._taken} frames of {self._given}; use --deinterlace off"
            )
        return ready

    def _begins(self, frame: av.VideoFrame) -> bool:
        if self._mode == "off" or not frame.interlaced_frame:
            return False
        self._waits = False
        log.warning(
            "the picture is interlaced from %.3f s on: deinterlaced with bwdif, one frame for each "
            "(see --deinterlace)",
            frame.time or 0.0,
        )
        return True

    def _open(self, like: av.VideoFrame) -> av.filter.Graph:
        planar = layout_of(like.format.name).name
        if planar in _NO_BWDIF:
            raise InputError(f"{planar} cannot be deinterlaced here; use --deinterlace off")
        wanted = "interlaced" if self._mode == "auto" else "all"
        mode = "send_field" if self._mode == "send_field" else "send_frame"
        filters = [("bwdif", f"mode={mode}:deint={wanted}")]
        if planar != like.format.name.replace("yuvj", "yuv"):
            filters.insert(0, ("format", f"pix_fmts={planar}"))
        return open_chain(like.width, like.height, like.format, filters, tick=like.time_base)

    def _pull(self) -> list[av.VideoFrame]:
        assert self._graph is not None
        ready = []
        while True:
            try:
                frame = self._graph.vpull()
            except (BlockingIOError, av.error.EOFError):
                break
            ready.append(frame if self.factor == 2 else _whole_ticks(frame))
        self._taken += len(ready)
        return ready


def _halve_last(first: av.VideoFrame, second: av.VideoFrame) -> None:
    """Puts the very last field halfway: bwdif takes the step before, and none for one frame."""
    if first.duration:
        second.pts = (first.pts or 0) + first.duration


def _whole_ticks(frame: av.VideoFrame) -> av.VideoFrame:
    """The time base of the source again: bwdif halves it even where it makes no new instants."""
    pts, duration, base = frame.pts or 0, frame.duration or 0, frame.time_base
    assert base is not None  # the graph's link has one
    frame.pts, frame.duration, frame.time_base = pts // 2, duration // 2, Fraction(base * 2)
    return frame
