"""Pictures that a change of precision is judged on: made here, or those of a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vsrcli.errors import InputError
from vsrcli.frames import Frame, frame_of
from vsrcli.media.images import read_rgb
from vsrcli.media.pixels import layout_of

Luma = NDArray[np.uint8]
"""(H, W), studio codes."""
FRAMES = 5
"""Of the clip that each picture becomes."""
_MOVE = 2
"""HR px from frame to frame, across."""
_SMALLEST, _LARGEST = 32, 480
_WEIGHTS = np.array([65.481, 128.553, 24.966]) / 255
"""BT.601, as in MATLAB's rgb2ycbcr."""


def made_pictures(count: int = 3, side: int = 288) -> list[Luma]:
    """Edges and curves at many angles over soft noise."""
    y, x = np.mgrid[0:side, 0:side] / side
    found = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        turn, bend = rng.uniform(0.3, 0.9), rng.uniform(1.1, 1.5)
        rings = np.tanh(6 * np.sin(55 * np.hypot(x - 0.4, y - turn / 2) ** bend))
        bars = np.tanh(5 * np.sin(40 * (x + turn * y)))
        grain = shrunk(rng.normal(0, 0.4, (side * 2, side * 2)), 2)
        picture = 0.5 + 0.35 * np.where(x + y < 1.1, rings, bars) + 0.1 * grain
        found.append((16 + 219 * picture.clip(0, 1)).round().astype(np.uint8))
    return found


def read_pictures(folder: Path) -> list[Luma]:
    """The luma of every picture in a folder, its middle where it is large.

    Raises InputError if there is none, or one is too small.
    """
    paths = sorted(p for p in folder.glob("*") if p.suffix.lower() in (".png", ".bmp", ".jpg"))
    if not paths:
        raise InputError(f"{folder} holds no .png, .bmp or .jpg pictures")
    return [_middle(_luma(path)) for path in paths]


def _luma(path: Path) -> Luma:
    rgb = read_rgb(path)
    if min(rgb.shape[:2]) < _SMALLEST:
        raise InputError(f"{path} is smaller than {_SMALLEST}x{_SMALLEST}; give larger pictures")
    return np.asarray((rgb @ _WEIGHTS + 16).round(), np.uint8)


def clip_of(picture: Luma, scale: int) -> Iterator[tuple[Luma, Frame]]:
    """(truth, LR frame) of a camera that moves across the picture."""
    layout = layout_of("gray")
    height = picture.shape[0] // scale * scale
    width = (picture.shape[1] - _MOVE * (FRAMES - 1)) // scale * scale
    for index in range(FRAMES):
        truth = picture[:height, _MOVE * index : _MOVE * index + width]
        small = shrunk(truth.astype(float), scale).round().clip(0, 255).astype(np.uint8)
        yield truth, frame_of((small,), layout, index)


def psnr(one: Luma, other: Luma, border: int) -> float:
    """Decibels of the middle, 8 bits."""
    inner = np.s_[border:-border, border:-border]
    error = np.square(one[inner].astype(float) - other[inner]).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-10)))


def shrunk(image: NDArray[np.float64], scale: int) -> NDArray[np.float64]:
    """Antialiased bicubic, a = -0.5, as the models are trained to undo; both sides must divide."""
    for axis in (0, 1):
        image = np.moveaxis(
            np.tensordot(_weights(image.shape[axis], scale), image, (1, axis)), 0, axis
        )
    return image


def _weights(length: int, scale: int) -> NDArray[np.float64]:
    """(length / scale, length), rows summing to 1."""
    at = (np.arange(length // scale) + 0.5) * scale - 0.5
    distance = np.abs(np.arange(length)[None] - at[:, None]) / scale
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    weights = np.where(distance <= 1, near, np.where(distance < 2, far, 0))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _middle(picture: Luma) -> Luma:
    top, left = (max(0, (side - _LARGEST) // 2) for side in picture.shape)
    return picture[top : top + _LARGEST, left : left + _LARGEST]
