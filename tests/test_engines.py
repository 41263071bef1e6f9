"""What every engine promises, on graphs small enough to predict; each where it is installed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Clip, make
from conftest import Vsr
from facts import facts
from tiny_models import repeat_graph
from tiny_recurrent import CHANNELS, random_cell

from vsrcli.errors import DeviceError, WeightsError
from vsrcli.frames import Color, Picture, Siting
from vsrcli.media.pixels import layout_of
from vsrcli.models import find_model
from vsrcli.runtime.cell_graphs import state_shape, step_graph
from vsrcli.runtime.colour import from_rgb
from vsrcli.runtime.cpu import has_bf16
from vsrcli.runtime.engines import ENGINES, Engine, Setup, is_installed
from vsrcli.runtime.graphs import PHASES, SOURCE, TARGET, bicubic_graph, shuffle, wrap_planes
from vsrcli.runtime.onnx_wire import FLOAT, INPUT, OUTPUT, UINT8, Builder, field, model_of, port

INSTALLED = [name for name in ENGINES if is_installed(name)]
needs_openvino = pytest.mark.skipif(not is_installed("openvino"), reason="needs OpenVINO")
needs_bf16 = pytest.mark.skipif(
    not (is_installed("openvino") and has_bf16()), reason="needs OpenVINO and bf16 arithmetic"
)
SIDES = (20, 28)


def lumas(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as video:
        return [frame.to_ndarray()[: frame.height] for frame in video.decode(video=0)]


@pytest.fixture(params=INSTALLED)
def setup(request: pytest.FixtureRequest) -> Setup:
    return Setup(engine=request.param, threads=1)


def counter(kind: str = "float") -> bytes:
    """y = x + memory; memory_next = memory + 1, on (1, 8, 4, 4)."""
    graph = Builder("my")
    graph.node("Add", ["x", "memory"], "y")
    graph.node("Add", ["memory", np.float32(1)], "memory_next")
    shape = (1, 8, 4, 4)
    ports = b"".join(field(INPUT, port(name, FLOAT, shape)) for name in ("x", "memory"))
    ports += b"".join(field(OUTPUT, port(name, FLOAT, shape)) for name in ("y", "memory_next"))
    return model_of(graph.take() + ports)


X = np.zeros((1, 8, 4, 4), np.float32)


def counts(engine: Engine, runs: int) -> list[float]:
    return [float(engine.run({"x": X})["y"].mean()) for _ in range(runs)]


def test_what_is_bound_runs_on_what_lies_there_by_then(setup: Setup) -> None:
    graph = bicubic_graph(2, bits=8, shape=(1, *SIDES))
    bound, free = setup.open(graph), setup.open(graph)
    given, made = (
        np.zeros(port.sides, port.dtype) for port in (bound.inputs[SOURCE], bound.outputs[TARGET])
    )
    run = bound.bind({SOURCE: given}, {TARGET: made})
    for seed in range(3):
        given[:] = np.random.default_rng(seed).integers(0, 256, given.shape)
        run()
        assert np.array_equal(made, free.run({SOURCE: given})[TARGET])
    bound.close()
    free.close()


def test_ports_are_named(setup: Setup) -> None:
    engine = setup.open(repeat_graph(2, shape=(1, 1, 6, 8)))
    assert engine.inputs["x"].shape == (1, 1, 6, 8)
    assert (engine.inputs["x"].dtype, engine.outputs["y"].dtype) == (np.float32, np.float32)
    assert engine.name.startswith(f"{setup.engine} cpu")
    engine.close()


def test_sizes_may_be_free(setup: Setup) -> None:
    engine = setup.open(repeat_graph(2))
    assert engine.inputs["x"].shape == (None, 1, None, None)
    for height, width in ((3, 5), (8, 2)):
        x = np.random.default_rng(0).random((1, 1, height, width), np.float32)
        np.testing.assert_array_equal(engine.run({"x": x})["y"], x.repeat(2, 2).repeat(2, 3))
    engine.close()


def test_outputs_go_where_they_are_asked_to(setup: Setup) -> None:
    engine = setup.open(bicubic_graph(2, bits=8, shape=(1, 9, 11)))
    out = np.zeros((1, 1, 18, 22), np.uint8)
    assert engine.run({SOURCE: np.full((1, 1, 9, 11), 99, np.uint8)}, {TARGET: out}) == {}
    assert (out == 99).all()
    first = engine.run({SOURCE: np.full((1, 1, 9, 11), 7, np.uint8)})[TARGET]
    second = engine.run({SOURCE: np.full((1, 1, 9, 11), 8, np.uint8)})[TARGET]
    assert (first == 7).all()
    assert (second == 8).all()
    engine.close()


def test_tensors_are_fed_and_written(setup: Setup) -> None:
    engine = setup.open(counter())
    memory, after = engine.put(X + 5), engine.put(X)
    made = engine.run({"x": X, "memory": memory}, {"memory_next": after})
    assert list(made) == ["y"]
    assert (engine.get(after) == 6).all()
    assert (engine.run({"x": X, "memory": after})["y"] == 6).all()
    engine.close()


def test_what_is_held_goes_on_from_run_to_run(setup: Setup) -> None:
    engine = setup.open(counter(), held={"memory": "memory_next"})
    assert (set(engine.inputs), set(engine.outputs)) == ({"x"}, {"y"})
    assert counts(engine, 3) == [0, 1, 2]
    saved = engine.held()
    assert (saved["memory"] == 3).all()
    assert counts(engine, 2) == [3, 4]
    engine.hold(saved)
    assert counts(engine, 2) == [3, 4]
    engine.hold({})
    assert counts(engine, 1) == [0]
    engine.close()


def test_a_broken_graph_is_named(setup: Setup) -> None:
    graph = repeat_graph(2)
    with pytest.raises(WeightsError) as caught:
        setup.open(graph[: len(graph) // 2])
    assert "\n" not in str(caught.value)


def picture(size: tuple[int, int] = SIDES) -> Picture:
    return Picture(layout=layout_of("yuv420p"), color=Color(), width=size[1], height=size[0])


def planes(seed: int, size: tuple[int, int] = SIDES) -> dict[str, np.ndarray]:
    """A frame of soft noise."""
    rng = np.random.default_rng(seed)
    layout = layout_of("yuv420p")
    sizes = [layout.size(i, size[1], size[0]) for i in range(3)]
    return {f"in_{i}": rng.integers(90, 150, (1, 1, *s), np.uint8) for i, s in enumerate(sizes)}


def run_cell(setup: Setup, graph: bytes, held: dict[str, str], frames: int) -> Iterator[np.ndarray]:
    """The luma of each step; the older frame is always the first."""
    engine = setup.open(graph, held=held)
    older = {name: np.full((1, 3, *SIDES), 0.5, np.float32) for name in ("older_0", "older_1")}
    for index in range(frames):
        yield engine.run({**planes(index), **older})["out_0"][0, 0]
    engine.close()


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    from tiny_recurrent import write_random_recurrent

    model = find_model(str(write_random_recurrent(tmp_path_factory.mktemp("models"))))
    return step_graph(random_cell(), model, 4, picture())


HELD = {"state": "state_next"}


@needs_openvino
def test_engines_agree_on_floats() -> None:
    rng = np.random.default_rng(1)
    feeds = {
        "frames": rng.random((1, 9, *SIDES), np.float32),
        "state": rng.random((1, CHANNELS, *SIDES), np.float32),
    }
    one, other = (Setup(engine=name, threads=1).open(random_cell()).run(feeds) for name in ENGINES)
    for name, values in one.items():
        np.testing.assert_allclose(other[name], values, atol=1e-5)


@needs_openvino
def test_openvino_prepares_one_graph_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two at a time, in one of twenty processes or so, would wait for each other for ever."""
    from vsrcli.runtime.engines import openvino

    read, inside, most = openvino._read, [], []

    def slowly(graph: bytes) -> object:
        inside.append(graph)
        time.sleep(0.05)
        most.append(len(inside))
        inside.pop()
        return read(graph)

    monkeypatch.setattr(openvino, "_read", slowly)
    setup, graph = Setup(engine="openvino", threads=1), repeat_graph(2, shape=(1, 1, 6, 8))
    with ThreadPoolExecutor(3) as pool:
        for future in [pool.submit(setup.open, graph) for _ in range(3)]:
            future.result().close()
    assert most == [1, 1, 1]


