"""What every engine offers: load a graph, run it on named arrays, say what it really runs on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]  # dtype and shape are the graph's, checked at load
"""A host array in C order."""


@dataclass(frozen=True, kw_only=True)
class Port:
    """One graph input or output."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]
    """None where the size is free."""


class Engine(Protocol):
    """A loaded graph. Not safe for use by two threads at once; `close` frees the device."""

    name: str
    """What it really runs on, for the log: 'onnxruntime cpu', 'onnxruntime cuda:0'."""
    inputs: dict[str, Port]
    outputs: dict[str, Port]

    def run(
        self, feeds: Mapping[str, Array], into: Mapping[str, Array] | None = None
    ) -> dict[str, Array]:
        """All outputs by name. An output named in `into` is written into that array instead of a
        new one; its shape and dtype must be the output's. Raises DeviceError when memory runs out.
        """
        ...

    def close(self) -> None:
        """Frees the session; the engine must not be used afterwards."""
        ...
