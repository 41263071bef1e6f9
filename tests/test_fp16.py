"""fp16 in onnxruntime: what stays in fp32, what is handed on, and pictures as good on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest
from fake_gpu import Gpu
from onnx import TensorProto, helper
from test_contract import MODELS
from test_tile_plan import moving, run
from tiny_recurrent import write_random_recurrent

from vsrcli.errors import DeviceError
from vsrcli.frames import Color, Frame, Picture
from vsrcli.media.pixels import layout_of
from vsrcli.models import Model, Temporal, Tuning
from vsrcli.models.model import read_model
from vsrcli.runtime.devices import choose_setup
from vsrcli.runtime.drivers import Driver, open_driver
from vsrcli.runtime.engines import open_engine
from vsrcli.runtime.engines.fp16 import halved
from vsrcli.runtime.onnx_wire import FLOAT, FLOAT16, INPUT, OUTPUT, declared

SIZE = (45, 38)
SEVERAL = "realbasicvsr-lite"
"""A model of several graphs."""
ONE_LAYER = ("bicubic", "esr-max", "esr-max-fast")
"""Models whose only layer leads to the picture, and so stays in fp32."""


@pytest.mark.parametrize("name", ["espcn", "esr-tm", "esr-cnn", "bicubic", SEVERAL, "egvsr"])
def test_pictures_are_as_good(name: str) -> None:
    model = MODELS[name]
    scale = 2 if 2 in model.scales else 4
    made, wanted = (pictures(model, precision, scale) for precision in ("fp16", "fp32"))
    assert decibels(made, wanted) > 55


@pytest.mark.parametrize("name", MODELS)
def test_types_agree_in_every_graph(name: str) -> None:
    """onnx infers them anew, and both kinds of floats are there."""
    for graph in MODELS[name].graphs:
        if graph.precision == "fp32":
            made = onnx.load_from_string(halved(graph.load()))
            onnx.checker.check_model(made, full_check=True)
            inferred = onnx.shape_inference.infer_shapes(made, strict_mode=True, data_prop=True)
            kinds = {value.type.tensor_type.elem_type for value in inferred.graph.value_info}
            assert {FLOAT, FLOAT16} <= kinds or name in ONE_LAYER


def test_a_recurrent_state_is_handed_on_in_fp16(tmp_path: Path) -> None:
    model = read_model(write_random_recurrent(tmp_path))
    made, wanted = (pictures(model, precision, 4) for precision in ("fp16", "fp32"))
    assert decibels(made, wanted) > 50
    carried_over(model, made, "state")


def test_features_are_handed_on_in_fp16() -> None:
    model, tuning = MODELS[SEVERAL], Tuning(chunk=2, overlap=1)
    carried_over(model, pictures(model, "fp16", 4, tuning), "feature", tuning)


def carried_over(model: Model, made: list[Frame], name: str, tuning: Tuning | None = None) -> None:
    """A second driver goes on in the middle, as --resume does."""
    frames = moving(layout_of("yuv420p"), SIZE, 5)
    with opened(model, "fp16", 4, tuning) as driver:
        first = [out for frame in frames[:3] for out in driver.push(frame)]
        carried = driver.save()
        assert carried.arrays[name].dtype == np.float16
    with opened(model, "fp16", 4, tuning) as driver:
        driver.load(carried.arrays, frames[3 - carried.held : 3])
        rest = [out for frame in frames[3:] for out in driver.push(frame)] + driver.flush()
    for one, other in zip([*first, *rest], made, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one.planes, other.planes, strict=True))


def test_tiles_equal_the_whole() -> None:
    model = MODELS["rlsp-7-48"]
    whole = pictures(model, "fp16", 4)
    for one, other in zip(pictures(model, "fp16", 4, Tuning(tile="24x24")), whole, strict=True):
        for a, b in zip(one.planes, other.planes, strict=True):
            assert np.abs(a.astype(int) - b).max() <= 1


def test_flow_and_warp_stay_in_fp32() -> None:
    """EGVSR's flow net with all its weights, and the warp; its reconstruction does not."""
    graph = onnx.load_from_string(halved(MODELS["egvsr-psnr-bd"].graph(4).load())).graph
    narrowed = {
        n.input[0] for n in graph.node if n.op_type == "Cast" and n.attribute[0].i == FLOAT16
    }
    weights = {i.name for i in graph.initializer if i.data_type == FLOAT and len(i.dims) == 4}
    assert {name for name in weights if ".fnet." in name}.isdisjoint(narrowed)
    assert {name for name in weights if ".blocks." in name} <= narrowed
    makers = {name: node for node in graph.node for name in node.output}
    (warp,) = (node for node in graph.node if node.op_type == "GridSample")
    seen, open_ = set(), [warp.input[1]]
    while open_:
        node = makers.get(open_.pop())
        if node is not None and node.output[0] not in seen:
            seen.add(node.output[0])
            assert node.op_type != "Cast" or node.attribute[0].i != FLOAT16
            open_ += node.input
    assert len(seen) > 100


