"""int8 graphs: calibrated on clips, measured, and kept only where they cost little."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_contract import frame_of, noise
from test_cuts import scene
from test_recurrent_runs import write
from tiny_models import write_model
from tiny_recurrent import random_cell, write_random_recurrent

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from vsrcli.errors import InputError, ModelError
from vsrcli.frames import Color, Picture
from vsrcli.lab.__main__ import main
from vsrcli.lab.card import Card, GraphCard, read_card, write_card
from vsrcli.lab.export import store
from vsrcli.lab.quantise import Shots, feeds_of, int8_graph, quantise
from vsrcli.lab.restore.export import card_of, restored
from vsrcli.lab.restore.export import write as write_parts
from vsrcli.lab.restore.network import RealBasicVsr, Shape
from vsrcli.media.pixels import layout_of
from vsrcli.models import Temporal, Tuning, list_models
from vsrcli.models.model import read_model
from vsrcli.runtime.check import check_model
from vsrcli.runtime.drivers import open_driver
from vsrcli.runtime.engines import ENGINES, Setup, is_installed


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for name, size in (("a", (64, 96)), ("b", (80, 72))):
        lumas = scene(3, 4, size)
        frames = [np.stack([luma, luma // 2 + 40, 255 - luma], -1) for luma in lumas]
        write(folder / f"{name}.mkv", frames)
    return folder


def test_a_graph_that_costs_little_is_kept(clips: Path, tmp_path: Path) -> None:
    folder = write_random_recurrent(tmp_path)
    shots = Shots(folder=clips, clips=2, frames=4)
    done = quantise(folder, 4, shots, clips, frames=3, most_loss_db=3)
    assert done.is_kept
    assert 0 < abs(done.loss_db) < 3
    model = read_model(folder)
    assert [g.precision for g in model.graphs] == ["fp32", "int8"]
    entry = model.graph(4, "int8")
    assert entry.measured == {"loss_db": round(done.loss_db, 3)}
    kinds = {node.op_type for node in onnx.load_from_string(entry.load()).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    layout, size = layout_of("yuv420p"), (24, 16)
    picture = Picture(layout=layout, color=Color(), width=24, height=16)
    frames = [frame_of(noise(layout, size, i), layout, size, i) for i in range(3)]
    made = {}
    for precision in ("fp32", "int8"):
        driver = open_driver(model, 4, picture=picture, device="cpu", precision=precision)
        made[precision] = [out for frame in frames for out in driver.push(frame)] + driver.flush()
        driver.close()
    for exact, rough in zip(made["fp32"], made["int8"], strict=True):
        error = np.abs(exact.planes[0].astype(float) - rough.planes[0]).mean()
        assert 0 < error < 4


def test_one_that_costs_more_leaves_no_trace(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_model(tmp_path, scales=(2,))
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    options = ("--scale", 2, "--clips", clips, "--measure", clips, "--frames", 3)
    assert main([str(word) for word in ("quantise", folder, *options)]) == 0
    assert "not kept: more than 0.1 dB" in capsys.readouterr().out
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def with_int8(folder: Path) -> Path:
    """The model with an int8 graph from before: its fp32 one under another name."""
    card = read_card(folder)
    (fp32,) = card.graphs
    (folder / "old-int8.onnx").write_bytes((folder / fp32.file).read_bytes())
    write_card(card.with_graph(replace(fp32, file="old-int8.onnx", precision="int8")), folder)
    return folder


def test_one_that_costs_more_takes_an_earlier_one_away(clips: Path, tmp_path: Path) -> None:
    folder = with_int8(write_random_recurrent(tmp_path))
    shots = Shots(folder=clips, clips=1, frames=1)
    assert not quantise(folder, 4, shots, clips, frames=1, most_loss_db=-100).is_kept
    assert [g.precision for g in read_model(folder).graphs] == ["fp32"]
    assert [p.name for p in folder.glob("*.onnx")] == ["random-recurrent.onnx"]


def test_what_was_made_of_a_graph_goes_with_it(tmp_path: Path) -> None:
    folder = with_int8(write_random_recurrent(tmp_path))
    new = onnx.load_from_string(random_cell(1))
    store(new, read_card(folder), folder, scale=4, config="", params=1, border=1)
    assert [g.precision for g in read_model(folder).graphs] == ["fp32"]
    assert [p.name for p in folder.glob("*.onnx")] == ["random-recurrent-x4.onnx"]
    assert not check_model(folder).problems


def test_parts_of_a_restoring_model_are_quantised_but_for_the_flow(
    clips: Path, tmp_path: Path
) -> None:
    shape = Shape(features=16, blocks=1, cleaning=1, detail=16, flow_levels=2)
    torch.manual_seed(0)
    net = RealBasicVsr(shape).eval()
    words = dict.fromkeys(("summary", "licence", "trained_on", "recipe"), "x")
    write_parts(net, card_of("parts", threshold=0.02, **words), tmp_path)
    folder = tmp_path / "parts"
    shots = Shots(folder=clips, clips=2, frames=4)
    done = quantise(folder, 4, shots, clips, frames=3, most_loss_db=3, exact="ends")
    assert done.is_kept
    model = read_model(folder)
    assert not check_model(folder).problems
    exact, rough = model.parts(4), model.parts(4, "int8")
    shared = {part for part in exact if exact[part].file == rough[part].file}
    assert (set(rough), shared) == (set(exact), {"flow"})
    for part, graph in rough.items():
        kinds = {node.op_type for node in onnx.load_from_string(graph.load()).graph.node}
        assert ("QuantizeLinear" in kinds) == (part != "flow")
    clip = (np.random.default_rng(0).random((3, 3, 24, 32)) * 65535).astype(np.uint16)
    made = [restored(model, clip, Tuning(chunk=3), precision=p) for p in ("fp32", "int8")]
    assert 0 < np.square(made[0] - made[1]).mean() < 1e-3
    write_parts(net, card_of("parts", threshold=0.02, **words), tmp_path)
    assert not list(folder.glob("*int8*"))


def test_engines_agree_on_int8(clips: Path, tmp_path: Path) -> None:
    model = read_model(write_model(tmp_path, scales=(2,)))
    shots = Shots(folder=clips, clips=1, frames=2)
    graph = int8_graph(model.graph(2).load(), feeds_of(model, 2, shots))
    (feeds,) = feeds_of(model, 2, shots)
    wanted = feeds["x"].repeat(2, 2).repeat(2, 3)
    for engine in filter(is_installed, ENGINES):
        made = Setup(engine=engine, precision="int8", threads=1).open(graph).run(feeds)["y"]
        assert np.abs(made - wanted).max() < 0.01


def most_weight(graph: bytes) -> int:
    """The largest of the quantised weights."""
    weights = [w for w in onnx.load_from_string(graph).graph.initializer if len(w.dims) == 4]
    arrays = map(onnx.numpy_helper.to_array, weights)
    return max(int(np.abs(w.astype(int)).max()) for w in arrays if w.dtype == np.int8)


@pytest.mark.parametrize(("bits", "most"), [(7, 64), (8, 127)])
def test_weights_have_as_many_bits_as_asked_for(
    clips: Path, tmp_path: Path, bits: int, most: int
) -> None:
    """Of 7 two products with 255 fit into 16 bits, which processors without VNNI add them in."""
    model = read_model(write_model(tmp_path, scales=(2,)))
    feeds = feeds_of(model, 2, Shots(folder=clips, clips=1, frames=1))
    graph = int8_graph(model.graph(2).load(), feeds, weight_bits=bits)
    assert most_weight(graph) == most


def test_shipped_video_models_are_the_same_in_int8_on_every_processor() -> None:
    shipped = [m for m in list_models() if m.temporal is not Temporal.FRAME]
    graphs = [g for m in shipped for g in m.graphs if g.file.name.endswith("-int8.onnx")]
    assert len(graphs) >= 13
    assert {g.file.name: most_weight(g.load()) for g in graphs} == {g.file.name: 64 for g in graphs}


def test_what_cannot_be_quantised_is_refused(clips: Path, tmp_path: Path) -> None:
    folder = write_model(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no clips"):
        quantise(folder, 2, Shots(folder=tmp_path / "empty"), clips)
    with pytest.raises(ModelError, match="x3"):
        quantise(folder, 3, Shots(folder=clips), clips)


def test_the_fp32_graph_stays_first_on_the_card() -> None:
    def entry(precision: str) -> GraphCard:
        return GraphCard(
            scale=4, file="", sha256="", config="", params=1, border=1, precision=precision
        )

    card = Card(id="a", family="", summary="", licence="", trained_on="", recipe="", graphs=())
    card = card.with_graph(entry("int8")).with_graph(entry("fp32"))
    assert [g.precision for g in card.graphs] == ["fp32", "int8"]


def test_convolutions_can_be_left_exact(clips: Path, tmp_path: Path) -> None:
    """One quantised weight for each convolution that is not."""
    model = read_model(write_random_recurrent(tmp_path))
    shots = Shots(folder=clips, clips=1, frames=1)
    for exact, left in (("none", 3), ("first", 2), ("last", 2), ("ends", 1)):
        made = int8_graph(model.graph(4).load(), feeds_of(model, 4, shots), exact)
        weights = [w for w in onnx.load_from_string(made).graph.initializer if len(w.dims) == 4]
        assert sum(w.data_type == onnx.TensorProto.INT8 for w in weights) == left
