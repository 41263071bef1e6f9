"""Frames on an even grid, on request: `--cfr` and `--fps`. Without it every timestamp stays.

Frames that share a place with a later one are left out before the model sees them; a frame that
has to fill several places goes through the model once and is repeated after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from math import floor, gcd
from typing import TypeVar

from vsrcli.frames import Frame

T = TypeVar("T")
_MOST, _FINE = (1 << 31) - 1, 10_000_000
"""Ticks a second: what FFmpeg's numbers hold, and enough."""
_LONGEST_S = 1
"""No frame of a usual rate lasts so long."""


class Grid:
    """Instants `1 / rate` seconds apart, the first of which is the first frame's own.

    `numbered`: or the multiple of `1 / rate` nearest to it, which is then the time base. `guessed`:
    a single frame that lasts longer says the rate itself.
    """

    def __init__(self, rate: Fraction, *, numbered: bool = False, guessed: bool = False) -> None:
        self.rate, self._numbered, self._guessed = rate, numbered, guessed
        self.dropped = 0
        """Frames left out so far."""
        self.repeated = 0
        """Repetitions asked for so far."""
        self._start = Fraction(0)

    def place(self, items: Iterator[Frame | T]) -> Iterator[Frame | T]:
        """The frames that have a place, at its instant, each with how often it is shown.

        A frame waits for the next one; what is no frame passes through.
        """
        held: Frame | None = None
        is_single = True
        for item in items:
            if not isinstance(item, Frame):
                yield item
                continue
            if held is None:
                self._start = Fraction(item.pts * item.time_base)
            else:
                is_single = False
                yield from self._shown(held, until=self._slot(item))
            held = item
        if held is not None:
            length = max(held.duration * held.time_base, 1 / self.rate)
            if is_single and self._guessed and length < _LONGEST_S and length * self.rate > 1.5:
                self.rate = 1 / length
            end = held.pts * held.time_base + length
            yield from self._shown(held, until=max(self._slot_at(end), self._slot(held) + 1))

    def _shown(self, frame: Frame, *, until: int) -> Iterator[Frame]:
        slot = self._slot(frame)
        if until <= slot:
            self.dropped += 1
            return
        base = self._base()
        step = round(1 / (self.rate * base))
        self.repeated += until - slot - 1
        yield replace(
            frame,
            pts=round(self._start / base) + slot * step,
            time_base=base,
            duration=step,
            shown=until - slot,
        )

    def _base(self) -> Fraction:
        """A time base of the grid that FFmpeg can hold, if need be off by less than 0.1 us."""
        if self._numbered:
            return 1 / self.rate
        base = _common(1 / self.rate, self._start)
        if base.denominator <= _MOST:
            return base
        numerator = self.rate.numerator
        return Fraction(1, numerator * max(1, _FINE // numerator))

    def _slot(self, frame: Frame) -> int:
        return self._slot_at(Fraction(frame.pts * frame.time_base))

    def _slot_at(self, time_s: Fraction) -> int:
        """The nearest place, from 0."""
        return floor((time_s - self._start) * self.rate + Fraction(1, 2))


def repeated(items: Iterator[Frame | T]) -> Iterator[Frame | T]:
    """Every frame as often as it is to be shown."""
    for item in items:
        if isinstance(item, Frame):
            for turn in range(item.shown):
                origin = None if turn else item.origin  # captions are said once
                pts = item.pts + turn * item.duration
                yield replace(item, pts=pts, shown=1, origin=origin)
        else:
            yield item


def _common(a: Fraction, b: Fraction) -> Fraction:
    """The longest time that both are whole numbers of."""
    both = gcd(a.numerator * b.denominator, b.numerator * a.denominator)
    return Fraction(both, a.denominator * b.denominator)
