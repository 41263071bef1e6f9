"""SPyNet: optical flow from coarse to fine (Ranjan and Black 2017, arXiv 1611.00850, §3).

Modules are named as in the published checkpoints, so that those load as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, R, G, B in 0..1."""
WIDTHS = (32, 64, 32, 16)


class SpyNet(nn.Module):
    """Flow from one RGB picture to another, LR px, x then y.

    `levels` pictures, each half the side of the one before; the finest is 1 / `finest` of the
    frame's side (a power of two: 1 as published, 2 for a quarter of the cost).
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        *,
        levels: int = 6,
        widths: Sequence[int] = WIDTHS,
        kernel: int = 7,
        finest: int = 1,
    ) -> None:
        super().__init__()
        self.levels, self.finest = levels, finest
        self.basic_module = nn.ModuleList(_Level(widths, kernel) for _ in range(levels))
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))

    @property
    def multiple(self) -> int:
        """What the sides of the frames that the pyramid sees are multiples of."""
        return self.finest << (self.levels - 1)

    def forward(self, now: Tensor, other: Tensor) -> Tensor:
        """(B, 3, H, W) in 0..1 twice to (B, 2, H, W): where each pixel of `now` is in `other`."""
        height, width = now.shape[2], now.shape[3]
        tall, wide = _raised(height, self.multiple), _raised(width, self.multiple)
        size = (tall, wide)
        sized = (functional.interpolate(x, size, mode="bilinear") for x in (now, other))
        flow = self.pyramid(*sized)[-1]
        flow = self.finest * functional.interpolate(flow, (height, width), mode="bilinear")
        across, down = flow[:, :1] * (width / wide), flow[:, 1:] * (height / tall)
        return torch.cat([across, down], 1)

    def pyramid(self, now: Tensor, other: Tensor) -> list[Tensor]:
        """Flows of all levels, coarse to fine, each in px of its own level. Sides are multiples of
        `multiple`."""
        pairs = [tuple(functional.avg_pool2d((x - self.mean) / self.std, self.finest)
                       for x in (now, other))]  # fmt: skip
        for _ in range(self.levels - 1):
            pairs.append(tuple(functional.avg_pool2d(x, 2) for x in pairs[-1]))
        coarsest = pairs[-1][0]
        flow = torch.zeros_like(coarsest[:, :2])
        flows: list[Tensor] = []
        for level, (here, there) in zip(self.basic_module, reversed(pairs), strict=True):
            if flows:
                flow = 2 * functional.interpolate(
                    flow, scale_factor=2, mode="bilinear", align_corners=True
                )
            moved = warp(there, flow, edges="border")
            change: Tensor = level(torch.cat([here, moved, flow.to(here.dtype)], 1))
            flow = flow + change.float()
            flows.append(flow)
        return flows


class _Level(nn.Module):
    """The change of a level's flow: five convolutions, ReLU between them."""

    def __init__(self, widths: Sequence[int], kernel: int) -> None:
        super().__init__()
        ends = (8, *widths, 2)
        self.basic_module = nn.ModuleList(_Conv(a, b, kernel) for a, b in pairwise(ends))

    def forward(self, x: Tensor) -> Tensor:
        *body, last = self.basic_module
        for layer in body:
            x = functional.relu(layer(x))
        flow: Tensor = last(x)
        return flow


class _Conv(nn.Module):
    """A convolution under the name that checkpoints give it."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return y


def warp(image: Tensor, flow: Tensor, *, edges: str = "zeros") -> Tensor:
    """`image` (B, C, H, W) read, in float32, at each pixel plus flow (B, 2, H, W), px.

    Beyond the picture lie `edges`: "zeros" or "border" (the nearest pixel).
    """
    height, width = image.shape[2], image.shape[3]
    x = torch.arange(width, device=image.device) + flow[:, 0]
    y = torch.arange(height, device=image.device)[:, None] + flow[:, 1]
    # The same places as align_corners=True, without its division by zero on a picture of one line.
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)
    return functional.grid_sample(image.float(), grid, padding_mode=edges, align_corners=False)


def _raised(side: int, multiple: int) -> int:
    # Of positive numbers only: a traced graph rounds a negative quotient the other way.
    return (side + multiple - 1) // multiple * multiple
