"""fp16 variants of a model's graphs, for GPUs: half the memory, and their matrix units.

Flow and warps stay in fp32, as fp16 has steps of half a pixel at column 1000, and so does what lies
between an exponential and the division after it, which is too large for fp16. Frames and pictures
stay fp32 at the graph's ports; states are handed on in fp16.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from vsrcli.errors import WeightsError
from vsrcli.lab.card import Card, GraphCard, read_card, sha256_of, write_card
from vsrcli.lab.restore.footprint import work_bytes
from vsrcli.runtime.engines import Array, open_engine

FP16 = "fp16"
STATELESS = {"x", "y", "frames"}
"""Ports that stay fp32."""
LEAST_DB = 55.0
"""Of the fp32 graph's pictures: what is left costs a model of 35 dB less than 0.05 dB."""
_STEPS, _SIDE = 4, 32


@dataclass(frozen=True, kw_only=True)
class Half:
    """What was written."""

    graph: GraphCard
    psnr_db: float
    """Of its pictures against the fp32 graph's."""
    exact: int
    """Operators that stay in fp32."""


def export_half(folder: Path, scale: int) -> list[Half]:
    """fp16 variants of the graphs of a scale, beside them and on the card.

    Raises WeightsError if one differs too much, or if the model is made of several graphs.
    """
    card = read_card(folder)
    made = []
    for graph in card.graphs:
        if (graph.scale, graph.precision) != (scale, "fp32"):
            continue
        if graph.part:
            raise WeightsError(f"{card.id} is made of several graphs, which have no fp16 variant")
        made.append(_export_one(card, graph, folder))
    if not made:
        raise WeightsError(f"{card.id} has no fp32 graph of x{scale}")
    return made


def halved(model: onnx.ModelProto) -> tuple[onnx.ModelProto, int]:
    """The graph in fp16 and how many of its operators stay in fp32."""
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"node{index}"
    exact = exact_nodes(model)
    ports = (*model.graph.input, *model.graph.output)
    keep = [port.name for port in ports if port.name in STATELESS]
    made = convert_float_to_float16(
        model, keep_io_types=keep, node_block_list=exact, op_block_list=["Resize"]
    )
    _without_doubles(made.graph)
    _without_detours(made.graph)
    OnnxModel.graph_topological_sort(made.graph)
    onnx.checker.check_model(made)
    return made, len(exact)


def _without_doubles(graph: onnx.GraphProto) -> None:
    """The converter casts a value anew, under the same name, for each operator that takes it."""
    known: set[str] = set()
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        if not known.issuperset(node.output):
            known.update(node.output)
            node.name = f"node{len(kept)}"
            kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)


def _without_detours(graph: onnx.GraphProto) -> None:
    """The converter rounds to fp16 between two operators that stay in fp32: they are joined."""
    exact = {port.name for port in graph.input if port.name in STATELESS}
    rounded = {
        node.output[0]: node.input[0]
        for node in graph.node
        if _casts_to(node, TensorProto.FLOAT16)
        and (node.input[0] in exact or node.input[0].endswith("_cast_to_fp16"))
    }
    direct = {
        node.output[0]: rounded[node.input[0]]
        for node in graph.node
        if _casts_to(node, TensorProto.FLOAT) and node.input[0] in rounded
    }
    ends = {direct[port.name]: port.name for port in graph.output if port.name in direct}
    kept = [node for node in graph.node if node.output[0] not in ends.values()]
    del graph.node[:]
    graph.node.extend(kept)
    for node in graph.node:
        for at, name in enumerate(node.input):
            value = direct.get(name, name)
            node.input[at] = ends.get(value, value)
        for at, name in enumerate(node.output):
            node.output[at] = ends.get(name, name)
    while unused := [n for n in graph.node if n.op_type == "Cast" and not _is_used(n, graph)]:
        for node in unused:
            graph.node.remove(node)


