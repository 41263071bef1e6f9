"""RealBasicVSR (Chan et al. 2022, arXiv 2111.12704): clean each frame, then BasicVSR (2012.02181).

Modules are named as in the published checkpoints, so that those load as they are. The parts of the
network are methods of their own: training runs them over a clip, export makes a graph of each.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsrcli.lab.restore.spynet import WIDTHS, SpyNet, warp

SLOPE = 0.1
SCALE = 4
MOST_PASSES = 3
INVISIBLE = 0.5 / 255
"""A first pass that changes less than half an 8-bit code on average is left out."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The sizes of one RealBasicVSR; the defaults are the published ones."""

    features: int = 64
    blocks: int = 20
    """Residual blocks of each branch."""
    cleaning: int = 20
    """Residual blocks of the cleaner."""
    detail: int = 64
    """Features at the output's resolution."""
    flow_levels: int = 6
    flow_widths: tuple[int, ...] = WIDTHS
    flow_kernel: int = 7
    flow_finest: int = 1
    """The flow is found at 1 / this of the frame's side."""

    @property
    def flow_multiple(self) -> int:
        """What the sides of frames are multiples of, where all levels of the flow are looked at."""
        return self.flow_finest << (self.flow_levels - 1)

    @property
    def label(self) -> str:
        """F64 B20 C20."""
        return f"F{self.features} B{self.blocks} C{self.cleaning}"


