"""ONNX graphs written node by node: small, readable, and the cheapest equal form of each network.

A network's own nodes come from `append_phases`, chosen by its class; padding before and the
shuffle after are the same for all. Depth-to-space is the last node, so that the runtime can round
to 8 bit before values are moved.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8
PRODUCER = "vsr lab"

Weights = NDArray[np.float32]
Attribute = int | float | str | list[int]


@dataclass(kw_only=True)
class GraphBuilder:
    """Nodes and constants of one graph from `x` to `y`; every call returns its output's name."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def constant(self, value: NDArray[np.generic]) -> str:
        """A stored tensor."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def ints(self, *values: int) -> str:
        """A stored int64 vector."""
        return self.constant(np.array(values, np.int64))

    def add(self, kind: str, *inputs: str, **attributes: Attribute) -> str:
        """One node with one output; attributes as ONNX names them."""
        return self.split(kind, inputs, 1, **attributes)[0]

    def split(
        self, kind: str, inputs: Sequence[str], outputs: int, **attributes: Attribute
    ) -> list[str]:
        """One node with `outputs` outputs."""
        names = [f"{kind.lower()}{len(self.nodes)}_{i}" for i in range(outputs)]
        node = helper.make_node(kind, list(inputs), names)
        node.attribute.extend(helper.make_attribute(k, v) for k, v in attributes.items())
        self.nodes.append(node)
        return names

    def conv(self, x: str, weight: Weights, bias: Weights | None = None, *, pad: int = 0) -> str:
        """A convolution, stride 1, `pad` px of zeros."""
        inputs = [x, self.constant(weight)]
        if bias is not None:
            inputs.append(self.constant(bias))
        return self.add("Conv", *inputs, kernel_shape=list(weight.shape[2:]), pads=[pad] * 4)

    def pad_edges(self, x: str, border: int) -> str:
        """`border` px of edge replicate on each side."""
        widths = self.ints(0, 0, border, border, 0, 0, border, border)
        return self.add("Pad", x, widths, mode="edge")

    def model(self, output: str, scale: int) -> onnx.ModelProto:
        """The finished model; `output` becomes `y`."""
        self.nodes[-1].output[list(self.nodes[-1].output).index(output)] = "y"
        graph = helper.make_graph(
            self.nodes,
            "luma",
            [_port("x", "height", "width")],
            [_port("y", f"{scale}*height", f"{scale}*width")],
            initializer=self.constants,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name=PRODUCER,
        )
        onnx.checker.check_model(model, full_check=True)
        return model


def _port(name: str, height: str, width: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1, height, width])


def shuffled(
    scale: int, border: int, append_phases: Callable[[GraphBuilder, str], str]
) -> onnx.ModelProto:
    """x → edge padding → phases → depth-to-space → y."""
    graph = GraphBuilder()
    x = graph.pad_edges("x", border) if border else "x"
    y = append_phases(graph, x)
    return graph.model(graph.add("DepthToSpace", y, blocksize=scale, mode="CRD"), scale)
