"""Losses of a picture's error, by the names that recipes give them."""

from collections.abc import Callable

from torch import Tensor


def charbonnier(error: Tensor) -> Tensor:
    """Mean of sqrt(e² + 1e-6)."""
    return (error.square() + 1e-6).sqrt().mean()


LOSSES: dict[str, Callable[[Tensor], Tensor]] = {
    "mse": lambda error: error.square().mean(),
    "charbonnier": charbonnier,
}
