"""The way a player turns the picture: read, carried to the larger picture, or applied to it."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import atan2, degrees

import numpy as np

from vsrcli.frames import Frame, Layout, Plane

_MATRIX = struct.Struct("9i")
_TILT = 1.0
"""Degrees off a right angle from which a turn is not one of whole pixels."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A display matrix, as FFmpeg and mp4 write it: 3x3 in rows, 16.16 (last column 2.30)."""

    matrix: tuple[int, ...]

    @property
    def degrees(self) -> int:
        """Counter-clockwise, -180..180, of the picture as shown."""
        a, b = self.matrix[:2]
        return round(-degrees(atan2(b, a)))

    def moved(self, across: float, down: float) -> tuple[int, ...]:
        """The matrix for a picture that is so many times as wide and high."""
        x, y = self.matrix[6:8]
        return (*self.matrix[:6], round(x * across), round(y * down), self.matrix[8])

    @property
    def quarters(self) -> int | None:
        """Quarter turns clockwise after mirroring, 0..3; None for any other angle."""
        angle = -self.degrees + (180 if self.is_mirrored else 0)
        return None if abs((angle + 45) % 90 - 45) > _TILT else round(angle / 90) % 4

    @property
    def is_mirrored(self) -> bool:
        """Left and right change places before the turn."""
        a, b, _, c, d = self.matrix[:5]
        return a * d - b * c < 0

    def apply(self, frame: Frame) -> Frame:
        """The frame as it is shown. `quarters` must not be None.

        Subsampled chroma moves with its luma; a siting on the left column goes on being called so.
        """
        planes = tuple(self._plane(plane) for plane in frame.planes)
        width, height = self.shape(frame.width, frame.height)
        layout = self.layout(frame.layout)
        return replace(frame, planes=planes, layout=layout, width=width, height=height)

    def layout(self, layout: Layout) -> Layout:
        """What the layout becomes: 4:2:2 on its side is 4:4:0."""
        if not self.swaps or layout.chroma_w == layout.chroma_h:
            return layout
        old, new = ("422", "440") if "422" in layout.name else ("440", "422")
        return replace(
            layout,
            name=layout.name.replace(old, new),
            chroma_w=layout.chroma_h,
            chroma_h=layout.chroma_w,
        )

    def shape(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of a picture as it is shown."""
        return (height, width) if self.swaps else (width, height)

    @property
    def swaps(self) -> bool:
        """Width and height change places."""
        return bool((self.quarters or 0) % 2)

    def _plane(self, plane: Plane) -> Plane:
        mirrored = plane[:, ::-1] if self.is_mirrored else plane
        return np.ascontiguousarray(np.rot90(mirrored, -(self.quarters or 0)))


def read_turn(attached: Mapping[str, bytes]) -> Turn | None:
    """What is attached to a frame says; None if that is nothing, no turn at all, or no picture."""
    found = attached.get("DISPLAYMATRIX")
    if found is None:
        return None
    turn = Turn(matrix=_MATRIX.unpack_from(found))
    a, b, _, c, d = turn.matrix[:5]
    is_plain = b == c == 0 and a == d > 0
    return None if a * d == b * c or is_plain else turn
