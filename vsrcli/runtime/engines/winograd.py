"""Wide 3x3 convolutions with half the multiplications, where those are what takes the time.

Winograd's minimal filtering down the rows, F(4, 3) (Lavin & Gray, "Fast Algorithms for
Convolutional Neural Networks", 2016, section 4, in one dimension): six sums are made of six rows,
each meets its own kernel of 1x3, and four rows of the result are sums of the six products. Between
such convolutions a picture stays in four parts; part r has the rows r, r + 4, r + 8 and so on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsrcli.runtime.cpu import has_avx2, has_avx512
from vsrcli.runtime.engines.openvino_import import ops, ov

Node = Any
"""An ov.Node, whose stub lacks methods."""
Tensor = Any
"""An ov.Output, as above."""
_ROWS = 4
_SUMS = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
"""Of the rows -1 to 4 of four: the article's B, transposed."""
_KERNELS = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
"""Of the three rows of a kernel: its G."""
_RESULTS = np.array(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
)
"""Of the products: its A, transposed."""
_WIDE = 64
"""Channels that a convolution must take and give: with 128 it takes two thirds of the time, with 64
nine tenths, with 48 all of it."""
_FEW = 4
"""Threads up to which memory keeps up with the sums. Measured with 2."""
_POINTWISE = {"Add": ops.add, "Multiply": ops.multiply, "Relu": ops.relu, "PRelu": ops.prelu}
_PLAIN = {"strides": [1, 1], "dilations": [1, 1], "pads_begin": [1, 1], "pads_end": [1, 1]}
_LAST, _FIRST = np.array([0, 2, 3, 1]), np.array([0, 3, 1, 2])
"""Axes that bring channels to the end, and back. Convolutions have them there: it costs nothing."""


def is_worth_it(threads: int) -> bool:
    """Whether this processor is slower at multiplying than at fetching what it multiplies."""
    return has_avx2() and not has_avx512() and threads <= _FEW


def thin_out(model: ov.Model) -> None:
    """Rewrites what it can of a float32 model whose sizes are fixed. Only rounding changes."""
    picture = _Parted()
    nodes = model.get_ordered_ops()
    for node in nodes:
        if _is_meant(node):
            picture.convolve(node)
        elif node.get_type_name() in _POINTWISE:
            picture.carry_on(node)
    for node in nodes:
        picture.put_back(node)
    model.validate_nodes_and_infer_types()


class _Parted:
    """The tensors of a graph that are there in four parts, each (1, C, ceil(H / 4), W)."""

    def __init__(self) -> None:
        self._rows: dict[str, list[Tensor]] = {}
        """By the name of the node that gave the whole."""

    def convolve(self, node: Node) -> None:
        source, kernel = (port.get_source_output() for port in node.inputs())
        rows = self._rows.get(source.get_node().get_name()) or _cut(source)
        sums = _sums(rows, source.get_shape()[2])
        self._rows[node.get_name()] = _convolved(sums, kernel.get_node().get_data())

    def carry_on(self, node: Node) -> None:
        """Does the same to every part if whatever else the node takes is alike in all rows."""
        taken = [port.get_source_output() for port in node.inputs()]
        rows = [self._rows.get(source.get_node().get_name()) for source in taken]
        heights = {s.get_shape()[2] for r, s in zip(rows, taken, strict=True) if r}
        is_level = all(r or _is_level(s) for r, s in zip(rows, taken, strict=True))
        if len(heights) == 1 and is_level:
            make = _POINTWISE[node.get_type_name()]
            parts = zip(*(r or [s] * _ROWS for r, s in zip(rows, taken, strict=True)), strict=True)
            self._rows[node.get_name()] = [make(*each).output(0) for each in parts]

    def put_back(self, node: Node) -> None:
        """Gives what the node gave, whole, to those that need it so."""
        rows = self._rows.get(node.get_name())
        if not rows:
            return
        made = node.output(0)
        readers = [port for port in made.get_target_inputs() if self._needs_whole(port.get_node())]
        if readers:
            whole, names = _joined(rows, made.get_shape()[2]), made.get_names()
            made.set_names(set())
            whole.set_names(names)
            for reader in readers:
                reader.replace_source_output(whole)

    def _needs_whole(self, reader: Node) -> bool:
        return reader.get_name() not in self._rows and reader.get_type_name() != "ShapeOf"


