"""BT.601 studio luma of RGB, the scale of every PSNR-Y here (MATLAB's rgb2ycbcr)."""

import numpy as np
from numpy.typing import NDArray

from vsrcli.frames import RgbU8

Luma = NDArray[np.float32]  # (H, W), studio code values 16..235

WEIGHTS = np.array([65.481, 128.553, 24.966]) / 255


def luma(image: RgbU8) -> Luma:
    """Y of an RGB picture, 16..235, not rounded; a 2-D picture is taken as grey RGB."""
    rgb = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    return (rgb.astype(np.float64) @ WEIGHTS + 16).astype(np.float32)
