"""How much fine detail there is where, compared: a lesson in texture that needs no discriminator.

A mean over all pictures that fit a blurred one is smooth; a pixel loss asks for that mean. Here the
strength of each octave of detail in each small neighbourhood is compared instead, and not where its
waves lie, so detail of the right strength is worth more than none. Too much is punished as well,
octave by octave, which leaves no room for a checkerboard.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

OCTAVES = 3
_AROUND = 9
"""Side of a neighbourhood, px of its octave."""
_FLOOR = 1 / 255
"""Strength below which differences do not matter."""
_LUMA = (0.299, 0.587, 0.114)


def texture_distance(made: Tensor, true: Tensor) -> Tensor:
    """Mean |log| ratio of local strengths over octaves, of (N, 3, H, W) in 0..1."""
    parts = [(a - b).abs().mean() for a, b in zip(strengths(made), strengths(true), strict=True)]
    return torch.stack(parts).mean()


def strengths(pictures: Tensor) -> list[Tensor]:
    """Log of the local standard deviation of each octave of luma, finest first."""
    weight = torch.tensor(_LUMA, device=pictures.device).view(1, 3, 1, 1)
    luma, found = (pictures * weight).sum(1, keepdim=True), []
    for _ in range(OCTAVES):
        coarse = functional.avg_pool2d(luma, 2)
        smooth = functional.interpolate(coarse, luma.shape[2:], mode="bilinear")
        power = functional.avg_pool2d((luma - smooth).square(), _AROUND, stride=3)
        found.append((power + _FLOOR**2).log() / 2)
        luma = coarse
    return found
