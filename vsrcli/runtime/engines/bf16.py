"""What of a graph a processor computes in bf16: convolutions, and what lies between them.

What leads to an output that is seen, and to the positions that a warp samples at, stays float32.
Eight bits hold the codes of luma, but not a filter of it. Where a convolution of luma is only added
up to what is seen, it computes the detail alone; the pixel itself, times the sum of the filter, is
added in float32. So flat parts of a picture stay flat. Elsewhere it takes the codes twice, for the
upper and the lower half of its weights.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from vsrcli.runtime.engines.base import Array
from vsrcli.runtime.engines.openvino_import import ops, ov

BF16 = ov.Type.bf16
Node = Any
"""An ov.Node, whose stub lacks methods."""
_WIDE = 4
"""Input channels from which on a convolution is worth bf16; below, it mixes colours."""
_CONVOLUTIONS = {"Convolution", "GroupConvolution", "ConvolutionBackpropData"}
_NARROW = _CONVOLUTIONS | {
    *("Parameter", "Constant", "Convert", "Add", "Subtract", "Multiply", "Maximum", "Minimum"),
    *("Relu", "PRelu", "LeakyRelu", "Clamp", "Sigmoid", "Tanh"),
    *("Concat", "Split", "VariadicSplit", "Slice", "StridedSlice", "Gather", "Reshape"),
    *("Transpose", "Squeeze", "Unsqueeze", "DepthToSpace", "SpaceToDepth", "MaxPool", "AvgPool"),
}
"""Operators that may run in bf16."""
_WARP = "GridSample"
_CODES = np.float32(255)
"""bf16 holds codes of 8 bits exactly, unlike code / 255."""
_END = np.iinfo(np.int64).max


def narrow(model: ov.Model, held: Mapping[str, str], hidden: Collection[str] = ()) -> None:
    """Turns what it can of the model to bf16, with what it hands on from run to run (`held`).

    What leads to outputs that are not seen (`hidden`) may be; they are float32 all the same.
    Convolutions in int8, and what leads to them from the last others, stay as they are.
    """
    unseen = {*held.values(), *hidden}
    nodes = model.get_ordered_ops()
    ends = [n for n in model.get_results() if not n.output(0).get_names() & unseen]
    ends += [n for n in nodes if n.get_type_name() == _WARP]
    quantised = [n for n in nodes if _is_wide(n) and _is_quantised(n)]
    ends += [port.get_source_output().get_node() for n in quantised for port in n.inputs()]
    luma = [n for n in nodes if _is_luma(n)]
    seen = _exact(ends, luma)
    codes = [_in_codes(node) for node in luma]
    for node in luma:
        if any(reader.get_name() in seen for reader in _readers(node)):
            _split(node)
        else:
            _halve(node)
    exact = _exact([*ends, *codes], luma) | {node.get_name() for node in quantised}
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        is_narrow = kind in _NARROW and node.get_name() not in exact
        if kind == "Result":
            _keep_wide(node, hidden)
            continue
        if kind == "Parameter":
            names = node.output(0).get_names()
            if is_narrow and names & held.keys() and node.get_element_type() == ov.Type.f32:
                node.set_element_type(BF16)
        _feed(node, BF16 if is_narrow else ov.Type.f32)
        node.validate_and_infer_types()
    for source, target in held.items():  # a variable has one type
        _feed(model.output(target).get_node(), model.input(source).get_element_type())
    model.validate_nodes_and_infer_types()


def widened(bits: Array) -> Array:
    """The bits of bf16 (uint16) as float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def rounded(array: Array) -> Array:
    """Float32 to the bits of the nearest bf16; ties to even."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def _exact(ends: list[Node], luma: list[Node]) -> set[str]:
    """Names of the nodes between the last wide convolutions, or those of luma, and such ends."""
    ends, last = list(ends), {node.get_name() for node in luma}
    found: set[str] = set()
    while ends:
        node = ends.pop()
        if node.get_name() in found | last or _is_wide(node):
            continue
        found.add(node.get_name())
        ends += [port.get_source_output().get_node() for port in node.inputs()]
    return found


def _in_codes(node: Node) -> Node:
    """The codes that a convolution of luma takes from now on in place of code / 255."""
    codes = ops.multiply(node.input(0).get_source_output(), _CODES)
    node.input(0).replace_source_output(codes.output(0))
    node.input(1).replace_source_output(ops.constant(_weights(node) / _CODES).output(0))
    return codes


def _split(node: Node) -> None:
    """A convolution as that of the detail, and the pixels times its filters' sums."""
    values, kernel = node.input(0).get_source_output(), _weights(node)
    readers = node.output(0).get_target_inputs()
    height, width = (side // 2 for side in kernel.shape[2:])
    sums = kernel.sum((2, 3), keepdims=True)
    kernel[:, :, height, width] -= sums[:, :, 0, 0]
    node.input(1).replace_source_output(ops.constant(_balanced(kernel)).output(0))
    pixels = _pixels(values, node.get_attributes(), (height, width))
    whole = ops.add(node, ops.multiply(pixels, sums.transpose(1, 0, 2, 3)))
    for reader in readers:
        reader.replace_source_output(whole.output(0))


def _halve(node: Node) -> None:
    """A convolution of one plane as that of two alike, the second for what bf16 rounds off."""
    values, kernel = node.input(0).get_source_output(), _weights(node)
    upper = widened(rounded(kernel))
    halves = ops.constant(np.concatenate([upper, kernel - upper], 1))
    node.input(0).replace_source_output(ops.concat([values, values], 1).output(0))
    node.input(1).replace_source_output(halves.output(0))


def _pixels(values: Node, convolution: Mapping[str, Any], reach: tuple[int, int]) -> Node:
    """Those that the outputs of a convolution lie on."""
    before, after = (
        [r - pad for r, pad in zip(reach, convolution[key], strict=True)]
        for key in ("pads_begin", "pads_end")
    )
    ends = [-cut if cut else _END for cut in after]
    return ops.slice(values, *(np.array(v, np.int64) for v in (before, ends, [1, 1], [2, 3])))


def _balanced(kernel: Array) -> Array:
    """Filters (N, ...) rounded to bf16 whose sums stay: the smallest tap, which has the finest
    steps, takes what the others lost."""
    flat = kernel.reshape(len(kernel), -1)
    near = widened(rounded(flat))
    near[np.arange(len(flat)), np.abs(flat).argmin(1)] += (flat - near).sum(1)
    return widened(rounded(near)).reshape(kernel.shape)


def _weights(convolution: Node) -> Array:
    """A copy."""
    return np.array(_kernel(convolution).get_data())


def _kernel(convolution: Node) -> Node:
    """Where its weights come from: a constant, unless they are stored in int8."""
    return convolution.input(1).get_source_output().get_node()


def _is_quantised(convolution: Node) -> bool:
    """Its weights are stored as whole numbers, from which it is computed in int8."""
    stored = _kernel(convolution)
    while stored.inputs():
        stored = stored.input(0).get_source_output().get_node()
    return bool(stored.get_element_type().is_integral())


def _is_wide(node: Node) -> bool:
    if node.get_type_name() not in _CONVOLUTIONS:
        return False
    channels = node.input(0).get_partial_shape()[1]
    return bool(channels.is_dynamic or channels.get_length() >= _WIDE)


def _is_luma(node: Node) -> bool:
    """Whether it is a plain convolution of one plane that has a middle."""
    if node.get_type_name() != "Convolution":
        return False
    kernel, given = _kernel(node), node.get_attributes()
    if kernel.get_type_name() != "Constant":
        return False
    _, channels, *sides = kernel.output(0).get_shape()
    plain = {"strides": [1, 1], "dilations": [1, 1], "auto_pad": "explicit"}
    pads = [
        *zip(given["pads_begin"], sides, strict=True),
        *zip(given["pads_end"], sides, strict=True),
    ]
    return (
        channels == 1
        and all(side % 2 for side in sides)
        and max(sides) > 1
        and all(given[key] == value for key, value in plain.items())
        and all(0 <= pad <= side // 2 for pad, side in pads)
    )


def _readers(node: Node) -> list[Node]:
    return [port.get_node() for port in node.output(0).get_target_inputs()]


def _keep_wide(result: Node, hidden: Collection[str]) -> None:
    """An output that is not seen, converted back to float32 under its name."""
    made = result.input(0).get_source_output()
    names = made.get_names()
    if names & set(hidden) and made.get_element_type() == BF16:
        made.set_names(set())
        _feed(result, ov.Type.f32)
        result.input(0).get_source_output().set_names(names)


def _feed(node: Node, kind: ov.Type) -> None:
    """Converts what floats a node takes to one type."""
    for port in node.inputs():
        source = port.get_source_output()
        if source.get_element_type() in (BF16, ov.Type.f32) and source.get_element_type() != kind:
            port.replace_source_output(ops.convert(source, kind.get_type_name()).output(0))
