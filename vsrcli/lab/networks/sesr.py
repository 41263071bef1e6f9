"""SESR (Bhardwaj et al., MLSys 2022, arXiv 2103.09404): trained wide, run narrow.

While it learns, every convolution is a collapsible linear block: k x k to many channels, 1x1 back
and, inside the net, plus what came in. Nothing bends inside a block, so it is one k x k convolution
in truth, and is collapsed to that before every step, too: the wide net's training costs hardly more
than the narrow one's (section 3.3).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsrcli.lab.networks.base import LumaNet, Padding

WIDE = 256
"""Channels inside a block."""


class LinearBlock(nn.Module):
    """conv k x k inputs→WIDE, conv 1x1 →outputs, + the input where `short`; as one convolution."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, padding: Padding, short: bool = False
    ) -> None:
        super().__init__()
        self.pad = kernel // 2 if padding == "zeros" else 0
        self.short = short
        self.wide = nn.Parameter(torch.empty(WIDE, inputs, kernel, kernel))
        self.narrow = nn.Parameter(torch.empty(outputs, WIDE))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.xavier_normal_(self.wide)
        nn.init.xavier_normal_(self.narrow)

    def weight(self) -> Tensor:
        """The collapsed kernel, (outputs, inputs, k, k)."""
        kernel = torch.einsum("ow,wiyx->oiyx", self.narrow, self.wide)
        if not self.short:
            return kernel
        same = torch.eye(len(kernel), dtype=kernel.dtype, device=kernel.device)[:, :, None, None]
        return kernel + functional.pad(same, (kernel.shape[2] // 2,) * 4)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W), without padding k - 1 px smaller."""
        return functional.conv2d(x, self.weight(), self.bias, padding=self.pad)


class Sesr(LumaNet):
    """block5 1→F, M x block3 F→F + its input, + the first's output, block5 F→r² + x; PReLU between.

    PReLUs have one slope a layer here.
    """

    family = "sesr"

    def __init__(
        self, *, scale: int, blocks: int, features: int = 16, padding: Padding = "replicate"
    ) -> None:
        super().__init__(scale=scale, border=2 + blocks + 2, padding=padding)
        self.config = f"M{blocks} F{features}"
        self.first = LinearBlock(1, features, 5, padding=padding)
        body = [
            LinearBlock(features, features, 3, padding=padding, short=True) for _ in range(blocks)
        ]
        self.body = nn.ModuleList(body)
        self.bends = nn.ModuleList(nn.PReLU(init=0.25) for _ in range(blocks + 1))
        self.last = LinearBlock(features, scale**2, 5, padding=padding)

    def phases(self, x: Tensor) -> Tensor:
        first = y = self.bends[0](self.first(x))
        for block, bend in zip(self.body, self.bends[1:], strict=True):
            y = bend(block(y))
        detail: Tensor = self.last(y + _middle(first, y))
        return detail + _middle(x, detail)

    def blocks(self) -> list[LinearBlock]:
        """All of them, in the order they run in."""
        return [each for each in self.modules() if isinstance(each, LinearBlock)]

    def slopes(self) -> list[float]:
        """Of the PReLU behind every block but the last."""
        return [bend.item() for bend in self.bends.parameters()]

    def params(self) -> int:
        """Numbers of the collapsed net."""
        kernels = sum(b.weight().numel() + b.bias.numel() for b in self.blocks())
        return kernels + len(self.slopes())


def _middle(x: Tensor, like: Tensor) -> Tensor:
    """What is left of `x` where unpadded convolutions made it as small as `like`."""
    edge = (x.shape[2] - like.shape[2]) // 2
    return x[:, :, edge : edge + like.shape[2], edge : edge + like.shape[3]]
