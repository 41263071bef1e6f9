"""What all luma networks share: one grey input, r² phases at low resolution, one shuffle.

Every family computes its output as r² low-resolution planes ("phases") and ends in depth-to-space
(CRD order, torch's pixel_shuffle). Our own nets pad the input once, by edge replicate, and use
valid convolutions after that; the official checkpoints pad every convolution with zeros.
"""

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Padding = Literal["replicate", "zeros"]


class LumaNet(nn.Module, ABC):
    """(N, 1, H, W) in 0..1 → (N, 1, rH, rW), not clipped."""

    family: str
    config: str
    """The shape in the paper's letters, "K7 C16"."""

    def __init__(self, *, scale: int, border: int, padding: Padding) -> None:
        super().__init__()
        self.scale = scale
        self.border = border
        """Receptive border, low-resolution px a side."""
        self.padding: Padding = padding

    @abstractmethod
    def phases(self, x: Tensor) -> Tensor:
        """(N, 1, H + 2·border, W + 2·border) → (N, r², H, W); zeros padding: same H, W."""

    def conv(self, inputs: int, outputs: int, kernel: int, *, bias: bool = True) -> nn.Conv2d:
        """A convolution with this net's padding, Xavier-normal."""
        pad = kernel // 2 if self.padding == "zeros" else 0
        conv = nn.Conv2d(inputs, outputs, kernel, padding=pad, bias=bias)
        nn.init.xavier_normal_(conv.weight)
        if conv.bias is not None:
            nn.init.zeros_(conv.bias)
        return conv

    def forward(self, x: Tensor) -> Tensor:
        """The whole picture, padded as the net wants it."""
        if self.padding == "replicate":
            x = functional.pad(x, (self.border,) * 4, mode="replicate")
        return functional.pixel_shuffle(self.phases(x), self.scale)

    def params(self) -> int:
        """Trainable numbers."""
        return sum(p.numel() for p in self.parameters())


def grouped(x: Tensor, maps: int, channels: int) -> Tensor:
    """(N, maps·C·r², H, W) → (N, maps, C, r², H, W): what a shuffle and a split would part."""
    return x.view(len(x), maps, channels, -1, *x.shape[2:])


def widen(weight: Tensor, factor: float = 4.0) -> None:
    """Scale a kernel's deviation from its mean, so that tanh behind it bends from the start."""
    with torch.no_grad():
        mean = weight.mean((2, 3), keepdim=True)
        weight.sub_(mean).mul_(factor).add_(mean)


def centre_taps(weight: Tensor, value: float = 1.0) -> None:
    """Set the middle tap of every filter of (out, in, k, k) (to 1: edge-SR's initial state)."""
    with torch.no_grad():
        weight[:, :, weight.shape[2] // 2, weight.shape[3] // 2] = value
