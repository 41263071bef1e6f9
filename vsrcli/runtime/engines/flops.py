"""How much a graph computes: its products counted from the shapes of one run in onnxruntime."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import onnxruntime as ort

from vsrcli.errors import OutputError
from vsrcli.runtime.engines.base import Array
from vsrcli.runtime.engines.failures import FATAL

Shape = tuple[int, ...]


def work_of(graph: bytes, feeds: Mapping[str, Array]) -> int:
    """Floating-point operations of one run on these arrays, a product and its sum as two.

    Convolutions and matrix products alone; what else there is costs time, but hardly arithmetic.
    Raises OutputError where onnxruntime has no room for its notes.
    """
    return sum(2 * _products(*node) for node in _shapes(graph, feeds))


def _products(kind: str, inputs: list[Shape], output: Shape) -> int:
    if kind == "Conv":  # weights (M, C / groups, h, w)
        return math.prod(output) * math.prod(inputs[1][1:])
    if kind == "ConvTranspose":  # weights (C, M / groups, h, w)
        return math.prod(inputs[0]) * math.prod(inputs[1][1:])
    if kind in ("MatMul", "Gemm"):
        return math.prod(output) * inputs[0][-1]
    return 0


def _shapes(graph: bytes, feeds: Mapping[str, Array]) -> Iterator[tuple[str, list[Shape], Shape]]:
    """(operator, input shapes, output shape) of every node that ran, none of them fused."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_profiling = True
    options.log_severity_level = FATAL
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "run")
        session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        session.run(None, dict(feeds))
        notes = Path(session.end_profiling())
        try:
            events = json.loads(notes.read_text(encoding="utf-8"))
        except (OSError, ValueError) as exc:  # onnxruntime says nothing of a full disk
            raise OutputError(f"{notes} is not whole; free space and run it again") from exc
    for event in events:
        given = event.get("args", {})
        if given.get("output_type_shape"):
            yield given["op_name"], *_read(given)


def _read(given: dict[str, Any]) -> tuple[list[Shape], Shape]:
    inputs = [tuple(shape) for entry in given["input_type_shape"] for shape in entry.values()]
    outputs = [tuple(shape) for entry in given["output_type_shape"] for shape in entry.values()]
    return inputs, outputs[0]
