"""The last step of a restoring model in strips: at the output's size its values would fill memory.

A strip is computed from its own rows and a halo above and below, which is as much as its pixels
depend on, so the strips joined equal the whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from vsrcli.frames import Picture
from vsrcli.runtime.cell_graphs import bicubic_frame, color_planes, frame_port, plane_ports
from vsrcli.runtime.colour import from_rgb, resolved
from vsrcli.runtime.onnx_wire import (
    FLOAT,
    INPUT,
    INT64,
    OUTPUT,
    Builder,
    field,
    graph_of,
    input_kinds,
    messages,
    model_of,
    port,
    with_graph,
    without_ports,
)

WHOLE = "whole_"
"""Before the name of an input that is cut to a strip's rows."""
TOP = "strip_top"
FRAME = "frame"


@dataclass(frozen=True, kw_only=True)
class Strip:
    """Rows `top` … `bottom` - 1 of a frame, computed from those `above` … `below` - 1."""

    top: int
    bottom: int
    above: int
    below: int


def strips_of(height: int, rows: int, halo: int) -> list[Strip]:
    """A picture's strips, as equal as can be, none of more than `rows` rows without its halo. All
    are computed from as many rows: an engine plans for one size."""
    count = -(-height // max(1, rows))
    ends = [height * i // count for i in range(count + 1)]
    size = min(height, max(b - a for a, b in pairwise(ends)) + 2 * halo)
    return [
        Strip(top=a, bottom=b, above=above, below=above + size)
        for a, b in pairwise(ends)
        for above in (min(max(0, a - halo), height - size),)
    ]


def cut_graph(
    part: bytes, strips: list[Strip], sides: Mapping[str, tuple[int, int, int, int]]
) -> bytes:
    """A graph of frames as one that takes whole frames of these `sides`; and, of more than one
    strip, the first row of what it is computed from (int64, one value)."""
    graph, size, names = graph_of(part), strips[0].below - strips[0].above, input_kinds(part)
    cuts = Builder()
    ports = b"".join(field(INPUT, port(WHOLE + name, FLOAT, sides[name])) for name in names)
    if len(strips) > 1:
        rows = cuts.node("Add", [TOP, np.arange(size)])
        ports += field(INPUT, port(TOP, INT64, (1,)))
    for name in names:
        if len(strips) > 1:
            cuts.node("Gather", [WHOLE + name, rows], name, axis=2)
        else:
            cuts.node("Identity", [WHOLE + name], name)
    ports += b"".join(field(n, p) for n, p in messages(graph) if n == OUTPUT)
    return with_graph(part, cuts.take() + without_ports(graph) + ports)


def encode_graph(
    picture: Picture, scale: int, strips: list[Strip], *, strength: float = 1.0
) -> bytes:
    """`strip_0` … (RGB with their halo) to `out_0` …, the planes of the large picture.

    Below a `strength` of 1 the graph takes the clean LR `frame` too and blends with its bicubic.
    """
    picture = resolved(picture)
    large = picture.scaled(scale)
    graph = Builder()
    inner = [_inside(graph, f"strip_{i}", s, scale) for i, s in enumerate(strips)]
    rgb = graph.node("Concat", inner, axis=2)
    ports = b""
    if strength < 1:
        large_frame = bicubic_frame(graph, FRAME, picture, scale)
        base = graph.node("Mul", [large_frame, np.float32(1 - strength)])
        rgb = graph.node("Add", [graph.node("Mul", [rgb, np.float32(strength)]), base])
        ports += frame_port(INPUT, picture, FRAME)
    from_rgb(graph, rgb, large, [f"out_{i}" for i in color_planes(picture)])
    for i, strip in enumerate(strips):
        shape = (1, 3, (strip.below - strip.above) * scale, large.width)
        ports += field(INPUT, port(f"strip_{i}", FLOAT, shape))
    return model_of(graph.take() + ports + plane_ports(OUTPUT, "out", large))


def _inside(graph: Builder, name: str, strip: Strip, scale: int) -> str:
    """A strip's picture without its halo."""
    top, bottom = strip.top - strip.above, strip.bottom - strip.above
    return graph.slice(name, [top * scale], [bottom * scale], [2])
