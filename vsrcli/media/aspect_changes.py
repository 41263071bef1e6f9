"""A pixel aspect that changes midway, as television's does between 4:3 and 16:9."""

from __future__ import annotations

import logging
from fractions import Fraction

import av

log = logging.getLogger("vsr")
_SAME = Fraction(4, 100)
"""Relative difference below which two aspects mean the same: 12:11 and 16:15 both make 720x576
4:3."""


class AspectChanges:
    """Says when pixels change their shape, which the output cannot follow. Pictures of another size
    are told of elsewhere."""

    def __init__(self) -> None:
        self._first: tuple[int, int, Fraction] | None = None
        self._is_said = False

    def note(self, decoder: av.VideoCodecContext, at_s: float) -> None:
        """The decoder gave a frame; the aspect it reports may already be that of a later one."""
        aspect = decoder.sample_aspect_ratio
        if not aspect or self._is_said:
            return
        width, height, first = self._first = self._first or (decoder.width, decoder.height, aspect)
        is_as_large = (decoder.width, decoder.height) == (width, height)
        if is_as_large and abs(aspect / first - 1) > _SAME:
            self._is_said = True
            log.warning(
                "the pixel aspect changes from %s to %s at about %.1f s; the output keeps the "
                "first: cut there with -t and -ss to keep both",
                *(f"{a.numerator}:{a.denominator}" for a in (first, aspect)),
                at_s,
            )