@needs_bf16
def test_what_an_int8_graph_leaves_exact_is_computed_in_bf16() -> None:
    """Its state, too; and what lies between int8 convolutions is not rounded once more."""
    model = find_model("rlsp-7-48")
    whole, graph = (
        step_graph(model.graph(4, precision).load(), model, 4, picture())
        for precision in ("fp32", "int8")
    )
    rest = Setup(engine="openvino", precision="int8", threads=1)
    exact = list(run_cell(Setup(threads=1), whole, HELD, 4))
    int8, less = (
        np.square(np.subtract(list(run_cell(setup, graph, HELD, 4)), exact, dtype=float)).mean()
        for setup in (Setup(threads=1), rest)
    )
    assert 0 < less < 1.1 * int8
    engine = rest.open(graph, held=HELD)
    state = np.random.default_rng(3).random(state_shape(96, 1, picture()), np.float32)
    engine.hold({"state": state})
    assert 0 < np.abs(engine.held()["state"] - state).max() <= 2**-9
    engine.close()


@needs_openvino
@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("name", ["bicubic", "esr-max", "espcn-fast", "fsrcnn"])
def test_engines_agree_on_shipped_models(name: str, bits: int) -> None:
    model = find_model(name)
    graph = wrap_planes(
        model.graph(4).load(), 4, bits=bits, shape=(1, *SIDES), studio=model.levels == "studio"
    )
    dtype = np.uint8 if bits == 8 else np.uint16
    codes = np.random.default_rng(2).integers(0, 1 << bits, (1, 1, *SIDES)).astype(dtype)
    one, other = (Setup(engine=e, threads=1).open(graph).run({SOURCE: codes}) for e in ENGINES)
    assert np.abs(one[TARGET].astype(int) - other[TARGET]).max() <= 1


