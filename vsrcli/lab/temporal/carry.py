"""Sequences that go on where they stopped, so that a net meets the states of long runs.

A lesson's sequence is short. What goes wrong with a state slowly, over hundreds of frames, it never
meets and never learns to undo. So batches are kept with the states they left, and run again from
there, to and fro, each as often as chance will have it.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from vsrcli.lab.temporal.feed import Batch

KEPT = 16


class Carried:
    """The last batches with the states they left, of which `share` of the draws take one up."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._kept: list[tuple[Batch, Tensor]] = []
        self._at = 0

    def draw(self, generator: torch.Generator) -> tuple[Batch, Tensor] | None:
        """A batch and the state to begin it with; None where a new one is due."""
        fresh = torch.rand(1, generator=generator).item() >= self._share
        if len(self._kept) < KEPT:
            self._at = len(self._kept)
            return None
        self._at = int(torch.randint(KEPT, (1,), generator=generator))
        return None if fresh else self._kept[self._at]

    def put(self, batch: Batch, state: Tensor) -> None:
        """What the last draw became, in its place: the batch as it will go on, and its state."""
        if self._share:
            self._kept[self._at : self._at + 1] = [(batch, state.detach())]


def backwards(batch: Batch) -> Batch:
    """From the last frame to the first; nobody knows the flow."""
    return replace(batch, lr=batch.lr.flip(1), hr=batch.hr.flip(1), flow=None)
