"""Sequences of known motion from sharp stills, made on the training device.

A camera moves over a still: translation with slight acceleration, zoom and rotation, in high-
resolution pixels a frame; a second still may slide over the first behind a soft mask (occlusion and
parallax). `Stage`s of a recipe can widen `Motion` step by step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

LEAST_SIDE = 120
"""Stills smaller than this would be mostly their own mirror images."""


@dataclass(frozen=True, kw_only=True)
class Motion:
    """The range a sequence's motion is drawn from; HR px, radians and factors a frame."""

    speed: tuple[float, float] = (0.0, 2.0)
    """Least and greatest translation."""
    directions: float = 1.0
    """0: always rightwards; 0.5: along one axis, both ways; 1: all."""
    zoom: float = 0.0
    turn: float = 0.0
    layers: float = 0.0
    """Share of sequences with a second still in front."""


class Stills:
    """A bank of stills, (3, H, W) uint8 each, on the training device; grey ones are tinted, or
    nets for RGB would see little colour."""

    def __init__(self, stills: list[Tensor], device: torch.device) -> None:
        self._stills = [s.to(device) for s in stills if min(s.shape[1:]) >= LEAST_SIDE]
        self._grey = [bool((s[0] == s[1]).all() and (s[1] == s[2]).all()) for s in self._stills]

    def __len__(self) -> int:
        return len(self._stills)

    def crops(self, count: int, side: int, generator: torch.Generator) -> Tensor:
        """(count, 3, side, side) in 0..1 at random places, mirrored and turned; small stills are
        mirrored at their edges."""
        rows = []
        for _ in range(count):
            index = draw(len(self._stills), generator)
            part = crop(self._stills[index], side, generator)
            image = turned(part, draw(8, generator)).float() / 255
            rows.append(tinted(image, generator) if self._grey[index] else image)
        return torch.stack(rows)


def paths(motion: Motion, count: int, length: int, generator: torch.Generator) -> Tensor:
    """(count, length, 2, 3) affine maps from output to source, px, about the middle frame."""

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, 1, generator=generator)

    speed = uniform(*motion.speed)
    angle = uniform(-torch.pi, torch.pi)
    if motion.directions < 1:
        flip = (torch.rand(count, 1, generator=generator) < 0.5) & (motion.directions >= 0.5)
        angle = torch.where(flip, torch.pi, 0.0)
    time = torch.arange(length) - (length - 1) / 2
    drift = speed * (time + 0.02 * uniform(-1, 1) * time * time.abs())
    x, y = drift * angle.cos(), drift * angle.sin()
    size = torch.exp(uniform(-motion.zoom, motion.zoom) * time)
    turn = uniform(-motion.turn, motion.turn) * time
    cos, sin = size * turn.cos(), size * turn.sin()
    return torch.stack([torch.stack([cos, -sin, x], -1), torch.stack([sin, cos, y], -1)], -2)


def sequences(
    stills: Stills, motion: Motion, count: int, length: int, side: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """HR frames of moving stills (count, length, 3, side, side) in 0..1, and the flow from each
    frame to the one before (count, length, 2, side, side), HR px, x then y (zero for the first)."""
    frames, flows = _moved(stills, motion, count, length, side, generator)
    if motion.layers:
        front, drifts = _moved(stills, motion, count, length, side, generator)
        mask = _blobs(count, length, side, generator).to(frames.device)
        chosen = torch.rand(count, generator=generator) < motion.layers
        mask = mask * chosen.to(frames.device).view(-1, 1, 1, 1, 1)
        frames = frames + mask * (front - frames)
        flows = torch.where(mask > 0.5, drifts, flows)
    return frames, flows


def _moved(
    stills: Stills, motion: Motion, count: int, length: int, side: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    reach = 0.5 * length * motion.speed[1] * 1.2 + 0.08 * side
    wide = int(side + 2 * reach)
    sources = stills.crops(count, wide, generator)
    tracks = paths(motion, count, length, generator).to(sources.device)
    maps = tracks.flatten(0, 1)
    axis = torch.arange(side, device=sources.device) - (side - 1) / 2
    grid = torch.stack([axis.expand(side, side), axis[:, None].expand(side, side)], -1)
    at = grid @ maps[:, None, :, :2].transpose(-1, -2) + maps[:, None, None, :, 2]
    flows = _flows(tracks, grid)
    at = at * (2 / wide)
    spread = sources.repeat_interleave(length, 0)
    moved = functional.grid_sample(
        spread, at, mode="bicubic", padding_mode="reflection", align_corners=False
    )
    return moved.view(count, length, 3, side, side).clamp(0, 1), flows


def _flows(tracks: Tensor, grid: Tensor) -> Tensor:
    """(B, T, 2, side, side) from each frame to the one before; zero for the first."""
    source = grid @ tracks[:, :, None, :, :2].transpose(-1, -2) + tracks[:, :, None, None, :, 2]
    before = tracks[:, :-1]
    back = torch.linalg.inv(before[..., :2])[:, :, None].transpose(-1, -2)
    earlier = (source[:, 1:] - before[:, :, None, None, :, 2]) @ back
    flow = functional.pad(earlier - grid, (0, 0, 0, 0, 0, 0, 1, 0))
    return flow.permute(0, 1, 4, 2, 3)


def _blobs(count: int, length: int, side: int, generator: torch.Generator) -> Tensor:
    """(count, length, 1, side, side) soft discs that drift, 0..1."""
    centre = side * torch.rand(count, 1, 2, generator=generator)
    drift = torch.randn(count, 1, 2, generator=generator) * torch.arange(length).view(1, -1, 1)
    radius = side * (0.1 + 0.25 * torch.rand(count, 1, 1, 1, generator=generator))
    axis = torch.arange(side)
    at = (centre + drift)[..., None, None]
    distance = ((axis - at[:, :, 0]) ** 2 + (axis[:, None] - at[:, :, 1]) ** 2).sqrt()
    return ((radius - distance) / 2).sigmoid()[:, :, None]


def tinted(grey: Tensor, generator: torch.Generator) -> Tensor:
    """A grey picture (3, H, W) in 0..1 in random colours: a curve and a gain for each channel."""
    curves = torch.exp(0.5 * (2 * torch.rand(3, 1, 1, generator=generator) - 1))
    gains = 0.7 + 0.3 * torch.rand(3, 1, 1, generator=generator)
    return gains.to(grey.device) * grey ** curves.to(grey.device)


def crop(still: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """(C, side, side) of (C, H, W) uint8 at a random place; what is too small is mirrored on."""
    while min(still.shape[1:]) < side:
        short = [max(0, side - s) for s in (still.shape[2], still.shape[1])]
        pads = (0, min(short[0], still.shape[2] - 1), 0, min(short[1], still.shape[1] - 1))
        still = functional.pad(still[None].float(), pads, mode="reflect")[0].to(torch.uint8)
    _, height, width = still.shape
    top, left = draw(height - side + 1, generator), draw(width - side + 1, generator)
    return still[:, top : top + side, left : left + side]


def turned(image: Tensor, turn: int) -> Tensor:
    """(C, S, S) under one of the 8 symmetries of the square."""
    image = image.rot90(turn % 4, (1, 2))
    return image.flip(2) if turn >= 4 else image


def draw(limit: int, generator: torch.Generator) -> int:
    """A whole number from 0 to limit - 1."""
    return int(torch.randint(limit, (1,), generator=generator))
