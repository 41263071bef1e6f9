"""The recurrent driver on cells small enough to predict: window, states, resets, colour."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from vsrcli.frames import Color, Frame, Picture, Siting, frame_of
from vsrcli.media.pixels import layout_of
from vsrcli.models import Graph, Model, Temporal, Tuning
from vsrcli.models.model import State
from vsrcli.pipeline import run_model
from vsrcli.runtime.drivers import open_driver
from vsrcli.runtime.onnx_wire import FLOAT, INPUT, OUTPUT, Builder, field, model_of, port
from vsrcli.sequences import Cut

WEIGHTS = (0.2, 0.5, 0.3)
"""Of the frames t-1, t, t+1 in the toy cell's output."""


def ports(inputs, outputs):
    made = b"".join(field(INPUT, port(n, FLOAT, (1, c, "h", "w"))) for n, c in inputs.items())
    return made + b"".join(
        field(OUTPUT, port(n, FLOAT, (1, c, "H", "W"))) for n, c in outputs.items()
    )


def toy_cell():
    """y = the weighted window + memory; memory_next = 0.5 memory + 0.1 x_t; scale 1."""
    graph = Builder("toy")
    mix = np.zeros((3, 9, 1, 1), np.float32)
    for frame, weight in enumerate(WEIGHTS):
        mix[range(3), range(3 * frame, 3 * frame + 3)] = weight
    now = np.zeros((3, 9, 1, 1), np.float32)
    now[range(3), range(3, 6)] = 0.1
    graph.node("Add", [graph.node("Conv", ["frames", mix]), "memory"], "y")
    kept = graph.node("Mul", ["memory", np.float32(0.5)])
    graph.node("Add", [kept, graph.node("Conv", ["frames", now])], "memory_next")
    body = graph.take() + ports({"frames": 9, "memory": 3}, {"y": 3, "memory_next": 3})
    return model_of(body)


def identity_cell():
    graph = Builder("toy")
    graph.node("Identity", ["frames"], "y")
    return model_of(graph.take() + ports({"frames": 3}, {"y": 3}))


def model_with(tmp_path, cell, **fields):
    file = tmp_path / "cell.onnx"
    file.write_bytes(cell)
    graph = Graph(scale=1, precision="fp32", file=file, sha256=hashlib.sha256(cell).hexdigest())
    return Model(
        id="toy",
        family="toy",
        summary="",
        color="rgb",
        temporal=Temporal.RECURRENT,
        licence="MIT",
        trained_on="",
        recipe="",
        folder=tmp_path,
        graphs=(graph,),
        **fields,
    )


@pytest.fixture
def toy(tmp_path):
    return model_with(
        tmp_path, toy_cell(), window=(1, 1), states=(State(name="memory", channels=3),)
    )


PICTURE = Picture(
    layout=layout_of("gbrp16le"), color=Color(matrix=0, full_range=True), width=12, height=8
)


def frame(value, index):
    plane = np.full((8, 12), value, np.uint16)
    return frame_of((plane,) * 3, PICTURE.layout, index)


def predicted(values):
    """What the toy cell gives for a shot of constant frames."""
    padded = [values[0], *values, values[-1]]
    memory, out = 0.0, []
    for t in range(len(values)):
        out.append(float(np.dot(WEIGHTS, padded[t : t + 3])) + memory)
        memory = 0.5 * memory + 0.1 * values[t]
    return out


def run(driver, items):
    return [(f.index, float(f.planes[0][4, 6])) for f in run_model(iter(items), driver)]


def test_window_and_state_follow_the_cell(toy):
    values = [1000, 5000, 2000, 30000, 12000]
    driver = open_driver(toy, 1, picture=PICTURE, device="cpu")
    got = run(driver, [frame(v, i) for i, v in enumerate(values)])
    assert [index for index, _ in got] == [0, 1, 2, 3, 4]
    np.testing.assert_allclose([v for _, v in got], predicted(values), atol=1)


def test_a_cut_makes_the_next_shot_as_if_alone(toy):
    first, second = [40000, 30000, 20000], [1000, 3000, 9000, 27000]
    driver = open_driver(toy, 1, picture=PICTURE, device="cpu")
    items = [frame(v, i) for i, v in enumerate(first)]
    items += [Cut(score=50), *(frame(v, i + 3) for i, v in enumerate(second))]
    got = [value for _, value in run(driver, items)]
    np.testing.assert_allclose(got, predicted(first) + predicted(second), atol=1)


def test_shots_of_one_frame(toy):
    driver = open_driver(toy, 1, picture=PICTURE, device="cpu")
    items = [frame(7000, 0), Cut(score=50), frame(9000, 1), Cut(score=50), frame(50, 2)]
    assert run(driver, items) == [(0, 7000.0), (1, 9000.0), (2, 50.0)]


def predicted_warm(values, length):
    """What the toy cell gives for a shot whose first frames were run backwards before it."""
    run_in = values[length:0:-1]
    return predicted([*run_in, *values])[len(run_in) :]


@pytest.mark.parametrize("length", [1, 2, 5])
def test_warm_up_runs_the_opening_backwards(toy, length):
    """Also of shots that are not longer than it, and of a single frame."""
    shots = [[40000, 30000, 20000, 9000, 500], [1000, 3000, 9000, 27000], [7000], [100, 60000]]
    driver = open_driver(toy, 1, picture=PICTURE, device="cpu", warm_up=length)
    items = [
        item
        for i, values in enumerate(shots)
        for item in (Cut(score=50), *(frame(v, 100 * i + t) for t, v in enumerate(values)))
    ]
    got = run(driver, items[1:])
    assert [at for at, _ in got] == [
        100 * i + t for i, shot in enumerate(shots) for t in range(len(shot))
    ]
    wanted = [v for values in shots for v in predicted_warm(values, length)]
    np.testing.assert_allclose([v for _, v in got], wanted, atol=1)
    assert abs(got[0][1] - predicted(shots[0])[0]) > 500


