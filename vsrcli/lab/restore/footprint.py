"""How much memory a graph's intermediate values take at once, found by running it."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from types import MappingProxyType

import numpy as np
import onnx

from vsrcli.runtime.engines import open_engine

SIDE = 64
_IN_PLACE = {"Relu", "LeakyRelu", "Add", "Identity", "Reshape", "Cast"}
"""Operators that an engine fuses or writes over their first input."""
_KEEPING = {"Relu", "LeakyRelu", "Add"}
"""Operators that hand on what a convolution made in the layout that it works in; what comes from
others is copied into that layout first."""


def work_bytes(model: onnx.ModelProto, scales: Mapping[str, int] = MappingProxyType({})) -> int:
    """Bytes an input pixel: the largest sum of values alive together, ports of the graph aside.

    `scales` are those of the inputs that are larger than a frame.
    """
    sizes = _sizes(model, scales)
    graph = model.graph
    ports = {port.name for port in (*graph.input, *graph.output)}
    last = {name: index for index, node in enumerate(graph.node) for name in node.input}
    blocked: set[str] = set()
    alive: dict[str, int] = {}
    most = 0
    for index, node in enumerate(graph.node):
        for name in node.output:
            if name not in ports:
                alive[name] = sizes.get(name, 0)
        if node.op_type in _IN_PLACE and node.input[0] in alive:
            del alive[node.input[0]]
        source = node.input[0] if node.input else ""
        is_conv = node.op_type == "Conv"
        if is_conv or (node.op_type in _KEEPING and source in blocked):
            blocked.update(node.output)
        copy = sizes.get(source, 0) if is_conv and source not in blocked else 0
        most = max(most, sum(alive.values()) + copy)
        alive = {name: size for name, size in alive.items() if last.get(name, 0) > index}
    return round(most / SIDE**2)


def _sizes(model: onnx.ModelProto, scales: Mapping[str, int]) -> dict[str, int]:
    """Bytes of every value on a picture of SIDE x SIDE."""
    open_all = deepcopy(model)
    known = {port.name for port in open_all.graph.output}
    for node in open_all.graph.node:
        named = (name for name in node.output if name and name not in known)
        open_all.graph.output.extend(onnx.ValueInfoProto(name=name) for name in named)
    engine = open_engine(open_all.SerializeToString(), device="cpu", threads=1)
    feeds = {}
    for name, port in engine.inputs.items():
        large = SIDE * scales.get(name, 1)
        shape = [_free(axis, large) if n is None else n for axis, n in enumerate(port.shape)]
        feeds[name] = np.zeros(shape, port.dtype)
    made = engine.run(feeds)
    engine.close()
    return {name: value.nbytes for name, value in made.items()}


def _free(axis: int, side: int) -> int:
    """The length of a free axis: one picture of this side."""
    return side if axis >= 2 else 1
