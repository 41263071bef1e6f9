"""PSNR and SSIM on luma, as super-resolution papers take them."""

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.floating]  # (H, W), code values on a scale of 255

SSIM_SIDE = 11
SSIM_SIGMA = 1.5
MOST_PSNR = 100.0
"""dB. One black frame, of no error at all, may not be all that a mean says."""


def psnr(reference: Plane, picture: Plane) -> float:
    """Peak signal-to-noise ratio, dB, peak 255; at most MOST_PSNR, which equal pictures have."""
    error = float(np.mean((reference.astype(np.float64) - picture.astype(np.float64)) ** 2))
    return min(MOST_PSNR, float(10 * np.log10(255**2 / max(error, 1e-10))))


def _window() -> NDArray[np.float64]:
    offsets = np.arange(SSIM_SIDE) - SSIM_SIDE // 2
    weights = np.exp(-(offsets**2) / (2 * SSIM_SIGMA**2))
    taps: NDArray[np.float64] = weights / weights.sum()
    return taps


def _blur(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussian means where the whole window fits: (H - 10, W - 10)."""
    for axis in (0, 1):
        length = plane.shape[axis] - SSIM_SIDE + 1
        plane = sum(
            weight * np.take(plane, range(i, i + length), axis)
            for i, weight in enumerate(_window())
        )
    return plane


def ssim(reference: Plane, picture: Plane) -> float:
    """Structural similarity (Wang et al. 2004): 11x11 Gaussian window, sigma 1.5, peak 255."""
    a, b = reference.astype(np.float64), picture.astype(np.float64)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_a, mean_b = _blur(a), _blur(b)
    var_a = _blur(a * a) - mean_a**2
    var_b = _blur(b * b) - mean_b**2
    covar = _blur(a * b) - mean_a * mean_b
    top = (2 * mean_a * mean_b + c1) * (2 * covar + c2)
    return float(np.mean(top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))))
