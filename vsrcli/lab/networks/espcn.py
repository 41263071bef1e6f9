"""ESPCN (Shi et al., CVPR 2016, arXiv 1609.05158): three convolutions and the sub-pixel shuffle."""

from torch import Tensor, nn

from vsrcli.lab.networks.base import LumaNet, Padding, widen


class Espcn(LumaNet):
    """conv5 1→D, tanh, conv3 D→S, tanh, conv3 S→r², shuffle, sigmoid (taken before the shuffle)."""

    family = "espcn"

    def __init__(
        self, *, scale: int, depth: int, features: int, padding: Padding = "replicate"
    ) -> None:
        super().__init__(scale=scale, border=4, padding=padding)
        self.config = f"D{depth} S{features}"
        first = self.conv(1, depth, 5)
        widen(first.weight)
        self.net = nn.Sequential(
            first,
            nn.Tanh(),
            self.conv(depth, features, 3),
            nn.Tanh(),
            self.conv(features, scale**2, 3),
        )

    def phases(self, x: Tensor) -> Tensor:
        y: Tensor = self.net(x).sigmoid()
        return y
