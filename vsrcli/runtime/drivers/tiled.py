"""Pictures too large for a single-frame model's memory go through it in tiles.

That memory is missed may show when a frame's planes arrive, with others behind it. Then they are
made anew in smaller tiles, each when somebody asks for its planes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsrcli import stops
from vsrcli.errors import OutOfMemoryError
from vsrcli.frames import Arriving, Frame, Picture, Plane
from vsrcli.runtime.drivers import Carried, Driver, Memoryless
from vsrcli.runtime.tile_plan import Tiling
from vsrcli.runtime.tiles import cut, paste


class TiledFrames(Memoryless):
    """Another driver of single frames, run on whole pictures while they fit. See `drivers.Driver`.

    `open_` gives the driver for pictures of one size.
    """

    def __init__(self, open_: Callable[[Picture], Driver], tiling: Tiling) -> None:
        self._open, self._tiling = open_, tiling
        self._driver, self._rows = open_(tiling.window()), tiling.rows()
        self.scale, self.device = self._driver.scale, self._driver.device
        self._alone = threading.Lock()
        """Frames are pushed by one thread, and made anew by that which looks at them."""

    def push(self, frame: Frame) -> list[Frame]:
        with self._alone:
            planes, driver = self._made(frame), self._driver
        if not isinstance(planes, Arriving):
            return [frame.scaled(planes, self.scale)]
        return [frame.scaled(Arriving(lambda: self._arrived(frame, planes, driver)), self.scale)]

    def _arrived(self, frame: Frame, planes: Sequence[Plane], driver: Driver) -> Sequence[Plane]:
        """A frame's planes, or those that are made anew where its driver had too little memory."""
        while True:
            try:
                return planes.landed if isinstance(planes, Arriving) else planes
            except (OutOfMemoryError, MemoryError) as exc:
                with self._alone:
                    if driver is self._driver:
                        self._shrink(exc)
                    planes, driver = self._made(frame), self._driver

    def _made(self, frame: Frame) -> Sequence[Plane]:
        """A frame's large planes, in tiles as small as they must be to begin."""
        while True:
            try:
                return self._upscale(frame)
            except (OutOfMemoryError, MemoryError) as exc:
                self._shrink(exc)

    def _shrink(self, exc: Exception) -> None:
        self._recut(self._tiling.smaller(exc))

    def _recut(self, tiling: Tiling) -> None:
        self._driver.close()
        self._tiling = tiling
        self._driver, self._rows = self._open(tiling.window()), tiling.rows()

    def _upscale(self, frame: Frame) -> Sequence[Plane]:
        if len(self._rows) == len(self._rows[0]) == 1:
            (whole,) = self._driver.push(frame)
            return whole.planes
        layout, large_picture = frame.layout, self._tiling.picture.scaled(self.scale)
        planes = range(len(layout.roles))
        large = [np.empty(large_picture.size(i), layout.dtype) for i in planes]
        for row in self._rows:
            for tile in row:
                stops.check()
                (made,) = self._driver.push(cut(frame, tile))
                for i, plane in enumerate(made.planes):
                    paste(plane, large[i], tile, sub=layout.subsampling(i), scale=self.scale)
        return large

    def save(self) -> Carried:
        """The tiles: frames differ in a code value by those they go through."""
        return Carried(arrays=self._tiling.saved())

    def load(self, arrays: Mapping[str, NDArray[Any]], held: Sequence[Frame]) -> None:
        tiling = self._tiling.taken_up(arrays)
        if tiling is not self._tiling:
            self._recut(tiling)

    def close(self) -> None:
        self._driver.close()
