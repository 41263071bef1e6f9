"""A chain of FFmpeg's filters, as `-vf` has it."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import av

Filter = tuple[str, str]
"""Its name and its options."""
_TICK = Fraction(1, 25)
"""Of frames without a time base."""


def open_chain(
    width: int,
    height: int,
    pixels: av.VideoFormat,
    filters: Sequence[Filter],
    *,
    tick: Fraction | None = None,
    threads: int = 0,
) -> av.filter.Graph:
    """The filters as a graph for frames of one kind; `tick` is their time base. `threads` as FFmpeg
    has it, 0: as many as it likes."""
    graph = av.filter.Graph()
    graph.threads = threads
    source = graph.add_buffer(width=width, height=height, format=pixels, time_base=tick or _TICK)
    nodes = [graph.add(name, options) for name, options in filters]
    graph.link_nodes(source, *nodes, graph.add("buffersink")).configure()
    return graph
