"""The discriminator: a U-Net under spectral norm (Wang et al. 2021, arXiv 2107.10833, §3.4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from vsrcli.lab.mixed import mixed

SLOPE = 0.2


class Discriminator(nn.Module):
    """How real each pixel looks: logits, and the features that led there."""

    def __init__(self, features: int = 64, channels: int = 3, *, detail: float = 0.0) -> None:
        """With `detail` it sees, besides the pictures, how far each pixel lies from the mean of
        those around it, so many times enlarged: under spectral norm it would learn late to look."""
        super().__init__()
        f = features
        self.detail = detail
        self.first = nn.Conv2d(2 * channels if detail else channels, f, 3, padding=1)
        down = ((f, 2 * f), (2 * f, 4 * f), (4 * f, 8 * f))
        self.down = nn.ModuleList(spectral_norm(_halving(a, b)) for a, b in down)
        up = ((8 * f, 4 * f), (4 * f, 2 * f), (2 * f, f))
        self.up = nn.ModuleList(spectral_norm(_same(a, b)) for a, b in up)
        self.refine = nn.ModuleList(spectral_norm(_same(f, f)) for _ in range(2))
        self.last = nn.Conv2d(f, 1, 3, padding=1)

    def forward(self, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(N, C, H, W) in 0..1, sides multiples of 8, to (N, 1, H, W) and features."""
        seen = 2 * pictures - 1
        if self.detail:
            padded = functional.pad(seen, (2, 2, 2, 2), mode="replicate")
            fine = seen - functional.avg_pool2d(padded, 5, 1)
            seen = torch.cat([seen, self.detail * fine], 1)
        x = functional.leaky_relu(self.first(seen), SLOPE)
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


def discriminator_step(
    discriminator: Discriminator, optimiser: torch.optim.Optimizer, made: Tensor, true: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """It learns from both, then judges what was made: adversarial loss, distance of the features
    from those of the truth, and its own error. Pictures as it takes them."""
    with mixed(made.device):
        on_true, on_made = discriminator(true)[0], discriminator(made.detach())[0]
    error = verdict_loss(on_true.float(), True) + verdict_loss(on_made.float(), False)
    optimiser.zero_grad(set_to_none=True)
    error.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    discriminator.requires_grad_(False)
    with mixed(made.device):
        verdict, seen = discriminator(made)
        wanted = discriminator(true)[1]
    discriminator.requires_grad_(True)
    return verdict_loss(verdict.float(), True), feature_distance(seen, wanted), error.detach()


def verdict_loss(logits: Tensor, real: bool) -> Tensor:
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
