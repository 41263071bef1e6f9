"""The discriminator: a U-Net under spectral norm (Wang et al. 2021, arXiv 2107.10833, §3.4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

SLOPE = 0.2


class Judge(nn.Module):
    """How real each pixel looks: logits, and the features that led there."""

    def __init__(self, features: int = 64) -> None:
        super().__init__()
        f = features
        self.first = nn.Conv2d(3, f, 3, padding=1)
        down = ((f, 2 * f), (2 * f, 4 * f), (4 * f, 8 * f))
        self.down = nn.ModuleList(spectral_norm(_halving(a, b)) for a, b in down)
        up = ((8 * f, 4 * f), (4 * f, 2 * f), (2 * f, f))
        self.up = nn.ModuleList(spectral_norm(_same(a, b)) for a, b in up)
        self.refine = nn.ModuleList(spectral_norm(_same(f, f)) for _ in range(2))
        self.last = nn.Conv2d(f, 1, 3, padding=1)

    def forward(self, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(N, 3, H, W) in 0..1, sides multiples of 8, to (N, 1, H, W) and features."""
        x = functional.leaky_relu(self.first(2 * pictures - 1), SLOPE)
        skips = [x]
        for layer in self.down:
            x = functional.leaky_relu(layer(x), SLOPE)
            skips.append(x)
        features = skips[1:]
        x = skips.pop()
        for layer in self.up:
            x = functional.interpolate(x, scale_factor=2, mode="bilinear")
            x = functional.leaky_relu(layer(x), SLOPE) + skips.pop()
            features.append(x)
        for layer in self.refine:
            x = functional.leaky_relu(layer(x), SLOPE)
        return self.last(x), features


def _halving(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=False)


def _same(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)


def judged_real(logits: Tensor, real: bool) -> Tensor:
    """Binary cross-entropy of logits against one verdict for all."""
    wanted = torch.full_like(logits, float(real))
    return functional.binary_cross_entropy_with_logits(logits, wanted)


def feature_distance(made: list[Tensor], true: list[Tensor]) -> Tensor:
    """Mean L1 distance of features, each layer by its own size; no gradient into `true`."""
    parts = [
        (a.float() - b.detach().float()).abs().mean() / (b.detach().float().abs().mean() + 1e-3)
        for a, b in zip(made, true, strict=True)
    ]
    return torch.stack(parts).mean()
