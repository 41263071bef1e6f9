"""What every engine offers: load a graph, run it on named tensors, say what it really runs on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]  # dtype and shape are the graph's, checked at load
"""A host array in C order."""
Tensor: TypeAlias = Any  # each engine has its own class
"""A tensor in the engine's memory, made by `put`."""
Landed: TypeAlias = Callable[[], dict[str, Array]]
"""Waits for the outputs of a run and gives them. Raises DeviceError."""


@dataclass(frozen=True, kw_only=True)
class Port:
    """One graph input or output."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]
    """None where the size is free."""

    @property
    def sides(self) -> tuple[int, ...]:
        """The shape of a port whose size is fixed."""
        return tuple(side or 0 for side in self.shape)


class Engine(Protocol):
    """A loaded graph. Not safe for use by two threads at once; `close` frees the device."""

    name: str
    """What it really runs on, for the log: 'onnxruntime cpu', 'onnxruntime cuda:0'."""
    inputs: dict[str, Port]
    outputs: dict[str, Port]

    def run(
        self, feeds: Mapping[str, Array | Tensor], into: Mapping[str, Array | Tensor] | None = None
    ) -> dict[str, Array]:
        """Runs the graph. An output named in `into` is written there; its shape and dtype must be
        the output's. The others come back as new arrays. Raises DeviceError when memory runs out.
        """
        ...

    def bind(self, feeds: Mapping[str, Array], into: Mapping[str, Array]) -> Callable[[], None]:
        """What runs the graph on whatever lies in `feeds` when it is called, and writes into
        `into`: every port of a graph that holds nothing, on the CPU. What goes where is said once
        and not in every run. The arrays must outlive it. Raises as `run` does, which must not be
        called in between.
        """
        ...

    def start(self, feeds: Mapping[str, Array]) -> Landed:
        """Runs the graph on host arrays. Its outputs may still be on their way to the host when
        this returns, while the next run is computed. Ports must have fixed sizes.
        """
        ...

    def put(self, array: Array) -> Tensor:
        """A copy of the array in the engine's memory, to be fed or written into run after run."""
        ...

    def get(self, tensor: Tensor) -> Array:
        """A copy on the host of a tensor that `put` made."""
        ...

    def held(self) -> dict[str, Array]:
        """What the inputs that the engine holds will take in the next run, copied as float32."""
        ...

    def hold(self, arrays: Mapping[str, Array]) -> None:
        """Sets what they will take; zeros for those that are not named."""
        ...

    def close(self) -> None:
        """Frees the session, also when called again; the engine must not be used afterwards."""
        ...
