"""A recurrent cell with what it carries: the older frames and the states, held by the engine.

They stay in its memory and precision, so that an endless source runs in constant memory and nothing
but planes crosses to the host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from vsrcli.frames import Arriving, Frame, Picture, Plane, Role
from vsrcli.models import Model
from vsrcli.runtime.cell_graphs import (
    OLDER,
    carried,
    cell_ending,
    color_planes,
    decode_graph,
    step_graph,
)
from vsrcli.runtime.engines import Array, Engine, Setup
from vsrcli.runtime.graphs import SOURCE, TARGET, bicubic_graph


class Cell(Protocol):
    """One step of a recurrent model after another. A step that fails can be made again."""

    device: str

    def begin(self, first: Frame) -> None:
        """Zero states, and the first frame in place of all older ones."""
        ...

    def advance(self, newest: Frame, current: Frame) -> Sequence[Plane]:
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
        self,
        graph: bytes,
        model: Model,
        scale: int,
        picture: Picture,
        setup: Setup,
        *,
        held: Mapping[str, str] | None = None,
    ) -> None:
        self.planes, self.held = color_planes(picture), tuple(held or ())
        self.alpha = picture.layout.planes_of(Role.ALPHA)
        self.decoder = setup.open(decode_graph(picture), frugal=True)
        self._ending = cell_ending(graph, model, scale, picture, shuffles=setup.is_gpu)
        step = step_graph(
            graph, model, scale, picture, ending=self._ending, blocked=setup.is_blocked
        )
        # States that the engine does not hold have to be as exact as those that it does.
        hidden = () if held else {f"{state.name}_next" for state in model.states_of(scale)}
        self.step = setup.open(step, frugal=True, held=held, hidden=hidden, steady=held is not None)
        self._alpha: Engine | None = None
        if self.alpha:
            shape = (1, picture.height, picture.width)
            alpha = bicubic_graph(scale, bits=picture.layout.bits, shape=shape)
            self._alpha = setup.open(alpha, frugal=True)

    def feeds(self, frame: Frame) -> dict[str, Array]:
        """The colour planes under the graphs' names."""
        return {f"in_{i}": frame.planes[i][None, None] for i in self.planes}

    def enlarged(self, made: Mapping[str, Array]) -> dict[int, Plane]:
        """The large colour planes of what the step graph gave."""
        if self._ending:
            return self._ending.planes(made)
        return {i: made[f"out_{i}"][0, 0] for i in self.planes}

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
    """A cell on whole pictures, whose engine holds what is carried. See `Cell`."""

    def __init__(
        self, graph: bytes, model: Model, scale: int, picture: Picture, setup: Setup
    ) -> None:
        self._engines = CellEngines(graph, model, scale, picture, setup, held=carried(model, scale))
        self.device = self._engines.step.name
        self._older = [name for name in carried(model, scale) if name.startswith(OLDER)]

    def begin(self, first: Frame) -> None:
        engines = self._engines
        newest = engines.decoder.run(engines.feeds(first))["newest"]
        engines.step.hold(dict.fromkeys(self._older, newest))

    def advance(self, newest: Frame, current: Frame) -> Sequence[Plane]:
        alpha = self._engines.enlarged_alpha(current)
        landed = self._engines.step.start(self._engines.feeds(newest))

        def collect() -> list[Plane]:
            result = self._engines.enlarged(landed()) | alpha
            return [result[i] for i in sorted(result)]

        return Arriving(collect)

    def save(self) -> dict[str, Array]:
        return self._engines.step.held()

    def load(self, arrays: Mapping[str, Array]) -> None:
        self._engines.step.hold({name: arrays[name] for name in self._engines.held})

    def close(self) -> None:
        self._engines.close()
