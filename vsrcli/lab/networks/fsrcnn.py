"""FSRCNN (Dong, Loy, Tang, ECCV 2016, arXiv 1608.00367): shrink, map, expand, deconvolve.

The last layer, a 9x9 transposed convolution of stride r, equals a convolution to r² phases and a
shuffle: `deconv_to_phases` rewrites its weights. Our own nets train that convolution freely (a
deconvolution of side r·t for a t x t kernel): the zeros it would keep cost the same.
"""

from torch import Tensor, nn

from vsrcli.lab.networks.base import LumaNet, Padding


def tail_kernel(scale: int) -> int:
    """Side of the convolution that holds a 9x9 deconvolution of stride r (in full: 10, 9, 12)."""
    return 5 if scale == 2 else 3


def deconv_padding(scale: int, side: int = 9) -> int:
    """Padding of the published deconvolution: what centres it, rounded up (4, 3, 3)."""
    return (side - scale + 1) // 2


class Fsrcnn(LumaNet):
    """conv5 1→D, conv1 D→S, M x conv3 S→S, conv1 S→D, PReLU after each, then the deconvolution."""

    family = "fsrcnn"

    def __init__(
        self,
        *,
        scale: int,
        depth: int,
        features: int,
        layers: int,
        padding: Padding = "replicate",
    ) -> None:
        tail = tail_kernel(scale)
        super().__init__(scale=scale, border=2 + layers + tail // 2, padding=padding)
        self.config = f"D{depth} S{features} M{layers}"
        widths = [depth, features] + [features] * layers + [depth]
        kernels = [5, 1] + [3] * layers + [1]
        parts: list[nn.Module] = []
        for inputs, outputs, kernel in zip([1, *widths], widths, kernels, strict=False):
            conv = self.conv(inputs, outputs, kernel)
            nn.init.kaiming_normal_(conv.weight, a=0.25)
            parts += [conv, nn.PReLU(init=0.25)]
        self.net = nn.Sequential(*parts, self.conv(depth, scale**2, tail))

    def phases(self, x: Tensor) -> Tensor:
        y: Tensor = self.net(x)
        return y


def deconv_to_phases(weight: Tensor, scale: int) -> Tensor:
    """Weights (D, 1, k, k) of the published stride-r deconvolution as (r², D, t, t)."""
    side, padding = weight.shape[2], deconv_padding(scale)
    taps = tail_kernel(scale)
    phases = weight.new_zeros(scale, scale, weight.shape[0], taps, taps)
    places = [
        (phase, taps // 2 - (k - phase - padding) // scale, k)
        for k in range(side)
        for phase in range(scale)
        if (k - phase - padding) % scale == 0
    ]
    for py, ty, ky in places:
        for px, tx, kx in places:
            phases[py, px, :, ty, tx] = weight[:, 0, ky, kx]
    return phases.flatten(0, 1)
