"""A GPU that is not there: sessions run on the CPU and believe to be elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from vsrcli.runtime.engines import onnx, providers, transfer

ALL = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
RECORDS = "enable_cuda_graph"
Options = dict[str, str]


class Gpu:
    """What was asked of a GPU that is not there."""

    def __init__(self) -> None:
        self.providers: list[list[tuple[str, Options]]] = []
        self.memory: set[tuple[str, int]] = set()
        self.host: set[tuple[str, str]] = set()
        """(direction, dtype) of the arrays that crossed."""
        self.refuses_recordings = False

    def options(self, name: str) -> Options:
        """Of a provider in the last session."""
        return dict(self.providers[-1])[name]


def pretend(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Gpu:
    """Sessions run on the CPU and believe to be elsewhere; `cache` is where engines are kept."""
    seen, session, put = Gpu(), ort.InferenceSession, ort.OrtValue.ortvalue_from_numpy

    class Session:
        def __init__(self, graph: bytes, options: Any, *, providers: Any, **_: Any) -> None:
            seen.providers.append(providers)
            if seen.refuses_recordings and dict(providers)[providers[0][0]].get(RECORDS) == "1":
                raise RuntimeError("not all nodes have been partitioned to the CUDA provider")
            self._inner = session(graph, options, providers=["CPUExecutionProvider"])

        def get_providers(self) -> list[str]:
            return [name for name, _ in seen.providers[-1]]

        def __getattr__(self, name: str) -> Any:  # of the session
            return getattr(self._inner, name)

    def lay(array: np.ndarray, kind: str, index: int) -> Any:  # an OrtValue
        seen.memory.add((kind, index))
        return put(array, "cpu", 0)

    engine_run, engine_start = onnx.OnnxEngine.run, onnx.OnnxEngine.start

    def crossed(way: str, named: dict[str, Any]) -> dict[str, Any]:
        seen.host |= {(way, str(a.dtype)) for a in named.values() if isinstance(a, np.ndarray)}
        return named

    def run(self: onnx.OnnxEngine, feeds: Any, into: Any = None) -> Any:
        made = engine_run(self, crossed("in", feeds), into)
        crossed("out", {**(into or {}), **made})
        return made

    def start(self: onnx.OnnxEngine, feeds: Any) -> Any:
        landed = engine_start(self, crossed("in", feeds))
        return lambda: crossed("out", landed())

    monkeypatch.setattr(onnx.ort, "InferenceSession", Session)
    monkeypatch.setattr(onnx.ort.OrtValue, "ortvalue_from_numpy", staticmethod(lay))
    monkeypatch.setattr(onnx.OnnxEngine, "run", run)
    monkeypatch.setattr(onnx.OnnxEngine, "start", start)
    monkeypatch.setattr(providers.ort, "get_available_providers", lambda: ALL)
    monkeypatch.setattr(providers.ort, "preload_dlls", lambda: sys.stdout.write("loaded\n"))
    monkeypatch.setattr(providers, "missing_driver", lambda: "")
    monkeypatch.setattr(transfer, "cuda_runtime", lambda: None)
    monkeypatch.setenv("VSR_CACHE", str(cache))
    return seen
