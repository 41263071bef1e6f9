"""Pictures too large for a single-frame model's memory go through it in tiles."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vsrcli import stops
from vsrcli.errors import OutOfMemoryError
from vsrcli.frames import Frame, Picture
from vsrcli.runtime.drivers import Driver, Memoryless
from vsrcli.runtime.tiles import cut, paste, subsampling
from vsrcli.runtime.tiling import Tiling


class TiledFrames(Memoryless):
    """Another driver of single frames, run on whole pictures while they fit. See `drivers.Driver`.

    `open_` gives the driver for pictures of one size.
    """

    def __init__(self, open_: Callable[[Picture], Driver], tiling: Tiling) -> None:
        self._open, self._tiling = open_, tiling
        self._driver, self._rows = open_(tiling.window()), tiling.rows()
        self.scale, self.device = self._driver.scale, self._driver.device

    def push(self, frame: Frame) -> list[Frame]:
        while True:
            try:
                return self._upscale(frame)
            except (OutOfMemoryError, MemoryError) as exc:
                self._tiling = self._tiling.smaller(exc)
                self._driver.close()
                self._driver = self._open(self._tiling.window())
                self._rows = self._tiling.rows()

    def _upscale(self, frame: Frame) -> list[Frame]:
        if len(self._rows) == len(self._rows[0]) == 1:
            return self._driver.push(frame)
        width, height = frame.width * self.scale, frame.height * self.scale
        layout = frame.layout
        large = [
            np.empty(layout.size(i, width, height), layout.dtype) for i in range(len(layout.roles))
        ]
        for row in self._rows:
            for tile in row:
                stops.check()
                (made,) = self._driver.push(cut(frame, tile))
                for i, plane in enumerate(made.planes):
                    paste(plane, large[i], tile, sub=subsampling(layout, i), scale=self.scale)
        return [frame.scaled(large, self.scale)]

    def close(self) -> None:
        self._driver.close()
