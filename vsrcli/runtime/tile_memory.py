"""How much memory a frame or recurrent model takes on pictures of one size, whole or in tiles."""

from __future__ import annotations

from dataclasses import dataclass

from vsrcli.frames import Picture, Role
from vsrcli.models import Graph, Model, Temporal

_FLOAT = 4
_CODES = 3
"""Large planes of code values alive at once while one is made: codes, shuffled, result."""
_BICUBIC_FLOATS = 2
"""Large planes of floats alive at once while one is enlarged by bicubic."""
_ENCODING = 4
"""Large RGB frames alive at once while one is turned into planes."""
_SLACK = 1.6
"""What an engine took of memory against what its values need, at most, when it was measured."""
_ENGINES = 64 << 20
"""Of the engines themselves."""


@dataclass(frozen=True, kw_only=True)
class TileMemory:
    """Bytes that a frame or recurrent model takes on pictures of one size."""

    whole: int
    """With whole pictures."""
    fixed: int
    """With tiles, besides what follows."""
    pixel: int
    """Each px of a tile's window."""
    row: int
    """What waits to be written back, for a row of tiles as high as the picture."""

    def tiled(self, pixels: int, row: float) -> int:
        """With windows of so many px in rows of this share of the picture's height."""
        return self.fixed + pixels * self.pixel + int(row * self.row)


def tile_memory(model: Model, graph: Graph, picture: Picture) -> TileMemory:
    """Predicted from the graph's entry on the card and the picture's size."""
    if model.temporal is Temporal.RECURRENT:
        return _of_cell(model, graph, picture)
    return _of_frames(graph, picture)


def _of_frames(graph: Graph, picture: Picture) -> TileMemory:
    """Predicted for a single-frame luma model from its card and the picture's size."""
    scale, pixels, samples = graph.scale, picture.width * picture.height, picture.samples
    size = picture.layout.dtype.itemsize
    through_net = 3 if Role.RGB in picture.layout.roles else 1
    net = graph.work + _FLOAT + _CODES * scale**2 * size
    enlarging = _FLOAT * (2 + scale) + (_BICUBIC_FLOATS * _FLOAT + _CODES * size) * scale**2
    others = samples / pixels - through_net
    pixel = round(_SLACK * (net + others * enlarging))  # planes go through the net in turn
    planes = samples * size * scale**2
    return TileMemory(
        whole=pixels * pixel + planes + _ENGINES, fixed=planes + _ENGINES, pixel=pixel, row=0
    )


def _of_cell(model: Model, graph: Graph, picture: Picture) -> TileMemory:
    """Predicted for a recurrent model."""
    scale, pixels = graph.scale, picture.width * picture.height
    state = sum(_FLOAT * s.channels * s.scale**2 for s in model.states_of(scale))
    frames = 3 * _FLOAT * (1 + sum(model.window))
    large = 3 * _FLOAT * scale**2
    planes = picture.samples * picture.layout.dtype.itemsize * scale**2
    inside = round(_SLACK * (graph.work + frames + _ENCODING * large))
    outside = planes + _ENGINES
    return TileMemory(
        whole=pixels * (inside + frames + 2 * state) + outside,
        fixed=pixels * (frames + state) + outside,
        pixel=inside + frames + 2 * state,
        row=2 * pixels * state,
    )
