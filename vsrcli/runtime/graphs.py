"""Graphs of code values: planes in, planes out, whatever the model computes in between.

A model file maps float to float. The conversion from and to code values is part of the same graph,
so an engine receives and returns planes only. Chroma gets a bicubic graph made for its own siting.
Both are made for one plane size, which lets the engine plan its memory once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vsrcli.frames import Siting
from vsrcli.runtime.wire import (
    FLOAT,
    GRAPH,
    INPUT,
    NODE,
    OUTPUT,
    UINT8,
    UINT16,
    Builder,
    field,
    fields,
    graph_of,
    model_of,
    nodes,
    port,
    single_ports,
)

Shape = tuple[int, int, int]
"""(planes, height, width) that go through a graph at once."""
SOURCE, TARGET = "planes_in", "planes_out"
_TAPS, _REACH = 5, 2


def wrap_planes(model: bytes, scale: int, *, bits: int, shape: Shape) -> bytes:
    """A float model (one input, one output, (N, 1, H, W), code / 255) as a graph of code values.

    The new graph takes and gives planes of `bits` bits: uint8 up to 8, uint16 above. Rounded to
    nearest, clipped to what the bits hold. Above 8 bits a code value is divided by
    255 * 2**(bits - 8), so that studio white is the same number at every depth.
    """
    graph = graph_of(model)
    source, target = single_ports(model)
    last = list(nodes(graph))[-1]
    shuffled = last.op == "DepthToSpace" and last.ints.get("blocksize") == scale
    body = b"".join(
        field(number, payload)
        for number, payload in fields(graph)
        if number not in (INPUT, OUTPUT)
        and not (shuffled and number == NODE and payload == last.payload)
    )
    ends = Builder()
    unit = np.float32(255 << max(bits - 8, 0))
    values = ends.node("Cast", [SOURCE], to=FLOAT)
    ends.node("Mul", [values, 1 / unit], source)
    head = ends.take()
    # Rounded before the shuffle, where there is one: it then moves bytes instead of floats.
    if shuffled:
        codes = _round(ends, last.inputs[0], bits, gain=unit)
        _shuffle(ends, codes, scale, shape, TARGET)
    else:
        _round(ends, target, bits, gain=unit, output=TARGET)
    joined = head + body + ends.take() + _ports(scale, bits, shape)
    rest = b"".join(field(n, p) for n, p in fields(model) if n != GRAPH)
    return rest + field(GRAPH, joined)


def bicubic_graph(
    scale: int,
    *,
    bits: int,
    shape: Shape,
    siting: Siting | None = None,
    sub: tuple[int, int] = (1, 1),
) -> bytes:
    """Bicubic in code values, as two products with the band matrix of the kernel's phases.

    `sub` is the planes' (horizontal, vertical) subsampling and `siting` where their samples lie;
    the phases are shifted so that samples keep their place on the luma grid. Keys' kernel (1981),
    a = -0.5; edges repeat. Rows first, so that only the last product and the rounding touch the
    output's size, and no transpose is needed: convolution and depth-to-space cost twice as much.
    """
    count, height, width = shape
    down, across = _block(height), _block(width)
    (below, tall), (beside, wide) = _padded(height, down), _padded(width, across)
    rows = phases(scale, _shift(scale, sub[1], siting.top if siting else False))
    columns = phases(scale, _shift(scale, sub[0], siting.left if siting else False))
    graph = Builder()
    pads = np.array([0, 0, _REACH, _REACH, 0, 0, below, beside], np.int64)
    values = graph.node("Cast", [SOURCE], to=FLOAT)
    padded = graph.node("Pad", [values, pads], mode="edge")
    size = (count, tall // down, down, wide)
    blocks = _overlapped(graph, _reshape(graph, padded, size), axis=1)
    product = graph.node("MatMul", [_band(rows, down), blocks])
    stacked = _reshape(graph, product, (count, (tall - down) * scale, wide))
    stacked = _crop(graph, stacked, 1, (tall - down) * scale, height * scale)
    size = (count, height * scale, wide // across, across)
    blocks = _overlapped(graph, _reshape(graph, stacked, size), axis=2)
    product = graph.node("MatMul", [blocks, _band(columns, across).T])
    codes = _round(graph, product, bits)
    full = (count, 1, height * scale, (wide - across) * scale)
    codes = _crop(graph, _reshape(graph, codes, full), 3, full[3], width * scale)
    graph.node("Identity", [codes], TARGET)
    return model_of(graph.take() + _ports(scale, bits, shape))


def phases(scale: int, shift: float = 0.0) -> NDArray[np.float64]:
    """(scale, 5) taps of Keys' cubic for each output phase over inputs i-2 … i+2; rows sum to 1.

    Output j lies at input coordinate (j + 0.5) / scale - 0.5 + shift.
    """
    position = (np.arange(scale) + 0.5) / scale - 0.5 + shift
    distance = np.abs(position[:, None] - np.arange(-_REACH, _REACH + 1))
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


def _shift(scale: int, sub: int, cosited: bool) -> float:
    """How far co-sited samples lie from the centred grid, in input samples."""
    return (scale - 1) / (2 * scale) * (1 - 1 / sub) if cosited else 0.0


def _block(length: int) -> int:
    """Lines to a block: a divisor spares a crop, about 16 suits the matrix product."""
    return next((b for b in (16, 20, 24, 15, 18, 30, 32, 12, 27) if length % b == 0), 16)


def _padded(length: int, block: int) -> tuple[int, int]:
    """(lines to add after the end, lines in all): whole blocks, one of them for the last's halo."""
    total = (-(-length // block) + 1) * block
    return total - length - _REACH, total


def _band(taps: NDArray[np.float64], block: int) -> NDArray[np.float32]:
    """(scale * block, block + 4): the taps of each output line over a block and its halo."""
    scale = len(taps)
    band = np.zeros((scale * block, block + _TAPS - 1), np.float32)
    for line in range(block):
        band[line * scale : (line + 1) * scale, line : line + _TAPS] = taps
    return band


def _overlapped(graph: Builder, blocks: str, axis: int) -> str:
    """Each block with the first lines of the next one behind it; the last block is only halo."""
    whole = _slice(graph, blocks, [0], [-1], [axis])
    halo = _slice(graph, blocks, [1, 0], [1 << 31, _TAPS - 1], [axis, axis + 1])
    return graph.node("Concat", [whole, halo], axis=axis + 1)


def _round(
    graph: Builder, values: str, bits: int, *, gain: np.float32 | None = None, output: str = ""
) -> str:
    """Float to code values: scaled, rounded, clipped."""
    gain = np.float32(1) if gain is None else gain
    if bits == 8:
        return graph.node("QuantizeLinear", [values, 1 / gain, np.uint8(0)], output)
    scaled = graph.node("Mul", [values, gain])
    clipped = graph.node("Clip", [scaled, np.float32(0), np.float32(2**bits - 1)])
    return graph.node("Cast", [graph.node("Round", [clipped])], output, to=_kind(bits))


def _shuffle(graph: Builder, codes: str, scale: int, shape: Shape, output: str) -> None:
    """Depth-to-space as two transposes of one axis each: half the time of the operator."""
    count, height, width = shape
    pixels = _reshape(graph, codes, (count * scale, scale, height * width))
    lines = graph.node("Transpose", [pixels], perm=(0, 2, 1))
    rows = _reshape(graph, lines, (count, scale, height, width * scale))
    rows = graph.node("Transpose", [rows], perm=(0, 2, 1, 3))
    _reshape(graph, rows, (count, 1, height * scale, width * scale), output)


def _reshape(graph: Builder, values: str, shape: Sequence[int], output: str = "") -> str:
    return graph.node("Reshape", [values, np.array(shape, np.int64)], output)


def _slice(graph: Builder, values: str, start: list[int], end: list[int], axes: list[int]) -> str:
    return graph.node("Slice", [values, *(np.array(v, np.int64) for v in (start, end, axes))])


def _crop(graph: Builder, values: str, axis: int, length: int, wanted: int) -> str:
    return values if length == wanted else _slice(graph, values, [0], [wanted], [axis])


def _kind(bits: int) -> int:
    return UINT8 if bits <= 8 else UINT16


def _ports(scale: int, bits: int, shape: Shape) -> bytes:
    count, height, width = shape
    source = port(SOURCE, _kind(bits), (count, 1, height, width))
    target = port(TARGET, _kind(bits), (count, 1, height * scale, width * scale))
    return field(INPUT, source) + field(OUTPUT, target)