def luma_graph(name: str, shape: tuple[int, int, int], *, blocked: bool, bits: int = 8) -> bytes:
    """What a driver runs of a shipped model at x4."""
    model = find_model(name)
    return wrap_planes(
        model.graph(4).load(), 4, bits=bits, shape=shape, studio=model.levels == "studio",
        shuffles=False, blocked=blocked,
    )  # fmt: skip


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("name", ["esr-max", "espcn-fast"])
def test_phases_are_those_of_the_shuffled_graph(setup: Setup, name: str, bits: int) -> None:
    model, shape = find_model(name), (2, *SIDES)
    dtype = np.uint8 if bits == 8 else np.uint16
    codes = np.random.default_rng(2).integers(0, 1 << bits, (2, 1, *SIDES)).astype(dtype)
    whole = wrap_planes(
        model.graph(4).load(), 4, bits=bits, shape=shape, studio=model.levels == "studio"
    )
    wanted = setup.open(whole).run({SOURCE: codes})[TARGET][:, 0]
    graph = luma_graph(name, shape, blocked=setup.is_blocked, bits=bits)
    made = np.empty_like(wanted)
    for phases, plane in zip(setup.open(graph).run({SOURCE: codes})[PHASES], made, strict=True):
        shuffle(phases, plane)
    assert np.abs(made.astype(int) - wanted).max() <= (1 if bits == 8 else 2)


@needs_bf16
@pytest.mark.parametrize(("name", "most"), [("esr-max", 0.4), ("espcn", 0.6)])
def test_bf16_of_luma_is_near_float32(name: str, most: float) -> None:
    """Root mean square of what it changes, codes; half of it is that both are rounded."""
    soft = np.random.default_rng(3).normal(0, 1, (40, 60)).cumsum(0).cumsum(1)
    codes = (16 + 219 * (soft - soft.min()) / np.ptp(soft)).astype(np.uint8)[None, None]
    exact, narrow = (
        Setup(engine=engine, precision=precision, threads=1)
        .open(luma_graph(name, (1, 40, 60), blocked=engine == "onnxruntime"))
        .run({SOURCE: codes})[PHASES]
        .astype(int)
        for engine, precision in (("onnxruntime", "fp32"), ("openvino", "bf16"))
    )
    assert 0 < np.sqrt(np.square(narrow - exact).mean()) < most


@needs_bf16
@pytest.mark.parametrize("name", ["esr-max", "esr-max-fast"])
def test_bf16_leaves_what_is_flat_flat(name: str) -> None:
    """Each code as float32 makes it: filters are rounded so that they keep their sums."""
    made = []
    for engine, precision in (("onnxruntime", "fp32"), ("openvino", "bf16")):
        graph = luma_graph(name, (1, 8, 8), blocked=engine == "onnxruntime")
        opened = Setup(engine=engine, precision=precision, threads=1).open(graph)
        flats = [np.full((1, 1, 8, 8), code, np.uint8) for code in range(0, 256, 5)]
        made.append(np.stack([opened.run({SOURCE: flat})[PHASES] for flat in flats]))
    np.testing.assert_array_equal(*made)


