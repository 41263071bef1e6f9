"""`--model FILE.onnx`: what is run, and what is refused with a reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from clips import make
from conftest import Vsr
from facts import facts
from tiny_models import FLOAT16, FREE, repeat_graph

from vsrcli.errors import ModelError, WeightsError
from vsrcli.frames import Color, Picture, frame_of
from vsrcli.media.pixels import layout_of
from vsrcli.runtime import bare_onnx
from vsrcli.runtime.bare_onnx import bare_model, resolve_model
from vsrcli.runtime.drivers import open_driver
from vsrcli.runtime.onnx_wire import (
    FLOAT,
    INITIALIZER,
    INPUT,
    OUTPUT,
    Builder,
    field,
    model_of,
    port,
)


def _write(folder: Path, data: bytes) -> Path:
    file = folder / "mine.onnx"
    file.write_bytes(data)
    return file


@pytest.mark.parametrize(
    ("options", "scale"), [({"scale": 3}, 3), ({"scale": 1}, 1), ({"shuffles": 2}, 4)]
)
def test_scale_is_found_by_trying(tmp_path: Path, options: dict[str, int], scale: int) -> None:
    model = bare_model(_write(tmp_path, repeat_graph(**options)))
    assert (model.id, model.scales, model.color) == ("mine", (scale,), "y")


@pytest.mark.parametrize(("shuffles", "dead"), [(1, False), (2, False), (1, True)])
@pytest.mark.parametrize("pix_fmt", ["gray", "gray10le"])
def test_runs_as_the_graph_says(tmp_path: Path, shuffles: int, dead: bool, pix_fmt: str) -> None:
    _check_repeated(tmp_path, repeat_graph(2, shuffles=shuffles, dead=dead), 2**shuffles, pix_fmt)


def test_rgb_goes_through_a_net_that_takes_one_plane_at_a_time(tmp_path: Path) -> None:
    _check_repeated(tmp_path, repeat_graph(2, alone=True), 2, "gbrp")


def _check_repeated(folder: Path, data: bytes, scale: int, pix_fmt: str) -> None:
    """The file repeats each pixel of noise."""
    layout, rng = layout_of(pix_fmt), np.random.default_rng(1)
    planes = tuple(rng.integers(0, layout.peak, (9, 14)).astype(layout.dtype) for _ in layout.roles)
    picture = Picture(layout=layout, color=Color(), width=14, height=9)
    model = bare_model(_write(folder, data))
    driver = open_driver(model, scale, picture=picture, device="cpu", threads=1)
    (out,) = driver.push(frame_of(planes, layout))
    driver.close()
    for made, plane in zip(out.planes, planes, strict=True):
        assert np.array_equal(made, plane.repeat(scale, 0).repeat(scale, 1))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"shape": ("n", 3, "h", "w")}, "RGB graphs need a model folder"),
        ({"shape": ("n", 2, "h", "w")}, "takes 2 channels"),
        ({"shape": ("n", 1, 64, 48)}, "only pictures of 48x64"),
        ({"kind": FLOAT16}, "float16"),
        ({"resize": 1.5}, "no whole scale"),
    ],
)
def test_refused_with_a_reason(tmp_path: Path, options: dict[str, object], reason: str) -> None:
    file = _write(tmp_path, repeat_graph(**options))  # type: ignore[arg-type]
    with pytest.raises(WeightsError, match=reason) as refused:
        bare_model(file)
    assert "\n" not in str(refused.value)


def test_weights_in_another_file_are_asked_for(tmp_path: Path) -> None:
    entry = b"".join(field(n, v.encode()) for n, v in ((1, "location"), (2, "w.data")))
    shape = b"".join(field(1, side) for side in (4, 1, 1, 1))
    weight = shape + field(2, FLOAT) + field(8, b"w") + field(13, entry) + field(14, 1)
    graph = Builder("my")
    phases = graph.node("Conv", ["x", "w"])
    graph.node("DepthToSpace", [phases], "y", blocksize=2)
    ports = field(INPUT, port("x", FLOAT, FREE)) + field(OUTPUT, port("y", FLOAT, ("a",) * 4))
    data = model_of(graph.take() + field(INITIALIZER, weight) + ports)
    with pytest.raises(WeightsError, match="lie in another file; save it as one"):
        bare_model(_write(tmp_path, data))


def test_another_picture_when_joined_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    black = np.zeros((1, 1, 2 * bare_onnx._TINY[0], 2 * bare_onnx._TINY[1]))
    monkeypatch.setattr(bare_onnx, "_joined", lambda *_: black)
    with pytest.raises(WeightsError, match="another picture"):
        bare_model(_write(tmp_path, repeat_graph(2)))


@pytest.mark.parametrize("data", [b"", b"no model at all" * 30, repeat_graph()[:-40]])
def test_junk_is_a_weights_error(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(WeightsError):
        bare_model(_write(tmp_path, data))


def test_missing_file_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.onnx"):
        resolve_model(str(tmp_path / "gone.onnx"))


def test_upscales_a_clip(vsr: Vsr, tmp_path: Path) -> None:
    clip = make(tmp_path / "in.mp4")
    model = _write(tmp_path, repeat_graph(2))
    outcome = vsr("upscale", clip, "--model", model, "--preset", "ultrafast", "--progress", "none")
    assert outcome.code == 0, outcome.err
    made = facts(tmp_path / "in_x2_mine.mp4")
    assert made.size == (192, 128)
    assert len(made.pts) == 12
