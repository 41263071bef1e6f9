"""First weights of a net from those of another: the same shape, or fewer or more features.

A grown RLSP computes what the smaller one does, to the last bit of its old channels: new channels
read what they like, and nothing that was there before listens to them yet. A pruned one keeps the
channels that are written and read most strongly (the norms of both kernels multiplied). A net for a
smaller scale begins as the larger one's output, averaged down.
"""

from __future__ import annotations

from math import isqrt
from pathlib import Path

import torch
from torch import Tensor

from vsrcli.errors import WeightsError
from vsrcli.lab.checkpoints import (
    Weights,
    fitting,
    initializers,
    load_checkpoint,
    load_graph,
    net_weights,
)
from vsrcli.lab.temporal.egvsr import Egvsr
from vsrcli.lab.temporal.rlsp import Rlsp
from vsrcli.lab.weights import copied

WINDOW = 9
"""Channels of three RGB frames."""


def begin_from(source: Path, net: Rlsp | Egvsr) -> None:
    """Gives `net` the averaged weights of a checkpoint (.pt), or those of a model folder or cell
    (.onnx) of this project. Raises WeightsError if they do not fit."""
    with fitting(source):
        weights = _checkpoint(source, net) if source.suffix == ".pt" else _cell(source, net)
        if isinstance(net, Rlsp):
            weights = fitted(rescaled(weights, net.scale), net)
        net.load_state_dict(weights)


def fitted(weights: Weights, net: Rlsp) -> Weights:
    """`weights` for the number of features of `net`. Raises KeyError if anything else differs."""
    features, inside = weights["head.weight"].shape[1], len(net.body)
    layers = sum(key.startswith("body.") for key in weights) // 2
    if layers != inside or len(weights["head.weight"]) - features != net.phases:
        raise KeyError(
            f"{layers + 1} layers of {features} features cannot become "
            f"{inside + 1} of {net.features}"
        )
    return grown(weights, net) if features <= net.features else pruned(weights, net)


