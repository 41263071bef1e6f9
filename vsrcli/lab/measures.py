"""The measures beyond PSNR and SSIM, over the frames of a clip."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vsrcli.errors import UsageError
from vsrcli.lab.flow import flow
from vsrcli.lab.metrics import Plane
from vsrcli.lab.niqe import SHIPPED, Natural, niqe, read_natural
from vsrcli.lab.registration import shift

BASIC = ("psnr", "ssim")
"""Always measured."""
METRICS = (*BASIC, "tof", "niqe", "shift")

Measured = Callable[[Plane, Plane, Plane], dict[str, float]]
"""Truth, ours and bicubic of the next frame of a clip → its figures."""


@dataclass(frozen=True, kw_only=True)
class Measures:
    """What is measured."""

    names: frozenset[str]
    natural: Natural | None = None
    """For NIQE."""

    def begin(self) -> Measured:
        """A new clip: frames are given in order.

        tof is the mean distance of the motion since the last frame from that of the truth, px
        (TecoGAN's tOF), of ours and of bicubic; niqe of all three; shift_x and shift_y how far ours
        lies off bicubic to the right and down, px.
        """
        tracks = [_Motion(), _Motion(), _Motion()]

        def measure(true: Plane, ours: Plane, base: Plane) -> dict[str, float]:
            found: dict[str, float] = {}
            if "tof" in self.names:
                motions = [track(p) for track, p in zip(tracks, (true, ours, base), strict=True)]
                found |= _tof(*motions)
            if self.natural is not None:
                named = {"niqe": ours, "bicubic_niqe": base, "true_niqe": true}
                found |= {name: niqe(plane, self.natural) for name, plane in named.items()}
            if "shift" in self.names:
                down, right = shift(base, ours)
                found |= {"shift_x": right, "shift_y": down}
            return found

        return measure


def make_measures(names: Collection[str], niqe_params: Path | None = None) -> Measures:
    """Measures of these names. Raises UsageError for others and for NIQE parameters without NIQE,
    and InputError for bad ones."""
    unknown = [name for name in names if name not in METRICS]
    if unknown:
        raise UsageError(f"no metric {unknown[0]!r}; there is {', '.join(METRICS)}")
    if niqe_params and "niqe" not in names:
        raise UsageError("--niqe-params goes with niqe among the --metrics")
    natural = read_natural(niqe_params or SHIPPED) if "niqe" in names else None
    return Measures(names=frozenset(names), natural=natural)


class _Motion:
    """Flow from each plane to the next."""

    def __init__(self) -> None:
        self._last: Plane | None = None

    def __call__(self, plane: Plane) -> NDArray[np.float32] | None:
        last, self._last = self._last, plane
        return None if last is None else flow(last, plane)


def _tof(
    true: NDArray[np.float32] | None,
    ours: NDArray[np.float32] | None,
    base: NDArray[np.float32] | None,
) -> dict[str, float]:
    if true is None or ours is None or base is None:
        return {}
    named = {"tof": ours, "bicubic_tof": base}
    return {
        name: float(np.hypot(*np.moveaxis(made - true, -1, 0)).mean())
        for name, made in named.items()
    }