def _is_used(node: onnx.NodeProto, graph: onnx.GraphProto) -> bool:
    ends = [port.name for port in graph.output]
    return node.output[0] in ends or any(node.output[0] in n.input for n in graph.node)


def _casts_to(node: onnx.NodeProto, kind: int) -> bool:
    return node.op_type == "Cast" and node.attribute[0].i == kind


def exact_nodes(model: onnx.ModelProto) -> list[str]:
    """Names of the operators that must not be taken in fp16."""
    nodes = list(model.graph.node)
    warps = [node for node in nodes if node.op_type == "GridSample"]
    exact = {node.name for node in warps}
    exact |= _before(nodes, [node.input[1] for node in warps])
    exact |= _until_divided(nodes)
    # The runtime takes a shuffle at the end for its own; it must not be followed by a cast.
    exact |= {n.name for n in nodes if n.op_type == "DepthToSpace" and "y" in n.output}
    return sorted(exact)


def _before(nodes: list[onnx.NodeProto], values: Iterable[str]) -> set[str]:
    """Everything that these values are made by."""
    makers = {name: node for node in nodes for name in node.output}
    found: set[str] = set()
    open_ = [makers[value] for value in values if value in makers]
    while open_:
        node = open_.pop()
        if node.name not in found:
            found.add(node.name)
            open_ += [makers[value] for value in node.input if value in makers]
    return found


def _until_divided(nodes: list[onnx.NodeProto]) -> set[str]:
    """Exponentials and what takes their values, as far as the divisions."""
    large: set[str] = set()
    found: set[str] = set()
    for node in nodes:
        if node.op_type == "Exp" or large.intersection(node.input):
            found.add(node.name)
            if node.op_type != "Div":
                large.update(node.output)
    return found


def _export_one(card: Card, graph: GraphCard, folder: Path) -> Half:
    model = onnx.load(folder / graph.file)
    made, exact = halved(onnx.load(folder / graph.file))
    scales = card.state_scales(graph.scale)
    psnr_db = _parity(model, made, scales)
    if not psnr_db >= LEAST_DB:
        raise WeightsError(f"{graph.file} loses too much in fp16: {psnr_db:.1f} dB of fp32")
    data = made.SerializeToString(deterministic=True)
    file = folder / f"{Path(graph.file).stem}-{FP16}.onnx"
    file.write_bytes(data)
    entry = replace(
        graph,
        precision=FP16,
        file=file.name,
        sha256=sha256_of(data),
        work=work_bytes(made, scales),
        measured={},
    )
    write_card(read_card(folder).with_graph(entry), folder)
    return Half(graph=entry, psnr_db=psnr_db, exact=exact)


def _parity(one: onnx.ModelProto, other: onnx.ModelProto, scales: dict[str, int]) -> float:
    """PSNR of one's pictures by the other's over a few frames of a moving texture, dB."""
    pictures = [np.stack(_run(model, scales)) for model in (one, other)]
    return float(-10 * np.log10(np.mean((pictures[0] - pictures[1]) ** 2) + 1e-20))


def _run(model: onnx.ModelProto, scales: dict[str, int]) -> list[Array]:
    engine = open_engine(model.SerializeToString(), threads=1)
    fed = next(name for name in engine.inputs if name in STATELESS)
    count = engine.inputs[fed].shape[1] or 1
    states = {}
    for name, port in engine.inputs.items():
        if name != fed:
            side = _SIDE * scales.get(name, 1)
            states[name] = np.zeros((1, port.shape[1] or 1, side, side), port.dtype)
    rng = np.random.default_rng(0)
    coarse = rng.random((1, count, _SIDE // 4, _SIDE // 4 + _STEPS), np.float32)
    texture = coarse.repeat(4, 2).repeat(4, 3)
    made = []
    for step in range(_STEPS):
        given = engine.run({fed: texture[..., step : step + _SIDE].copy(), **states})
        states = {name: given[f"{name}_next"] for name in states}
        made.append(given["y"])
    engine.close()
    return made
