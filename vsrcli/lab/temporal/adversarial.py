"""Adversarial training of a net that has a flow (TecoGAN: Chu et al. 2020, arXiv 1811.09393, §3).

The discriminator sees three frames in a row, the outer two warped to the middle one, so it judges
what moves with the picture and what flickers. Each sequence is run there and back: what the net
makes of a frame must not depend on the way it came (the ping-pong loss). The distance of the
discriminator's own features stands for a perceptual loss, for want of a freely licensed network;
where the training is too short for a discriminator to learn much, so does how much detail there is
where (`texture_distance`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from vsrcli.lab.mixed import mixed
from vsrcli.lab.restore.discriminator import Discriminator, discriminator_step
from vsrcli.lab.restore.texture import texture_distance
from vsrcli.lab.temporal.egvsr import Egvsr, warp
from vsrcli.lab.temporal.feed import Batch
from vsrcli.lab.temporal.recipe import Recipe

FRAMES = 3
_RATE = 1e-4


class AdversarialLoss:
    """The discriminator of one training, its optimiser, and the loss that it gives the net."""

    def __init__(self, features: int, device: torch.device) -> None:
        self._discriminator = Discriminator(features, channels=3 * FRAMES).to(device)
        self._optimiser = torch.optim.Adam(
            self._discriminator.parameters(), _RATE, betas=(0.9, 0.99)
        )

    def loss(
        self, net: Egvsr, batch: Batch, recipe: Recipe, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The net's loss on one batch from a state, and the state it leaves, again at the batch's
        first frame; the discriminator takes its own step first."""
        length, scale = batch.lr.shape[1], recipe.scale
        there_and_back = torch.cat([batch.lr, batch.lr[:, :-1].flip(1)], 1)
        with mixed(batch.lr.device):
            run = net.run(there_and_back, state)
        assert run.flow is not None
        flows = run.flow
        made = functional.pixel_shuffle(run.phases.float(), scale)
        forth, back = made[:, :length], made[:, length - 1 :].flip(1)
        real, distance, _ = discriminator_step(
            self._discriminator,
            self._optimiser,
            triples(forth, flows, scale),
            triples(batch.hr, flows, scale),
        )
        loss = (
            (forth - batch.hr).square().mean()
            + recipe.pingpong * (forth - back).square().mean()
            + recipe.warping * _warp_error(there_and_back, flows)
            + recipe.adversarial * real
            + recipe.feature * distance
            + recipe.texture * texture_distance(forth.flatten(0, 1), batch.hr.flatten(0, 1))
        )
        return loss, run.state

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return {
            "judge": self._discriminator.state_dict(),
            "optimiser": self._optimiser.state_dict(),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Takes up what a checkpoint kept."""
        self._discriminator.load_state_dict(saved["judge"])
        self._optimiser.load_state_dict(saved["optimiser"])


def triples(frames: Tensor, flows: Tensor, scale: int) -> Tensor:
    """(B, T, 3, rH, rW) to (B (T - 2), 9, rH, rW): frames between their neighbours, which are
    warped to them along the flows of the run there (to t-1) and back (to t+1)."""
    length = frames.shape[1]
    middle = frames[:, 1:-1]
    to_former = flows[:, 1 : length - 1]
    to_next = flows.flip(1)[:, 1 : length - 1]
    former, following = (
        warp(around.flatten(0, 1), _enlarged(flow, scale))
        for around, flow in ((frames[:, :-2], to_former), (frames[:, 2:], to_next))
    )
    return torch.cat([former, middle.flatten(0, 1), following], 1)


def _enlarged(flow: Tensor, scale: int) -> Tensor:
    """(B, T, 2, H, W) in LR px to (B T, 2, rH, rW) in HR px, without a gradient."""
    flat = flow.detach().float().flatten(0, 1)
    return scale * functional.interpolate(flat, scale_factor=scale, mode="bilinear")


def _warp_error(frames: Tensor, flows: Tensor) -> Tensor:
    """Mean square of what each LR frame and its former one, warped to it, differ by."""
    former = warp(frames[:, :-1].flatten(0, 1), flows[:, 1:].float().flatten(0, 1))
    return (former - frames[:, 1:].flatten(0, 1)).square().mean()
