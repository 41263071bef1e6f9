"""PyTorch state dicts of the FRVSR family: `fnet.*` estimates flow, `srnet.*` makes the picture.

EGVSR ends in a shuffle of its 64 channels; FRVSR and TecoGAN in two transposed convolutions, and
add the enlarged frame. What enlarges the flow (and the frame) depends on what the net was trained
on: `bd`, a cubic of a = -0.75 that samples at 0, 1/4, 2/4, 3/4 from the left and top sample, or
`bi`, centred bilinear.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vsrcli.errors import WeightsError
from vsrcli.lab.card import Card, GraphCard
from vsrcli.lab.export import store
from vsrcli.lab.importers.tensors import listed, load_tensors
from vsrcli.lab.temporal.cells import traced_cell
from vsrcli.lab.temporal.egvsr import FLOW_ALIGN, FLOW_REACH, FLOW_SIGHT, SLOPE, warp
from vsrcli.runtime.engines import open_engine

FAMILIES = ("egvsr", "frvsr", "tecogan")
DEGRADATIONS = ("bd", "bi")
_SCALE, _FEATURES, _MULTIPLE = 4, 64, FLOW_ALIGN
_BLOCKS = {"egvsr": (10,), "frvsr": (10, 16), "tecogan": (10, 16)}
_PARITY = 1e-4
_SIZES = ((16, 24), (13, 21), (5, 9))
_CUBIC = -0.75
_FNET = {
    "encoder1": (6, 32),
    "encoder2": (32, 64),
    "encoder3": (64, 128),
    "decoder1": (128, 256),
    "decoder2": (256, 128),
    "decoder3": (128, 64),
}
"""Stage → channels in and out of its two convolutions."""

Shapes = dict[str, tuple[int, ...]]


def import_frvsr(
    path: Path, out_dir: Path, family: str, degradation: str, model_id: str | None, licence: str
) -> tuple[Card, GraphCard, Path, float]:
    """`path` as a model folder: its card, graph, folder and error. Raises WeightsError."""
    tensors = _load(path, family)
    step = Step(tensors, cubic=degradation == "bd")
    model = traced_cell(step, _SCALE)
    error = _parity(model.SerializeToString(), step)
    if not error <= _PARITY:
        raise WeightsError(f"{path.name}: the graph differs from the tensors by {error:.1e}")
    config = f"B{_blocks(tensors)} {degradation.upper()}"
    card = Card(
        id=model_id or f"imported-{family}-{degradation}",
        family=family,
        summary=f"imported from {path.name}",
        licence=licence,
        trained_on="see its authors",
        recipe="",
        graphs=(),
        color="rgb",
        temporal="recurrent",
        before=1,
        state=({"name": "last", "channels": 3, "scale": _SCALE},),
    )
    params = sum(tensor.numel() for tensor in tensors.values())
    folder = out_dir / card.id
    graph = store(
        model,
        card,
        folder,
        scale=_SCALE,
        config=config,
        params=params,
        border=2 * _blocks(tensors) + 3 + FLOW_SIGHT + _MULTIPLE,
        align=FLOW_ALIGN,
    )
    return card, graph, folder, error


class Step(nn.Module):
    """One frame: `frames` (1, 6, H, W) of t-1 and t in 0..1 and the last output to the next one."""

    def __init__(self, tensors: Mapping[str, Tensor], *, cubic: bool) -> None:
        super().__init__()
        self.cubic = cubic
        self.blocks = _blocks(tensors)
        self.enlarges = tensors["srnet.conv_out.weight"].shape[1] == _FEATURES
        for name, tensor in {**tensors, "taps": cubic_taps()}.items():
            self.register_buffer(name.replace(".", "_"), tensor)

    def forward(self, frames: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        before, now = frames[:, :3], frames[:, 3:6]
        flow = self._flow(now, before)
        warped = warp(last, _SCALE * self._enlarged(flow))
        y = self._reconstructed(now, _folded(warped))
        return y, y + 0  # a graph may not give one tensor under two names

    def _conv(self, x: Tensor, name: str) -> Tensor:
        weight, bias = (self.get_buffer(f"{name}_{part}") for part in ("weight", "bias"))
        return functional.conv2d(x, weight, bias, padding=1)

    def _flow(self, now: Tensor, before: Tensor) -> Tensor:
        """From now to before, LR px; taken on sides cut to multiples of 8, the rest is mirrored."""
        height, width = now.shape[2], now.shape[3]
        low = (_MULTIPLE - height) * (height < _MULTIPLE)
        narrow = (_MULTIPLE - width) * (width < _MULTIPLE)
        pair = functional.pad(torch.cat([now, before], 1), (0, narrow, 0, low), mode="replicate")
        tall, wide = pair.shape[2] // _MULTIPLE * _MULTIPLE, pair.shape[3] // _MULTIPLE * _MULTIPLE
        flow = self._fnet(pair[:, :, :tall, :wide])
        rest = (0, pair.shape[3] - wide, 0, pair.shape[2] - tall)
        return functional.pad(flow, rest, mode="reflect")[:, :, :height, :width]

    def _fnet(self, x: Tensor) -> Tensor:
        for stage in _FNET:
            for layer in (0, 2):
                x = functional.leaky_relu(self._conv(x, f"fnet_{stage}_{layer}"), SLOPE)
            if stage.startswith("encoder"):
                x = functional.max_pool2d(x, 2)
            else:
                x = functional.interpolate(x, scale_factor=2, mode="bilinear")
        x = functional.leaky_relu(self._conv(x, "fnet_flow_0"), SLOPE)
        return FLOW_REACH * torch.tanh(self._conv(x, "fnet_flow_2"))

    def _enlarged(self, x: Tensor) -> Tensor:
        if not self.cubic:
            return functional.interpolate(x, scale_factor=_SCALE, mode="bilinear")
        planes = functional.pad(x, (1, 2, 1, 2), mode="replicate").transpose(0, 1)
        phases = functional.conv2d(planes, self.get_buffer("taps"))
        return functional.pixel_shuffle(phases, _SCALE).transpose(0, 1)

    def _reconstructed(self, now: Tensor, folded: Tensor) -> Tensor:
        x = functional.relu(self._conv(torch.cat([now, folded], 1), "srnet_conv_in_0"))
        for block in range(self.blocks):
            name = f"srnet_resblocks_{block}_conv"
            x = x + self._conv(functional.relu(self._conv(x, f"{name}_0")), f"{name}_2")
        if not self.enlarges:
            shuffled = functional.relu(functional.pixel_shuffle(x, _SCALE))
            return self._conv(shuffled, "srnet_conv_out")
        for layer in (0, 2):
            weight, bias = (
                self.get_buffer(f"srnet_conv_up_{layer}_{part}") for part in ("weight", "bias")
            )
            x = functional.conv_transpose2d(x, weight, bias, stride=2, padding=1, output_padding=1)
            x = functional.relu(x)
        return self._conv(x, "srnet_conv_out") + self._enlarged(now)


def cubic_taps() -> Tensor:
    """(16, 1, 4, 4): taps over samples i-1 … i+2 of each phase, (dy, dx) in raster order."""
    at = torch.arange(_SCALE, dtype=torch.float64) / _SCALE
    distance = torch.stack([at + 1, at, 1 - at, 2 - at], 1)
    near = ((_CUBIC + 2) * distance - (_CUBIC + 3)) * distance**2 + 1
    far = ((_CUBIC * distance - 5 * _CUBIC) * distance + 8 * _CUBIC) * distance - 4 * _CUBIC
    taps = torch.where(distance <= 1, near, far)
    return torch.einsum("ai,bj->abij", taps, taps).reshape(_SCALE**2, 1, 4, 4).float()


def _folded(image: Tensor) -> Tensor:
    """Space to depth, the channels in the order (dy, dx, colour)."""
    count, colours = image.shape[:2]
    phases = functional.pixel_unshuffle(image, _SCALE)
    height, width = phases.shape[2], phases.shape[3]
    grouped = phases.reshape(count, colours, _SCALE**2, height, width)
    return grouped.transpose(1, 2).reshape(count, _SCALE**2 * colours, height, width)


def shapes(family: str, blocks: int) -> Shapes:
    """Every tensor that a state dict of the family has."""
    f = _FEATURES
    weights: Shapes = {}
    for stage, (inputs, outputs) in _FNET.items():
        weights[f"fnet.{stage}.0"] = (outputs, inputs, 3, 3)
        weights[f"fnet.{stage}.2"] = (outputs, outputs, 3, 3)
    weights |= {"fnet.flow.0": (32, 64, 3, 3), "fnet.flow.2": (2, 32, 3, 3)}
    weights["srnet.conv_in.0"] = (f, 3 + 3 * _SCALE**2, 3, 3)
    for block in range(blocks):
        for layer in (0, 2):
            weights[f"srnet.resblocks.{block}.conv.{layer}"] = (f, f, 3, 3)
    if family != "egvsr":
        weights |= {f"srnet.conv_up.{layer}": (f, f, 3, 3) for layer in (0, 2)}
    weights["srnet.conv_out"] = (3, f // _SCALE**2 if family == "egvsr" else f, 3, 3)
    found: Shapes = {}
    for name, shape in weights.items():  # of a transposed convolution as well: 64 to 64
        found |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return found


def _blocks(tensors: Mapping[str, object]) -> int:
    return len({name.split(".")[2] for name in tensors if name.startswith("srnet.resblocks.")})


def _load(path: Path, family: str) -> dict[str, Tensor]:
    """The tensors that the family needs, checked for names and shapes."""
    loaded = load_tensors(path)
    if family == "egvsr":  # its authors' files may hold FRVSR's upsampling layers, which it skips
        loaded = {k: v for k, v in loaded.items() if not k.startswith("srnet.conv_up.")}
    blocks = _blocks(loaded)
    wanted = shapes(family, blocks if blocks in _BLOCKS[family] else _BLOCKS[family][0])
    if missing := sorted(wanted.keys() - loaded.keys()):
        raise WeightsError(f"{path.name} is no {family} state dict: it lacks {listed(missing)}")
    if unknown := sorted(loaded.keys() - wanted.keys()):
        raise WeightsError(f"{path.name} is no {family} state dict: {listed(unknown)} unknown")
    for name, shape in wanted.items():
        if tuple(loaded[name].shape) != shape:
            raise WeightsError(f"{path.name}: {name} is {tuple(loaded[name].shape)}, not {shape}")
    return {name: tensor.float() for name, tensor in loaded.items()}


def _parity(graph: bytes, step: Step) -> float:
    """Largest relative difference from torch over three frames of noise, at sizes of all kinds."""
    engine = open_engine(graph, device="cpu", threads=1)
    rng, errors = np.random.default_rng(0), []
    for height, width in _SIZES:
        ours = np.zeros((1, 3, height * _SCALE, width * _SCALE), np.float32)
        theirs = torch.from_numpy(ours)
        for _ in range(3):
            frames = rng.random((1, 6, height, width), np.float32)
            ours = engine.run({"frames": frames, "last": ours})["y"]
            with torch.no_grad():
                theirs, _ = step(torch.from_numpy(frames), theirs)
            scale = max(1.0, float(theirs.abs().max()))
            errors.append(np.abs(ours - theirs.numpy()).max() / scale)
    engine.close()
    return float(np.max(errors))  # NaN if one is
