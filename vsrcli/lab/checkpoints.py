"""Checkpoints of this lab, and graphs of model folders, as what a training may start from."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from vsrcli.errors import UsageError, WeightsError
from vsrcli.lab.files import whole

Weights = dict[str, Tensor]
_NET = "net."
"""Exported modules hold the net under this name."""


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """What `vsr-lab train` wrote, the averaged weights under `average`. Raises WeightsError."""
    try:
        saved: dict[str, Any] = torch.load(path, weights_only=True, map_location=device)
        if not all(isinstance(value, Tensor) for value in saved["average"].values()):
            raise TypeError("the average is no tensors")
    except Exception as exc:  # what the unpickler raises depends on the junk it meets
        reason = f"{path} is damaged, or not a checkpoint of `vsr-lab train`"
        raise WeightsError(f"{reason}; give one, or a model folder") from exc
    return saved


def write_checkpoint(kept: dict[str, Any], checkpoint: Path) -> None:
    """Writes it whole, then puts it in place. Raises OutputError."""
    made = io.BytesIO()  # torch says nothing of why it cannot write to a file
    torch.save(kept, made)
    with whole(checkpoint) as file:
        file.write(made.getbuffer())


@contextmanager
def fitting(path: Path) -> Iterator[None]:
    """What a checkpoint of another net raises inside, as WeightsError."""
    try:
        yield
    except (RuntimeError, KeyError, ValueError) as exc:
        reason = " ".join(str(exc).split())[:200]
        raise WeightsError(f"{path} does not fit this recipe: {reason}") from exc


def mean_checkpoint(first: Path, second: Path, out: Path, *, share: float) -> float:
    """Writes a checkpoint of averaged weights (1 - share) * first + share * second, all else the
    second's; the minutes that both were trained. Raises UsageError, WeightsError."""
    if not 0 <= share <= 1:
        raise UsageError("--share must be from 0 to 1")
    one, other = load_checkpoint(first), load_checkpoint(second)
    mine, theirs = one["average"], other["average"]
    if {k: v.shape for k, v in mine.items()} != {k: v.shape for k, v in theirs.items()}:
        raise WeightsError(f"{first} and {second} are not of the same net; give two that are")
    mixed = {key: torch.lerp(mine[key].float(), theirs[key].float(), share) for key in mine}
    spent_s = one.get("spent_s", 0.0) + other.get("spent_s", 0.0)
    data = one.get("data", [])
    data = [*data, *(entry for entry in other.get("data", []) if entry not in data)]
    out.parent.mkdir(parents=True, exist_ok=True)
    new = {"net": mixed, "average": mixed, "spent_s": spent_s, "data": data}
    write_checkpoint(other | new, out)
    return float(spent_s) / 60


def load_graph(file: Path) -> onnx.GraphProto:
    """The graph in an .onnx file. Raises WeightsError if it is not one."""
    try:
        return onnx.load(file).graph
    except Exception as exc:  # protobuf's own errors
        raise WeightsError(f"{file} is not an ONNX graph: {exc}") from exc


def initializers(graph: onnx.GraphProto) -> Weights:
    """A graph's constants by name, in float32."""
    return {
        entry.name: torch.from_numpy(np.array(numpy_helper.to_array(entry), np.float32))
        for entry in graph.initializer
    }


def net_weights(graph: onnx.GraphProto) -> Weights:
    """Those of them that are the net's, by the names it knows them by."""
    found = initializers(graph).items()
    return {key.removeprefix(_NET): value for key, value in found if key.startswith(_NET)}
