"""Tiles: windows of one size over a picture that together give all of it.

A window is a core and what the core's pixels depend on: `halo` px to each side, less where the
picture ends. The cores joined are the picture. All windows have one size, as a graph is made for
one, and begin at multiples of `step`: chroma samples and the pooling of a flow net fall where they
do in the whole picture.
"""

from __future__ import annotations

from dataclasses import dataclass

from vsrcli.frames import Frame, Plane


@dataclass(frozen=True, kw_only=True)
class Span:
    """A window and its core along one axis, px of the picture."""

    start: int
    size: int
    """Of the window."""
    low: int
    high: int
    """The core is low … high - 1."""

    def window(self, sub: int = 1, scale: int = 1) -> slice:
        """Where the window lies in a plane subsampled by `sub`, or `scale` times as large."""
        return slice(self.start * scale // sub, -(-(self.start + self.size) * scale // sub))

    def core(self, sub: int = 1, scale: int = 1) -> slice:
        """Where the core lies in such a plane."""
        return slice(self.low * scale // sub, -(-self.high * scale // sub))

    def inside(self, sub: int = 1, scale: int = 1) -> slice:
        """Where the core lies in such a plane of the window alone."""
        core, start = self.core(sub, scale), self.start * scale // sub
        return slice(core.start - start, core.stop - start)


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A window and its core."""

    rows: Span
    columns: Span


def spans_of(length: int, tile: int, *, halo: int, step: int) -> list[Span]:
    """Windows along an axis, with cores of `tile` px at most; one window where two save nothing.

    Cores are at least as long as the halo, but the last.
    """
    least = max(-(-halo // step), 1)
    most = max(tile // step, least)
    count = -(-length // (most * step))
    core = max(-(-length // (count * step)), least) * step
    size = core + 2 * halo + step - 1
    size += (length - size) % step  # so that a window that ends with the picture begins at a step
    if tile >= length or size >= length:
        return [Span(start=0, size=length, low=0, high=length)]
    return [
        Span(
            start=min(max(0, (low - halo) // step * step), length - size),
            size=size,
            low=low,
            high=min(low + core, length),
        )
        for low in range(0, length, core)
    ]


def rows_of_tiles(
    width: int, height: int, tile: tuple[int, int], *, halo: int, step: int
) -> list[list[Tile]]:
    """A picture's tiles, (width, height) px at most, row by row."""
    columns = spans_of(width, tile[0], halo=halo, step=step)
    rows = spans_of(height, tile[1], halo=halo, step=step)
    return [[Tile(rows=row, columns=column) for column in columns] for row in rows]


def cut(frame: Frame, tile: Tile) -> Frame:
    """The window of a tile as a frame; its planes are views."""
    planes = []
    for index, plane in enumerate(frame.planes):
        down, across = frame.layout.subsampling(index)
        planes.append(plane[tile.rows.window(down), tile.columns.window(across)])
    return Frame(
        planes=tuple(planes),
        layout=frame.layout,
        width=tile.columns.size,
        height=tile.rows.size,
        pts=frame.pts,
        time_base=frame.time_base,
    )


def paste(made: Plane, whole: Plane, tile: Tile, *, sub: tuple[int, int], scale: int) -> None:
    """Writes the core of a window's plane to its place in the whole one."""
    down, across = sub
    core = tile.rows.core(down, scale), tile.columns.core(across, scale)
    whole[core] = made[tile.rows.inside(down, scale), tile.columns.inside(across, scale)]
