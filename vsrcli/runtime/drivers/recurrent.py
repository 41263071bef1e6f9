"""The `recurrent` kind: a window of LR frames and the last step's states in, one HR frame out.

States and older frames stay in the engine's memory; each has two buffers that swap roles, so that
nothing is copied between frames and an endless source runs in constant memory. At the start of a
shot the states are zero and the first frame stands in for those before it; at its end the last
frame stands in for those after it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from vsrcli.frames import Frame, Picture, Plane, Role
from vsrcli.models import Model
from vsrcli.runtime.cells import color_planes, decode_graph, state_shape, step_graph
from vsrcli.runtime.drivers import Carried
from vsrcli.runtime.engines import Array, Engine, Tensor, open_engine
from vsrcli.runtime.graphs import SOURCE, TARGET, bicubic_graph


class RecurrentDriver:
    """Runs a recurrent cell on pictures of one layout and size. See `drivers.Driver`."""

    def __init__(
        self,
        cell: bytes,
        model: Model,
        scale: int,
        *,
        picture: Picture,
        device: str,
        threads: int,
    ) -> None:
        self.scale, self._picture, self._model = scale, picture, model
        self._before, self._after = model.window
        self._planes = color_planes(picture)

        def engine(graph: bytes) -> Engine:
            return open_engine(graph, device=device, threads=threads)

        self._decoder = engine(decode_graph(picture))
        self._step = engine(step_graph(cell, model, scale, picture))
        self._alpha = self._alpha_engine(engine) if picture.layout.planes_of(Role.ALPHA) else None
        self.device = self._step.name
        size = (1, 3, picture.height, picture.width)
        self._frames = [self._zeros(size) for _ in range(self._before + self._after + 1)]
        shapes = {s.name: state_shape(s.channels, s.scale, picture) for s in model.states}
        self._states = {k: [self._zeros(v), self._zeros(v)] for k, v in shapes.items()}
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
        if not self._begun:
            return Carried()
        tensors = {f"frame_{i}": tensor for i, tensor in enumerate(self._frames[:-1])}
        tensors |= {f"state_{name}": now for name, (now, _) in self._states.items()}
        arrays = {name: self._step.get(tensor) for name, tensor in tensors.items()}
        return Carried(arrays=arrays, held=len(self._waiting))

    def load(self, arrays: Mapping[str, Array], held: Sequence[Frame]) -> None:
        self.reset()
        if not arrays:
            return
        older = [self._step.put(arrays[f"frame_{i}"]) for i in range(len(self._frames) - 1)]
        self._frames = [*older, self._frames[-1]]
        for name, buffers in self._states.items():
            buffers[0] = self._step.put(arrays[f"state_{name}"])
        self._waiting.extend(held)
        self._begun = True

    def close(self) -> None:
        for engine in (self._decoder, self._step, self._alpha):
            if engine:
                engine.close()

    def _begin(self, first: Frame) -> None:
        """Zero states, and the first frame in place of all older ones."""
        newest = self._decoder.run(self._feeds(first))["newest"]
        self._frames = [self._step.put(newest) for _ in self._frames]
        for name, (current, _) in self._states.items():
            self._states[name][0] = self._zeros(tuple(current.shape()))
        self._begun = True

    def _advance(self, newest: Frame) -> Frame:
        """Upscales the frame that has waited longest; `newest` is the last of its window."""
        frame = self._waiting.popleft()
        *older, spare = self._frames
        feeds: dict[str, Array | Tensor] = dict(self._feeds(newest))
        feeds |= {f"older_{i}": tensor for i, tensor in enumerate(older)}
        feeds |= {name: buffers[0] for name, buffers in self._states.items()}
        planes = {i: np.empty(self._large(i), self._picture.layout.dtype) for i in self._planes}
        into: dict[str, Array | Tensor] = {f"out_{i}": plane for i, plane in planes.items()}
        into |= {f"{name}_next": buffers[1] for name, buffers in self._states.items()}
        self._step.run(feeds, into | {"newest": spare})
        self._frames = [*older[1:], spare, *older[:1]]
        for buffers in self._states.values():
            buffers.reverse()
        result = {i: plane[0, 0] for i, plane in planes.items()} | self._alpha_of(frame)
        return frame.scaled([result[i] for i in sorted(result)], self.scale)

    def _feeds(self, frame: Frame) -> dict[str, Array]:
        return {f"in_{i}": frame.planes[i][None, None] for i in self._planes}

    def _large(self, plane: int) -> tuple[int, int, int, int]:
        picture = self._picture
        width, height = picture.width * self.scale, picture.height * self.scale
        return 1, 1, *picture.layout.size(plane, width, height)

    def _zeros(self, shape: tuple[int, ...]) -> Tensor:
        return self._step.put(np.zeros(shape, np.float32))

    def _alpha_engine(self, engine: Callable[[bytes], Engine]) -> Engine:
        shape = (1, self._picture.height, self._picture.width)
        return engine(bicubic_graph(self.scale, bits=self._picture.layout.bits, shape=shape))

    def _alpha_of(self, frame: Frame) -> dict[int, Plane]:
        if self._alpha is None:
            return {}
        index = self._picture.layout.planes_of(Role.ALPHA)[0]
        return {index: self._alpha.run({SOURCE: frame.planes[index][None, None]})[TARGET][0, 0]}
