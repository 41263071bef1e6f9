"""Model folders and ONNX files made in the test: they repeat each pixel, so results are known."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from vsrcli.runtime.onnx_wire import FLOAT, INPUT, OUTPUT, Builder, field, model_of, port

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
    dead: bool = False,
    alone: bool = False,
) -> bytes:
    """An ONNX file that makes each pixel `scale` x `scale` as large, `shuffles` times over.

    With `resize` it scales by that factor instead, whole or not. With `dead` its last nodes make a
    black picture that nobody takes. With `alone` it takes one plane at a time, whatever it says.
    """
    graph = _Builder()
    values = graph.node("Cast", ["x"], to=FLOAT) if kind != FLOAT else "x"
    channels = shape[1] if isinstance(shape[1], int) else 1
    kernel = np.zeros((channels * scale**2, channels, 1, 1), np.float32)
    for output in range(len(kernel)):
        kernel[output, output // scale**2] = 1
    if alone:
        values = graph.node("Reshape", [values, np.array([1, 0, 0, 0], np.int64)])
    if resize:
        sizes = np.array([1, 1, resize, resize], np.float32)
        graph.node("Resize", [values, "", sizes], "y", mode="nearest")
    else:
        for turn in range(shuffles):
            phases = graph.node("Conv", [values, kernel])
            name = "y" if turn == shuffles - 1 else ""
            values = graph.node("DepthToSpace", [phases], name, blocksize=scale, mode="CRD")
    if dead:
        phases = graph.node("Conv", ["x", np.zeros((scale**2, 1, 1, 1), np.float32)])
        graph.node("DepthToSpace", [phases], blocksize=scale)
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


def recurrent_graph() -> bytes:
    """A x2 cell that sees t-1, t, t+1 and whose memory fades slowly."""
    graph = _Builder()
    mix = np.zeros((12, 9, 1, 1), np.float32)
    now = np.zeros((3, 9, 1, 1), np.float32)
    for color in range(3):
        for frame, weight in enumerate((0.2, 0.4, 0.1)):
            mix[4 * color : 4 * color + 4, 3 * frame + color] = weight
        now[color, 3 + color] = 0.1
    spread = np.zeros((12, 3, 1, 1), np.float32)
    for output in range(12):
        spread[output, output // 4] = 0.3
    blend = graph.node("Conv", ["frames", mix])
    phases = graph.node("Add", [blend, graph.node("Conv", ["memory", spread])])
    graph.node("DepthToSpace", [phases], "y", blocksize=2, mode="CRD")
    kept = graph.node("Mul", ["memory", np.float32(0.9)])
    graph.node("Add", [kept, graph.node("Conv", ["frames", now])], "memory_next")
    ports = b"".join(
        field(INPUT, port(n, FLOAT, (1, c, "h", "w"))) for n, c in (("frames", 9), ("memory", 3))
    )
    ports += b"".join(field(OUTPUT, port(n, FLOAT, (1, 3, "a", "b"))) for n in ("y", "memory_next"))
    return model_of(graph.take() + ports)


def write_recurrent(root: Path, id_: str = "tiny-recurrent") -> Path:
    """A folder with a recurrent x2 model below `root`."""
    folder = root / id_
    folder.mkdir(parents=True)
    data = recurrent_graph()
    (folder / "cell.onnx").write_bytes(data)
    (folder / "model.toml").write_text(
        f'''schema = 1
id = "{id_}"
family = "toy"
summary = "mixes frames and remembers"
color = "rgb"
temporal = "recurrent"
before = 1
after = 1
licence = "CC0"
trained_on = "nothing at all"
recipe = ""

[[state]]
name = "memory"
channels = 3

[[graph]]
scale = 2
precision = "fp32"
file = "cell.onnx"
sha256 = "{hashlib.sha256(data).hexdigest()}"
''',
        encoding="utf-8",
    )
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
