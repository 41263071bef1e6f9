"""Convolutions with fewer multiplications: they give what plain ones give."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from vsrcli.runtime.engines import Setup, is_installed
from vsrcli.runtime.onnx_wire import FLOAT, INPUT, OUTPUT, Builder, field, model_of, port

if not is_installed("openvino"):
    pytest.skip("needs OpenVINO", allow_module_level=True)

from openvino import passes

from vsrcli.runtime.engines import openvino, winograd
from vsrcli.runtime.engines.openvino_import import ov

WIDE = 64
HELD = {"state": "state_next"}


def net(height: int, width: int) -> bytes:
    """Wide convolutions in a row and around a residual, and a narrow one between; what lies between
    them is read by others too, and a state is carried."""
    rng = np.random.default_rng(0)
    graph = Builder("my")

    def conv(x: str, inputs: int, outputs: int) -> str:
        weight = rng.normal(0, (2 / (9 * inputs)) ** 0.5, (outputs, inputs, 3, 3))
        bias = rng.normal(0, 0.3, outputs).astype(np.float32)
        return graph.node("Conv", [x, weight.astype(np.float32), bias], pads=(1, 1, 1, 1))

    def slopes(x: str) -> str:
        return graph.node("PRelu", [x, rng.uniform(0, 1, (WIDE, 1, 1)).astype(np.float32)])

    x = graph.node("Relu", [conv(graph.node("Concat", ["x", "state"], axis=1), WIDE + 3, WIDE)])
    inner = conv(slopes(conv(x, WIDE, WIDE)), WIDE, WIDE)
    x = graph.node("Add", [x, graph.node("Mul", [inner, np.float32(0.5)])])
    graph.node("Add", [conv(conv(x, WIDE, 8), 8, 3), "x"], "y")
    after = graph.node("Relu", [conv(x, WIDE, WIDE)])
    graph.node("Tanh", [graph.node("Add", [after, "state"])], "state_next")
    shapes = {name: (1, channels, height, width) for name, channels in (("x", 3), ("state", WIDE))}
    ports = b"".join(field(INPUT, port(name, FLOAT, shape)) for name, shape in shapes.items())
    ports += field(OUTPUT, port("y", FLOAT, shapes["x"]))
    return model_of(
        graph.take() + ports + field(OUTPUT, port("state_next", FLOAT, shapes["state"]))
    )


def three_steps(graph: bytes, height: int, width: int) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    engine = Setup(engine="openvino", threads=1).open(graph, held=HELD)
    made = [engine.run({"x": rng.random((1, 3, height, width), np.float32)})["y"] for _ in range(3)]
    state = engine.held()["state"]
    engine.close()
    return [*made, state]


@pytest.mark.parametrize(("height", "width"), [*product((1, 2, 3, 4, 5, 8), (1, 7)), (18, 33)])
def test_it_gives_what_plain_convolutions_give(
    height: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = net(height, width)
    monkeypatch.setattr(openvino, "is_worth_it", lambda _: False)
    plain = three_steps(graph, height, width)
    monkeypatch.setattr(openvino, "is_worth_it", lambda _: True)
    for made, wanted in zip(three_steps(graph, height, width), plain, strict=True):
        assert np.allclose(made, wanted, atol=2e-4)


def multiplications(model: ov.Model) -> int:
    """Of what is left to run when what follows from shapes alone is gone."""
    folding = passes.Manager()
    folding.register_pass(passes.ConstantFolding())
    folding.run_passes(model)
    kernels = [n for n in model.get_ordered_ops() if n.get_type_name() == "Convolution"]
    return sum(
        int(np.prod(n.input(1).get_shape()) * np.prod(n.output(0).get_shape()[2:])) for n in kernels
    )


def test_half_the_multiplications_of_wide_ones_are_left() -> None:
    """And what lies between them stays in parts: the picture is cut once."""
    model = ov.Core().read_model(net(8, 12))
    before = multiplications(ov.Core().read_model(net(8, 12)))
    narrow = 9 * (WIDE * 8 + 8 * 3) * 8 * 12
    winograd.thin_out(model)
    assert multiplications(model) - narrow == (before - narrow) / 2
    assert [node.get_type_name() for node in model.get_ordered_ops()].count("Split") == 1


def test_other_convolutions_stay() -> None:
    graph = Builder("my")
    x, weight = "x", np.ones((WIDE, WIDE, 3, 3), np.float32)
    for how in ({"strides": (2, 2), "pads": (1,) * 4}, {}, {"dilations": (2, 2), "pads": (1,) * 4}):
        x = graph.node("Conv", [x, weight], **how)
    graph.node("Conv", [x, weight[:-1]], "y", pads=(1, 1, 1, 1))
    ports = field(INPUT, port("x", FLOAT, (1, WIDE, 20, 20)))
    data = model_of(graph.take() + ports + field(OUTPUT, port("y", FLOAT, (1, WIDE - 1, "h", "w"))))
    model = ov.Core().read_model(data)
    before = [node.get_name() for node in model.get_ordered_ops()]
    winograd.thin_out(model)
    assert [node.get_name() for node in model.get_ordered_ops()] == before


@pytest.mark.parametrize(
    ("features", "threads", "wanted"),
    [
        (("avx2", "fma"), 2, True),
        (("avx2", "fma"), 16, False),
        (("avx2", "fma", "avx512f"), 2, False),
        (("asimd",), 2, False),
    ],
)
def test_it_is_for_processors_short_of_multiplications(
    features: tuple[str, ...], threads: int, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vsrcli.runtime.cpu.cpu_features", lambda: features)
    assert winograd.is_worth_it(threads) is wanted
