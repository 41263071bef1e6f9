"""How likely each frame is the first of a new shot, in a stream.

Frames are compared as thumbnails by normalised correlation, which a change of exposure leaves as it
is, and once more after the shift that phase correlation finds (Kuglin and Hines 1975), so that a
pan is no change. How unlike two frames are is 1 - correlation. A new shot is unlike both frames
before it, and so is the frame after it: a flash is not, the old picture returns. What is left is
taken against how unlike neighbours are there anyway: much, where things move fast. Frames
without a picture (white, black) are passed over: a shot that begins after them is compared with
the last picture before them, so a fade through black is a cut where the new picture appears.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import chain, repeat
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vsrcli.frames import Frame

T = TypeVar("T")
Thumbnail = NDArray[np.float32]
_CELL = 4
"""Samples along a side of what becomes one value of a thumbnail, at most."""
_LEAST = 18
"""Values along the shorter side of a thumbnail, where the picture has as many."""
_SAMPLES = (160, 256)
"""Rows and columns, at most, that a thumbnail is made of."""
_BLANK = 0.008
"""Standard deviation, of the range, below which there is no picture."""
_ALIKE = 0.03
"""Frames no more unlike than this need no second look."""
_FARTHEST = 0.4
"""The largest shift that is tried, of the side."""
_PICTURES = 2
"""Frames with a picture that the next is compared with."""
_BUSY = 0.4
"""However fast things move, more than this is not put down to it: a shot may be one frame long."""


class Look:
    """What is kept of a frame to compare it with others."""

    def __init__(self, frame: Frame) -> None:
        values = _thumbnail(frame.planes[0]) / np.float32(frame.layout.peak)
        self.values: Thumbnail = values - values.mean()
        self.is_blank = float(self.values.std()) < _BLANK

    @cached_property
    def spectrum(self) -> NDArray[np.complex64]:
        """Of the windowed thumbnail, every frequency of the same weight."""
        rows, columns = (np.hanning(side + 2)[1:-1] for side in self.values.shape)
        window = (rows[:, None] * columns).astype(np.float32)
        found = np.fft.rfft2(self.values * window)
        size = np.abs(found)
        return np.asarray(found / (size + 1e-3 * size.max() + 1e-12), np.complex64)


def knows_enough(frames: Iterable[Frame]) -> bool:
    """Whether scores of what comes after these frames depend on none before them."""
    return sum(not Look(frame).is_blank for frame in frames) >= _PICTURES


class CutScores:
    """Scores of the frames of a stream, 0..100, each known when the next frame is.

    A score depends on the frame, the next one and the last two with a picture, on nothing else.
    """

    def __init__(self) -> None:
        self._now: Look | None = None
        """The frame to be scored next."""
        self._before: list[Look] = []
        """The last _PICTURES frames with a picture ahead of it, the later one last."""
        self._usual = 0.0
        """How unlike the last of them was to the one before."""
        self._step = 0.0
        """How unlike `_now` is to the last of them."""

    def push(self, frame: Frame) -> float | None:
        """Takes the next frame; the score of the one before, None at first."""
        after = Look(frame)
        score = None if self._now is None else self._score(self._now, after)
        self._now = after
        return score

    def flush(self) -> float | None:
        """The score of the last frame; None if there was none."""
        return None if self._now is None else self._score(self._now, None)

    def _score(self, now: Look, after: Look | None) -> float:
        if now.is_blank:
            self._step = unlike(self._before[-1], after) if self._before and after else 0.0
            return 0.0
        ahead = 0.0 if after is None or after.is_blank else unlike(now, after)
        least = self._step
        if least > _ALIKE:
            least = min([least, *(unlike(look, now) for look in self._before[:-1])])
            if after is not None and not after.is_blank:
                least = min(least, unlike(self._before[-1], after))
        score = least - min(_BUSY, max(self._usual, ahead))
        self._before, self._usual, self._step = [*self._before, now][-_PICTURES:], self._step, ahead
        return 100 * min(1.0, max(0.0, score))


def cut_scores(frames: Iterable[Frame]) -> Iterator[float]:
    """The score of each frame of a stream."""
    return (score for score, _ in scored(iter(frames)))


def scored(items: Iterator[Frame | T]) -> Iterator[tuple[float, Frame | T]]:
    """Each item with its score (0 for what is no frame), one frame behind."""
    scores = CutScores()
    held: list[Frame | T] = []
    for item in items:
        if isinstance(item, Frame):
            score = scores.push(item)
            yield from zip(chain([score or 0.0], repeat(0.0)), held, strict=False)
            held = []
        held.append(item)
    yield from zip(chain([scores.flush() or 0.0], repeat(0.0)), held, strict=False)


def unlike(one: Look, other: Look) -> float:
    """0 for equal pictures, about 1 for any two pictures, at most 2."""
    a, b = one.values, other.values
    still = 1 - _correlation(a, b)
    if still <= _ALIKE:
        return still
    down, across = _shift(one, other)
    if abs(down) > _FARTHEST * a.shape[0] or abs(across) > _FARTHEST * a.shape[1]:
        return still
    return min(still, 1 - _correlation(_from(a, down, across), _from(b, -down, -across)))


def _correlation(a: Thumbnail, b: Thumbnail) -> float:
    a, b = a - a.mean(), b - b.mean()
    energy = float(np.vdot(a, a)) * float(np.vdot(b, b))
    return float(np.vdot(a, b)) / energy**0.5 if energy else 0.0


def _shift(one: Look, other: Look) -> tuple[int, int]:
    """By how many (rows, columns) `one` lies farther down and right than `other`."""
    sides = one.values.shape
    peaks = np.fft.irfft2(one.spectrum * np.conj(other.spectrum), s=sides)
    found = np.unravel_index(int(peaks.argmax()), sides)
    down, across = (
        int(at) - (side if at > side // 2 else 0) for at, side in zip(found, sides, strict=True)
    )
    return down, across


def _from(values: Thumbnail, down: int, across: int) -> Thumbnail:
    """What is left when so many rows and columns are cut off: in front, or at the end if < 0."""
    rows = slice(max(down, 0), values.shape[0] + min(down, 0))
    return values[rows, max(across, 0) : values.shape[1] + min(across, 0)]


def _thumbnail(plane: NDArray[Any]) -> Thumbnail:
    """Means over cells of a sparse grid of samples."""
    down, across = (-(-side // most) for side, most in zip(plane.shape, _SAMPLES, strict=True))
    samples = plane[::down, ::across]
    cell = max(1, min(_CELL, min(samples.shape) // _LEAST))
    rows, columns = (side // cell * cell for side in samples.shape)
    total: Thumbnail = np.zeros((rows // cell, columns // cell), np.float32)
    for row, column in np.ndindex(cell, cell):  # twice as fast as a mean over reshaped axes
        total += samples[row:rows:cell, column:columns:cell]
    total /= cell * cell
    return total
