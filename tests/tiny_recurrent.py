"""A recurrent x4 model of random weights, as a folder: RLSP's structure, eight features wide."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from vsrcli.runtime.onnx_wire import FLOAT, INPUT, OUTPUT, Builder, field, model_of, port

FEATURES, SCALE = 8, 4
PHASES = 3 * SCALE**2
CHANNELS = FEATURES + PHASES


def random_cell(seed: int = 0, last: int = 3) -> bytes:
    """Frames t-1, t, t+1 and state [hidden | phases] to a picture and the next state.

    What the picture adds to the frame is made from squares of `last` px.
    """
    rng = np.random.default_rng(seed)
    graph = Builder("my")

    def conv(x: str, inputs: int, outputs: int, gain: float, side: int = 3) -> str:
        std = gain * (2 / (9 * inputs)) ** 0.5
        weight = rng.normal(0, std, (outputs, inputs, side, side)).astype(np.float32)
        pads = {"pads": (side // 2,) * 4} if side > 1 else {}
        return graph.node("Conv", [x, weight], **pads)

    def part(x: str, start: int, end: int) -> str:
        ends = (np.array([v], np.int64) for v in (start, end, 1))
        return graph.node("Slice", [x, *ends])

    x = graph.node("Concat", ["frames", "state"], axis=1)
    x = graph.node("Relu", [conv(x, 9 + CHANNELS, FEATURES, 1.0)])
    residual = conv(x, FEATURES, PHASES, 0.15, last)
    hidden = graph.node("Relu", [conv(x, FEATURES, FEATURES, 0.6)])
    index = np.repeat(np.arange(3), SCALE**2)
    repeated = graph.node("Gather", [part("frames", 3, 6), index], axis=1)
    phases = graph.node("Add", [residual, repeated])
    graph.node("DepthToSpace", [phases], "y", blocksize=SCALE, mode="CRD")
    graph.node("Concat", [hidden, phases], "state_next", axis=1)
    ports = field(INPUT, port("frames", FLOAT, (1, 9, "h", "w")))
    ports += field(INPUT, port("state", FLOAT, (1, CHANNELS, "h", "w")))
    ports += field(OUTPUT, port("y", FLOAT, (1, 3, "a", "b")))
    ports += field(OUTPUT, port("state_next", FLOAT, (1, CHANNELS, "h", "w")))
    return model_of(graph.take() + ports)


def write_random_recurrent(root: Path, id_: str = "random-recurrent") -> Path:
    """The model's folder below `root`: it verifies."""
    folder = root / id_
    folder.mkdir(parents=True)
    data = random_cell()
    (folder / f"{id_}.onnx").write_bytes(data)
    card = f'''schema = 1
id = "{id_}"
family = "rlsp"
summary = "random weights"
color = "rgb"
temporal = "recurrent"
before = 1
after = 1
licence = "CC0"
trained_on = "nothing at all"
recipe = ""

[[state]]
name = "state"
channels = {CHANNELS}

[[graph]]
scale = {SCALE}
precision = "fp32"
file = "{id_}.onnx"
sha256 = "{hashlib.sha256(data).hexdigest()}"
params = 4321
[graph.measured]
calendar_psnr_y = 21.5
city_psnr_y = 25.25
mean_psnr_y = 23.38
mean_gain_db = 0.74
mean_ssim = 0.6543
'''
    (folder / "model.toml").write_text(card, encoding="utf-8")
    return folder
