"""The parts of a RealBasicVSR as ONNX graphs of any picture size, which the driver composes.

    clean        frame                       → cleaned, change (mean |residue|, one number)
    flow         now, other                  → motion, LR px, from `now` to `other`
    backward     frame, feature, motion      → feature_next
    forward      frame, feature, motion      → feature_next
    reconstruct  frame, behind, before       → y

Frames are RGB (1, 3, H, W) in 0..1, features (1, F, H, W), motions (1, 2, H, W).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import torch
from torch import Tensor, nn

from vsrcli.lab.graph import OPSET
from vsrcli.lab.restore.network import SCALE, RealBasicVsr

Outputs = Tensor | tuple[Tensor, ...]


@dataclass(frozen=True)
class _Part:
    """A graph's ports, and what it computes."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    run: Callable[..., Outputs]


def parts(net: RealBasicVsr) -> dict[str, onnx.ModelProto]:
    """All graphs by name."""
    return {name: _exported(net, part) for name, part in _parts(net).items()}


def _parts(net: RealBasicVsr) -> dict[str, _Part]:
    core = net.basicvsr

    def clean(frame: Tensor) -> Outputs:
        residue = net.image_cleaning(frame)
        return frame + residue, residue.abs().mean()

    step = (("frame", "feature", "motion"), ("feature_next",))
    return {
        "clean": _Part(("frame",), ("cleaned", "change"), clean),
        "flow": _Part(("now", "other"), ("motion",), core.spynet),
        "backward": _Part(*step, core.step_backward),
        "forward": _Part(*step, core.step_forward),
        "reconstruct": _Part(("frame", "behind", "before"), ("y",), core.reconstruct),
    }


class _Run(nn.Module):
    """A function of the net as a module, which is what the exporter takes."""

    def __init__(self, net: RealBasicVsr, run: Callable[..., Outputs]) -> None:
        super().__init__()
        self.net, self.run = net, run

    def forward(self, *inputs: Tensor) -> Outputs:
        return self.run(*inputs)


def _exported(net: RealBasicVsr, part: _Part) -> onnx.ModelProto:
    named = (*part.inputs, *part.outputs)
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        # The new exporter needs another package and turns the free sides into fixed ones here.
        warnings.simplefilter("ignore")
        made = Path(folder) / "part.onnx"
        torch.onnx.export(
            _Run(net, part.run).eval(),
            _examples(part.inputs, net.shape.features),
            made,
            input_names=list(part.inputs),
            output_names=list(part.outputs),
            opset_version=OPSET,
            dynamo=False,
            dynamic_axes={name: _sides(name) for name in named if name != "change"},
        )
        model = onnx.load(made)
    onnx.checker.check_model(model, full_check=True)
    return model


def _examples(names: Sequence[str], features: int) -> tuple[Tensor, ...]:
    channels = {"frame": 3, "now": 3, "other": 3, "motion": 2}
    return tuple(torch.rand(1, channels.get(name, features), 40, 56) for name in names)


def _sides(name: str) -> dict[int, str]:
    if name == "y":
        return {2: f"{SCALE}*height", 3: f"{SCALE}*width"}
    return {2: "height", 3: "width"}
