"""How a low-resolution picture is made from a high-resolution one, for training and measuring.

`bicubic`: the antialiased bicubic of MATLAB's `imresize` (Keys cubic, a = -0.5, stretched by the
scale, replicated borders, rows before columns, each result rounded), centred.
`bd`: Gaussian blur of sigma 1.5 on the high-resolution grid, then every r-th pixel from 0, rounded.
It shifts the grid by (r - 1)/2 pixels: for benchmarks only.
`bd-centred`: the same blur, sampled in the middle of each r x r square: what nets for real video,
which are trained on the centred grid, can be measured on.
"""

from collections.abc import Callable
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

ImageU8 = NDArray[np.uint8]  # (H, W) or (H, W, C), 0..255
Matrix = NDArray[np.float64]  # (out, in): one row of filter weights an output sample

BD_SIGMA = 1.5
BD_RADIUS = 6


def bd_taps(scale: int, grid: float = 0.0) -> tuple[Matrix, int]:
    """The blur's weights for one sample of an axis, and where they begin: so many HR pixels before
    the first of the `scale` that the sample stands for. `grid` is where it is taken: 0 at the first
    of them, 1 in their middle."""
    middle = grid * (scale - 1) / 2
    taps = np.arange(np.ceil(middle - BD_RADIUS), np.floor(middle + BD_RADIUS) + 1)
    weights = np.exp(-((taps - middle) ** 2) / (2 * BD_SIGMA**2))
    return weights / weights.sum(), -int(taps[0])


def cubic(x: Matrix) -> Matrix:
    """Keys cubic, a = -0.5, at x (any shape, unit sample distance)."""
    d = np.abs(x)
    near = (1.5 * d - 2.5) * d * d + 1
    far = ((-0.5 * d + 2.5) * d - 4) * d + 2
    return np.where(d <= 1, near, np.where(d <= 2, far, 0.0))


@cache
def shrink_matrix(size: int, out: int, scale: float) -> Matrix:
    """Antialiased bicubic along one axis: (out, size), `scale` = out/size of the whole picture."""
    width = 4 / scale
    centre = (np.arange(out) + 0.5) / scale - 0.5
    left = np.floor(centre - width / 2).astype(np.int64)
    taps = left[:, None] + np.arange(int(np.ceil(width)) + 2)
    weights = cubic((centre[:, None] - taps) * scale)
    weights /= weights.sum(axis=1, keepdims=True)
    matrix = np.zeros((out, size))
    np.add.at(matrix, (np.arange(out)[:, None], np.clip(taps, 0, size - 1)), weights)
    return matrix


def _apply(matrix: Matrix, image: NDArray[np.generic], axis: int) -> Matrix:
    moved = np.moveaxis(np.asarray(image, np.float64), axis, 0)
    return np.moveaxis(np.tensordot(matrix, moved, axes=(1, 0)), 0, axis)


def to_u8(image: NDArray[np.floating]) -> ImageU8:
    """Rounded half up and clipped to 0..255."""
    return np.asarray(np.floor(np.clip(image, 0, 255) + 0.5), np.uint8)


def shrink(image: ImageU8, scale: float) -> ImageU8:
    """`image` (H, W[, C]) made `scale` (< 1) times its size, as MATLAB's imresize does."""
    height, width = (int(np.ceil(side * scale - 1e-9)) for side in image.shape[:2])
    rows = to_u8(_apply(shrink_matrix(image.shape[0], height, scale), image, 0))
    return to_u8(_apply(shrink_matrix(image.shape[1], width, scale), rows, 1))


def bicubic(image: ImageU8, scale: int) -> ImageU8:
    """`image` (sides divisible by `scale`) shrunk by `scale`, antialiased and centred."""
    return shrink(image, 1 / scale)


@cache
def _bd_matrix(size: int, scale: int, grid: float) -> Matrix:
    weights, before = bd_taps(scale, grid)
    starts = np.arange(0, size, scale) - before
    taps = np.clip(starts[:, None] + np.arange(len(weights)), 0, size - 1)
    matrix = np.zeros((len(starts), size))
    np.add.at(matrix, (np.arange(len(starts))[:, None], taps), weights)
    return matrix


def bd(image: ImageU8, scale: int, grid: float = 0.0) -> ImageU8:
    """`image` blurred (sigma 1.5, edge replicate) and sampled once every `scale` pixels, see
    `bd_taps`."""
    rows = _apply(_bd_matrix(image.shape[0], scale, grid), image, 0)
    return to_u8(_apply(_bd_matrix(image.shape[1], scale, grid), rows, 1))


DEGRADATIONS: dict[str, Callable[[ImageU8, int], ImageU8]] = {
    "bicubic": bicubic,
    "bd": bd,
    "bd-centred": partial(bd, grid=1.0),
}