def test_ports_and_operators_of_every_kind() -> None:
    """Several outputs, integers among the inputs, constants, and outputs made by what stays exact:
    a colour stays fp32, what is handed on becomes fp16 whoever makes it."""
    rng = np.random.default_rng(0)
    weight = helper.make_tensor("w", FLOAT, (8, 3, 3, 3), rng.normal(0, 0.2, 216))
    wide = helper.make_tensor("v", FLOAT, (8, 8, 1, 1), rng.normal(0, 0.2, 64))
    mix = helper.make_tensor("m", FLOAT, (3, 4, 1, 1), rng.normal(0, 0.2, 12))
    half = helper.make_tensor("h", FLOAT, (), [0.5])
    nodes = [
        helper.make_node("Conv", ["frame", "w"], ["a"], pads=[1] * 4),
        helper.make_node("Constant", [], ["c"], value=half),
        helper.make_node("Mul", ["state", "c"], ["s"]),
        helper.make_node("Add", ["a", "s"], ["b"]),
        helper.make_node("Conv", ["b", "v"], ["d"]),
        helper.make_node("Split", ["d"], ["d0", "d1"], axis=1),
        helper.make_node("Shape", ["d0"], ["size"]),
        helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
        helper.make_node("Greater", ["d0", "zeros"], ["positive"]),
        helper.make_node("Where", ["positive", "d0", "zeros"], ["kept"]),
        helper.make_node("Conv", ["d1", "m"], ["detail"]),
        helper.make_node("Add", ["detail", "frame"], ["y"]),
        helper.make_node("Concat", ["kept", "d1"], ["state_next"], axis=1),
    ]
    sides = (6, 7)
    value = helper.make_tensor_value_info
    ports = [value("frame", FLOAT, (1, 3, *sides)), value("state", FLOAT, (1, 8, *sides))]
    ends = [value("y", FLOAT, (1, 3, *sides)), value("state_next", FLOAT, (1, 8, *sides))]
    graph = helper.make_graph(nodes, "odd", ports, ends, [weight, wide, mix])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    plain = model.SerializeToString()
    made = halved(plain, {"state": "state_next"})
    onnx.checker.check_model(onnx.load_from_string(made), full_check=True)
    kinds = {n: k for number in (INPUT, OUTPUT) for n, (k, _) in declared(made, number).items()}
    assert kinds == {"frame": FLOAT, "y": FLOAT, "state": FLOAT16, "state_next": FLOAT16}
    feeds = {"frame": rng.random((1, 3, *sides), np.float32)}
    state = rng.random((1, 8, *sides), np.float32)
    wanted = open_engine(plain, threads=1).run({**feeds, "state": state})
    got = open_engine(made, threads=1).run({**feeds, "state": state.astype(np.float16)})
    for name, array in got.items():
        np.testing.assert_allclose(array, wanted[name], atol=4e-3)
    weights = {t.name: t.data_type for t in onnx.load_from_string(made).graph.initializer}
    assert set(weights.values()) == {TensorProto.FLOAT}  # an engine folds the casts


def test_a_gpu_gets_it_for_models_that_use_time(gpu: Gpu) -> None:
    def chosen(name: str, device: str = "cuda", bits: int = 8) -> str:
        return choose_setup(MODELS[name], scale=4, bits=bits, device=device).precision

    assert [chosen(name) for name in ("egvsr", SEVERAL, "espcn")] == ["fp16", "fp16", "fp32"]
    assert [chosen("egvsr", bits=bits) for bits in (10, 12)] == ["fp16", "fp32"]
    assert [chosen("egvsr", device) for device in ("tensorrt", "cpu")] == ["fp32", "fp32"]


def test_openvino_does_not() -> None:
    assert MODELS["egvsr"].temporal is Temporal.RECURRENT
    with pytest.raises(DeviceError, match="fp16"):
        choose_setup(MODELS["egvsr"], scale=4, engine="openvino", device="cpu", precision="fp16")


def pictures(model: Model, precision: str, scale: int, tuning: Tuning | None = None) -> list[Frame]:
    with opened(model, precision, scale, tuning) as driver:
        return run(driver, moving(layout_of("yuv420p"), SIZE, 5))


def decibels(made: list[Frame], wanted: list[Frame]) -> float:
    """Of luma."""
    assert len(made) == len(wanted) == 5
    pairs = zip(made, wanted, strict=True)
    errors = [(a.planes[0].astype(float) - b.planes[0]) ** 2 for a, b in pairs]
    return float(10 * np.log10(255**2 / max(np.mean(errors), 1e-9)))


@contextmanager
def opened(
    model: Model, precision: str, scale: int, tuning: Tuning | None = None
) -> Iterator[Driver]:
    layout = layout_of("yuv420p")
    picture = Picture(layout=layout, color=Color(), width=SIZE[0], height=SIZE[1])
    driver = open_driver(
        model,
        scale,
        picture=picture,
        device="cpu",
        engine="onnxruntime",
        precision=precision,
        threads=1,
        tuning=tuning or Tuning(),
    )
    assert driver.device == "onnxruntime cpu" + (" fp16" if precision == "fp16" else "")
    try:
        yield driver
    finally:
        driver.close()
