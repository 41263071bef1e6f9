"""fp16 variants: what stays in fp32, states in fp16, and pictures as good on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree

import numpy as np
import onnx
import pytest
from test_contract import MODELS
from test_tiling import moving, run
from tiny_recurrent import write_random_recurrent

from vsrcli.errors import ModelError, WeightsError
from vsrcli.frames import Color, Frame, Picture
from vsrcli.lab.half import exact_nodes, export_half
from vsrcli.media.pixels import layout_of
from vsrcli.models import Model
from vsrcli.models.model import read_model
from vsrcli.runtime.drivers import Driver, open_driver
from vsrcli.runtime.wire import FLOAT16, input_kinds

SIZE = (45, 38)


def test_luma_pictures_are_as_good(tmp_path: Path) -> None:
    for name in ("espcn", "esr-tm", "bicubic"):
        folder = copytree(MODELS[name].folder, tmp_path / name)
        (made,) = export_half(folder, 2)
        assert made.psnr_db > 60
        assert (made.exact > 1) == (name == "esr-tm")  # what its exponential feeds
        model = read_model(folder)
        assert {g.precision for g in model.graphs if g.scale == 2} == {"fp32", "fp16"}
        assert model.graph(2).precision == "fp32"
        assert decibels(pictures(model, "fp16", 2), pictures(model, "fp32", 2)) > 50
        assert not [g for g in model.graphs if g.scale == 4 and g.precision == "fp16"]
        with pytest.raises(ModelError, match="no fp16 graph"):
            model.graph(4, "fp16")


def test_a_recurrent_state_is_handed_on_in_fp16(tmp_path: Path) -> None:
    folder = write_random_recurrent(tmp_path)
    export_half(folder, 4)
    model = read_model(folder)
    kinds = input_kinds(model.graph(4, "fp16").load())
    assert (kinds["state"] == FLOAT16, kinds["frames"] == FLOAT16) == (True, False)
    made, wanted = (pictures(model, precision, 4) for precision in ("fp16", "fp32"))
    assert decibels(made, wanted) > 50
    with opened(model, "fp16", 4) as driver:
        frames = moving(layout_of("yuv420p"), SIZE, 5)
        first = [out for frame in frames[:3] for out in driver.push(frame)]
        carried = driver.save()
        assert carried.arrays["state"].dtype == np.float16
    with opened(model, "fp16", 4) as driver:  # as --resume does
        driver.load(carried.arrays, frames[3 - carried.held : 3])
        rest = [out for frame in frames[3:] for out in driver.push(frame)] + driver.flush()
    for one, other in zip([*first, *rest], made, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one.planes, other.planes, strict=True))


def test_flow_and_warp_stay_in_fp32(tmp_path: Path) -> None:
    """EGVSR's flow net with all its weights, and the warp; its reconstruction does not."""
    folder = copytree(MODELS["egvsr-psnr-bd"].folder, tmp_path / "egvsr")
    (made,) = export_half(folder, 4)
    assert made.psnr_db > 65
    model = onnx.load(folder / made.graph.file)
    kinds = {i.name: i.data_type for i in model.graph.initializer}
    flow = [name for name in kinds if ".fnet." in name]
    assert len(flow) == 28
    assert {kinds[name] for name in flow} == {onnx.TensorProto.FLOAT}
    body = {kind for name, kind in kinds.items() if ".blocks." in name}
    assert body == {onnx.TensorProto.FLOAT16}
    makers = {name: node for node in model.graph.node for name in node.output}
    (warp,) = (node for node in model.graph.node if node.op_type == "GridSample")
    seen, open_ = set(), [warp.input[1]]
    while open_:
        node = makers.get(open_.pop())
        if node is not None and node.output[0] not in seen:
            seen.add(node.output[0])
            assert node.op_type != "Cast" or node.attribute[0].i != onnx.TensorProto.FLOAT16
            open_ += node.input
    assert len(seen) > 100
    assert len(exact_nodes(model)) > 100


def test_what_has_no_variant_is_refused(tmp_path: Path) -> None:
    folder = copytree(MODELS["bicubic"].folder, tmp_path / "bicubic")
    with pytest.raises(WeightsError, match="no fp32 graph of x8"):
        export_half(folder, 8)


def pictures(model: Model, precision: str, scale: int) -> list[Frame]:
    with opened(model, precision, scale) as driver:
        return run(driver, moving(layout_of("yuv420p"), SIZE, 5))


def decibels(made: list[Frame], wanted: list[Frame]) -> float:
    """Of luma."""
    assert len(made) == len(wanted) == 5
    pairs = zip(made, wanted, strict=True)
    errors = [(a.planes[0].astype(float) - b.planes[0]) ** 2 for a, b in pairs]
    return float(10 * np.log10(255**2 / max(np.mean(errors), 1e-9)))


@contextmanager
def opened(model: Model, precision: str, scale: int) -> Iterator[Driver]:
    layout = layout_of("yuv420p")
    picture = Picture(layout=layout, color=Color(), width=SIZE[0], height=SIZE[1])
    driver = open_driver(
        model, scale, picture=picture, device="cpu", precision=precision, threads=1
    )
    try:
        yield driver
    finally:
        driver.close()