def test_warm_up_holds_back_no_more_than_its_frames(toy):
    driver = open_driver(toy, 1, picture=PICTURE, device="cpu", warm_up=3)
    ready = [len(driver.push(frame(1000, i))) for i in range(8)]
    assert ready == [0, 0, 0, 3, 1, 1, 1, 1]
    assert len(driver.flush()) == 1


@pytest.mark.parametrize("tile", [None, "4x4"])
@pytest.mark.parametrize("warm_up", [0, 3])
def test_goes_on_from_what_was_saved(toy, warm_up, tile):
    """Wherever that is: before the first frame, while the warm-up waits, later on."""
    model = replace(toy, graphs=(replace(toy.graphs[0], border=1),))
    frames = [frame(1000 * (i * i % 31), i) for i in range(9)]

    def fresh():
        tuning = Tuning(tile=tile)
        return open_driver(model, 1, picture=PICTURE, device="cpu", warm_up=warm_up, tuning=tuning)

    wanted = run(fresh(), frames)
    for at in (0, 2, 4, 7):
        driver, other = fresh(), fresh()
        made = [out for each in frames[:at] for out in driver.push(each)]
        carried = driver.save()
        other.push(frames[-1])  # which is forgotten
        other.load(carried.arrays, frames[at - carried.held : at])
        made = [(f.index, float(f.planes[0][4, 6])) for f in made]
        assert made + run(other, frames[at:]) == wanted


def test_nothing_in_gives_nothing_out(toy):
    driver = open_driver(toy, 1, picture=PICTURE, device="cpu")
    assert driver.flush() == []
    driver.close()
    warm = open_driver(toy, 1, picture=PICTURE, device="cpu", warm_up=2)
    assert warm.flush() == []
    warm.close()


@pytest.mark.parametrize("matrix", [1, 5, 6, 7, 9])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    "pix_fmt", ["yuv444p", "yuv420p", "yuv422p10le", "gray", "gbrp", "gbrp12le"]
)
def test_rgb_and_back_is_within_one_code(tmp_path, pix_fmt, matrix, full):
    """Flat patches of colours over the whole legal range; chroma is looked at inside a patch."""
    model = model_with(tmp_path, identity_cell())
    layout = layout_of(pix_fmt)
    picture = Picture(
        layout=layout, color=Color(matrix=matrix, full_range=full), width=96, height=64
    )
    rng = np.random.default_rng(matrix)
    unit = 1 << (layout.bits - 8)
    low, high = (0, layout.peak) if full else (16 * unit, 235 * unit)
    patches = rng.integers(low, high + 1, (len(layout.roles), 4, 6))
    planes = []
    for index in range(len(layout.roles)):
        height, width = layout.size(index, 96, 64)
        tall, wide = height // 4, width // 6
        planes.append(patches[index].repeat(tall, 0).repeat(wide, 1).astype(layout.dtype))
    source = Frame(
        planes=tuple(planes), layout=layout, width=96, height=64, pts=0, time_base=Fraction(1)
    )
    driver = open_driver(model, 1, picture=picture, device="cpu")
    (result,) = driver.push(source)
    for index, (plane, got) in enumerate(zip(planes, result.planes, strict=True)):
        tall, wide = plane.shape[0] // 4, plane.shape[1] // 6
        middle = np.ix_(np.arange(4) * tall + tall // 2, np.arange(6) * wide + wide // 2)
        difference = np.abs(plane[middle].astype(int) - got[middle].astype(int))
        assert difference.max() <= 1, (index, difference)


@pytest.mark.parametrize("siting", list(Siting))
def test_chroma_keeps_its_place_through_rgb(tmp_path, siting):
    """A slow chroma ramp comes back where it was, whatever the siting."""
    model = model_with(tmp_path, identity_cell())
    layout = layout_of("yuv420p")
    color = Color(matrix=1, full_range=True, siting=siting)
    picture = Picture(layout=layout, color=color, width=96, height=64)
    ramp = np.tile(np.linspace(40, 200, 48), (32, 1)).round().astype(np.uint8)
    tall = np.tile(np.linspace(40, 200, 32)[:, None], (1, 48)).round().astype(np.uint8)
    luma = np.full((64, 96), 128, np.uint8)
    source = Frame(
        planes=(luma, ramp, tall), layout=layout, width=96, height=64, pts=0, time_base=Fraction(1)
    )
    (result,) = open_driver(model, 1, picture=picture, device="cpu").push(source)
    inside = (slice(4, -4), slice(4, -4))
    for plane, got in zip(source.planes[1:], result.planes[1:], strict=True):
        assert np.abs(plane[inside].astype(int) - got[inside]).max() <= 1


def test_alpha_rides_along(tmp_path):
    model = model_with(tmp_path, identity_cell())
    picture = replace(PICTURE, layout=layout_of("gbrap"))
    rng = np.random.default_rng(0)
    planes = tuple(rng.integers(0, 256, (4, 8, 12)).astype(np.uint8))
    source = replace(frame(0, 0), planes=planes, layout=picture.layout)
    (result,) = open_driver(model, 1, picture=picture, device="cpu").push(source)
    for plane, got in zip(planes, result.planes, strict=True):
        assert np.abs(plane.astype(int) - got).max() <= 1
