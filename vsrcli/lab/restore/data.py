"""What a RealBasicVSR learns from: packs of degraded sequences, or moving stills."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from vsrcli.lab.restore.network import SCALE
from vsrcli.lab.temporal.motion import Motion, Stills, sequences
from vsrcli.lab.temporal.pack import Packs

MOTION = Motion(speed=(0.0, 8.0), zoom=0.006, turn=0.006, layers=0.15)
"""Of moving stills, HR px a frame."""
FLOW_MOTION = Motion(speed=(0.0, 8.0), zoom=0.02, turn=0.02, layers=0.2)
"""What SPyNet is shown, LR px a frame."""
Generator = torch.Generator


class Source(Protocol):
    """Pairs of sequences."""

    def batch(
        self, count: int, length: int, patch: int, generator: Generator
    ) -> tuple[Tensor, Tensor]:
        """LR (count, length, 3, patch, patch) and HR (count, length, 3, 4 patch, 4 patch), 0..1."""
        ...


class MovingStills:
    """Stills under a moving camera, blurred, shrunk, with noise: a stand-in for a pack."""

    def __init__(self, stills: Stills, device: torch.device) -> None:
        self._stills, self._device = stills, device

    def batch(
        self, count: int, length: int, patch: int, generator: Generator
    ) -> tuple[Tensor, Tensor]:
        """See Source."""
        hr, _ = sequences(self._stills, MOTION, count, length, patch * SCALE, generator)
        flat = [_blurred(frames, 2.0 * _chance(generator)) for frames in hr]
        small = torch.stack([shrunk(frames) for frames in flat])
        return noisy(small, 12 / 255, generator), hr


def open_sources(
    stills: tuple[Stills, Stills],
    packs: Sequence[Path],
    device: torch.device,
    *,
    length: int,
    patch: int,
) -> tuple[Source, Source]:
    """To train on, and held back, of batches as long and as large as this. Raises InputError if a
    pack is not whole or has none."""
    if not packs:
        return MovingStills(stills[0], device), MovingStills(stills[1], device)
    made = Packs(packs, device)
    made.check(scale=SCALE, length=length, patch=patch)
    return made, Packs(packs, device, held=True)


def flow_batch(
    stills: Stills, count: int, side: int, generator: Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Two frames (count, 3, side, side) with noise and blur, and the flow from one to the other."""
    frames, flows = sequences(stills, FLOW_MOTION, count, 2, side, generator)
    if _chance(generator) < 0.5:
        frames = torch.stack([_blurred(pair, 1.2 * _chance(generator)) for pair in frames])
    frames = noisy(frames, 8 / 255, generator)
    return frames[:, 1], frames[:, 0], flows[:, 1]


def shrunk(frames: Tensor) -> Tensor:
    """(N, 3, 4H, 4W) by antialiased bicubic (a = -0.5) to (N, 3, H, W)."""
    return functional.interpolate(
        frames, scale_factor=1 / SCALE, mode="bicubic", antialias=True
    ).clamp(0, 1)


def enlarged(frames: Tensor) -> Tensor:
    """(N, 3, H, W) by bicubic (a = -0.5) to (N, 3, 4H, 4W)."""
    size = (frames.shape[2] * SCALE, frames.shape[3] * SCALE)
    return functional.interpolate(frames, size, mode="bicubic", antialias=True)


def noisy(frames: Tensor, most: float, generator: Generator) -> Tensor:
    """(B, T, 3, H, W) with Gaussian noise of a strength up to `most` for each sequence, 8 bit."""
    strength = most * torch.rand(len(frames), 1, 1, 1, 1, generator=generator)
    noise = torch.randn(frames.shape, generator=generator) * strength
    return ((frames + noise.to(frames.device)) * 255).round().clamp(0, 255) / 255


def sharpened(frames: Tensor, amount: float) -> Tensor:
    """(N, 3, H, W) in 0..1 after unsharp masking."""
    return (frames + amount * (frames - _blurred(frames, 1.5))).clamp(0, 1)


def _blurred(frames: Tensor, sigma: float) -> Tensor:
    if sigma < 0.2:
        return frames
    reach = int(3 * sigma) + 1
    at = torch.arange(-reach, reach + 1, device=frames.device)
    taps = torch.exp(-(at**2) / (2 * sigma**2))
    taps = taps / taps.sum()
    planes = functional.pad(frames.flatten(0, 1)[:, None], [reach] * 4, mode="replicate")
    rows = functional.conv2d(planes, taps.view(1, 1, -1, 1))
    return functional.conv2d(rows, taps.view(1, 1, 1, -1)).view_as(frames)


def _chance(generator: Generator) -> float:
    return float(torch.rand(1, generator=generator))
