"""Model folders and ONNX files made in the test: they repeat each pixel, so results are known."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from vsrcli.runtime.wire import FLOAT, INPUT, OUTPUT, Builder, field, model_of, port

FLOAT16 = 10
FREE = ("n", 1, "h", "w")


class _Builder(Builder):
    """Its names are not those that vsr gives when it puts its own nodes around a graph."""

    def _fresh(self) -> str:
        return f"my_{super()._fresh()}"


def repeat_graph(
    scale: int = 2,
    *,
    shape: tuple[str | int, ...] = FREE,
    kind: int = FLOAT,
    shuffles: int = 1,
    resize: float = 0,
) -> bytes:
    """An ONNX file that makes each pixel `scale` x `scale` as large, `shuffles` times over.

    With `resize` it scales by that factor instead, whole or not.
    """
    graph = _Builder()
    values = graph.node("Cast", ["x"], to=FLOAT) if kind != FLOAT else "x"
    channels = shape[1] if isinstance(shape[1], int) else 1
    kernel = np.zeros((channels * scale**2, channels, 1, 1), np.float32)
    for output in range(len(kernel)):
        kernel[output, output // scale**2] = 1
    if resize:
        sizes = np.array([1, 1, resize, resize], np.float32)
        graph.node("Resize", [values, "", sizes], "y", mode="nearest")
    else:
        for turn in range(shuffles):
            phases = graph.node("Conv", [values, kernel])
            name = "y" if turn == shuffles - 1 else ""
            values = graph.node("DepthToSpace", [phases], name, blocksize=scale, mode="CRD")
    ports = field(INPUT, port("x", kind, shape)) + field(OUTPUT, port("y", FLOAT, ("a",) * 4))
    return model_of(graph.take() + ports)


def write_model(root: Path, id_: str = "tiny", *, scales: tuple[int, ...] = (2, 4)) -> Path:
    """A whole model folder below `root`: it verifies."""
    folder = root / id_
    folder.mkdir(parents=True)
    entries = [_write_graph(folder, id_, scale) for scale in scales]
    card = f'''schema = 1
id = "{id_}"
family = "nearest"
summary = "repeats pixels"
color = "y"
temporal = "frame"
licence = "CC0"
trained_on = "nothing at all"
recipe = ""
'''
    (folder / "model.toml").write_text(card + "".join(entries), encoding="utf-8")
    return folder


def _write_graph(folder: Path, id_: str, scale: int) -> str:
    data = repeat_graph(scale)
    file = folder / f"{id_}-x{scale}.onnx"
    file.write_bytes(data)
    return f'''
[[graph]]
scale = {scale}
precision = "fp32"
file = "{file.name}"
sha256 = "{hashlib.sha256(data).hexdigest()}"
params = 12345
config = "K1"
train_minutes = 1.5
[graph.measured]
set5_psnr_y = 27.25
set5_gain_db = -1.125
set5_ssim = 0.75
'''
