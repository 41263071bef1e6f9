"""Separable resampling as products with band matrices, in graphs of one fixed size.

Rows first, so that only the last product touches the full output, and no transpose is needed:
polyphase convolution and depth-to-space cost twice as much on a CPU. Keys' kernel (1981), a = -0.5;
edges repeat.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vsrcli.runtime.onnx_wire import Builder

Shape = tuple[int, int, int]
"""(planes, height, width) that go through a graph at once."""
_TAPS, REACH = 5, 2
"""Of the kernel at any phase, and how far it reaches to each side."""


def enlarge(
    graph: Builder, values: str, shape: Shape, factors: tuple[int, int], shifts: tuple[float, float]
) -> str:
    """Float planes (N, 1, H, W) enlarged by (down, across) whole factors: (N, rH, rW blocks).

    The result has shape (N, rH, blocks, r * block); `settle` puts it into (N, 1, rH, rW). Between
    the two stand the operations that are cheaper before a reshape and a crop.
    """
    count, height, width = shape
    down, across = _block(height), _block(width)
    (below, tall), (beside, wide) = _padded(height, down), _padded(width, across)
    pads = np.array([0, 0, REACH, REACH, 0, 0, below, beside], np.int64)
    padded = graph.node("Pad", [values, pads], mode="edge")
    size: tuple[int, ...] = (count, tall // down, down, wide)
    blocks = _overlapped(graph, reshape(graph, padded, size), axis=1)
    product = graph.node("MatMul", [_band(phases(factors[0], shifts[0]), down), blocks])
    stacked = reshape(graph, product, (count, (tall - down) * factors[0], wide))
    stacked = crop(graph, stacked, 1, (tall - down) * factors[0], height * factors[0])
    size = (count, height * factors[0], wide // across, across)
    blocks = _overlapped(graph, reshape(graph, stacked, size), axis=2)
    return graph.node("MatMul", [blocks, _band(phases(factors[1], shifts[1]), across).T])


def settle(
    graph: Builder, values: str, shape: Shape, factors: tuple[int, int], output: str = ""
) -> str:
    """The blocks that `enlarge` made as planes (N, 1, rH, rW)."""
    count, height, width = shape
    rows, columns = height * factors[0], width * factors[1]
    full = (_padded(width, _block(width))[1] - _block(width)) * factors[1]
    if full == columns:
        return reshape(graph, values, (count, 1, rows, columns), output)
    whole = reshape(graph, values, (count, 1, rows, full))
    return graph.slice(whole, [0], [columns], [3], output)


def phases(factor: int, shift: float = 0.0) -> NDArray[np.float64]:
    """(factor, 5) taps of Keys' cubic for each output phase over inputs i-2 … i+2; rows sum to 1.

    Output j lies at input coordinate (j + 0.5) / factor - 0.5 + shift.
    """
    position = (np.arange(factor) + 0.5) / factor - 0.5 + shift
    distance = np.abs(position[:, None] - np.arange(-REACH, REACH + 1))
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


def reshape(graph: Builder, values: str, shape: Sequence[int], output: str = "") -> str:
    """The same values in another shape."""
    return graph.node("Reshape", [values, np.array(shape, np.int64)], output)


def crop(graph: Builder, values: str, axis: int, length: int, wanted: int) -> str:
    """The first `wanted` of `length` lines along an axis."""
    return values if length == wanted else graph.slice(values, [0], [wanted], [axis])


def _block(length: int) -> int:
    """Lines to a block: a divisor spares a crop, about 16 suits the matrix product."""
    return next((b for b in (16, 20, 24, 15, 18, 30, 32, 12, 27) if length % b == 0), 16)


def _padded(length: int, block: int) -> tuple[int, int]:
    """(lines to add after the end, lines in all): whole blocks, one of them for the last's halo."""
    total = (-(-length // block) + 1) * block
    return total - length - REACH, total


def _band(taps: NDArray[np.float64], block: int) -> NDArray[np.float32]:
    """(factor * block, block + 4): the taps of each output line over a block and its halo."""
    factor = len(taps)
    band = np.zeros((factor * block, block + _TAPS - 1), np.float32)
    for line in range(block):
        band[line * factor : (line + 1) * factor, line : line + _TAPS] = taps
    return band


def _overlapped(graph: Builder, blocks: str, axis: int) -> str:
    """Each block with the first lines of the next one behind it; the last block is only halo."""
    whole = graph.slice(blocks, [0], [-1], [axis])
    halo = graph.slice(blocks, [1, 0], [1 << 31, _TAPS - 1], [axis, axis + 1])
    return graph.node("Concat", [whole, halo], axis=axis + 1)
