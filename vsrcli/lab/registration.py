"""How far one picture lies off another: whole pixels by phase, the rest by least squares."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.floating]  # (H, W)
_ITERATIONS = 4


def shift(reference: Plane, picture: Plane) -> tuple[float, float]:
    """Down and right, px, that `picture` lies off `reference`; both (H, W) of one scene.

    Blur and contrast do not matter, as they have no side. Good to about 0.01 px.
    """
    first, second = (np.asarray(p, np.float64) - np.mean(p) for p in (reference, picture))
    window = np.outer(*(np.hanning(side + 2)[1:-1] for side in first.shape))
    down, right = (float(v) for v in _whole(first * window, second * window))
    frequencies = [np.fft.fftfreq(side) for side in first.shape]
    spectrum = np.fft.fft2(second)
    for _ in range(_ITERATIONS):
        turn = down * frequencies[0][:, None] + right * frequencies[1]
        back = np.fft.ifft2(spectrum * np.exp(2j * np.pi * turn)).real
        more = _least_squares(first, back, window)
        down, right = down + more[0], right + more[1]
    return down, right


def _whole(first: NDArray[np.float64], second: NDArray[np.float64]) -> tuple[int, int]:
    cross = np.fft.fft2(second) * np.conj(np.fft.fft2(first))
    peak = np.fft.ifft2(cross / (np.abs(cross) + 1e-9)).real.argmax()
    at = np.unravel_index(peak, first.shape)
    down, right = (int(i) - (n if i > n // 2 else 0) for i, n in zip(at, first.shape, strict=True))
    return down, right


def _least_squares(
    first: NDArray[np.float64], second: NDArray[np.float64], window: NDArray[np.float64]
) -> tuple[float, float]:
    """The small shift that explains the difference, of equal contrast."""
    gain = (window * first * second).sum() / max(1e-9, (window * second * second).sum())
    second = gain * second
    rows, columns = np.gradient((first + second) / 2)
    change = first - second
    matrix = np.array(
        [
            [(window * rows * rows).sum(), (window * rows * columns).sum()],
            [(window * rows * columns).sum(), (window * columns * columns).sum()],
        ]
    )
    wanted = np.array([(window * rows * change).sum(), (window * columns * change).sum()])
    down, right = np.linalg.lstsq(matrix, wanted, rcond=None)[0]
    return float(down), float(right)