class _Block(nn.Module):
    """x + conv(ReLU(conv(x)))."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)
        nn.init.normal_(self.conv2.weight, std=1e-3)
        nn.init.zeros_(self.conv2.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.conv2(functional.relu(self.conv1(x)))
        return y


class _Trunk(nn.Module):
    """A convolution with LeakyReLU, then residual blocks."""

    def __init__(self, inputs: int, features: int, blocks: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(inputs, features, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            nn.Sequential(*(_Block(features) for _ in range(blocks))),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.main(x)
        return y


class _Double(nn.Module):
    """Twice the sides by sub-pixel convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.upsample_conv = nn.Conv2d(inputs, 4 * outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return functional.pixel_shuffle(self.upsample_conv(x), 2)


class BasicVsr(nn.Module):
    """Four times the sides of clean frames, from features propagated backward and forward."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        f, d = shape.features, shape.detail
        self.features = f
        self.spynet = SpyNet(
            levels=shape.flow_levels,
            widths=shape.flow_widths,
            kernel=shape.flow_kernel,
            finest=shape.flow_finest,
        )
        self.backward_resblocks = _Trunk(3 + f, f, shape.blocks)
        self.forward_resblocks = _Trunk(3 + f, f, shape.blocks)
        self.fusion = nn.Conv2d(2 * f, f, 1)
        self.upsample1 = _Double(f, f)
        self.upsample2 = _Double(f, d)
        self.conv_hr = nn.Conv2d(d, d, 3, padding=1)
        self.conv_last = nn.Conv2d(d, 3, 3, padding=1)
        nn.init.normal_(self.conv_last.weight, std=1e-2)
        nn.init.zeros_(self.conv_last.bias)  # type: ignore[arg-type]

    def step_backward(self, frame: Tensor, feature: Tensor, flow: Tensor) -> Tensor:
        """The feature of a frame from that of the next and the flow towards it."""
        moved = warp(feature, flow).to(frame.dtype)
        y: Tensor = self.backward_resblocks(torch.cat([frame, moved], 1))
        return y

    def step_forward(self, frame: Tensor, feature: Tensor, flow: Tensor) -> Tensor:
        """The feature of a frame from that of the one before and the flow towards it."""
        moved = warp(feature, flow).to(frame.dtype)
        y: Tensor = self.forward_resblocks(torch.cat([frame, moved], 1))
        return y

    def reconstruct(self, frame: Tensor, backward: Tensor, forward: Tensor) -> Tensor:
        """(B, 3, 4H, 4W) from the clean frame and both features."""
        x = self._lrelu(self.fusion(torch.cat([backward, forward], 1)))
        x = self._lrelu(self.upsample1(x))
        x = self._lrelu(self.upsample2(x))
        detail = self.conv_last(self._lrelu(self.conv_hr(x)))
        base = functional.interpolate(frame, scale_factor=SCALE, mode="bilinear")
        y: Tensor = base + detail
        return y

    def flows(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, 3, H, W) to the flows towards the next and towards the last frame,
        (B, T - 1, 2, H, W) each."""
        batch, length = frames.shape[:2]
        early, late = frames[:, :-1].flatten(0, 1), frames[:, 1:].flatten(0, 1)
        if length == 1:
            none = frames.new_zeros(batch, 0, 2, *frames.shape[3:])
            return none, none
        both: Tensor = self.spynet(torch.cat([early, late]), torch.cat([late, early]))
        ahead, back = both.view(2, batch, length - 1, *both.shape[1:])
        return ahead, back

    def forward(self, frames: Tensor) -> Tensor:
        """(B, T, 3, H, W) in 0..1 to (B, T, 3, 4H, 4W)."""
        batch, length, _, height, width = frames.shape
        ahead, back = self.flows(frames)
        zero = frames.new_zeros(batch, self.features, height, width)
        still = frames.new_zeros(batch, 2, height, width)
        feature, backward = zero, list[Tensor]()
        for t in reversed(range(length)):
            flow = ahead[:, t] if t < length - 1 else still
            feature = self.step_backward(frames[:, t], feature, flow)
            backward.insert(0, feature)
        feature, forward = zero, list[Tensor]()
        for t in range(length):
            feature = self.step_forward(frames[:, t], feature, back[:, t - 1] if t else still)
            forward.append(feature)
        in_time = frames.transpose(0, 1).flatten(0, 1)
        made = self.reconstruct(in_time, torch.cat(backward), torch.cat(forward))
        return made.view(length, batch, *made.shape[1:]).transpose(0, 1)

    @staticmethod
    def _lrelu(x: Tensor) -> Tensor:
        return functional.leaky_relu(x, SLOPE)


class RealBasicVsr(nn.Module):
    """Cleaning, then BasicVSR. RGB in 0..1."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.image_cleaning = nn.Sequential(
            _Trunk(3, shape.features, shape.cleaning), nn.Conv2d(shape.features, 3, 3, padding=1)
        )
        self.basicvsr = BasicVsr(shape)
        last = self.image_cleaning[1]
        assert isinstance(last, nn.Conv2d)
        nn.init.normal_(last.weight, std=1e-2)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]

    def clean(self, frames: Tensor, passes: int = 1) -> Tensor:
        """(B, T, 3, H, W) after so many passes."""
        x = frames.flatten(0, 1)
        for _ in range(passes):
            x = x + self.image_cleaning(x).to(x.dtype)
        return x.view(frames.shape)

    def passes(self, frames: Tensor, threshold: float) -> int:
        """Dynamic refinement (§3.2): repeat until mean |residue| over the clip is below the
        threshold, at most three times; none where a pass would change nothing to see."""
        x = frames.flatten(0, 1)
        for done in range(1, MOST_PASSES + 1):
            residue = self.image_cleaning(x)
            change = float(residue.abs().mean())
            if done == 1 and change < INVISIBLE:
                return 0
            if change < threshold:
                return done
            x = x + residue
        return MOST_PASSES

    def forward(self, frames: Tensor, passes: int = 1) -> tuple[Tensor, Tensor]:
        """(B, T, 3, H, W) in 0..1 to (B, T, 3, 4H, 4W), and the clean frames."""
        clean = self.clean(frames, passes)
        return self.basicvsr(clean), clean

    def restore(self, frames: Tensor, threshold: float) -> Tensor:
        """A whole clip with dynamic cleaning: (B, T, 3, H, W) to (B, T, 3, 4H, 4W)."""
        made: Tensor = self(frames, self.passes(frames, threshold))[0]
        return made