@needs_bf16
@pytest.mark.parametrize("pad", [0, 1, 2])
def test_bf16_adds_each_pixel_to_its_own_detail(pad: int) -> None:
    graph, rng = Builder("my"), np.random.default_rng(6)
    kernel = rng.normal(0, 0.2, (4, 1, 5, 5)).astype(np.float32)
    graph.node("Conv", ["x", kernel], "y", pads=(pad,) * 4)
    made = (1, 4, *(side - 4 + 2 * pad for side in SIDES))
    ports = field(INPUT, port("x", FLOAT, (1, 1, *SIDES))) + field(OUTPUT, port("y", FLOAT, made))
    whole = model_of(graph.take() + ports)
    feeds = {"x": (rng.integers(0, 256, (1, 1, *SIDES)) / 255).astype(np.float32)}
    exact = Setup(threads=1).open(whole).run(feeds)["y"]
    narrow = Setup(engine="openvino", precision="bf16", threads=1).open(whole).run(feeds)["y"]
    np.testing.assert_allclose(narrow, exact, atol=0.006)


@needs_bf16
def test_bf16_takes_convolutions_in_groups() -> None:
    """OpenVINO gives their weights another shape first; that does not make them int8's."""
    graph, rng = Builder("my"), np.random.default_rng(7)
    kernel = rng.normal(0, 0.2, (8, 1, 3, 3)).astype(np.float32)
    graph.node("Relu", [graph.node("Conv", ["x", kernel], pads=(1,) * 4, group=8)], "y")
    ports = b"".join(
        field(kind, port(name, FLOAT, (1, 8, *SIDES)))
        for kind, name in ((INPUT, "x"), (OUTPUT, "y"))
    )
    whole = model_of(graph.take() + ports)
    feeds = {"x": rng.random((1, 8, *SIDES), np.float32)}
    exact, narrow = (
        Setup(engine="openvino", precision=p, threads=1).open(whole).run(feeds)["y"]
        for p in ("fp32", "bf16")
    )
    assert 1e-4 < np.abs(narrow - exact).max() < 0.02


@needs_openvino
def test_engines_agree_on_a_cell_with_its_state(cell: bytes) -> None:
    one, other = (list(run_cell(Setup(engine=e, threads=1), cell, HELD, 5)) for e in ENGINES)
    for a, b in zip(one, other, strict=True):
        assert np.abs(a.astype(int) - b).max() <= 1


@pytest.mark.parametrize("siting", [Siting.LEFT, Siting.CENTER])
@pytest.mark.parametrize(("name", "width"), [("yuv411p", 4), ("yuv411p", 1), ("yuv422p", 2)])
def test_chroma_of_one_column_is_that_of_the_colour(
    setup: Setup, name: str, width: int, siting: Siting
) -> None:
    given = Picture(layout=layout_of(name), color=Color(siting=siting), width=width, height=48)
    graph, names = Builder(), ["y", "u", "v"]
    from_rgb(graph, "rgb", given, names)
    ports = field(INPUT, port("rgb", FLOAT, (1, 3, 48, width)))
    for index, each in enumerate(names):
        sides = given.layout.size(index, width, 48)
        ports += field(OUTPUT, port(each, UINT8, (1, 1, *sides)))
    red = np.array([1, 0, 0], np.float32)[:, None, None] * np.ones((1, 1, 48, width), np.float32)
    made = setup.open(model_of(graph.take() + ports)).run({"rgb": red})
    assert [set(made[each].flat) for each in names] == [{81}, {90}, {240}]


@needs_openvino
def test_a_wide_state_may_be_read_by_anything() -> None:
    """Such states lie channels last inside; one reader is a concat, others are not."""
    graph, shape = Builder(), (1, 8, *SIDES)
    weight = np.random.default_rng(4).normal(0, 0.1, (8, 9, 3, 3)).astype(np.float32)
    both = graph.node("Concat", ["x", "state"], axis=1)
    made = graph.node("Conv", [both, weight], pads=(1, 1, 1, 1))
    graph.node("Add", [graph.node("Relu", [made]), "state"], "state_next")
    graph.node("ReduceMax", ["state"], "y", axes=(1,))
    ports = field(INPUT, port("x", FLOAT, (1, 1, *SIDES)))
    ports += field(INPUT, port("state", FLOAT, shape))
    ports += field(OUTPUT, port("y", FLOAT, (1, 1, *SIDES)))
    ports += field(OUTPUT, port("state_next", FLOAT, shape))
    whole = model_of(graph.take() + ports)
    one, other = (Setup(engine=e, threads=1).open(whole, held=HELD) for e in ENGINES)
    begin = {"state": np.random.default_rng(5).random(shape, np.float32)}
    for engine in (one, other):
        engine.hold(begin)
    for index in range(4):
        feeds = {"x": np.random.default_rng(index).random((1, 1, *SIDES), np.float32)}
        np.testing.assert_allclose(other.run(feeds)["y"], one.run(feeds)["y"], atol=1e-4)
    np.testing.assert_allclose(other.held()["state"], one.held()["state"], atol=1e-4)
    one.close()
    other.close()


