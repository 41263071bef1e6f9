"""Muon: momentum made orthogonal for kernels, Adam for the rest; and the learning rate over a run.

Every kernel, seen as a matrix (out, in·k·k), moves by the nearest orthogonal matrix of its
momentum (five Newton-Schulz steps), so that all directions of a layer learn at one pace.
"""

from collections.abc import Callable, Iterable
from math import cos, pi
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

OPTIMISERS = ("muon", "adam")
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """Roughly U·Vᵀ of (m, n): singular values drawn towards 1."""
    a, b, c = NEWTON_SCHULZ
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = wide / (wide.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: Tensor = x if matrix.shape[0] <= matrix.shape[1] else x.T
    return result


class Muon(Optimizer):
    """Muon for parameters of two and more dimensions, Adam (0.9, 0.99) for the others.

    The first kernel moves `first` times as far: it looks at small differences of grey levels and
    must grow large before the tanh behind it bends.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float, momentum: float = 0.95, *, first: float = 1.0
    ) -> None:
        params = list(params)
        super().__init__(params, {"lr": lr, "momentum": momentum})
        self._first = next(param for param in params if param.ndim >= 2)
        self._factor = first

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update; `closure` is not used."""
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    self._move(param, param.grad, group["lr"], group["momentum"])

    def _move(self, param: Tensor, grad: Tensor, lr: float, momentum: float) -> None:
        state = self.state[param]
        if not state:
            state["mean"] = torch.zeros_like(param)
            state["square"] = torch.zeros_like(param)
            state["step"] = 0
        state["step"] += 1
        if param.ndim < 2:
            self._adam(param, grad, state, lr)
            return
        mean = state["mean"].lerp_(grad, 1 - momentum)
        matrix = grad.lerp(mean, momentum).flatten(1)
        step = lr * 0.2 * max(matrix.shape) ** 0.5 * (self._factor if param is self._first else 1)
        param.sub_(orthogonal(matrix).view_as(param), alpha=step)

    @staticmethod
    def _adam(param: Tensor, grad: Tensor, state: dict[str, Tensor], lr: float) -> None:
        step = int(state["step"])
        mean = state["mean"].lerp_(grad, 0.1) / (1 - 0.9**step)
        square = state["square"].lerp_(grad * grad, 0.01) / (1 - 0.99**step)
        param.sub_(lr * mean / (square.sqrt() + 1e-8))


def make_optimiser(name: str, params: Iterable[Tensor], lr: float, first: float) -> Optimizer:
    """One of OPTIMISERS; Muon's first kernel moves `first` times as far."""
    if name == "muon":
        return Muon(params, lr, first=first)
    return torch.optim.Adam(params, lr, betas=(0.9, 0.99))


def go_on(optimiser: Optimizer, saved: dict[str, Any]) -> None:
    """Gives an optimiser the state that a checkpoint kept. Raises ValueError if another kind of
    optimiser left it."""
    ours, theirs = (groups[0].keys() for groups in (optimiser.param_groups, saved["param_groups"]))
    if not (ours <= theirs or theirs <= ours):  # another torch may have a setting more
        raise ValueError("another optimiser trained it")
    optimiser.load_state_dict(saved)


def lr_factor(progress: float, warmup: float) -> float:
    """Factor of the learning rate at `progress` in 0..1: linear rise, cosine fall."""
    if progress < warmup:
        return progress / warmup + 1e-3
    return 0.5 * (1 + cos(pi * min(1.0, (progress - warmup) / (1 - warmup)))) + 1e-3
