"""Convolutions filled up to blocks of channels: the same results, and nothing else is touched."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper
from test_contract import MODELS

from vsrcli.runtime.engines.channel_blocks import blocked
from vsrcli.runtime.onnx_wire import INPUT, declared

SIDES = (9, 11)
BLOCK = 8


def conv(inputs: list[str], output: str, **more: int) -> onnx.NodeProto:
    return helper.make_node("Conv", inputs, [output], pads=[1] * 4, **more)


def model(
    nodes: list[onnx.NodeProto], outputs: dict[str, int], **weights: tuple[int, ...]
) -> bytes:
    """Of inputs x (3 channels) and state (10), every number random."""
    rng = np.random.default_rng(0)
    stored = [
        onnx.numpy_helper.from_array(rng.normal(0, 0.2, shape).astype(np.float32), name)
        for name, shape in weights.items()
    ]

    def ports(counts: dict[str, int]) -> list[onnx.ValueInfoProto]:
        return [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, count, *SIDES))
            for name, count in counts.items()
        ]

    graph = helper.make_graph(nodes, "g", ports({"x": 3, "state": 10}), ports(outputs), stored)
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


def results(data: bytes) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(1)
    feeds = {
        name: rng.random([side or SIDES[0] for side in sides], np.float32)
        for name, (_, sides) in declared(data, INPUT).items()
    }
    return session.run(None, feeds)


def taken(data: bytes) -> list[int]:
    """The input channels of the convolutions."""
    graph = onnx.load_from_string(data).graph
    shapes = {i.name: i.dims for i in graph.initializer}
    return [shapes[n.input[1]][1] for n in graph.node if n.op_type == "Conv"]


def test_a_concat_is_filled_up() -> None:
    nodes = [
        helper.make_node("Concat", ["x", "state"], ["c"], axis=1),
        conv(["c", "w", "b"], "y"),
        conv(["c", "v"], "z"),
    ]
    plain = model(nodes, {"y": 4, "z": 5}, w=(4, 13, 3, 3), b=(4,), v=(5, 13, 3, 3))
    made = blocked(plain, BLOCK)
    onnx.checker.check_model(onnx.load_from_string(made), full_check=True)
    assert (taken(plain), taken(made)) == ([13, 13], [16, 16])
    for one, other in zip(results(made), results(plain), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_what_nobody_declares_is_found() -> None:
    """The features that a warp moves: the convolution says how many there are."""
    nodes = [
        helper.make_node("Unsqueeze", ["state", "axis"], ["u"]),
        helper.make_node("Squeeze", ["u", "axis"], ["moved"]),
        helper.make_node("Concat", ["x", "moved"], ["c"], axis=1),
        conv(["c", "w"], "y"),
    ]
    plain = model(nodes, {"y": 4}, w=(4, 13, 3, 3))
    whole = onnx.load_from_string(plain)
    whole.graph.initializer.append(onnx.numpy_helper.from_array(np.array([0]), "axis"))
    made = blocked(whole.SerializeToString(), BLOCK)
    assert taken(made) == [16]
    (one,), (other,) = results(made), results(whole.SerializeToString())
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_channels_that_are_stretched_are_not_counted() -> None:
    """One channel times ten are ten: taken for one, what lies beside them would seem ten, too, and
    five of them would be taken."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["grey"], axes=[1]),
        helper.make_node("Relu", ["grey"], ["r"]),
        conv(["x", "g"], "one"),
        helper.make_node("Mul", ["one", "state"], ["ten"]),
        helper.make_node("Concat", ["ten", "r"], ["c"], axis=1),
        conv(["c", "w"], "y"),
    ]
    plain = model(nodes, {"y": 4}, g=(1, 3, 3, 3), w=(4, 11, 3, 3))
    assert blocked(plain, BLOCK) == plain


@pytest.mark.parametrize("why", ["seen", "read", "grouped", "shared", "full", "small"])
def test_what_cannot_be_filled_stays(why: str) -> None:
    count = {"grouped": 6, "full": 10}.get(why, 13)
    first = ["x", "x"] if why == "grouped" else ["state"] if why == "full" else ["x", "state"]
    nodes = [helper.make_node("Concat", first, ["c"], axis=1)]
    outputs = {"y": 4}
    group = 2 if why == "grouped" else 1
    nodes.append(conv(["c", "w"], "y", group=group))
    if why == "seen":
        outputs["c"] = count
    if why == "read":
        nodes.append(helper.make_node("Relu", ["c"], ["z"]))
        outputs["z"] = count
    if why == "shared":
        nodes += [helper.make_node("Sigmoid", ["c"], ["s"]), conv(["s", "w"], "z")]
        outputs["z"] = 4
    data = model(nodes, outputs, w=(4, count // group, 3, 3))
    block = {"full": 5, "small": 16}.get(why, 4 if why == "grouped" else BLOCK)
    assert blocked(data, block) == data


@pytest.mark.parametrize(("name", "part"), [("rlsp-7-48", ""), ("realbasicvsr-lite", "forward")])
def test_a_cell_is_the_same(name: str, part: str) -> None:
    plain = MODELS[name].parts(4)[part].load()
    made = blocked(plain, 16)
    assert any(count % 16 for count in taken(plain) if count > 16)
    assert not [count for count in taken(made) if count > 16 and count % 16]
    for one, other in zip(results(made), results(plain), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)
