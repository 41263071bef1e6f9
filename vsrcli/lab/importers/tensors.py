"""PyTorch checkpoints as plain dicts of tensors; nothing in them is executed."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from vsrcli.errors import WeightsError


def load_saved(path: Path) -> object:
    """What torch saved in a file. Raises WeightsError if it did not."""
    try:
        loaded: object = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as exc:
        raise WeightsError(f"{path} cannot be read ({exc.strerror})") from exc
    except Exception as exc:  # what the unpickler raises depends on the junk it meets
        raise WeightsError(f"{path.name} is not a PyTorch checkpoint of tensors") from exc
    return loaded


def load_tensors(path: Path) -> dict[str, Tensor]:
    """The state dict in a file. Raises WeightsError if it is not one."""
    loaded = load_saved(path)
    if not isinstance(loaded, dict) or not all(
        isinstance(name, str) and isinstance(held, Tensor) for name, held in loaded.items()
    ):
        raise WeightsError(f"{path.name} holds something else than a dict of tensors")
    return loaded


def listed(names: list[str]) -> str:
    """The names of tensors, the first three where there are more."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
