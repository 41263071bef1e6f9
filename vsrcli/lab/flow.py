"""Dense optical flow by polynomial expansion (Farnebäck 2003), for measuring motion.

Each neighbourhood is approximated by a quadratic; how its coefficients change between two frames
gives the displacement, averaged over a window and refined from coarse to fine. The settings are
those behind the published tOF figures.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

LEVELS, ITERATIONS = 4, 3
WINDOW = 15
REACH, SIGMA = 5, 1.2
"""Of the neighbourhood, px."""
HOLD = 0.3
"""What holds the displacement where it was: wins only where there is nothing to see."""
_LEAST_SIDE = 32


def flow(before: NDArray[np.floating], after: NDArray[np.floating]) -> NDArray[np.float32]:
    """(H, W, 2): where each pixel of `before` is in `after`, x then y, px. Planes are (H, W)."""
    pair = [torch.from_numpy(np.array(p, np.float32))[None, None] for p in (before, after)]
    moved = torch.zeros(1, 2, 1, 1)
    for level in reversed(range(LEVELS)):
        height, width = (max(1, side >> level) for side in before.shape)
        if level and min(height, width) < _LEAST_SIDE:
            continue
        scaled = [_scaled(plane, (height, width)) for plane in pair]
        ratio = torch.tensor([width / moved.shape[3], height / moved.shape[2]]).view(1, 2, 1, 1)
        moved = ratio * functional.interpolate(moved, (height, width), mode="bilinear")
        first, second = (expansion(plane) for plane in scaled)
        for _ in range(ITERATIONS):
            moved = _refined(first, second, moved)
    return np.ascontiguousarray(moved[0].permute(1, 2, 0).numpy())


def expansion(plane: Tensor) -> Tensor:
    """(1, 1, H, W) to the coefficients of x, y, x², y², xy around each pixel, (1, 5, H, W)."""
    powers, inverse = _basis()
    padded = functional.pad(plane, (REACH,) * 4, mode="replicate")
    rows = functional.conv2d(padded, powers.view(3, 1, -1, 1))
    both = functional.conv2d(rows, powers.repeat(3, 1).view(9, 1, 1, -1), groups=3)
    moments = both[:, [0, 1, 3, 2, 6, 4]]  # 3 i + j is y^i x^j
    return torch.einsum("ij,bjhw->bihw", inverse, moments)[:, 1:]


@cache
def _basis() -> tuple[Tensor, Tensor]:
    """Weighted powers 0, 1, 2 along an axis, (3, n); and what makes coefficients of moments."""
    axis = torch.arange(-REACH, REACH + 1, dtype=torch.float32)
    weight = torch.exp(-(axis**2) / (2 * SIGMA**2))
    weight = weight / weight.sum()
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    basis = torch.stack([torch.ones_like(x), x, y, x * x, y * y, x * y])
    gram = torch.einsum("iyx,jyx,y,x->ij", basis, basis, weight, weight)
    return torch.stack([weight, weight * axis, weight * axis**2]), torch.linalg.inv(gram)


def _scaled(plane: Tensor, size: tuple[int, int]) -> Tensor:
    return functional.interpolate(plane, size, mode="bilinear", antialias=True)


def _refined(first: Tensor, second: Tensor, moved: Tensor) -> Tensor:
    """The displacement that fits both expansions best, given that it is near `moved`."""
    there = _read(second, moved)
    xx, yy, xy = (0.5 * (first[:, i] + there[:, i]) for i in (2, 3, 4))
    xy = 0.5 * xy
    bx, by = (0.5 * (first[:, i] - there[:, i]) for i in (0, 1))
    bx, by = bx + xx * moved[:, 0] + xy * moved[:, 1], by + xy * moved[:, 0] + yy * moved[:, 1]
    parts = (
        xx * xx + xy * xy, yy * yy + xy * xy, xy * (xx + yy), xx * bx + xy * by, xy * bx + yy * by,
    )  # fmt: skip
    half = WINDOW // 2
    padded = functional.pad(torch.stack(parts, 1), (half,) * 4, mode="replicate")
    rows = functional.avg_pool2d(padded, (WINDOW, 1), 1)
    g11, g22, g12, hx, hy = functional.avg_pool2d(rows, (1, WINDOW), 1).unbind(1)
    g11, g22 = g11 + HOLD, g22 + HOLD
    hx, hy = hx + HOLD * moved[:, 0], hy + HOLD * moved[:, 1]
    whole = g11 * g22 - g12 * g12
    return torch.stack([g22 * hx - g12 * hy, g11 * hy - g12 * hx], 1) / whole[:, None]


def _read(planes: Tensor, moved: Tensor) -> Tensor:
    _, _, height, width = planes.shape
    x = torch.arange(width) + moved[:, 0]
    y = torch.arange(height)[:, None] + moved[:, 1]
    grid = torch.stack([2 * x / max(1, width - 1) - 1, 2 * y / max(1, height - 1) - 1], -1)
    return functional.grid_sample(planes, grid, padding_mode="border", align_corners=True)
