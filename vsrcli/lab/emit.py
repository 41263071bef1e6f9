"""Each luma network as ONNX nodes, in the form that runs fastest on a CPU and is equal to it.

- Maximum and attention are taken at low resolution, before the shuffle; a maximum is a chain of
  small convolutions, so that no tensor of all candidates is ever written. max(a, b) is
  b + relu(a - b): runtimes fuse sum and relu into the convolutions that give a and b, and need not
  unpack what those made; half as many convolutions again cost less than that.
- Softmax over channel groups is exp(a)·v / exp(a) summed by a 1x1 convolution of ones: ONNX's own
  Softmax on that axis is ten times slower. No maximum is subtracted where the weights prove that
  exp cannot overflow for inputs in 0..1 (`product_range`).
- PReLU with one slope is LeakyRelu, which runtimes fuse into the convolution before it.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from torch import Tensor, nn

from vsrcli.lab.graph import GraphBuilder, shuffled
from vsrcli.lab.networks import Espcn, EsrCnn, EsrMax, EsrTm, EsrTr, Fsrcnn, LumaNet, Sesr

Array = NDArray[np.float32]
Attention = EsrTm | EsrTr | EsrCnn

EXP_LIMIT = 80.0
"""Logits within ± this neither overflow nor vanish in float32."""
SUM_LIMIT = 60.0
"""Candidates that may reach further than this together are compared by Max: sums would round."""


def numbers(tensor: Tensor) -> Array:
    """A parameter as float32 numpy."""
    array: Array = tensor.detach().cpu().numpy().astype(np.float32)
    return array


def _layers(graph: GraphBuilder, x: str, layers: Iterable[nn.Module]) -> str:
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            bias = None if layer.bias is None else numbers(layer.bias)
            x = graph.conv(x, numbers(layer.weight), bias, pad=int(layer.padding[0]))
        elif isinstance(layer, nn.PReLU):
            x = graph.add("LeakyRelu", x, alpha=float(layer.weight.item()))
        else:
            x = graph.add(type(layer).__name__, x)
    return x


def _largest(graph: GraphBuilder, values: list[str]) -> str:
    y = values[0]
    for value in values[1:]:
        y = graph.add("Max", y, value)
    return y


def _emit_max(graph: GraphBuilder, x: str, net: EsrMax) -> str:
    pad = int(net.filter.padding[0])
    first, *rest = candidates = np.split(numbers(net.filter.weight), net.channels)
    reach = max(np.abs(bounds(weight, 0.0)).max() for weight in candidates)
    if not rest or reach * len(candidates) > SUM_LIMIT:
        return _largest(graph, [graph.conv(x, weight, pad=pad) for weight in candidates])
    ahead = graph.conv(x, first - rest[0], pad=pad)
    y = graph.add("Add", graph.conv(x, rest[0], pad=pad), graph.add("Relu", ahead))
    for weight in rest[1:]:
        ahead = graph.add("Add", graph.conv(x, -weight, pad=pad), y)
        y = graph.add("Add", graph.conv(x, weight, pad=pad), graph.add("Relu", ahead))
    return y


def bounds(weight: Array, low: float) -> tuple[Array, Array]:
    """Lowest and highest output, (out,) each, of a convolution of inputs in `low`..1."""
    flat = weight.reshape(len(weight), -1)
    up, down = np.maximum(flat, 0).sum(1), np.minimum(flat, 0).sum(1)
    start = np.float32(low)
    return down + start * up, up + start * down


def product_range(maps: list[Array], low: float) -> tuple[float, float]:
    """Range of the product of one or two maps' outputs."""
    pairs = [bounds(weight, low) for weight in maps]
    if len(pairs) == 1:
        return float(pairs[0][0].min()), float(pairs[0][1].max())
    corners = np.stack([a * b for a in pairs[0] for b in pairs[1]])
    return float(corners.min()), float(corners.max())


def _exp(graph: GraphBuilder, logit: str, span: tuple[float, float], channels: int) -> str:
    low, high = span
    if high - low > 2 * EXP_LIMIT:  # the weights prove nothing: subtract the true maximum
        parts = graph.split("Split", [logit], channels, axis=1)
        peak = graph.add("Max", *parts) if channels > 1 else parts[0]
        logit = graph.add("Sub", logit, graph.add("Concat", *[peak] * channels, axis=1))
    elif high > EXP_LIMIT or low < -EXP_LIMIT:
        logit = graph.add("Sub", logit, graph.constant(np.float32((low + high) / 2).reshape(1)))
    return graph.add("Exp", logit)


