"""The official RLSP checkpoints: RGB in, luma out, values 0..255, tensors in HWIO order.

Six 3x3 layers with ReLU (0-5), then layer 6 gives the next hidden state (ReLU) and layer 7 sixteen
residual phases, to which the luma of the current frame is added. Chroma is bicubic.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch.nn import functional

from vsrcli.errors import WeightsError
from vsrcli.lab.card import Card, GraphCard
from vsrcli.lab.export import store
from vsrcli.lab.graph import GraphBuilder
from vsrcli.lab.temporal.cells import channels, finished
from vsrcli.runtime.engines import open_engine

Array = NDArray[np.float32]
_LAYERS, _SCALE, _PHASES, _FRAMES = 8, 4, 16, 9
_LUMA: Array = (np.array([65.738, 129.057, 25.064]) / 256).astype(np.float32)
_BLACK = 16.0
_WARM_UP = 4
"""Most of what 8 frames gain, at half the cost (examples/warm_up.py)."""
_PARITY = 1e-3
"""Of code values 0..255, relative to the largest of them."""


def import_rlsp(
    path: Path, out_dir: Path, model_id: str | None, licence: str
) -> tuple[Card, GraphCard, Path, float]:
    """`path` (.npz) as a model folder: its card, graph, folder and error. Raises WeightsError."""
    tensors = _load(path)
    features = tensors["layer0/kernel"].shape[3]
    model = _cell(tensors, features)
    error = _parity(model, tensors, features)
    if not error <= _PARITY:
        raise WeightsError(f"{path.name}: the graph differs from the tensors by {error:.1e}")
    card = Card(
        id=model_id or f"imported-rlsp-7-{features}",
        family="rlsp",
        summary=f"imported from {path.name}",
        licence=licence,
        trained_on="see its authors",
        recipe="",
        graphs=(),
        color="rgb",
        temporal="recurrent",
        output="y",
        peak=255.0,
        before=1,
        after=1,
        warm_up=_WARM_UP,
        state=({"name": "hidden", "channels": features}, {"name": "last", "channels": _PHASES}),
    )
    folder = out_dir / card.id
    params = sum(tensor.size for tensor in tensors.values())
    config = f"7-{features}"
    graph = store(
        model, card, folder, scale=_SCALE, config=config, params=params, border=_LAYERS - 1
    )
    return card, graph, folder, error


def _load(path: Path) -> dict[str, Array]:
    """Kernels and biases of the eight layers, checked for names and shapes."""
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name].astype(np.float32) for name in file.files}
    except OSError as exc:
        raise WeightsError(f"{path} cannot be read ({exc.strerror or exc})") from exc
    except Exception as exc:  # what numpy raises depends on the junk it meets
        raise WeightsError(f"{path} is not an .npz file of tensors") from exc
    wanted = {f"layer{i}/{part}" for i in range(_LAYERS) for part in ("kernel", "bias")}
    if missing := sorted(wanted - found.keys()):
        raise WeightsError(f"{path.name} is no RLSP checkpoint: it lacks {missing[0]}")
    if unknown := sorted(found.keys() - wanted):
        raise WeightsError(f"{path.name} is no RLSP checkpoint: {unknown[0]} is unknown")
    features = found["layer0/bias"].size
    for layer in range(_LAYERS):
        inputs = _FRAMES + features + _PHASES if layer == 0 else features
        shape = (3, 3, inputs, _PHASES if layer == 7 else features)
        if found[f"layer{layer}/kernel"].shape != shape:
            raise WeightsError(f"{path.name}: layer{layer}/kernel is not of shape {shape}")
        if found[f"layer{layer}/bias"].shape != shape[3:]:
            raise WeightsError(f"{path.name}: layer{layer}/bias is not of shape {shape[3:]}")
    return found


def _weights(tensors: Mapping[str, Array], layer: int) -> tuple[Array, Array]:
    kernel = np.ascontiguousarray(tensors[f"layer{layer}/kernel"].transpose(3, 2, 0, 1))
    return kernel, tensors[f"layer{layer}/bias"]


def _cell(tensors: Mapping[str, Array], features: int) -> onnx.ModelProto:
    graph = GraphBuilder()
    x = graph.add("Concat", "frames", "hidden", "last", axis=1)
    for layer in range(6):
        x = graph.add("Relu", graph.conv(x, *_weights(tensors, layer), pad=1))
    hidden = graph.add("Relu", graph.conv(x, *_weights(tensors, 6), pad=1))
    residual = graph.conv(x, *_weights(tensors, 7), pad=1)
    centre = channels(graph, "frames", 3, 6)
    black = np.array([_BLACK], np.float32)
    luma = graph.conv(centre, _LUMA[None, :, None, None], black)
    last = graph.add("Add", residual, luma)
    y = graph.add("DepthToSpace", last, blocksize=_SCALE, mode="CRD")
    return finished(
        graph,
        inputs={"frames": _FRAMES, "hidden": features, "last": _PHASES},
        outputs={
            "y": (y, 1),
            "hidden_next": (hidden, features),
            "last_next": (last, _PHASES),
        },
    )


def _parity(model: onnx.ModelProto, tensors: Mapping[str, Array], features: int) -> float:
    """Largest relative difference from torch over three steps of noise."""
    engine = open_engine(model.SerializeToString(), device="cpu", threads=1)
    rng, errors = np.random.default_rng(0), []
    ours = {"hidden": np.zeros((1, features, 12, 15), np.float32)}
    ours["last"] = np.zeros((1, _PHASES, 12, 15), np.float32)
    theirs = dict(ours)
    for _ in range(3):
        frames = (255 * rng.random((1, _FRAMES, 12, 15))).astype(np.float32)
        got = engine.run({"frames": frames, **ours})
        want = _reference(tensors, frames, theirs)
        errors.append(np.abs(got["y"] - want["y"]).max() / np.abs(want["y"]).max())
        ours, theirs = ({k: r[f"{k}_next"] for k in ours} for r in (got, want))
    engine.close()
    return float(np.max(errors))  # NaN if one is


def _reference(
    tensors: Mapping[str, Array], frames: Array, state: Mapping[str, Array]
) -> dict[str, Array]:
    """One step in torch, in float64."""

    def conv(x: torch.Tensor, layer: int) -> torch.Tensor:
        weight, bias = (torch.from_numpy(part).double() for part in _weights(tensors, layer))
        return functional.conv2d(x, weight, bias, padding=1)

    parts = (frames, state["hidden"], state["last"])
    x = torch.cat([torch.from_numpy(part).double() for part in parts], 1)
    for layer in range(6):
        x = functional.relu(conv(x, layer))
    red, green, blue = (torch.from_numpy(frames[:, i : i + 1]).double() for i in (3, 4, 5))
    luma = float(_LUMA[0]) * red + float(_LUMA[1]) * green + float(_LUMA[2]) * blue + _BLACK
    last = conv(x, 7) + luma
    made = {
        "y": functional.pixel_shuffle(last, _SCALE),
        "hidden_next": functional.relu(conv(x, 6)),
        "last_next": last,
    }
    return {name: tensor.float().numpy() for name, tensor in made.items()}
