"""Timestamps of streams that were joined, or lost their signal: where they break, they go on.

Source: ffmpeg's `ts_discontinuity_process` (fftools/ffmpeg_demux.c), whose limits these are.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import av

from vsrcli.media.packet import SidePacket

log = logging.getLogger("vsr")
_LEAP_S = 10
_BACK_S = Fraction(1, 10)
_DOUBTFUL = 2
"""Packets ahead of a break that a demuxer's parser may call corrupt."""
_TIMED = ("video", "audio")
"""Kinds of streams that have no gaps of their own."""


class Joints:
    """Where streams go on after each break of a container's clock.

    The stream that comes to a break first says by how much. The others are shifted by as much from
    their own break on, so that sound and picture stay together.
    """

    def __init__(self) -> None:
        self._shifts_s = [Fraction(0)]
        """To be added after each break; before the first, nothing."""
        self._passed: dict[int, int] = {}
        """How many breaks each stream has come past."""
        self._due_s: dict[int, Fraction] = {}
        """When each stream's next packet is decoded."""

    @staticmethod
    def may_be_in(container: av.container.InputContainer) -> bool:
        """Whether such a container's clock may break."""
        flags: Any = container.format.flags  # an int, not what its stub says
        return bool(flags & av.format.Flags.ts_discont.value)

    @property
    def moved_s(self) -> Fraction:
        """Seconds that the packets after the last break were moved by."""
        return self._shifts_s[-1]

    def join(self, packets: Iterable[SidePacket]) -> Iterator[SidePacket]:
        """The packets of a file: all after a break follows what was before it.

        The last packets of a stream ahead of a break are not corrupt only because it does not go
        on.
        """
        doubtful = defaultdict[int, list[SidePacket]](list)
        for packet in packets:
            is_break, held = self._mend(packet), doubtful[packet.stream.index]
            for each in held if is_break else ():
                each.is_corrupt = False
            held.append(packet)
            waits = packet.size and any(p.is_corrupt for p in held[-_DOUBTFUL:])
            while len(held) > (_DOUBTFUL if waits else 0):
                yield held.pop(0)
        for held in doubtful.values():
            yield from held

    def _mend(self, packet: SidePacket) -> bool:
        """Moves a packet to where it goes on; whether its stream breaks here. They are to be given
        in the order of the file."""
        if packet.dts is None or not packet.time_base:
            return False
        at_s, index = Fraction(packet.dts * packet.time_base), packet.stream.index
        last = len(self._shifts_s) - 1
        before = passed = self._passed.get(index, last) if packet.stream.type in _TIMED else last
        due_s = self._due_s.get(index)
        if due_s is not None and packet.stream.type in _TIMED:
            passed = self._break(packet, passed, at_s, due_s)
        self._passed[index], shift_s = passed, self._shifts_s[passed]
        self._due_s[index] = at_s + shift_s + (packet.duration or 0) * packet.time_base
        if ticks := round(shift_s / packet.time_base):
            packet.dts += ticks
            packet.pts = None if packet.pts is None else packet.pts + ticks
        return passed > before

    def _break(self, packet: SidePacket, passed: int, at_s: Fraction, due_s: Fraction) -> int:
        """How many breaks a stream has passed with a packet that is due at another time."""
        index = packet.stream.index
        if self._follows(index, at_s + self._shifts_s[passed], due_s):
            return passed
        for later in range(passed + 1, len(self._shifts_s)):
            if self._follows(index, at_s + self._shifts_s[later], due_s):
                return later
        due_s += _unsaid_s(packet)
        log.info("timestamps break at %.3f s: what follows is moved there", due_s)
        self._shifts_s.append(due_s - at_s)
        return len(self._shifts_s) - 1

    def _follows(self, index: int, at_s: Fraction, due_s: Fraction) -> bool:
        """It does not lie before what came, nor leaps ahead of everything that did."""
        others = [due for other, due in self._due_s.items() if other != index]
        return due_s - _BACK_S <= at_s <= max([due_s, *others]) + _LEAP_S


def _unsaid_s(packet: SidePacket) -> Fraction:
    """How long a frame lasts in a stream whose packets do not say it; 0 where they do."""
    rate = getattr(packet.stream, "guessed_rate", None)  # sound has none
    return 1 / rate if rate and not packet.duration else Fraction(0)
