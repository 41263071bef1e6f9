"""How much fine detail there is where, compared: a lesson in texture that needs no discriminator.

A mean over all pictures that fit a blurred one is smooth; a pixel loss asks for that mean. Here the
strength of detail of each octave and direction in each small neighbourhood is compared instead, and
not where its waves lie, so detail of the right strength is worth more than none.

What a net that ends in a depth-to-space makes most easily is a pattern that repeats with that grid.
Too much of an octave or direction is punished as well, which leaves a checkerboard no room where
the truth has detail along edges only; and a pattern that keeps its place on the grid is punished
for itself.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from vsrcli.lab.restore.network import SCALE

OCTAVES = 3
_AROUND = 9
"""Side of a neighbourhood, px of its octave."""
_FLOOR = 1 / 255
"""Strength below which differences do not matter."""
_EDGE = 2.0
"""Log of how much stronger detail across an edge is than that along it."""
_LUMA = (0.299, 0.587, 0.114)
_HAAR = torch.tensor([[[1, 1], [-1, -1]], [[1, -1], [1, -1]], [[1, -1], [-1, 1]]]) / 2


def texture_distance(made: Tensor, true: Tensor) -> Tensor:
    """Mean |log| ratio of local strengths over octaves, of (N, 3, H, W) in 0..1.

    Where the truth has detail one way only, as at an edge, too much of another way counts double.
    """
    pairs = zip(strengths(made), strengths(true), strict=True)
    parts = [(a - b).abs() + _one_way(b) * (a - b).relu() for a, b in pairs]
    return torch.stack([part.mean() for part in parts]).mean()


def _one_way(true: Tensor) -> Tensor:
    """0..1 for each direction: how much stronger than it another is in the truth."""
    return ((true.amax(1, keepdim=True) - true) / _EDGE).clamp(max=1)


def strengths(pictures: Tensor) -> list[Tensor]:
    """Logs of local strengths of luma: of detail across, along and in both directions (Haar's three
    wavelets at every place) in each octave, finest first, (N, 3, h, w); and of what repeats with
    the grid, (N, 1, h, w)."""
    fine = luma(pictures)
    coarse, found = fine, []
    for _ in range(OCTAVES):
        detail = functional.conv2d(coarse, _HAAR.to(coarse)[:, None])
        found.append(_log(functional.avg_pool2d(detail.square(), _AROUND, stride=3)))
        coarse = functional.avg_pool2d(coarse, 2)
    places = functional.avg_pool2d(functional.pixel_unshuffle(fine, SCALE), _AROUND, stride=3)
    own = places - places.mean(1, keepdim=True)
    found.append(_log(own.square().mean(1, keepdim=True)))
    return found


def _log(power: Tensor) -> Tensor:
    return (power + _FLOOR**2).log() / 2


def luma(pictures: Tensor) -> Tensor:
    """(N, 1, H, W) of (N, 3, H, W)."""
    weight = torch.tensor(_LUMA, device=pictures.device).view(1, 3, 1, 1)
    return (pictures * weight).sum(1, keepdim=True)