@needs_bf16
def test_bf16_stays_near_and_its_state_narrow(cell: bytes) -> None:
    narrow = Setup(engine="openvino", precision="bf16", threads=1)
    exact = list(run_cell(Setup(threads=1), cell, HELD, 6))
    rough = list(run_cell(narrow, cell, HELD, 6))
    errors = [np.square(a.astype(float) - b).mean() for a, b in zip(exact, rough, strict=True)]
    assert 0 < max(errors) < 0.5
    engine = narrow.open(cell, held=HELD)
    shape = state_shape(CHANNELS, 1, picture())
    state = np.random.default_rng(3).random(shape, np.float32)
    engine.hold({"state": state})
    kept = engine.held()["state"]
    assert 0 < np.abs(kept - state).max() <= 2**-9
    engine.hold({"state": kept})
    np.testing.assert_array_equal(engine.held()["state"], kept)
    engine.close()


@needs_bf16
def test_bf16_keeps_positions_of_a_warp_exact() -> None:
    """Large positions, which bf16 would round to whole pixels and more."""
    graph, side = Builder("my"), 400
    eight = np.zeros((2, 8, 1, 1), np.float32)
    eight[0, 0] = eight[1, 1] = 1
    flow = graph.node("Conv", ["flow", eight])
    grid = graph.node("Add", [graph.node("Transpose", [flow], perm=(0, 2, 3, 1)), "base"])
    graph.node("GridSample", ["x", grid], "y", align_corners=1)
    ports = field(INPUT, port("x", FLOAT, (1, 1, 1, side)))
    ports += field(INPUT, port("flow", FLOAT, (1, 8, 1, side)))
    ports += field(INPUT, port("base", FLOAT, (1, 1, side, 2)))
    ports += field(OUTPUT, port("y", FLOAT, (1, 1, 1, side)))
    engine = Setup(engine="openvino", precision="bf16", threads=1).open(
        model_of(graph.take() + ports)
    )
    ramp = np.arange(side, dtype=np.float32).reshape(1, 1, 1, side)
    base = np.stack([np.linspace(-1, 1, side), np.zeros(side)], -1)[None, None]
    made = engine.run({
        "x": ramp, "flow": np.zeros((1, 8, 1, side), np.float32), "base": base.astype(np.float32)
    })["y"]  # fmt: skip
    np.testing.assert_allclose(made, ramp, atol=1e-3)
    engine.close()


@needs_openvino
@pytest.mark.parametrize("name", ["esr-max", "rlsp-7-48", "realbasicvsr-lite"])
def test_a_run_in_openvino_keeps_its_frames(vsr: Vsr, name: str, tmp_path: Path) -> None:
    """And its pictures, nearly: bf16 moves single codes."""
    clip = make(tmp_path / "in.mkv", Clip(frames=7))
    for engine in ENGINES:
        outcome = vsr(
            "upscale", clip, "-o", tmp_path / f"{engine}.mkv", "--model", name, "--scale", 4,
            "--engine", engine, "-c:v", "ffv1", "--progress", "none", "-loglevel", "info",
        )  # fmt: skip
        assert outcome.code == 0, outcome.err
        assert f"on {engine} cpu" in outcome.err
    one, other = (facts(tmp_path / f"{engine}.mkv") for engine in ENGINES)
    assert (one.pts, one.size, one.others) == (other.pts, other.size, other.others)
    pairs = zip(*(lumas(tmp_path / f"{engine}.mkv") for engine in ENGINES), strict=True)
    assert max(np.abs(a.astype(int) - b).mean() for a, b in pairs) < 0.5


@needs_openvino
def test_openvino_is_for_the_cpu() -> None:
    with pytest.raises(DeviceError, match="CPU"):
        Setup(engine="openvino", device="cuda:0").open(counter())


def test_an_engine_that_is_not_there_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vsrcli.runtime.engines.is_installed", lambda _: False)
    with pytest.raises(DeviceError, match=r"vsrcli\[openvino\]"):
        Setup(engine="openvino").open(counter())


@needs_openvino
def test_openvino_sends_nothing_when_it_is_imported() -> None:
    """Its converters would; who asks for them afterwards has them."""
    code = (
        "import sys; from vsrcli.runtime.engines.openvino_import import ov; assert ov.Core;"
        "assert not [m for m in sys.modules if 'telemetry' in m or m.startswith('openvino.tools')];"
        "from importlib.util import find_spec; assert find_spec('openvino.tools.ovc')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
