"""Graphs of code values: planes in, planes out, whatever the model computes in between.

A model file maps float to float. The conversion from and to code values is part of the same graph,
so an engine receives and returns planes only. Chroma gets a bicubic graph made for its own siting.
Both are made for one plane size, which lets the engine plan its memory once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vsrcli.frames import Plane, Siting
from vsrcli.runtime.code_values import kind_of, to_codes
from vsrcli.runtime.onnx_wire import (
    FLOAT,
    INPUT,
    NODE,
    OUTPUT,
    Builder,
    Node,
    field,
    fields,
    graph_of,
    model_of,
    nodes,
    port,
    single_ports,
    with_graph,
)
from vsrcli.runtime.resample import Shape, enlarge, reshape, settle

SOURCE, TARGET, PHASES = "planes_in", "planes_out", "phases_out"
_BLACK, _WHITE = np.float32(16 / 255), np.float32(235 / 255)
_REACH_OF_STUDIO = np.float32(219 / 255)
LAST = (0, 2, 3, 1)
"""Axes that bring channels to the end."""


def wrap_planes(
    model: bytes,
    scale: int,
    *,
    bits: int,
    shape: Shape,
    studio: bool = False,
    full_range: bool = False,
    shuffles: bool = True,
    blocked: bool = True,
) -> bytes:
    """A float model (one input, one output, (N, 1, H, W), code / 255) as a graph of code values.

    The new graph takes and gives planes of `bits` bits: uint8 up to 8, uint16 above. Rounded to
    nearest, clipped to what the bits hold. Above 8 bits a code value is divided by
    255 * 2**(bits - 8), so that studio white is the same number at every depth.

    A net trained on `studio` luma has never seen anything beyond, and gives anything for it: full
    range is brought to studio range and back; blacker than black and whiter than white go past it.

    Unless the graph `shuffles`, a net that ends in a shuffle gives PHASES, (N, H, W, r²), for
    `shuffle` to put in their places. `blocked` is for an engine whose convolutions leave channels
    in blocks: convolutions alone then add to them, and lay them side by side, at little cost.
    """
    graph = graph_of(model)
    source, target = single_ports(model)
    last = _shuffle_to(target, graph, scale)
    body = b"".join(
        field(number, payload)
        for number, payload in fields(graph)
        if number not in (INPUT, OUTPUT)
        and not (last and number == NODE and payload == last.payload)
    )
    ends = Builder()
    values = ends.node("Cast", [SOURCE], to=FLOAT)
    # What goes past the net is added to its r² phases, so there must be phases.
    levels = _Levels(bits=bits, studio=studio and last is not None, full_range=full_range)
    beyond = levels.enter(ends, values, source)
    head = ends.take()
    count, height, width = shape
    name, large = TARGET, (count, 1, height * scale, width * scale)
    if not last:
        levels.leave(ends, target, TARGET)
    elif shuffles:
        _shuffled(ends, _phases(ends, last.inputs[0], beyond, levels, scale, blocked), scale, shape)
    else:
        name, large = PHASES, (count, height, width, scale**2)
        _phases(ends, last.inputs[0], beyond, levels, scale, blocked, name)
    return with_graph(model, head + body + ends.take() + _ports(bits, shape, large, name))


def _shuffle_to(target: str, graph: bytes, scale: int) -> Node | None:
    """The shuffle that makes a graph's output; None if something else does, or reads it too."""
    every = list(nodes(graph))
    if any(target in node.inputs for node in every):
        return None
    return next(
        (
            node
            for node in every
            if target in node.outputs
            and (node.op, node.attributes.get("blocksize")) == ("DepthToSpace", scale)
        ),
        None,
    )


