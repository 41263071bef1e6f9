"""Frames to shots: where the picture cuts, so that a temporal model's state can start afresh.

The score is that of FFmpeg's `scdet` filter: the mean absolute difference of two frames in per cent
of the range, or how much that difference itself changed if that is less, so that a fast pan (large
but steady differences) is no cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vsrcli.frames import Frame

T = TypeVar("T")
_GRID = 128
"""Samples along a side that the score is taken from."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Stands between the last frame of one shot and the first of the next."""

    score: float


def split_shots(
    items: Iterator[Frame | T], *, threshold: float | None, max_shot: int | None = None
) -> Iterator[Frame | Cut | T]:
    """The items as they come, with a Cut before each frame that starts a new shot.

    `threshold` is in per cent (FFmpeg's default is 10; higher finds fewer cuts), None finds none.
    `max_shot` ends a shot after so many frames.
    """
    score = CutScore()
    length = 0
    for item in items:
        if isinstance(item, Frame):
            value = score.of(item) if threshold is not None else 0.0
            is_cut = threshold is not None and value >= threshold
            if length and (is_cut or length == max_shot):
                yield Cut(score=value)
                length = 0
            length += 1
        yield item


class CutScore:
    """How likely each frame is the first of a new shot, 0..100."""

    def __init__(self) -> None:
        self._last: NDArray[np.int32] | None = None
        self._difference = 0.0

    def of(self, frame: Frame) -> float:
        """The score of the frame after those given before; 0 for the first."""
        small = _thumbnail(frame)
        if self._last is None or self._last.shape != small.shape:
            self._last, self._difference = small, 0.0
            return 0.0
        difference = float(np.abs(small - self._last).mean()) * 100 / frame.layout.peak
        score = min(difference, abs(difference - self._difference))
        self._last, self._difference = small, difference
        return score


def _thumbnail(frame: Frame) -> NDArray[np.int32]:
    plane: NDArray[Any] = frame.planes[0]
    steps = (max(1, side // _GRID) for side in plane.shape)
    down, across = steps
    return plane[::down, ::across].astype(np.int32)
