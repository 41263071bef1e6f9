"""A recurrent cell with what it carries: the older frames and the states, in the engine's memory.

Each tensor has two buffers that swap roles, so that nothing is copied between frames and an endless
source runs in constant memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from vsrcli.frames import Frame, Picture, Plane, Role
from vsrcli.models import Model
from vsrcli.runtime.cells import color_planes, decode_graph, state_shape, step_graph
from vsrcli.runtime.engines import Array, Engine, Tensor
from vsrcli.runtime.graphs import SOURCE, TARGET, bicubic_graph

OpenEngine = Callable[[bytes], Engine]


class Cell(Protocol):
    """One step of a recurrent model after another. A step that fails can be made again."""

    device: str

    def begin(self, first: Frame) -> None:
        """Zero states, and the first frame in place of all older ones."""
        ...

    def advance(self, newest: Frame, current: Frame) -> list[Plane]:
        """The large planes of `current`, the frame that `newest` lets be upscaled."""
        ...

    def save(self) -> dict[str, Array]:
        """Older frames and states, on the host."""
        ...

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Takes up what a cell of the same model and picture saved."""
        ...

    def close(self) -> None:
        """Frees the engines and the tensors."""
        ...


class CellEngines:
    """The graphs of a cell for pictures of one size, loaded."""

    def __init__(
        self, graph: bytes, model: Model, scale: int, picture: Picture, open_: OpenEngine
    ) -> None:
        self.planes = color_planes(picture)
        self.alpha = picture.layout.planes_of(Role.ALPHA)
        self.decoder = open_(decode_graph(picture))
        self.step = open_(step_graph(graph, model, scale, picture))
        self._alpha: Engine | None = None
        if self.alpha:
            shape = (1, picture.height, picture.width)
            self._alpha = open_(bicubic_graph(scale, bits=picture.layout.bits, shape=shape))

    def feeds(self, frame: Frame) -> dict[str, Array]:
        """The colour planes under the graphs' names."""
        return {f"in_{i}": frame.planes[i][None, None] for i in self.planes}

    def enlarged_alpha(self, frame: Frame) -> dict[int, Plane]:
        """The alpha plane, if there is one, by bicubic."""
        if self._alpha is None:
            return {}
        (index,) = self.alpha
        return {index: self._alpha.run({SOURCE: frame.planes[index][None, None]})[TARGET][0, 0]}

    def close(self) -> None:
        """Frees them."""
        for engine in (self.decoder, self.step, self._alpha):
            if engine:
                engine.close()


class WholeCell:
    """A cell on whole pictures. See `Cell`."""

    def __init__(
        self, graph: bytes, model: Model, scale: int, picture: Picture, open_: OpenEngine
    ) -> None:
        self._scale, self._picture = scale, picture
        self._engines = CellEngines(graph, model, scale, picture, open_)
        self.device = self._engines.step.name
        self._older = sum(model.window)
        self._shapes = {s.name: state_shape(s.channels, s.scale, picture) for s in model.states}
        self._frames: list[Tensor] = []
        self._states: dict[str, list[Tensor]] = {}

    def begin(self, first: Frame) -> None:
        engines = self._engines
        newest = engines.decoder.run(engines.feeds(first))["newest"]
        self._frames = [engines.step.put(newest) for _ in range(self._older + 1)]
        for name in self._shapes:
            spare = self._states[name][1] if name in self._states else self._zeros(name)
            self._states[name] = [self._zeros(name), spare]

    def advance(self, newest: Frame, current: Frame) -> list[Plane]:
        *older, spare = self._frames
        feeds: dict[str, Array | Tensor] = dict(self._engines.feeds(newest))
        feeds |= {f"older_{i}": tensor for i, tensor in enumerate(older)}
        feeds |= {name: buffers[0] for name, buffers in self._states.items()}
        planes = {i: self._empty(i) for i in self._engines.planes}
        into: dict[str, Array | Tensor] = {f"out_{i}": plane for i, plane in planes.items()}
        into |= {f"{name}_next": buffers[1] for name, buffers in self._states.items()}
        alpha = self._engines.enlarged_alpha(current)
        self._engines.step.run(feeds, into | {"newest": spare})
        self._frames = [*older[1:], spare, *older[:1]]
        for buffers in self._states.values():
            buffers.reverse()
        result = {i: plane[0, 0] for i, plane in planes.items()} | alpha
        return [result[i] for i in sorted(result)]

    def save(self) -> dict[str, Array]:
        tensors = {f"frame_{i}": tensor for i, tensor in enumerate(self._frames[:-1])}
        tensors |= {f"state_{name}": now for name, (now, _) in self._states.items()}
        return {name: self._engines.step.get(tensor) for name, tensor in tensors.items()}

    def load(self, arrays: Mapping[str, Array]) -> None:
        step = self._engines.step
        frames = [arrays[f"frame_{i}"] for i in range(self._older)]
        spare = np.zeros((1, 3, self._picture.height, self._picture.width), np.float32)
        self._frames = [step.put(frame) for frame in (*frames, spare)]
        for name in self._shapes:
            self._states[name] = [step.put(arrays[f"state_{name}"]), self._zeros(name)]

    def close(self) -> None:
        self._engines.close()
        self._frames, self._states = [], {}

    def _zeros(self, name: str) -> Tensor:
        dtype = self._engines.step.inputs[name].dtype
        return self._engines.step.put(np.zeros(self._shapes[name], dtype))

    def _empty(self, plane: int) -> Array:
        """Room for a large plane, (1, 1, H, W)."""
        picture = self._picture
        sides = picture.width * self._scale, picture.height * self._scale
        return np.empty((1, 1, *picture.layout.size(plane, *sides)), picture.layout.dtype)
