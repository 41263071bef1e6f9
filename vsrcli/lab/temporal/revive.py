"""Filters that never fire given a second life, without a change to what the net does.

A filter behind a ReLU that no input excites gets no gradient ever again. Trained by Muon, most of
RLSP's inner filters end so: of 64 in its second layer 11 were left. As in ReDo (Sokar et al. 2023,
arXiv 2302.12902, §4) what they read is drawn anew and what reads them is set to zero. Their biases
are such that half of the input excites them (data-dependent, Krähenbühl et al. 2016,
arXiv 1511.06856).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from vsrcli.lab.mixed import mixed
from vsrcli.lab.temporal.grow import WINDOW
from vsrcli.lab.temporal.rlsp import Rlsp


@dataclass(frozen=True)
class _Filters:
    """Filters of one convolution that another reads through a ReLU."""

    layer: str
    start: int
    """The first of them in what the layer gives."""
    reader: str
    read_from: int
    """Where the first of them is in what the reader takes."""


@torch.no_grad()
def revive(
    net: Rlsp, batches: list[Tensor], average: Mapping[str, Tensor], optimiser: Optimizer
) -> int:
    """Draws the filters anew that fire nowhere in the batches (B, T, 3, H, W); how many they were.

    `average` has the net's own keys and is treated likewise; the optimiser forgets them.
    """
    found = 0
    for part in _parts(net):
        made = torch.cat([_made(net, frames, part) for frames in batches])
        dead = (made.amax(0) <= 0).nonzero().flatten()
        if len(dead):
            found += len(dead)
            _draw(net, part, dead)
            made = torch.cat([_made(net, frames, part) for frames in batches])
            bias = net.get_parameter(f"{part.layer}.bias")
            bias[part.start + dead] = -made[:, dead].median(0).values
            _follow(net, part, dead, average, optimiser)
    return found


def _parts(net: Rlsp) -> list[_Filters]:
    """In the order in which a step computes them, so that new filters may read new ones."""
    names = [*(f"body.{i}" for i in range(len(net.body))), "head"]
    parts = [_Filters(name, 0, reader, 0) for name, reader in pairwise(names)]
    return [*parts, _Filters("head", net.phases, "body.0", WINDOW)]


def _made(net: Rlsp, frames: Tensor, part: _Filters) -> Tensor:
    """(samples, filters): what the filters give before their ReLU, at every fourth pixel."""
    seen: list[Tensor] = []

    def keep(_: nn.Module, __: object, out: Tensor) -> None:
        chosen = out[:, part.start : part.start + net.features]
        seen.append(chosen[:, :, ::2, ::2].float().movedim(1, -1).flatten(0, 2))

    handle = net.get_submodule(part.layer).register_forward_hook(keep)
    with mixed(frames.device):
        net(frames)
    handle.remove()
    return torch.cat(seen)


def _draw(net: Rlsp, part: _Filters, dead: Tensor) -> None:
    """New kernels as large as the others of the layer; nobody listens to them yet."""
    weight = net.get_parameter(f"{part.layer}.weight")
    like = weight[part.start : part.start + net.features].square().mean().sqrt()
    rows = part.start + dead
    weight[rows] = torch.randn_like(weight[rows]) * like
    net.get_parameter(f"{part.layer}.bias")[rows] = 0
    net.get_parameter(f"{part.reader}.weight")[:, part.read_from + dead] = 0


def _follow(
    net: Rlsp, part: _Filters, dead: Tensor, average: Mapping[str, Tensor], optimiser: Optimizer
) -> None:
    """The average takes over what was drawn; what the optimiser knew of it is void."""
    rows, columns = part.start + dead, part.read_from + dead
    touched = ((f"{part.layer}.weight", 0, rows), (f"{part.layer}.bias", 0, rows))
    for name, axis, places in (*touched, (f"{part.reader}.weight", 1, columns)):
        parameter = net.get_parameter(name)
        average[name].index_copy_(axis, places, parameter.index_select(axis, places))
        for kept in optimiser.state.get(parameter, {}).values():
            if isinstance(kept, Tensor) and kept.shape == parameter.shape:
                kept.index_fill_(axis, places, 0)
