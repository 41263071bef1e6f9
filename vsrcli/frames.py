"""Frames as the decoder gave them: planes of code values, a timestamp, and what the values mean.

Nothing here knows FFmpeg or a model. A picture stays in its own planes (Y, U, V or G, B, R, with or
without alpha, 8 to 16 bit) from decoding to encoding; nothing passes through 8-bit RGB on the way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from fractions import Fraction
from math import prod
from threading import Lock
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[Any]  # uint8 or uint16, as the layout's bits say
"""(H, W), code values 0..2**bits - 1."""
RgbU8 = NDArray[np.uint8]
"""(H, W, 3), 0..255, R G B; for what is looked at or trained on: no frame passes through it."""

IDENTITY, BT709, UNSPECIFIED, BT601 = 0, 1, 2, 6
"""MatrixCoefficients of H.273; IDENTITY is that of RGB."""
_HD_LINES = 720


def assumed_matrix(height: int) -> int:
    """What untagged YUV of so many lines is taken for: BT.601, from 720 lines BT.709."""
    return BT709 if height >= _HD_LINES else BT601


class Role(Enum):
    """What a plane's values mean."""

    LUMA = "luma"
    CHROMA = "chroma"
    RGB = "rgb"
    ALPHA = "alpha"


class Siting(Enum):
    """Where a subsampled chroma sample lies on the luma grid (ITU-T H.273, ChromaLocType)."""

    LEFT = "left"
    """Beside the leftmost luma column, vertically between rows: MPEG-2, H.264 and later."""
    CENTER = "center"
    """Between columns and rows: JPEG, MPEG-1."""
    TOPLEFT = "topleft"
    """On the top left luma sample: BT.2020 4:2:0."""

    @property
    def left(self) -> bool:
        """Horizontally on the first luma column rather than between columns."""
        return self is not Siting.CENTER

    @property
    def top(self) -> bool:
        """Vertically on the first luma row rather than between rows."""
        return self is Siting.TOPLEFT


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the planes of one pixel format make a picture."""

    name: str
    """FFmpeg's name of the planar pixel format: yuv420p10le, gbrp, gray …"""
    bits: int
    """Significant bits a sample, 8 to 16; samples above 8 bits are 16-bit words."""
    roles: tuple[Role, ...]
    """One a plane, in FFmpeg's plane order."""
    chroma_w: int = 1
    """Luma columns a chroma sample."""
    chroma_h: int = 1
    """Luma rows a chroma sample."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of a sample in memory."""
        return np.dtype(np.uint8 if self.bits <= 8 else np.uint16)

    @property
    def peak(self) -> int:
        """The largest code value."""
        return (1 << self.bits) - 1

    def subsampling(self, plane: int) -> tuple[int, int]:
        """Luma rows and columns a sample of a plane."""
        return (self.chroma_h, self.chroma_w) if self.roles[plane] is Role.CHROMA else (1, 1)

    def size(self, plane: int, width: int, height: int) -> tuple[int, int]:
        """(height, width) of a plane of a width x height picture: halves are rounded up."""
        down, across = self.subsampling(plane)
        return -(-height // down), -(-width // across)

    def planes_of(self, role: Role) -> tuple[int, ...]:
        """The indices of the planes that have this role."""
        return tuple(i for i, r in enumerate(self.roles) if r is role)


@dataclass(frozen=True, kw_only=True)
class Color:
    """The tags that say which colour a code value is, as FFmpeg numbers them (H.273).

    UNSPECIFIED stays so: tags are carried, never invented.
    """

    matrix: int = UNSPECIFIED
    full_range: bool | None = None
    """None where the source does not say."""
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    siting: Siting = Siting.LEFT


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What all frames of a stream have in common."""

    layout: Layout
    color: Color
    width: int
    height: int

    @property
    def samples(self) -> int:
        """How many all planes have together."""
        return sum(prod(self.size(plane)) for plane in range(len(self.layout.roles)))

    def size(self, plane: int) -> tuple[int, int]:
        """(height, width) of a plane."""
        return self.layout.size(plane, self.width, self.height)

    def scaled(self, scale: int) -> Picture:
        """A picture `scale` times as large."""
        return replace(self, width=self.width * scale, height=self.height * scale)


class Arriving(Sequence[Plane]):
    """Planes that are still computed, or on their way from a device; whoever looks at them first
    waits.

    `collect` gives them, or raises what went wrong.
    """

    def __init__(self, collect: Callable[[], Sequence[Plane]]) -> None:
        self._collect = collect
        # Not a cached_property: in Python 3.11 all of a class share one lock, while what collects
        # one may wait for a thread that waits for another; later ones might collect it twice.
        self._lock = Lock()
        self._planes: Sequence[Plane] | None = None

    @property
    def landed(self) -> Sequence[Plane]:
        """What `collect` gave, once it is there."""
        with self._lock:
            if self._planes is None:
                self._planes = self._collect()
            return self._planes

    @overload
    def __getitem__(self, index: int) -> Plane: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Plane]: ...
    def __getitem__(self, index: int | slice) -> Plane | Sequence[Plane]:
        return self.landed[index]

    def __len__(self) -> int:
        return len(self.landed)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One picture and when it is shown."""

    planes: Sequence[Plane]
    layout: Layout
    width: int
    height: int
    pts: int
    """Presentation time in units of time_base."""
    time_base: Fraction
    duration: int = 0
    """In units of time_base; 0 where the source does not say."""
    index: int = 0
    """0, 1, 2 … in presentation order, within this run."""
    shown: int = 1
    """How often in a row, `duration` apart; more than once only where a constant rate is made."""
    origin: object = None
    """The decoder's own frame where more than a picture hangs on it: captions, a colour profile."""

    @property
    def time_s(self) -> float:
        """Presentation time in seconds."""
        return float(self.pts * self.time_base)

    def digest(self) -> str:
        """A checksum of the planes' values: equal for equal pictures, 32 hexadecimal digits."""
        digest = hashlib.sha256()
        for plane in self.planes:
            digest.update(np.ascontiguousarray(plane).data)
        return digest.hexdigest()[:32]

    def scaled(self, planes: Sequence[Plane], scale: int) -> Frame:
        """The same instant with these planes, `scale` times as large."""
        return replace(self, planes=planes, width=self.width * scale, height=self.height * scale)


def frame_of(planes: Sequence[Plane], layout: Layout, index: int = 0) -> Frame:
    """These planes as a frame of a stream of 25 a second, for pictures that no file holds."""
    height, width = planes[0].shape
    return Frame(
        planes=planes,
        layout=layout,
        width=width,
        height=height,
        pts=index,
        time_base=Fraction(1, 25),
        index=index,
    )


def landed(frames: Sequence[Frame]) -> Sequence[Frame]:
    """The frames, once their planes have arrived."""
    for frame in frames:
        len(frame.planes)
    return frames
