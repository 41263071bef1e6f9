"""Pictures side by side, named: a grid with pieces enlarged, and one picture in strips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsrcli.dot_font import lettering
from vsrcli.frames import Frame, Plane, RgbU8, Role

_GAP, _BAR = 6, 28
_PAPER, _INK, _MARK = 245, 20, (255, 60, 40)
_BLOCK = 8
"""Source px of the squares that detail is looked for in."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of the picture that is enlarged, source px."""

    left: int
    top: int
    width: int
    height: int

    def scaled(self, scale: int) -> tuple[slice, slice]:
        """Rows and columns of a picture `scale` times as large."""
        return (
            slice(self.top * scale, (self.top + self.height) * scale),
            slice(self.left * scale, (self.left + self.width) * scale),
        )


def find_pieces(luma: Plane, width: int, height: int, count: int) -> list[Piece]:
    """The parts of this size with most detail that lie apart, the most detailed first."""
    plane = luma.astype(np.float32)
    change = np.abs(np.diff(plane, axis=0))[:, :-1] + np.abs(np.diff(plane, axis=1))[:-1]
    # Letters and edges, not one edge of great contrast: large steps count no more than middling.
    change = np.minimum(change, change.mean() * 4 if change.size else 0)
    total = np.pad(change, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    rows = range(0, max(1, luma.shape[0] - height), _BLOCK)
    columns = range(0, max(1, luma.shape[1] - width), _BLOCK)
    found: list[Piece] = []
    places = [Piece(left=x, top=y, width=width, height=height) for y in rows for x in columns]
    scores = {place: _sum(total, place) for place in places}
    for place in sorted(places, key=lambda p: -scores[p]):
        if len(found) < count and not any(_near(place, other) for other in found):
            found.append(place)
    return found


def _sum(total: NDArray[np.float32], piece: Piece) -> float:
    y, x = total.shape
    top, left = min(piece.top, y - 1), min(piece.left, x - 1)
    bottom, right = min(top + piece.height, y - 1), min(left + piece.width, x - 1)
    return float(total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left])


def _near(one: Piece, other: Piece) -> bool:
    """They overlap, or would show much the same thing."""
    apart_x, apart_y = abs(one.left - other.left), abs(one.top - other.top)
    return apart_x < 2 * one.width and apart_y < 2 * one.height


def grid(
    pictures: Mapping[str, RgbU8],
    small: Mapping[str, RgbU8],
    pieces: Sequence[Piece],
    *,
    scale: int,
    zoom: int,
) -> RgbU8:
    """A column for each picture: its name, the whole of it (`small`), its pieces `zoom` times."""
    columns = [
        _column(name, picture, small[name], pieces, scale, zoom)
        for name, picture in pictures.items()
    ]
    gap = np.full((columns[0].shape[0], _GAP, 3), _PAPER, np.uint8)
    spaced = [part for column in columns for part in (column, gap)]
    return np.concatenate(spaced[:-1], axis=1)


def _column(
    name: str, picture: RgbU8, small: RgbU8, pieces: Sequence[Piece], scale: int, zoom: int
) -> RgbU8:
    wide = pieces[0].width * scale * zoom
    bar = np.full((_BAR, wide, 3), _PAPER, np.uint8)
    _write(bar, name)
    parts = [bar, _marked(small, pieces, small.shape[1] / (picture.shape[1] / scale))]
    gap = np.full((_GAP, wide, 3), _PAPER, np.uint8)
    for piece in pieces:
        part = picture[piece.scaled(scale)]
        parts += [gap, part.repeat(zoom, axis=0).repeat(zoom, axis=1)]
    return np.concatenate(parts)


def _write(bar: RgbU8, text: str) -> None:
    dots = lettering(text)[:, : max(0, bar.shape[1] - 4)]
    bar[6 : 6 + dots.shape[0], 4 : 4 + dots.shape[1]][dots] = _INK


def _marked(small: RgbU8, pieces: Sequence[Piece], factor: float) -> RgbU8:
    """The small picture with frames around the pieces."""
    image = small.copy()
    for piece in pieces:
        top, left = round(piece.top * factor), round(piece.left * factor)
        bottom = min(round((piece.top + piece.height) * factor), image.shape[0] - 1)
        right = min(round((piece.left + piece.width) * factor), image.shape[1] - 1)
        image[top : bottom + 1, [left, right]] = _MARK
        image[[top, bottom], left : right + 1] = _MARK
    return image


def strips(frames: Mapping[str, Frame]) -> Frame:
    """One frame: each method's part of the picture from left to right, divided and named."""
    parts = list(frames.values())
    first = parts[0]
    layout, step = first.layout, first.layout.chroma_w
    edges = [round(i * first.width / len(parts) / step) * step for i in range(len(parts) + 1)]
    edges[-1] = first.width
    planes = []
    for index in range(len(layout.roles)):
        _, across = layout.subsampling(index)
        cut = [-(-edge // across) for edge in edges]
        spans = zip(parts, cut, cut[1:], strict=False)
        planes.append(np.concatenate([f.planes[index][:, a:b] for f, a, b in spans], axis=1))
    made = first.scaled(planes, 1)
    for edge in edges[1:-1]:
        _paint(made, np.s_[:, edge - 1 : edge + 1], light=True)
    for name, edge in zip(frames, edges, strict=False):
        _caption(made, name, edge)
    return made


def _caption(frame: Frame, name: str, left: int) -> None:
    """The name on a dark field at the top of a strip."""
    size = max(1, frame.height // 360)
    dots = np.pad(lettering(name, size), 2 * size)
    top, left = 4 * size, left + 4 * size
    high = max(0, min(dots.shape[0], frame.height - top))
    wide = max(0, min(dots.shape[1], frame.width - left))
    _paint(frame, np.s_[top : top + high, left : left + wide], light=False)
    rows, columns = np.nonzero(dots[:high, :wide])
    _paint(frame, (rows + top, columns + left), light=True)


def _paint(frame: Frame, where: Any, *, light: bool) -> None:  # noqa: ANN401  # what numpy takes
    """Sets luma or R, G, B to near white or near black; chroma under a dark field to grey."""
    layout = frame.layout
    for plane, role in zip(frame.planes, layout.roles, strict=True):
        if role in (Role.LUMA, Role.RGB):
            plane[where] = layout.peak * (235 if light else 16) // 255
        elif role is Role.CHROMA and isinstance(where, tuple) and isinstance(where[1], slice):
            rows, columns = where
            by = layout.chroma_h, layout.chroma_w
            plane[_over(rows, by[0]), _over(columns, by[1])] = 1 << (layout.bits - 1)


def _over(span: slice, by: int) -> slice:
    """The chroma samples under a span of luma."""
    start = None if span.start is None else span.start // by
    return slice(start, None if span.stop is None else -(-span.stop // by))
