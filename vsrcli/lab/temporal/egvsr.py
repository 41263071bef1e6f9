"""EGVSR: FRVSR's structure made cheap (Cao et al. 2021, arXiv 2107.05307, §3).

FNet estimates the flow from x_t to x_{t-1}; the last output is warped along it, folded to low
resolution and given to SRNet with x_t. Ours adds x_t itself to the output (each pixel repeated r²
times): the published net has no residual, learns the picture from nothing, and takes far longer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsrcli.lab.temporal.rlsp import Run

FLOW_REACH = 24.0
"""Largest flow, LR px: FNet ends in 24 tanh."""
FLOW_SIGHT = 66
"""How far around a pixel FNet looks, LR px: 14 by the convolutions on the way down and 7 by the
poolings, 28 and 14 by convolutions and enlargements on the way up, 2 at the end; 1 more to enlarge
the flow. The warp reaches less far into the last output."""
FLOW_ALIGN = 8
"""Its three poolings see the same only in pictures that begin at multiples of it."""
SLOPE = 0.2
GREY, CONTRAST = 0.45, 4.0
"""FNet sees (x - grey) * contrast and the amplified difference of the frames: it learns the flow in
a minute so, and not in ten without."""


class FNet(nn.Module):
    """(B, 6, H, W) of x_t, x_{t-1} to flow (B, 2, H, W) in LR px, x then y; sides are multiples of
    8."""

    def __init__(self, features: int = 32) -> None:
        super().__init__()
        f = features
        self.down = nn.ModuleList(_pair(a, b) for a, b in ((6, f), (f, 2 * f), (2 * f, 4 * f)))
        widths = ((4 * f, 8 * f), (8 * f, 4 * f), (4 * f, 2 * f))
        self.up = nn.ModuleList(_pair(a, b) for a, b in widths)
        self.flow = nn.Sequential(
            nn.Conv2d(2 * f, f, 3, padding=1), nn.LeakyReLU(SLOPE), nn.Conv2d(f, 2, 3, padding=1)
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, a=SLOPE)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        nn.init.normal_(self.flow[2].weight, std=1e-3)  # type: ignore[arg-type]

    def forward(self, pair: Tensor) -> Tensor:
        now, before = ((part - GREY) * CONTRAST for part in (pair[:, :3], pair[:, 3:]))
        # The first layer's inputs in other words: motion shows in the difference, which is small.
        x = torch.cat([now, CONTRAST * (now - before)], 1)
        for stage in self.down:
            x = functional.max_pool2d(stage(x), 2)
        for stage in self.up:
            x = functional.interpolate(stage(x), scale_factor=2, mode="bilinear")
        flow: Tensor = self.flow(x)
        return FLOW_REACH * torch.tanh(flow)


class Egvsr(nn.Module):
    """RGB in 0..1. State: the last HR output."""

    def __init__(self, *, blocks: int = 10, features: int = 64, scale: int = 4) -> None:
        super().__init__()
        self.scale, self.features = scale, features
        self.fnet = FNet()
        self.first = nn.Conv2d(3 + 3 * scale**2, features, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(features, features, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(features, features, 3, padding=1),
            )
            for _ in range(blocks)
        )
        self.last = nn.Conv2d(features // scale**2, 3, 3, padding=1)
        for block in self.blocks:
            nn.init.normal_(block[2].weight, std=1e-3)  # type: ignore[index]
        nn.init.normal_(self.last.weight, std=1e-2)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def step(self, now: Tensor, before: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        """x_t, x_{t-1} and y_{t-1} to y_t and the flow that was used."""
        flow = self.fnet(torch.cat([now, before], 1)).float()
        return self.reconstruct(now, last, flow), flow

    def reconstruct(self, now: Tensor, last: Tensor, flow: Tensor) -> Tensor:
        """y_t from x_t, y_{t-1} and the flow between them, (B, 2, H, W) in LR px."""
        large = functional.interpolate(flow, scale_factor=self.scale, mode="bilinear")
        warped = warp(last.float(), self.scale * large)
        folded = functional.pixel_unshuffle(warped, self.scale).to(now.dtype)
        x = functional.relu(self.first(torch.cat([now, folded], 1)))
        for block in self.blocks:
            x = x + block(x)
        detail = self.last(functional.relu(functional.pixel_shuffle(x, self.scale)))
        base = functional.interpolate(now, scale_factor=self.scale, mode="nearest")
        y: Tensor = base + detail
        return y

    def forward(self, frames: Tensor, *, stateless: bool = False, static: bool = False) -> Tensor:
        """(B, T, 3, H, W) in 0..1 to phases (B, T, 3r², H, W); see `Rlsp.run` for the rest."""
        return self.run(frames, stateless=stateless, static=static).phases

    def run(
        self,
        frames: Tensor,
        state: Tensor | None = None,
        *,
        stateless: bool = False,
        static: bool = False,
    ) -> Run:
        """As `Rlsp.run`, with the flow from each frame to the one before."""
        batch, length, _, height, width = frames.shape
        zero = frames.new_zeros(batch, 3, height * self.scale, width * self.scale)
        last = zero if state is None else state
        outputs, flows = [], []
        for t in range(length):
            now = frames[:, t]
            before = now if static else frames[:, max(t - 1, 0)]
            last, flow = self.step(now, before, zero if stateless else last)
            outputs.append(functional.pixel_unshuffle(last, self.scale))
            flows.append(flow)
        return Run(phases=torch.stack(outputs, 1), state=last, flow=torch.stack(flows, 1))


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """`image` (B, C, H, W) read at each pixel plus flow (B, 2, H, W), px; edges repeat."""
    _, _, height, width = image.shape
    x = torch.arange(width, device=image.device) + flow[:, 0]
    y = torch.arange(height, device=image.device)[:, None] + flow[:, 1]
    grid = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], -1)
    return functional.grid_sample(image, grid, padding_mode="border", align_corners=True)


def _pair(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(outputs, outputs, 3, padding=1),
        nn.LeakyReLU(SLOPE),
    )