def _attention(
    graph: GraphBuilder, value: str, logit: str, span: tuple[float, float], net: Attention
) -> str:
    phases = net.scale**2
    weight = _exp(graph, logit, span, net.channels)
    total = np.tile(np.eye(phases, dtype=np.float32), (1, net.channels))[:, :, None, None]
    weighted = graph.conv(graph.add("Mul", value, weight), total)
    return graph.add("Div", weighted, graph.conv(weight, total))


def _emit_one_layer(graph: GraphBuilder, x: str, net: EsrTm | EsrTr) -> str:
    pad = int(net.filter.padding[0])
    maps = np.split(numbers(net.filter.weight), net.maps)
    value, *rest = [graph.conv(x, weight, pad=pad) for weight in maps]
    logit = graph.add("Mul", *rest) if len(rest) == 2 else rest[0]
    return _attention(graph, value, logit, product_range(maps[1:], 0.0), net)


def _emit_cnn(graph: GraphBuilder, x: str, net: EsrCnn) -> str:
    *body, head = net.filter.children()
    assert isinstance(head, nn.Conv2d)
    x = _layers(graph, x, body)
    pad = int(head.padding[0])
    maps = np.split(numbers(head.weight), 2)
    value, key = (graph.conv(x, weight, pad=pad) for weight in maps)
    peak = max(abs(edge) for edge in product_range(maps[1:], -1.0))
    if net.limit:
        peak = min(peak, float(net.limit))
        edges = (graph.constant(np.asarray(edge, np.float32)) for edge in (-peak, peak))
        key = graph.add("Clip", key, *edges)
    return _attention(graph, value, graph.add("Mul", key, key), (0.0, peak**2), net)


def _emit_espcn(graph: GraphBuilder, x: str, net: Espcn) -> str:
    return graph.add("Sigmoid", _layers(graph, x, net.net.children()))


def _emit_fsrcnn(graph: GraphBuilder, x: str, net: Fsrcnn) -> str:
    return _layers(graph, x, net.net.children())


def _emit_sesr(graph: GraphBuilder, x: str, net: Sesr) -> str:
    """Blocks as the convolutions that they are. The body keeps its size, so that nothing is cut out
    of wide tensors for the sums: what its padding of zeros spoils is cut off the few phases."""
    first, *body, last = net.blocks()
    pads = [first.pad, *[each.wide.shape[2] // 2 for each in body], last.pad]
    y, early = x, ""
    for block, pad, slope in zip((first, *body), pads, net.slopes(), strict=False):
        y = graph.conv(y, numbers(block.weight()), numbers(block.bias), pad=pad)
        y = graph.add("LeakyRelu", y, alpha=slope)
        early = early or y
    y = graph.add("Add", y, early)
    y = graph.conv(y, numbers(last.weight()), numbers(last.bias), pad=pads[-1])
    if net.padding == "replicate":
        spoilt = len(body)
        y, x = _inside(graph, y, spoilt), _inside(graph, x, net.border)
    return graph.add("Add", y, x)


def _inside(graph: GraphBuilder, x: str, edge: int) -> str:
    """Without `edge` px a side."""
    return graph.add("Slice", x, graph.ints(edge, edge), graph.ints(-edge, -edge), graph.ints(2, 3))


EMITTERS: dict[type[LumaNet], Callable[[GraphBuilder, str, Any], str]] = {
    EsrMax: _emit_max,
    EsrTm: _emit_one_layer,
    EsrTr: _emit_one_layer,
    EsrCnn: _emit_cnn,
    Espcn: _emit_espcn,
    Fsrcnn: _emit_fsrcnn,
    Sesr: _emit_sesr,
}


def to_onnx(net: LumaNet) -> onnx.ModelProto:
    """The whole network, picture in, picture out."""
    emit = EMITTERS[type(net)]
    border = net.border if net.padding == "replicate" else 0
    return shuffled(net.scale, border, lambda graph, x: emit(graph, x, net))