def shuffle(phases: Plane, large: Plane) -> None:
    """Puts phases (H, W, r · c) in their places in a large plane (rH, cW)."""
    height, width, count = phases.shape
    down, across = large.shape[0] // height, large.shape[1] // width
    lines = large.reshape(height, down, width * across)
    run = across * phases.itemsize
    if run in (2, 4, 8):  # one number to numpy
        lines.view(f"u{run}")[:] = phases.view(f"u{run}").transpose(0, 2, 1)
        return
    for phase in range(count):
        lines[:, phase // across, phase % across :: across] = phases[:, :, phase]


@dataclass(frozen=True, kw_only=True)
class _Levels:
    """Code values to what a net was trained on, and back."""

    bits: int
    studio: bool
    full_range: bool

    def enter(self, graph: Builder, codes: str, output: str) -> str:
        """Codes as the net's input; the name of what lies beyond studio range, or ""."""
        if self.studio and self.full_range:
            scaled = graph.node("Mul", [codes, _REACH_OF_STUDIO / self._peak])
            graph.node("Add", [scaled, _BLACK], output)
            return ""
        values = graph.node("Mul", [codes, 1 / self._unit], "" if self.studio else output)
        if not self.studio:
            return ""
        graph.node("Clip", [values, _BLACK, _WHITE], output)
        return graph.node("Sub", [values, output])

    def leave(self, graph: Builder, values: str, output: str = "", *, at_once: bool = True) -> str:
        """The net's output as codes."""
        gain = self._unit
        if self.studio and self.full_range:
            values = graph.node("Sub", [values, _BLACK])
            gain = self._peak / _REACH_OF_STUDIO
        return to_codes(graph, values, self.bits, gain=gain, output=output, at_once=at_once)

    @property
    def _unit(self) -> np.float32:
        return np.float32(255 << max(self.bits - 8, 0))

    @property
    def _peak(self) -> np.float32:
        return np.float32((1 << self.bits) - 1)


def bicubic_graph(
    scale: int,
    *,
    bits: int,
    shape: Shape,
    siting: Siting | None = None,
    sub: tuple[int, int] = (1, 1),
) -> bytes:
    """Bicubic in code values. Source of the kernel: `resample`.

    `sub` is the planes' (horizontal, vertical) subsampling and `siting` where their samples lie;
    the phases are shifted so that samples keep their place on the luma grid.
    """
    across = _shift(scale, sub[0], siting.left if siting else False)
    down = _shift(scale, sub[1], siting.top if siting else False)
    graph, factors = Builder(), (scale, scale)
    values = graph.node("Cast", [SOURCE], to=FLOAT)
    codes = to_codes(graph, enlarge(graph, values, shape, factors, (down, across)), bits)
    settle(graph, codes, shape, factors, TARGET)
    count, height, width = shape
    large = (count, 1, height * scale, width * scale)
    return model_of(graph.take() + _ports(bits, shape, large))


def _shift(scale: int, sub: int, cosited: bool) -> float:
    """How far co-sited samples lie from the centred grid, in input samples."""
    return (scale - 1) / (2 * scale) * (1 - 1 / sub) if cosited else 0.0


def _phases(
    graph: Builder,
    values: str,
    beyond: str,
    levels: _Levels,
    scale: int,
    blocked: bool,
    output: str = "",
) -> str:
    """A net's phases as codes, those of a pixel side by side: (N, H, W, r²)."""
    if not blocked:
        whole = graph.node("Add", [values, beyond]) if beyond else values
        codes = levels.leave(graph, whole, at_once=False)
        return graph.node("Transpose", [codes], output, perm=LAST)
    if beyond:
        ones = np.ones((scale**2, 1, 1, 1), np.float32)
        values = graph.node("Add", [values, graph.node("Conv", [beyond, ones])])
    return levels.leave(graph, graph.node("Transpose", [values], perm=LAST), output)


def _shuffled(graph: Builder, codes: str, scale: int, shape: Shape) -> None:
    """Phases to the large plane in one transpose of r bytes each: bytes, not floats, move."""
    count, height, width = shape
    pixels = reshape(graph, codes, (count * height, width, scale, scale))
    lines = graph.node("Transpose", [pixels], perm=(0, 2, 1, 3))
    reshape(graph, lines, (count, 1, height * scale, width * scale), TARGET)


def _ports(bits: int, shape: Shape, large: tuple[int, ...], name: str = TARGET) -> bytes:
    count, height, width = shape
    source = port(SOURCE, kind_of(bits), (count, 1, height, width))
    return field(INPUT, source) + field(OUTPUT, port(name, kind_of(bits), large))
