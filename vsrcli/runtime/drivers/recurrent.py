"""The `recurrent` kind: a window of LR frames and the last step's states in, one HR frame out.

At the start of a shot the states are zero and the first frame stands in for those before it; at its
end the last frame stands in for those after it. What is carried lies in a `Cell`, which knows
whether pictures go through the engine whole or in tiles.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence

from vsrcli.errors import OutOfMemoryError
from vsrcli.frames import Frame
from vsrcli.models import Model
from vsrcli.runtime.drivers import Carried
from vsrcli.runtime.drivers.cell import Cell, WholeCell
from vsrcli.runtime.drivers.tiled_cell import TiledCell
from vsrcli.runtime.engines import Array, Setup
from vsrcli.runtime.tile_plan import TILE, Tiling

log = logging.getLogger("vsr")


class RecurrentDriver:
    """Runs a recurrent cell on pictures of one layout and size. See `drivers.Driver`."""

    def __init__(
        self,
        graph: bytes,
        model: Model,
        scale: int,
        *,
        tiling: Tiling,
        setup: Setup,
    ) -> None:
        self.scale, self._graph, self._model = scale, graph, model
        self._after = model.window[1]
        self._setup, self._tiling = setup, tiling
        self._cell = self._open()
        self.device = self._cell.device
        self._waiting: deque[Frame] = deque()
        self._begun = False

    def push(self, frame: Frame) -> list[Frame]:
        self._waiting.append(frame)
        if not self._begun:
            self._begin(frame)
        if len(self._waiting) <= self._after:
            return []
        return [self._advance(frame)]

    def flush(self) -> list[Frame]:
        """The last frames, with the very last standing in for those after it."""
        if not self._waiting:
            return []
        last = self._waiting[-1]
        return [self._advance(last) for _ in range(len(self._waiting))]

    def reset(self) -> None:
        self._waiting.clear()
        self._begun = False

    def save(self) -> Carried:
        """At a cut, too: the next shot goes through in tiles like those before it."""
        carried = self._cell.save() if self._begun else {}
        return Carried(arrays=carried | self._tiling.saved(), held=len(self._waiting))

    def load(self, arrays: Mapping[str, Array], held: Sequence[Frame]) -> None:
        self.reset()
        tiling = self._tiling.taken_up(arrays)
        if tiling is not self._tiling:
            self._recut(tiling)
        if set(arrays) <= {TILE}:
            return
        self._cell.load(arrays)
        self._waiting.extend(held)
        self._begun = True

    def close(self) -> None:
        self._cell.close()

    def _begin(self, first: Frame) -> None:
        while not self._begun:
            try:
                self._cell.begin(first)
                self._begun = True
            except (OutOfMemoryError, MemoryError) as exc:
                self._shrink(exc)

    def _advance(self, newest: Frame) -> Frame:
        """Upscales the frame that has waited longest; `newest` is the last of its window."""
        frame = self._waiting[0]
        while True:
            try:
                planes = self._cell.advance(newest, frame)
                break
            except (OutOfMemoryError, MemoryError) as exc:
                self._shrink(exc)
        self._waiting.popleft()
        return frame.scaled(planes, self.scale)

    def _shrink(self, exc: Exception) -> None:
        """Smaller tiles from now on; what was carried goes on."""
        tiling = self._tiling.smaller(exc)
        carried = self._cell.save() if self._begun else {}
        self._recut(tiling)
        if carried:
            self._cell.load(carried)

    def _recut(self, tiling: Tiling) -> None:
        """Empty engines for other tiles."""
        self._cell.close()
        self._tiling = tiling
        self._cell = self._open()

    def _open(self) -> Cell:
        tiles, picture = self._tiling.rows(), self._tiling.picture
        if self._tiling.is_whole:
            return WholeCell(self._graph, self._model, self.scale, picture, self._setup)
        return TiledCell(self._graph, self._model, self.scale, picture, self._setup, tiles)
