"""NIQE: how far a picture is from natural ones, without a reference (Mittal et al. 2013).

Statistics of locally normalised luma in blocks of 96 px, at full and half size, as a multivariate
Gaussian, against one fitted on sharp pictures. Figures differ by more than 1 between
implementations; this one follows the one behind most super-resolution papers (BT.601 luma rounded
to 8 bit, 7x7 Gaussian of sigma 7/6, antialiased bicubic half size). The parameters in the package
are fitted on our own sharp stills (T91, General100, BSDS500 train; `vsr-lab niqe`), so its figures
are on a scale of their own; `--niqe-params` takes published ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from math import gamma
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from vsrcli.errors import InputError
from vsrcli.lab.degrade import shrink_matrix
from vsrcli.lab.files import whole

Plane = NDArray[np.floating]
Values = NDArray[np.float64]

BLOCK = 96
SIDE, SIGMA = 7, 7 / 6
SHARP = 0.75
"""To fit, blocks count that are this sharp against the sharpest of their picture."""
SHIPPED = Path(__file__).parent / "niqe.npz"
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))
_SHAPES = np.arange(0.2, 10.001, 0.001)


@dataclass(frozen=True, kw_only=True)
class Natural:
    """A Gaussian of features of natural pictures."""

    mean: Values
    """(36,)."""
    cov: Values
    """(36, 36)."""


def read_natural(path: Path = SHIPPED) -> Natural:
    """Parameters in an .npz of `mu_pris_param` and `cov_pris_param`. Raises InputError."""
    try:
        with path.open("rb") as file, np.load(file) as saved:
            mean, cov = saved["mu_pris_param"].ravel(), saved["cov_pris_param"]
    except (OSError, EOFError, ValueError, TypeError, KeyError, BadZipFile) as exc:
        raise InputError(
            f"{path} holds no NIQE parameters: an .npz with mu_pris_param and cov_pris_param"
        ) from exc
    if mean.shape != (36,) or cov.shape != (36, 36):
        raise InputError(f"{path}: NIQE parameters are (36,) and (36, 36), not {mean.shape}")
    return Natural(mean=mean.astype(np.float64), cov=cov.astype(np.float64))


def write_natural(natural: Natural, path: Path) -> None:
    """Writes parameters as `read_natural` reads them. Raises OutputError."""
    with whole(path) as file:
        np.savez(file, mu_pris_param=natural.mean[None], cov_pris_param=natural.cov)


def niqe(luma: Plane, natural: Natural) -> float:
    """Lower is more natural; NaN of a picture too flat to have features. `luma` (H, W) in studio
    code values, at least 96 px a side."""
    features, _ = _features(luma)
    if np.isnan(features).all(axis=0).any():
        return float("nan")
    seen = features[~np.isnan(features).any(axis=1)]
    off = np.nanmean(features, axis=0) - natural.mean
    spread = np.cov(seen, rowvar=False) if len(seen) > 1 else natural.cov
    return float(np.sqrt(off @ np.linalg.pinv((spread + natural.cov) / 2) @ off))


def fit(lumas: Iterable[Plane]) -> Natural:
    """Parameters from the sharp blocks of sharp pictures."""
    rows = []
    for luma in lumas:
        if min(luma.shape) < BLOCK:
            continue
        features, sharpness = _features(luma)
        rows.append(features[sharpness >= SHARP * sharpness.max()])
    if not rows:
        raise InputError(f"NIQE is fitted on pictures of {BLOCK} px a side and more; there is none")
    whole = np.concatenate(rows)
    whole = whole[~np.isnan(whole).any(axis=1)]
    return Natural(mean=whole.mean(axis=0), cov=np.cov(whole, rowvar=False))


def _features(luma: Plane) -> tuple[Values, Values]:
    """(blocks, 36) features, and how sharp each block is."""
    height, width = (side // BLOCK * BLOCK for side in luma.shape)
    if not height or not width:
        raise InputError(f"NIQE needs {BLOCK} px a side; the picture is {luma.shape[::-1]}")
    plane = np.rint(np.asarray(luma[:height, :width], np.float64))
    scales = []
    sharpness = np.empty(0)
    for block in (BLOCK, BLOCK // 2):
        normal, deviation = _normalised(plane)
        scales.append(np.array([_block_features(b) for b in _blocks(normal, block)]))
        if block == BLOCK:
            sharpness = np.array([b.mean() for b in _blocks(deviation, block)])
            rows, columns = (shrink_matrix(n, n // 2, 0.5) for n in plane.shape)
            plane = rows @ plane @ columns.T
    return np.concatenate(scales, axis=1), sharpness


def _blocks(plane: Values, side: int) -> Iterator[Values]:
    for top in range(0, plane.shape[0], side):
        for left in range(0, plane.shape[1], side):
            yield plane[top : top + side, left : left + side]


def _normalised(plane: Values) -> tuple[Values, Values]:
    """Mean removed and divided by deviation, and the deviation, both local."""
    mean = _blur(plane)
    deviation = np.sqrt(np.abs(_blur(plane * plane) - mean * mean))
    return (plane - mean) / (deviation + 1), deviation


def _blur(plane: Values) -> Values:
    offsets = np.arange(SIDE) - SIDE // 2
    taps = np.exp(-(offsets**2) / (2 * SIGMA**2))
    taps /= taps.sum()
    padded = np.pad(plane, SIDE // 2, mode="edge")
    rows = sliding_window_view(padded, SIDE, axis=0) @ taps
    return np.asarray(sliding_window_view(rows, SIDE, axis=1) @ taps)


def _block_features(block: Values) -> list[float]:
    shape, left, right = _asymmetric(block)
    features = [shape, (left + right) / 2]
    for shift in _NEIGHBOURS:
        shape, left, right = _asymmetric(block * np.roll(block, shift, axis=(0, 1)))
        mean = (right - left) * gamma(2 / shape) / gamma(1 / shape)
        features += [shape, mean, left, right]
    return features


def _asymmetric(values: Values) -> tuple[float, float, float]:
    """Shape and both widths of an asymmetric generalised Gaussian, by moments."""
    below, above = values[values < 0], values[values > 0]
    if not below.size or not above.size:
        return (float("nan"),) * 3
    left, right = np.sqrt(np.mean(below**2)), np.sqrt(np.mean(above**2))
    ratio = left / right
    spread = np.mean(np.abs(values)) ** 2 / np.mean(values**2)
    wanted = spread * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    shape = float(_SHAPES[np.argmin((_ratios() - wanted) ** 2)])
    width = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
    return shape, float(left * width), float(right * width)


@cache
def _ratios() -> Values:
    return np.array([gamma(2 / s) ** 2 / (gamma(1 / s) * gamma(3 / s)) for s in _SHAPES])
