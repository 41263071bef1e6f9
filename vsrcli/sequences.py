"""Frames to shots: where the picture cuts, so that a temporal model's state can start afresh."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Generic, Self, TypeVar

from vsrcli.cuts import knows_enough, scored
from vsrcli.frames import Frame

T = TypeVar("T")
PRIMER = 4
"""Frames before a border that the search for cuts is shown when it starts afresh there."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Stands between the last frame of one shot and the first of the next."""

    score: float


@dataclass(frozen=True, kw_only=True)
class Border:
    """Stands before the first frame of a segment, after the cut if there is one."""

    frame: Frame
    """The one after it."""
    before: Frame
    """The last of the segment that ends."""
    primer: int
    """Frames before it that the search for cuts is shown: PRIMER, or all if there were fewer."""
    is_cut: bool
    """A new shot starts here, so that nothing is carried over the border."""


def split_shots(
    items: Iterator[Frame | T], *, threshold: float | None
) -> Iterator[Frame | Cut | T]:
    """The items as they come, with a Cut before each frame that starts a new shot.

    `threshold` is in per cent (higher finds fewer cuts); None finds none and looks at no frame
    ahead.
    """
    if threshold is None:
        yield from items
        return
    for score, item in scored(items):
        if score >= threshold:
            yield Cut(score=score)
        yield item


def split_segments(
    items: Iterator[Frame | T],
    find_cuts: Callable[[Iterator[Frame | T]], Iterator[Frame | Cut | T]],
    *,
    length: int,
    before: Sequence[Frame] = (),
) -> Iterator[Frame | Cut | Border | T]:
    """The items as they come, with Cuts as `find_cuts` has them and a Border where a segment ends.

    That is at the first cut after `length` frames, or after twice as many where there is none, but
    not within black or white, where the picture before is needed yet; 0 makes no borders. At a
    border `find_cuts` starts afresh, shown the last PRIMER frames first. So what follows depends on
    these and on the frames after them alone, and a run that starts at a border, given the frames
    `before` it, finds the same.
    """
    if not length:
        yield from find_cuts(items)
        return
    items = iter(items)
    recent = deque(before, maxlen=PRIMER)
    again: list[Frame | T] = []
    while True:
        feed = _Feed(chain(list(recent), again, items))
        found = find_cuts(feed)
        unseen, count, is_cut = len(recent), 0, False
        for item in found:
            if isinstance(item, Cut):
                if count:
                    is_cut = True
                    yield item
                continue
            feed.returned(item)
            if not isinstance(item, Frame):
                yield item
            elif unseen:
                unseen -= 1
            elif _is_due(count, length, is_cut=is_cut) and knows_enough(recent):
                yield Border(frame=item, before=recent[-1], primer=len(recent), is_cut=is_cut)
                again = [item, *feed.ahead]
                break
            else:
                count, is_cut = count + 1, False
                recent.append(item)
                yield item
        else:
            return


def _is_due(count: int, length: int, *, is_cut: bool) -> bool:
    """A segment of `count` frames may end."""
    return count >= (length if is_cut else 2 * length)


class _Feed(Generic[T]):
    """An iterator that knows which of its items have not come back yet."""

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items
        self.ahead: deque[T] = deque()
        """Taken and not returned, in order."""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        item = next(self._items)
        self.ahead.append(item)
        return item

    def returned(self, item: T) -> None:
        """It has come out of the stage that this feeds, which keeps the order."""
        while self.ahead.popleft() is not item:
            pass