def _is_meant(node: Node) -> bool:
    if node.get_type_name() != "Convolution":
        return False
    source, kernel = (port.get_source_output() for port in node.inputs())
    if source.get_partial_shape().is_dynamic or kernel.get_node().get_type_name() != "Constant":
        return False
    given, (made, taken, *sides) = node.get_attributes(), kernel.get_shape()
    return (
        sides == [3, 3]
        and min(made, taken) >= _WIDE
        and kernel.get_element_type() == ov.Type.f32
        and source.get_shape()[0] == 1
        and all(given[key] == value for key, value in _PLAIN.items())
    )


def _is_level(source: Tensor) -> bool:
    """Whether it is alike in all rows and columns."""
    shape = source.get_partial_shape()
    return shape.is_static and all(side == 1 for side in source.get_shape()[-2:])


def _cut(source: Tensor) -> list[Tensor]:
    _, channels, height, width = source.get_shape()
    count = -(-height // _ROWS)
    turned = ops.transpose(source, _LAST)
    if height % _ROWS:
        turned = _moved(turned.output(0), 1, 0, count * _ROWS - height)
    rows = ops.reshape(turned, np.array([1, count, _ROWS * width, channels]), False)
    return list(ops.split(ops.transpose(rows, _FIRST), 3, _ROWS).outputs())


def _joined(rows: list[Tensor], height: int) -> Tensor:
    _, channels, count, width = rows[0].get_shape()
    turned = ops.transpose(ops.concat(rows, 3), _LAST)
    whole = ops.reshape(turned, np.array([1, count * _ROWS, width, channels]), False)
    if height % _ROWS:
        whole = _moved(whole.output(0), 1, 0, height - count * _ROWS)
    return ops.transpose(whole, _FIRST).output(0)


def _sums(rows: list[Tensor], height: int) -> list[Tensor]:
    """What the six kernels meet."""
    over = len(rows) - (height % _ROWS or _ROWS)
    rows = [*rows[: _ROWS - over], *(_without_last(row) for row in rows[_ROWS - over :])]
    above, below = _moved(rows[-1], 2, 1, -1), _moved(rows[0], 2, -1, 1)
    window = [above.output(0), *rows, below.output(0)]
    return [_weighed(factors, window) for factors in _SUMS]


def _convolved(sums: list[Tensor], weights: NDArray[np.float32]) -> list[Tensor]:
    kernels = np.einsum("ka,oiab->koib", _KERNELS, weights.astype(np.float64))[:, :, :, None]
    products = [
        ops.convolution(s, kernel.astype(np.float32), [1, 1], [0, 1], [0, 1], [1, 1]).output(0)
        for s, kernel in zip(sums, kernels, strict=True)
    ]
    return [_weighed(factors, products) for factors in _RESULTS]


def _without_last(row: Tensor) -> Tensor:
    """A part whose last row lies below the picture, with zeros there as a convolution pads."""
    mask = np.ones((1, 1, row.get_shape()[2], 1), np.float32)
    mask[:, :, -1] = 0
    return ops.multiply(row, mask).output(0)


def _weighed(factors: Sequence[int], tensors: list[Tensor]) -> Tensor:
    """The sum of tensors times whole factors."""
    terms = [
        t if f == 1 else ops.multiply(t, np.float32(f)).output(0)
        for f, t in zip(factors, tensors, strict=True)
        if f
    ]
    total = terms[0]
    for term in terms[1:]:
        total = ops.add(total, term).output(0)
    return total


def _moved(values: Tensor, axis: int, before: int, after: int) -> Node:
    """With so many more zeros at the ends of an axis, or fewer values."""
    begin, end = np.zeros((2, 4), np.int64)
    begin[axis], end[axis] = before, after
    return ops.pad(values, begin, end, "constant", np.float32(0))
