"""How many cleaning passes a shot gets: RealBasicVSR's dynamic refinement, held steady.

The paper (arXiv 2111.12704, §3.2) repeats the cleaning of a clip until its mean |residue| is below
a threshold, at most three times. Here the first chunk of a shot decides so, and later chunks move
the decision by one pass only when a running mean is clearly on the other side: what a viewer sees
does not flicker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MOST_PASSES = 3
INVISIBLE = 0.5 / 255
"""A first pass that changes less than half an 8-bit code on average is left out."""
_CLEARLY = 1.25
_MEMORY = 0.5
"""Weight of what went before in a running mean, a chunk."""


@dataclass(frozen=True, kw_only=True)
class ShotCleaning:
    """What was done to one shot."""

    first: int
    """Index of its first frame."""
    frames: int
    passes: tuple[int, ...]
    """In order; more than one number where the shot changed."""
    change: float
    """Mean |residue| of the first pass over the first chunk, 0..1; 0 if nothing was cleaned."""

    def __str__(self) -> str:
        """One line for people."""
        passes = ", then ".join(map(str, self.passes))
        return (
            f"frames {self.first} to {self.first + self.frames - 1}: cleaning passes {passes}; "
            f"the first changed {255 * self.change:.2f} of 255"
        )


def decided(changes: Sequence[float], threshold: float) -> int | None:
    """Passes by the mean |residue| of each pass made so far; None if another must be made."""
    for passes, change in enumerate(changes, 1):
        if passes == 1 and change < INVISIBLE:
            return 0
        if change < threshold or passes == MOST_PASSES:
            return passes
    return None


def smoothed(before: Sequence[float], now: Sequence[float]) -> list[float]:
    """The running mean of each pass's change; a pass that was not made before starts with `now`."""
    known = [_MEMORY * a + (1 - _MEMORY) * b for a, b in zip(before, now, strict=False)]
    return known + list(now[len(known) :])


def revised(passes: int, changes: Sequence[float], threshold: float) -> int:
    """The passes of the next chunk from those of this one and the running means."""
    if passes == 0:
        return int(changes[0] > INVISIBLE * _CLEARLY)
    if passes < MOST_PASSES and changes[passes - 1] > threshold * _CLEARLY:
        return passes + 1
    if passes == 1:
        return int(changes[0] >= INVISIBLE / _CLEARLY)
    return passes - 1 if changes[passes - 2] < threshold / _CLEARLY else passes
