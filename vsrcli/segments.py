"""A run in segments: the model's stage between two borders, and a way in at a border.

Segments end at borders (`sequences.split_segments`) and become Checkpoints once the model has given
what it can of them. What the model holds back or carries over a border goes along, so a run that
takes a Checkpoint up gives the same frames from there on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import Any, TypeVar

from vsrcli.errors import ResumeError
from vsrcli.frames import Frame
from vsrcli.resume import ResumePoint, State
from vsrcli.runtime.drivers import Driver
from vsrcli.sequences import PRIMER, Border, Cut, split_segments

T = TypeVar("T")
Finder = Callable[[Iterator[Any]], Iterator[Any]]
"""Puts Cuts into a stream of items."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Everything of a segment that the model has given so far lies before it."""

    place: ResumePoint
    state: State


def in_segments(
    items: Iterator[Frame | T],
    find_cuts: Finder,
    *,
    length: int,
    driver: Driver,
    place: ResumePoint | None,
    state: State,
) -> Iterator[Frame | Cut | Border | T]:
    """The items with cuts and borders; from `place` on if given, where the driver takes `state` up.

    The items may start anywhere ahead of the place. Raises ResumeError if the frame before it is
    not the one that was there.
    """
    if place is None:
        yield from split_segments(items, find_cuts, length=length)
        return
    before: list[Frame] = []
    items = iter(items)
    for item in items:
        if not isinstance(item, Frame):
            yield item
        elif item.index < place.frame:
            before = [*before, item][-reach(place) :]
        else:
            _check(before, item, place)
            held = before[len(before) - place.held :]
            try:
                driver.load(state, held)
            except (KeyError, ValueError) as exc:
                raise ResumeError(
                    f"the unfinished work is damaged ({exc}); use --no-resume to start anew"
                ) from exc
            rest = chain((item,), items)
            yield from split_segments(rest, find_cuts, length=length, before=before[-PRIMER:])
            return
    raise ResumeError("the input ends before the unfinished work; use --no-resume to start anew")


def reach(place: ResumePoint) -> int:
    """How many frames before a place a run needs to go on there as if it had not stopped."""
    primer = min(place.frame, PRIMER) if place.primer is None else place.primer
    return max(primer, place.held)


def checkpoint(border: Border, driver: Driver) -> Checkpoint:
    """What a run needs to go on at a border, which the driver has just come to."""
    carried = driver.save()
    before = border.before
    place = ResumePoint(
        frame=border.frame.index,
        time_s=Fraction(before.pts * before.time_base),
        digest=before.digest(),
        primer=border.primer,
        held=carried.held,
        cleaned=carried.cleaned,
    )
    return Checkpoint(place=place, state=carried.arrays)


def _check(before: list[Frame], frame: Frame, place: ResumePoint) -> None:
    same = bool(before) and before[-1].digest() == place.digest
    if not (same and frame.index == place.frame and len(before) >= reach(place)):
        raise ResumeError(
            f"the input decodes to another picture before frame {place.frame} than it did; "
            "use --no-resume to start anew"
        )
