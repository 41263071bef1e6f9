"""Engines: the only place that knows who runs a graph."""

from __future__ import annotations

import os
from pathlib import Path

from vsrcli.runtime.engines.base import Array, Engine, Port, Tensor

__all__ = ["Array", "Engine", "Port", "Tensor", "open_engine"]


def open_engine(
    graph: Path | bytes, *, device: str = "cpu", threads: int = 0, frugal: bool = False
) -> Engine:
    """The graph (a file or its bytes), loaded and ready on `device` (cpu, cuda, cuda:N).

    `threads` 0 means one per core; `frugal` keeps less memory between runs. Raises DeviceError if
    the device is not usable, WeightsError if the graph is not.
    """
    from vsrcli.runtime.engines.onnx import OnnxEngine  # 80 ms to import

    return OnnxEngine(graph, device=device, threads=threads or os.cpu_count() or 1, frugal=frugal)
