"""A recurrent cell on pictures that do not fit into the engine at once: tile by tile.

States and older frames are kept whole, on the host. Each tile is one step on a window of them, and
only its core is kept: what a core's pixels depend on lies within one step's reach, as the state
around it is that of the whole picture. So a step is exact however long the shot is; tiles with
states of their own would reach one border farther at every frame. The new state is written back a
row of tiles later, when nothing that is left to compute reads the old one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from vsrcli import stops
from vsrcli.errors import DeviceError, OutOfMemoryError
from vsrcli.frames import Frame, Picture, Plane
from vsrcli.models import Model
from vsrcli.runtime.cell_graphs import OLDER, state_shape
from vsrcli.runtime.colour import resolved
from vsrcli.runtime.drivers.cell import CellEngines
from vsrcli.runtime.engines import Array, Setup
from vsrcli.runtime.tiles import Tile, cut, paste


class TiledCell:
    """A cell on tiles of a picture. See `cell.Cell`."""

    def __init__(
        self,
        graph: bytes,
        model: Model,
        scale: int,
        picture: Picture,
        setup: Setup,
        tiles: list[list[Tile]],
    ) -> None:
        self._scale, self._picture, self._tiles = scale, picture, tiles
        first = tiles[0][0]
        window = replace(  # an untagged matrix goes by the height of the whole picture
            resolved(picture), width=first.columns.size, height=first.rows.size
        )
        self._engines = CellEngines(graph, model, scale, window, setup)
        self.device = self._engines.step.name
        self._older = sum(model.window)
        states = model.states_of(scale)
        self._scales = {state.name: state.scale for state in states}
        self._shapes = {s.name: state_shape(s.channels, s.scale, picture) for s in states}
        self._frames: list[Array] = []
        self._states: dict[str, Array] = {}

    def begin(self, first: Frame) -> None:
        newest = self._empty_frame()
        for tile in self._each():
            made = self._engines.decoder.run(self._engines.feeds(cut(first, tile)))
            _keep(made["newest"], newest, tile)
        self._frames = [newest, *(newest.copy() for _ in range(self._older))]
        dtypes = {name: self._engines.step.inputs[name].dtype for name in self._shapes}
        self._states = {name: np.zeros(s, dtypes[name]) for name, s in self._shapes.items()}

    def advance(self, newest: Frame, current: Frame) -> list[Plane]:
        large = [self._empty(i) for i in range(len(newest.planes))]
        held: list[tuple[Tile, dict[str, Array]]] = []
        for number, row in enumerate(self._tiles):
            try:
                made = [(tile, self._step(tile, newest, current, large)) for tile in row]
            except (OutOfMemoryError, MemoryError) as exc:
                if number > 1:  # states have been written over
                    raise DeviceError(
                        "memory ran out within a frame; use a smaller --tile"
                    ) from exc
                raise
            self._write_back(held)
            held = made
        self._write_back(held)
        *older, spare = self._frames
        self._frames = [*older[1:], spare, *older[:1]]
        return large

    def save(self) -> dict[str, Array]:
        arrays = {f"{OLDER}{i}": frame.copy() for i, frame in enumerate(self._frames[:-1])}
        return arrays | {name: state.copy() for name, state in self._states.items()}

    def load(self, arrays: Mapping[str, Array]) -> None:
        older = [np.array(arrays[f"{OLDER}{i}"]) for i in range(self._older)]
        self._frames = [*older, self._empty_frame()]
        self._states = {name: np.array(arrays[name]) for name in self._shapes}

    def close(self) -> None:
        self._engines.close()
        self._frames, self._states = [], {}

    def _step(
        self, tile: Tile, newest: Frame, current: Frame, large: list[Plane]
    ) -> dict[str, Array]:
        """One tile upscaled into `large`; the core of its new states."""
        stops.check()
        *older, spare = self._frames
        feeds = self._engines.feeds(cut(newest, tile))
        feeds |= {f"{OLDER}{i}": _window(frame, tile) for i, frame in enumerate(older)}
        feeds |= {k: _window(state, tile, self._scales[k]) for k, state in self._states.items()}
        made = self._engines.step.run(feeds)
        planes = self._engines.enlarged(made) | self._engines.enlarged_alpha(cut(current, tile))
        for index, plane in planes.items():
            sub = self._picture.layout.subsampling(index)
            paste(plane, large[index], tile, sub=sub, scale=self._scale)
        _keep(made["newest"], spare, tile)
        return {
            name: made[f"{name}_next"][
                :, :, tile.rows.inside(scale=scale), tile.columns.inside(scale=scale)
            ].copy()
            for name, scale in self._scales.items()
        }

    def _write_back(self, made: list[tuple[Tile, dict[str, Array]]]) -> None:
        for tile, states in made:
            for name, core in states.items():
                scale = self._scales[name]
                rows, columns = tile.rows.core(scale=scale), tile.columns.core(scale=scale)
                self._states[name][:, :, rows, columns] = core

    def _each(self) -> list[Tile]:
        return [tile for row in self._tiles for tile in row]

    def _empty_frame(self) -> Array:
        return np.empty((1, 3, self._picture.height, self._picture.width), np.float32)

    def _empty(self, plane: int) -> Plane:
        return np.empty(self._picture.scaled(self._scale).size(plane), self._picture.layout.dtype)


def _window(values: Array, tile: Tile, scale: int = 1) -> Array:
    """A tile's window of (1, C, H, W)."""
    return values[:, :, tile.rows.window(scale=scale), tile.columns.window(scale=scale)]


def _keep(made: Array, whole: Array, tile: Tile) -> None:
    """Writes the core of a window (1, C, H, W) to its place."""
    whole[:, :, tile.rows.core(), tile.columns.core()] = made[
        :, :, tile.rows.inside(), tile.columns.inside()
    ]
