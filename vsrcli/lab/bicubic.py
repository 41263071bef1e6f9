"""Keys bicubic upscaling, a = -0.5, as one polyphase convolution and depth-to-space.

Output pixel i of one axis lies at (i + 0.5)/r - 0.5 in the source ("centre-aligned"): phase s of r
always falls at the same offset from its source pixel, so each phase is one fixed filter (edge-SR
paper, §3: filter, then shuffle). Edges are replicated.
"""

import numpy as np
import onnx
from numpy.typing import NDArray

from vsrcli.lab.degrade import cubic
from vsrcli.lab.graph import shuffled

BORDER = 2


def phase_filters(scale: int, *, from_zero: bool = False) -> NDArray[np.float64]:
    """(r, 5): the filter of each phase of one axis on source pixels -2..2.

    `from_zero` puts source pixel i at output pixel r·i, the grid that `bd` samples.
    """
    taps = np.arange(-BORDER, BORDER + 1)
    offsets = np.arange(scale) / scale if from_zero else (np.arange(scale) + 0.5) / scale - 0.5
    return cubic(taps[None] - offsets[:, None])


def bicubic_onnx(scale: int) -> onnx.ModelProto:
    """The graph of one scale."""
    axis = phase_filters(scale)
    weight = np.einsum("yi,xj->yxij", axis, axis).reshape(scale**2, 1, 5, 5).astype(np.float32)
    return shuffled(scale, BORDER, lambda graph, x: graph.conv(x, weight))


def upscale(
    plane: NDArray[np.floating], scale: int, *, from_zero: bool = False
) -> NDArray[np.float64]:
    """`plane` (H, W) enlarged in float64; the baseline of every gain."""
    for axis in (0, 1):
        moved = np.moveaxis(np.asarray(plane, np.float64), axis, 0)
        padded = np.pad(moved, ((BORDER, BORDER), (0, 0)), mode="edge")
        rows = [
            sum(w * padded[i : i + len(moved)] for i, w in enumerate(phase))
            for phase in phase_filters(scale, from_zero=from_zero)
        ]
        plane = np.moveaxis(np.stack(rows, 1).reshape(-1, moved.shape[1]), 0, axis)
    return np.asarray(plane, np.float64)
