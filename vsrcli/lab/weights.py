"""What all trainings do with the weights of a net, beside moving them."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import Module

Net = TypeVar("Net", bound=Module)
_SOON = 10
"""Steps in which an average that is young forgets what the net began with."""


def copied(net: Module) -> dict[str, Tensor]:
    """The weights of a net as they are now."""
    return {name: value.clone() for name, value in net.state_dict().items()}


@torch.no_grad()
def follow(average: dict[str, Tensor], net: Module, *, ema: float, step: int) -> None:
    """Moves an average towards the weights of a net after its `step`-th step: exponentially, by
    1 - `ema`, and at first by more."""
    keep = min(ema, step / (step + _SOON))
    for name, value in net.state_dict().items():
        average[name].lerp_(value, 1 - keep)


def channels_last(net: Net) -> Net:
    """The net with its kernels in the layout that bf16 convolutions are fastest in."""
    for parameter in net.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return net
