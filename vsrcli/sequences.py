"""Frames to shots: where the picture cuts, so that a temporal model's state can start afresh."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import TypeVar

from vsrcli.cuts import scored
from vsrcli.frames import Frame

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Stands between the last frame of one shot and the first of the next."""

    score: float


def split_shots(
    items: Iterator[Frame | T], *, threshold: float | None, max_shot: int | None = None
) -> Iterator[Frame | Cut | T]:
    """The items as they come, with a Cut before each frame that starts a new shot.

    `threshold` is in per cent (higher finds fewer cuts); None finds none and looks at no frame
    ahead. `max_shot` ends a shot after so many frames.
    """
    length = 0
    for score, item in zip(repeat(0.0), items) if threshold is None else scored(items):
        if isinstance(item, Frame):
            is_cut = threshold is not None and score >= threshold
            if length and (is_cut or length == max_shot):
                yield Cut(score=score)
                length = 0
            length += 1
        yield item
