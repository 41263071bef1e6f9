"""Whether a model's pictures are cut into tiles, and how: by what is asked for and what is free."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsrcli.errors import OutOfMemoryError, UsageError
from vsrcli.frames import Picture
from vsrcli.models import Graph, Model, Temporal
from vsrcli.runtime.resample import REACH
from vsrcli.runtime.tile_memory import TileMemory, tile_memory
from vsrcli.runtime.tiles import Tile, rows_of_tiles

log = logging.getLogger("vsr")
OFF = "off"
TILE = "tile"
"""Of what a driver carries: (width, height) of its tiles, where pictures are cut."""
_LEAST = 32
"""No side of a tile becomes smaller by halving, px."""
_SHARE = 0.5
"""Of the free memory that a model may take; frames in queues and the encoder need some too."""


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """How pictures are cut for a model."""

    picture: Picture
    halo: int
    step: int
    tile: tuple[int, int] | None = None
    """(width, height) of a core at most, LR px; None: pictures stay whole."""
    is_fixed: bool = False
    """It stays as it is even if memory runs out."""
    reason: str = ""
    """Why pictures are cut, where that was not asked for."""

    def rows(self) -> list[list[Tile]]:
        """The tiles, row by row; one that is the picture where it is not cut."""
        tile = self.tile or (self.picture.width, self.picture.height)
        return rows_of_tiles(
            self.picture.width, self.picture.height, tile, halo=self.halo, step=self.step
        )

    @property
    def is_whole(self) -> bool:
        """There is one window, the picture itself."""
        return sum(map(len, self.rows())) == 1

    def window(self) -> Picture:
        """What a graph is made for."""
        first = self.rows()[0][0]
        return replace(self.picture, width=first.columns.size, height=first.rows.size)

    def halved(self) -> Tiling | None:
        """With the longer side of the tiles halved; None if that makes the windows no smaller."""
        width, height = self.tile or (self.picture.width, self.picture.height)
        while max(width, height) > _LEAST:
            if width >= height:
                width = -(-width // 2)
            else:
                height = -(-height // 2)
            cut = replace(self, tile=(width, height))
            if cut._area() < self._area():
                return cut
        return None

    def saved(self) -> dict[str, NDArray[Any]]:
        """What `taken_up` needs."""
        return {TILE: np.array(self.tile)} if self.tile else {}

    def taken_up(self, arrays: Mapping[str, NDArray[Any]]) -> Tiling:
        """That of the run that saved the arrays, unless memory asks for smaller tiles by now."""
        width, height = map(int, arrays.get(TILE, (0, 0)))
        before = replace(self, tile=(width, height) if width else None, reason="")
        is_cut_for_memory = bool(self.reason)
        if before.tile == self.tile or (is_cut_for_memory and self._area() < before._area()):
            return self
        window = before.window()
        log.info("as before the run was stopped: %dx%d at a time", window.width, window.height)
        return before

    def _area(self) -> int:
        """Of a window, px."""
        window = self.window()
        return window.width * window.height

    def smaller(self, exc: Exception) -> Tiling:
        """What to go on with when memory ran out; says so. Raises OutOfMemoryError if nothing."""
        cut = None if self.is_fixed else self.halved()
        if cut is None:
            window = self.window()
            tip = "" if self.halo else "; its card does not say how far it sees: it cannot be tiled"
            raise OutOfMemoryError(
                f"memory ran out on {window.width}x{window.height} px at a time{tip}"
                if not isinstance(exc, OutOfMemoryError)
                else f"{exc}{tip}"
            ) from exc
        window = cut.window()
        log.warning("out of memory: going on in tiles of %dx%d", window.width, window.height)
        return cut


def plan_tiling(
    model: Model,
    graph: Graph,
    picture: Picture,
    *,
    wanted: str | None,
    free: int | None,
) -> Tiling:
    """How pictures like this are to be cut. `wanted` is WxH, "off", or None for as need be.

    `free` bytes are there; None where that is not known. Raises UsageError where tiles are asked
    for and the card does not say how far the model sees.
    """
    tiling = Tiling(
        picture=picture,
        halo=_halo(model, graph, picture),
        step=math.lcm(graph.align, picture.layout.chroma_w, picture.layout.chroma_h),
        is_fixed=wanted == OFF or not graph.border,
    )
    if wanted and wanted != OFF:
        if not graph.border:
            raise UsageError(f"the card of {model.id} has no border: --tile cannot cut for it")
        width, height = map(int, wanted.split("x"))
        return replace(tiling, tile=(width, height))
    if tiling.is_fixed or not graph.work or free is None:
        return tiling
    return _fitted(tiling, tile_memory(model, graph, picture), int(_SHARE * free))


def _fitted(tiling: Tiling, memory: TileMemory, room: int) -> Tiling:
    """The largest tiles that fit, or the smallest there are."""
    cut = tiling
    while _bytes(cut, memory) > room and (less := cut.halved()):
        cut = less
    if cut is tiling:
        return tiling
    window, picture = cut.window(), tiling.picture
    reason = (
        f"{picture.width}x{picture.height} would take {memory.whole / 2**30:.1f} GiB and "
        f"{room / 2**30:.1f} GiB may be used: it goes through in tiles of "
        f"{window.width}x{window.height}"
    )
    return replace(cut, reason=reason)


def _bytes(tiling: Tiling, memory: TileMemory) -> int:
    if tiling.tile is None:
        return memory.whole
    window = tiling.window()
    row = window.height / tiling.picture.height
    return memory.tiled(window.width * window.height, row)


def _halo(model: Model, graph: Graph, picture: Picture) -> int:
    """How far around a core its pixels depend on the picture, chroma included, LR px."""
    sub = max(picture.layout.chroma_w, picture.layout.chroma_h)
    chroma = REACH * sub  # at least the reach of bicubic, which enlarges alpha
    if model.temporal is Temporal.RECURRENT:  # chroma is raised before the net, lowered after it
        return max(graph.border, REACH) + (chroma + sub + 1 if sub > 1 else 0)
    return max(graph.border, chroma)
