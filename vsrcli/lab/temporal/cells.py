"""Recurrent cells as ONNX graphs: `frames` and states in, `y` and the states' `_next` out."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn
from torch.nn import functional

from vsrcli.lab.emit import numbers
from vsrcli.lab.graph import IR_VERSION, OPSET, PRODUCER, GraphBuilder
from vsrcli.lab.temporal.egvsr import Egvsr
from vsrcli.lab.temporal.rlsp import Rlsp

STATE = "state"


def rlsp_cell(net: Rlsp) -> onnx.ModelProto:
    """`frames` (1, 9, H, W) and `state` (1, f + 3r², H, W) to `y` (1, 3, rH, rW), `state_next`."""
    graph = GraphBuilder()
    x = graph.add("Concat", "frames", STATE, axis=1)
    for layer in net.body:
        weight, bias = numbers(layer.weight), numbers(layer.bias)  # type: ignore[arg-type]
        x = graph.add("Relu", graph.conv(x, weight, bias, pad=1))
    weight, bias = numbers(net.head.weight), numbers(net.head.bias)  # type: ignore[arg-type]
    # Two convolutions: to cut apart what one gives costs more than to read its input twice.
    hidden = graph.conv(x, weight[net.phases :], bias[net.phases :], pad=1)
    residual = graph.conv(x, weight[: net.phases], bias[: net.phases], pad=1)
    centre = channels(graph, "frames", 3, 6)
    index = np.repeat(np.arange(3), net.scale**2)
    repeated = graph.add("Gather", centre, graph.constant(index), axis=1)
    phases = graph.add("Add", residual, repeated)
    y = graph.add("DepthToSpace", phases, blocksize=net.scale, mode="CRD")
    kept = graph.add("Concat", graph.add("Relu", hidden), phases, axis=1)
    return finished(
        graph,
        inputs={"frames": 9, STATE: net.state_channels},
        outputs={"y": (y, 3), f"{STATE}_next": (kept, net.state_channels)},
    )


def channels(graph: GraphBuilder, values: str, start: int, end: int) -> str:
    """The channels start … end - 1."""
    return graph.add("Slice", values, graph.ints(start), graph.ints(end), graph.ints(1))


def finished(
    graph: GraphBuilder, *, inputs: Mapping[str, int], outputs: Mapping[str, tuple[str, int]]
) -> onnx.ModelProto:
    """The model with these ports; sides are dynamic. Outputs are (made by, channels)."""
    names = {made: name for name, (made, _) in outputs.items()}
    for node in graph.nodes:
        for ends in (node.input, node.output):
            for at, end in enumerate(ends):
                ends[at] = names.get(end, end)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "cell",
            [_port(name, count) for name, count in inputs.items()],
            [_port(name, count) for name, (_, count) in outputs.items()],
            initializer=graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name=PRODUCER,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def _port(name: str, count: int) -> onnx.ValueInfoProto:
    sides = ["large_height", "large_width"] if name == "y" else ["height", "width"]
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, count, *sides])


class _EgvsrStep(nn.Module):
    """One step of EGVSR for any size: FNet's sides are made multiples of 8, its flow is cropped."""

    def __init__(self, net: Egvsr) -> None:
        super().__init__()
        self.net = net

    def forward(self, frames: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        before, now = frames[:, :3], frames[:, 3:6]
        height, width = frames.shape[2], frames.shape[3]
        pair = torch.cat([now, before], 1)
        pair = functional.pad(pair, (0, -width % 8, 0, -height % 8), mode="replicate")
        flow = self.net.fnet(pair)[:, :, :height, :width]
        y = self.net.reconstruct(now, last, flow)
        return y, y + 0  # a graph may not give one tensor under two names


def egvsr_cell(net: Egvsr) -> onnx.ModelProto:
    """`frames` (1, 6, H, W) of t-1, t and `last` (1, 3, rH, rW) to `y` and `last_next`."""
    return traced_cell(_EgvsrStep(net.eval()), net.scale)


def traced_cell(step: nn.Module, scale: int) -> onnx.ModelProto:
    """The cell of a module that maps `frames` and `last` to `y` and `last_next`, of any size."""
    frames, last = torch.rand(1, 6, 16, 24), torch.rand(1, 3, 16 * scale, 24 * scale)
    small, large = {2: "height", 3: "width"}, {2: "large_height", 3: "large_width"}
    ports = {"frames": small, "last": large, "y": large, "last_next": large}
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        # The new exporter needs another package and turns the free sides into fixed ones here.
        warnings.simplefilter("ignore")
        made = Path(folder) / "cell.onnx"
        torch.onnx.export(
            step,
            (frames, last),
            made,
            input_names=["frames", "last"],
            output_names=["y", "last_next"],
            opset_version=OPSET,
            dynamo=False,
            dynamic_axes=ports,
        )
        model = onnx.load(made)
    onnx.checker.check_model(model, full_check=True)
    return model
