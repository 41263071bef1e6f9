"""edge-SR (Navarrete Michelini et al., WACV 2022, arXiv 2108.10335): one-layer networks.

MAX, TM and TR are one bias-free convolution of 1, 2 or 3 maps of r²·C channels whose C candidates
an output pixel are reduced by a maximum or by attention; CNN puts two small tanh layers before.
The reduction is taken before the shuffle: the shuffle moves values and does not mix candidates.
"""

from torch import Tensor, nn

from vsrcli.lab.networks.base import LumaNet, Padding, centre_taps, grouped, widen


class _OneLayer(LumaNet):
    maps: int

    def __init__(
        self, *, scale: int, kernel: int, channels: int, padding: Padding = "replicate"
    ) -> None:
        super().__init__(scale=scale, border=kernel // 2, padding=padding)
        self.kernel = kernel
        self.channels = channels
        self.config = f"K{kernel} C{channels}"
        self.filter = self.conv(1, self.maps * channels * scale**2, kernel, bias=False)
        centre_taps(self.filter.weight)


class EsrMax(_OneLayer):
    """eSR-MAX: the largest of C filtered candidates."""

    family = "esr-max"
    maps = 1

    def phases(self, x: Tensor) -> Tensor:
        return grouped(self.filter(x), 1, self.channels)[:, 0].amax(1)


class EsrTm(_OneLayer):
    """eSR-TM, template matching: Σ value · softmax_C(key)."""

    family = "esr-tm"
    maps = 2

    def phases(self, x: Tensor) -> Tensor:
        value, key = grouped(self.filter(x), 2, self.channels).unbind(1)
        return (value * key.softmax(1)).sum(1)


class EsrTr(_OneLayer):
    """eSR-TR, a transformer's attention: Σ value · softmax_C(query · key)."""

    family = "esr-tr"
    maps = 3

    def phases(self, x: Tensor) -> Tensor:
        value, query, key = grouped(self.filter(x), 3, self.channels).unbind(1)
        return (value * (query * key).softmax(1)).sum(1)


class EsrCnn(LumaNet):
    """eSR-CNN: conv5 D tanh, conv3 S tanh, conv3 to (value, key); Σ value · softmax_C(key²).

    With `limit`, keys are clipped to ± that much (the paper's are not): then exp cannot overflow,
    and the exported graph need not look for the largest of them first.
    """

    family = "esr-cnn"

    def __init__(
        self,
        *,
        scale: int,
        channels: int,
        depth: int,
        features: int,
        limit: int = 0,
        padding: Padding = "replicate",
    ) -> None:
        super().__init__(scale=scale, border=4, padding=padding)
        self.channels = channels
        self.limit = limit
        self.config = f"C{channels} D{depth} S{features}"
        head = self.conv(features, 2 * channels * scale**2, 3, bias=False)
        body = self.conv(1, depth, 5), self.conv(depth, features, 3)
        for conv in (*body, head):  # grey passes at first, and no key starts at the saddle of key²
            centre_taps(conv.weight, 1 / conv.in_channels)
        for conv in body:
            widen(conv.weight)
        self.filter = nn.Sequential(body[0], nn.Tanh(), body[1], nn.Tanh(), head)

    def phases(self, x: Tensor) -> Tensor:
        value, key = grouped(self.filter(x), 2, self.channels).unbind(1)
        if self.limit:
            key = key.clamp(-self.limit, self.limit)
        return (value * key.square().softmax(1)).sum(1)
