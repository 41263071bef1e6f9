"""When things are in the output: the times of the source, moved to where those of the target begin,
and in an order that its container takes."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import av

from vsrcli.media.outlet import MOV
from vsrcli.media.packet import SidePacket

if TYPE_CHECKING:
    from vsrcli.media.source import Source, Span

_SHARED_INSTANTS = {"matroska", "webm"}
"""Containers in which two packets may begin together, as short ones of sound do."""
_FROM_ZERO = {"avi"}
"""Containers that would show the first frame for the time before it, too, or refuse it as long."""
_ENDLESS = (1 << 32) - 1
"""Ticks of a picture subtitle that stays until the next one; muxers call it invalid."""


def ticks(seconds: Fraction, time_base: Fraction) -> int:
    """Seconds as the nearest whole number of ticks."""
    return round(seconds / time_base)


def time_shift(source: Source, container: str, frame_s: Fraction) -> Fraction:
    """Seconds added to every timestamp: a cut starts at 0, as do some containers, and no frame
    lies before 0. `frame_s` is a tick of the picture."""
    first, start = source.first_time_s, source.span.start_s
    if start is not None:
        return -min(source.begin_s + start, first)
    if container in _FROM_ZERO and first >= 0:
        return -(min(source.begin_s, first) // frame_s * frame_s)
    return -first if first < 0 else Fraction(0)


def moved_chapters(
    chapters: list[av.container.Chapter], shift: Fraction, span: Span
) -> list[av.container.Chapter]:
    """The chapters of a span, at their times in the output."""
    if span.whole and not shift:
        return chapters
    end = None if span.end_s is None else span.end_s + shift
    kept = []
    for chapter in chapters:
        base = chapter["time_base"] or Fraction(1, 1000)
        start, stop = (Fraction(chapter[k] * base) + shift for k in ("start", "end"))
        if stop > 0 and (end is None or start < end):
            chapter["start"] = ticks(max(start, Fraction(0)), base)
            chapter["end"] = ticks(stop if end is None else min(stop, end), base)
            kept.append(chapter)
    return kept


class Timeline:
    """The times of the packets of one output, whose container is one of FFmpeg's names."""

    def __init__(self, container: str, shift: Fraction) -> None:
        self._container, self.shift = container, shift
        self._last_dts: dict[int, int] = {}
        self._sound_pts: dict[int, int] = {}

    def move(self, packet: SidePacket) -> None:
        """Gives a packet of the source its time in the output."""
        by = ticks(self.shift, packet.time_base)
        packet.pts = None if packet.pts is None else packet.pts + by
        packet.dts = None if packet.dts is None else packet.dts + by
        if (packet.duration or 0) >= _ENDLESS:
            packet.duration = 0
        if packet.stream.type == "audio" and self._container in MOV:
            self._lengthen(packet)

    def _lengthen(self, packet: SidePacket) -> None:
        """Sound that says no duration, such as NUT's FLAC, lasts as long as what came before it:
        mp4 and mov would end before the last of it."""
        if packet.pts is not None:
            before = self._sound_pts.get(packet.stream.index, packet.pts)
            self._sound_pts[packet.stream.index] = packet.pts
            packet.duration = packet.duration or max(0, packet.pts - before)

    def keep_order(self, packet: SidePacket, *, beside: bool) -> None:
        """Moves a packet of the output on where two would change places, or share a tick that they
        may not. `beside`: it is not of the picture that is upscaled."""
        stream, base = packet.stream, packet.stream.time_base
        if packet.dts is None or not (base and packet.time_base):
            return
        step = 0 if beside and self._container in _SHARED_INSTANTS else 1
        dts = ticks(packet.dts * packet.time_base, base)
        least = self._last_dts.get(stream.index, dts - step) + step
        if dts < least:
            pts = ticks((packet.pts or 0) * packet.time_base, base)
            packet.time_base, packet.dts, packet.pts = base, least, max(pts, least)
        self._last_dts[stream.index] = max(dts, least)
