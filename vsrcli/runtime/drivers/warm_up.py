"""Warm-up: a shot's first frames are run backwards once, so that its state is not empty at frame 0.

A recurrent net's first frames are its worst, as its state starts from zero. Frames k … 1 are run
before frame 0 and what they give is thrown away: the net sees one movement that turns round at the
start of the shot, so its state, and the frames before the current one, fit frame 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsrcli.frames import Frame
from vsrcli.runtime.drivers import Carried, Driver

_UNWANTED = "warm_up_unwanted"


class WarmUp:
    """Another driver, warmed up at the start of each shot. Holds `length` + 1 frames meanwhile.

    A shot that is no longer is run in with what it has.
    """

    def __init__(self, driver: Driver, length: int) -> None:
        self.scale, self.device = driver.scale, driver.device
        self._driver, self._length = driver, length
        self._opening: list[Frame] = []
        self._warm = False
        self._unwanted = 0

    def push(self, frame: Frame) -> list[Frame]:
        if self._warm:
            return self._run([frame])
        self._opening.append(frame)
        return self._begin() if len(self._opening) > self._length else []

    def flush(self) -> list[Frame]:
        made = [] if self._warm else self._begin()
        return made + self._wanted(self._driver.flush())

    def reset(self) -> None:
        self._driver.reset()
        self._opening, self._warm, self._unwanted = [], False, 0

    def save(self) -> Carried:
        """An opening is only held; nothing has run yet."""
        inner = self._driver.save()
        if not self._warm:
            return replace(inner, held=len(self._opening))
        return replace(inner, arrays={**inner.arrays, _UNWANTED: np.array(self._unwanted)})

    def load(self, arrays: Mapping[str, NDArray[Any]], held: Sequence[Frame]) -> None:
        self._warm = _UNWANTED in arrays
        self._opening = [] if self._warm else list(held)
        self._unwanted = int(arrays.get(_UNWANTED, 0))
        inner = {name: array for name, array in arrays.items() if name != _UNWANTED}
        self._driver.load(inner, held if self._warm else ())

    def close(self) -> None:
        self._driver.close()

    def _begin(self) -> list[Frame]:
        """The frames of the opening that are ready, after it has been run backwards."""
        opening, self._opening, self._warm = self._opening, [], True
        run_in = opening[:0:-1]
        self._unwanted = len(run_in)
        return self._run([*run_in, *opening])

    def _run(self, frames: list[Frame]) -> list[Frame]:
        return [made for frame in frames for made in self._wanted(self._driver.push(frame))]

    def _wanted(self, made: list[Frame]) -> list[Frame]:
        """What is not of the run-in, which comes first."""
        kept = made[self._unwanted :]
        self._unwanted -= len(made) - len(kept)
        return kept