def rescaled(weights: Weights, scale: int) -> Weights:
    """Weights for a scale that divides theirs: each phase is the mean of those that lie in it."""
    head, first = weights["head.weight"], weights["body.0.weight"]
    features = head.shape[1]
    phases = len(head) - features
    old = isqrt(phases // 3)
    if old == scale or old % scale:
        return weights
    at = torch.arange(phases)
    color, row, column = at // old**2, at // old % old, at % old
    step = old // scale
    goes_to = color * scale**2 + row // step * scale + column // step
    lies_in = (torch.arange(3 * scale**2)[:, None] == goes_to).float()
    made = dict(weights)
    for name in ("head.weight", "head.bias"):
        rows = weights[name]
        mean = torch.tensordot(lies_in / step**2, rows[:phases], 1)
        made[name] = torch.cat([mean, rows[phases:]])
    read = torch.einsum("ochw,pc->ophw", first[:, WINDOW + features :], lies_in)
    made["body.0.weight"] = torch.cat([first[:, : WINDOW + features], read], 1)
    return made


def grown(weights: Weights, net: Rlsp) -> Weights:
    """Weights for `net` that compute what `weights` do with as many features or fewer."""
    few, many, last = weights["head.weight"].shape[1], net.features, net.phases
    made = copied(net)
    frames, hidden = torch.arange(WINDOW), WINDOW + torch.arange(few)
    feedback = WINDOW + many + torch.arange(last)
    for index in range(len(net.body)):
        old = torch.cat([frames, hidden, feedback]) if index == 0 else torch.arange(few)
        _place(made, weights, f"body.{index}", old, few)
    _place(made, weights, "head", torch.arange(few), last + few)
    return made


def pruned(weights: Weights, net: Rlsp) -> Weights:
    """Weights for `net`: of each layer the channels that matter most."""
    features, phases = weights["head.weight"].shape[1], net.phases
    names = [f"body.{i}" for i in range(len(net.body))]
    first, head = weights["body.0.weight"], weights["head.weight"]

    def chosen(written: Tensor, read: Tensor) -> Tensor:
        strength = written.flatten(1).norm(dim=1) * read.transpose(0, 1).flatten(1).norm(dim=1)
        best: Tensor = strength.topk(net.features).indices.sort().values
        return best

    hidden = chosen(head[phases:], first[:, WINDOW : WINDOW + features])
    feedback = WINDOW + features + torch.arange(phases)
    columns = torch.cat([torch.arange(WINDOW), WINDOW + hidden, feedback])
    made: Weights = {}
    for name, reader in zip(names, [*names[1:], "head"], strict=True):
        kernel = weights[f"{name}.weight"]
        rows = chosen(kernel, weights[f"{reader}.weight"])
        made[f"{name}.weight"] = kernel[rows][:, columns].clone()
        made[f"{name}.bias"] = weights[f"{name}.bias"][rows].clone()
        columns = rows
    rows = torch.cat([torch.arange(phases), phases + hidden])
    made["head.weight"] = head[rows][:, columns].clone()
    made["head.bias"] = weights["head.bias"][rows].clone()
    return made


def _place(made: Weights, weights: Weights, name: str, columns: Tensor, rows: int) -> None:
    """Old rows keep their old inputs and ignore new ones; new rows stay as they were drawn."""
    kernel = made[f"{name}.weight"]
    kernel[:rows] = 0
    kernel[:rows, columns] = weights[f"{name}.weight"]
    made[f"{name}.bias"][:rows] = weights[f"{name}.bias"]


def unfolded(weights: Weights, contrast: float) -> Weights:
    """Plain RLSP weights as those of a net that trains with `contrast`; undoes `Rlsp.folded`."""
    if not contrast:
        return weights
    made = {key: value.clone() for key, value in weights.items()}
    first = made["body.0.weight"]
    last = weights["head.weight"].shape[0] - weights["head.weight"].shape[1]
    detail = first[:, -last:]
    own = torch.stack([part.sum(1) for part in detail.chunk(3, 1)], 1)
    first[:, 0:3] += own
    first[:, 3:6] += first[:, 0:3] + first[:, 6:9]
    for part in (first[:, 0:3], first[:, 6:9], detail):
        part /= contrast
    return made


def _checkpoint(path: Path, net: Rlsp | Egvsr) -> Weights:
    saved = load_checkpoint(path)
    weights: Weights = saved["average"]
    contrast = saved.get("contrast", getattr(net, "contrast", 0.0))
    if isinstance(net, Egvsr) or contrast == net.contrast:
        return weights
    trained = Rlsp(
        layers=sum(key.endswith(".weight") for key in weights),
        features=weights["head.weight"].shape[1],
        scale=net.scale,
        contrast=contrast,
    )
    trained.load_state_dict(weights)
    return unfolded(trained.folded().state_dict(), net.contrast)


def _cell(path: Path, net: Rlsp | Egvsr) -> Weights:
    file = path
    if path.is_dir():
        found = sorted(path.glob(f"*x{net.scale}.onnx"))  # not its int8 or fp16
        if not found:
            raise WeightsError(f"{path} holds no x{net.scale} graph")
        file = found[0]
    graph = load_graph(file)
    if isinstance(net, Egvsr):
        return net_weights(graph)
    tensors = initializers(graph)
    names = [f"body.{i}" for i in range(len(net.body))] + ["hidden", "phases"]
    convs = [node for node in graph.node if node.op_type == "Conv"]
    if len(convs) != len(names) or any(len(node.input) != 3 for node in convs):
        raise WeightsError(f"{file} is not an RLSP of {len(names) - 1} layers")
    weights = {}
    for name, node in zip(names, convs, strict=True):
        weights[f"{name}.weight"], weights[f"{name}.bias"] = (tensors[i] for i in node.input[1:])
    for kind in ("weight", "bias"):  # the cell has the head in two
        parts = [weights.pop(f"{name}.{kind}") for name in ("phases", "hidden")]
        weights[f"head.{kind}"] = torch.cat(parts)
    return unfolded(weights, net.contrast)
