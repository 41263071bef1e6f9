"""RLSP: recurrent latent space propagation (Fuoli, Gu, Timofte 2019, arXiv 1909.08080, §3).

One cell of n 3x3 convolutions sees the frames t-1, t, t+1, its own hidden state, and its last
output at low resolution. The paper shuffles y_{t-1} down again; since y was shuffled up from the
same numbers, the state keeps them before the shuffle and no HR tensor is ever re-read.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """Which of the paper's three ways through time are open (its table 2)."""

    neighbours: bool = True
    feedback: bool = True
    hidden: bool = True


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a net makes of sequences."""

    phases: Tensor
    """(B, T, 3r², H, W) of the outputs."""
    state: Tensor
    """After the last frame."""
    flow: Tensor | None = None
    """(B, T, 2, H, W) from each frame to the one before, LR px, of a net that has one."""


class Rlsp(nn.Module):
    """RLSP-n-f for RGB in 0..1. State and output are r² phases at low resolution."""

    def __init__(
        self,
        *,
        layers: int = 7,
        features: int = 64,
        scale: int = 4,
        ablation: Ablation = Ablation(),
        contrast: float = 0.0,
    ) -> None:
        super().__init__()
        self.scale, self.features, self.ablation = scale, features, ablation
        self.contrast = contrast
        """Gain on what differs in time while training, 0 for plain inputs. Differences are small;
        an optimiser that moves all directions at one pace then finds them last or never."""
        self.phases = 3 * scale**2
        inputs = 9 + features + self.phases
        widths = [inputs, *[features] * (layers - 2)]
        self.body = nn.ModuleList(nn.Conv2d(w, features, 3, padding=1) for w in widths)
        self.head = nn.Conv2d(features, self.phases + features, 3, padding=1)
        for layer in self.body:
            nn.init.kaiming_normal_(layer.weight)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        nn.init.normal_(self.head.weight, std=1e-3)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    @property
    def state_channels(self) -> int:
        """Hidden state and last output."""
        return self.features + self.phases

    def zero_state(self, frames: Tensor) -> Tensor:
        """The state before the first frame of (B, T, 3, H, W)."""
        batch, _, _, height, width = frames.shape
        state = frames.new_zeros(batch, self.state_channels, height, width)
        return state.contiguous(memory_format=torch.channels_last)

    def step(self, window: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 9, H, W) of t-1, t, t+1 and the state to (B, 3r², H, W) phases of y_t and the new
        state."""
        centre = window[:, 3:6]
        former = window[:, :3]
        if not self.ablation.neighbours:
            window = torch.cat([centre] * 3, 1)
        hidden, last = state[:, : self.features], state[:, self.features :]
        if self.contrast:
            window, last = self._contrasted(window, former, last)
        if not self.ablation.hidden:
            hidden = hidden * 0
        if not self.ablation.feedback:
            last = last * 0
        x = torch.cat([window, hidden, last], 1)
        for layer in self.body:
            x = functional.relu(layer(x))
        out = self.head(x)
        phases = out[:, : self.phases] + centre.repeat_interleave(self.scale**2, 1)
        return phases, torch.cat([functional.relu(out[:, self.phases :]), phases], 1)

    def _contrasted(self, window: Tensor, former: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        """Neighbours as differences from the current frame and the last output as its detail, both
        amplified: linear in the same inputs, so `folded` undoes it exactly."""
        centre, gain = window[:, 3:6], self.contrast
        around = [gain * (window[:, i : i + 3] - centre) for i in (0, 6)]
        detail = gain * (last - former.repeat_interleave(self.scale**2, 1))
        return torch.cat([around[0], centre, around[1]], 1), detail

    def folded(self) -> Rlsp:
        """The same function with plain inputs, as the paper states it; weights that read a closed
        way are zero."""
        net = Rlsp(layers=len(self.body) + 1, features=self.features, scale=self.scale)
        net.load_state_dict(self.state_dict())
        first, gain, f = net.body[0], self.contrast, self.features
        assert isinstance(first, nn.Conv2d)
        weight, has = first.weight.data, self.ablation
        weight[:, 9 : 9 + f] *= has.hidden
        weight[:, 9 + f :] *= has.feedback
        if not self.contrast:
            if not has.neighbours:
                weight[:, 3:6] += weight[:, 0:3] + weight[:, 6:9]
                weight[:, [0, 1, 2, 6, 7, 8]] = 0
            return net
        before, after = (gain * has.neighbours * weight[:, i : i + 3] for i in (0, 6))
        detail = gain * weight[:, 9 + f :]
        own = torch.stack([part.sum(1) for part in detail.chunk(3, 1)], 1)
        weight[:, 3:6] -= before + after
        weight[:, 0:3], weight[:, 6:9] = before - own, after
        weight[:, 9 + f :] = detail
        return net

    def forward(self, frames: Tensor, *, stateless: bool = False, static: bool = False) -> Tensor:
        """(B, T, 3, H, W) in 0..1 to phases (B, T, 3r², H, W); see `run`."""
        return self.run(frames, stateless=stateless, static=static).phases

    def run(
        self,
        frames: Tensor,
        state: Tensor | None = None,
        *,
        stateless: bool = False,
        static: bool = False,
    ) -> Run:
        """Over frames (B, T, 3, H, W) in 0..1, from an empty state if none is given.

        `stateless` zeroes the state before each frame and `static` repeats the current frame in
        place of its neighbours: what the net is worth without time.
        """
        state = self.zero_state(frames) if state is None else state
        outputs, last = [], frames.shape[1] - 1
        for t in range(last + 1):
            at = (t, t, t) if static else (max(t - 1, 0), t, min(t + 1, last))
            if stateless:
                state = self.zero_state(frames)
            phases, state = self.step(torch.cat([frames[:, i] for i in at], 1), state)
            outputs.append(phases)
        return Run(phases=torch.stack(outputs, 1), state=state)
