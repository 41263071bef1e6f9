"""Tiles: their geometry, and that what they give is what whole pictures give."""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Vsr
from numpy.typing import NDArray
from test_contract import MODELS, frame_of
from test_recurrent_runs import read, write
from tiny_models import write_model
from tiny_recurrent import write_random_recurrent

from vsrcli.errors import DeviceError, OutOfMemoryError, UsageError
from vsrcli.frames import Arriving, Color, Frame, Layout, Picture, Siting, landed
from vsrcli.media.pixels import layout_of
from vsrcli.models import Model, Tuning
from vsrcli.models.model import read_model
from vsrcli.runtime.cpu import has_bf16
from vsrcli.runtime.drivers import Driver, Memoryless, open_driver
from vsrcli.runtime.drivers.tiled import TiledFrames
from vsrcli.runtime.drivers.tiled_cell import TiledCell
from vsrcli.runtime.engines import Setup, is_installed
from vsrcli.runtime.tile_plan import Tiling, plan_tiling
from vsrcli.runtime.tiles import Tile, spans_of

LUMA = ["bicubic", "esr-max", "esr-tm", "esr-cnn", "espcn", "fsrcnn", "sesr"]
FORMATS = [("yuv420p", Siting.LEFT), ("yuv420p10le", Siting.TOPLEFT), ("yuv411p", Siting.LEFT),
           ("gbrp", Siting.LEFT), ("yuva420p", Siting.CENTER)]  # fmt: skip


@pytest.mark.parametrize("halo", [0, 2, 7, 30])
@pytest.mark.parametrize("step", [1, 2, 8])
def test_windows_hold_what_their_cores_depend_on(halo: int, step: int) -> None:
    for length in (1, 5, 31, 64, 97, 200):
        for tile in (1, 9, 16, 40, 300, length):
            spans = spans_of(length, tile, halo=halo, step=step)
            assert [s.low for s in spans] == [0, *(s.high for s in spans[:-1])]
            assert spans[-1].high == length
            for span in spans:
                assert span.size == spans[0].size
                assert span.start % step == span.low % step == 0
                end = span.start + span.size
                assert span.start == 0 or 0 < span.start <= span.low - halo
                assert end == length or span.high + halo <= end < length
            assert all(s.high - s.low >= halo for s in spans[:-1])
            assert len(spans) == 1 or spans[0].size < length
            assert len(spans) == 1 or tile < length


@pytest.mark.parametrize("name", LUMA)
@pytest.mark.parametrize("scale", [2, 3])
def test_luma_models_give_the_same_in_tiles(name: str, scale: int) -> None:
    for pix_fmt, siting in FORMATS[:1] if scale == 3 else FORMATS:
        check(MODELS[name], scale, pix_fmt, siting, size=(67, 53), tile="24x16", count=1)


@pytest.mark.parametrize(("pix_fmt", "siting"), FORMATS)
@pytest.mark.parametrize("tile", ["16x16", "20x50"])
def test_recurrent_cells_give_the_same_in_tiles_frame_after_frame(
    tmp_path: Path, pix_fmt: str, siting: Siting, tile: str
) -> None:
    """Any error at a tile's edge would be carried on and grow."""
    model = bordered(read_model(write_random_recurrent(tmp_path)), 3)
    check(model, 4, pix_fmt, siting, size=(77, 61), tile=tile, count=6)


@pytest.mark.parametrize(
    ("name", "tile", "size"),
    [("rlsp-7-64-bd", "24x24", (75, 61)), ("egvsr-psnr-bd", "88x16", (290, 20))],
)
def test_shipped_recurrent_models_give_the_same_in_tiles(
    name: str, tile: str, size: tuple[int, int]
) -> None:
    """EGVSR's flow sees 66 px, and only pieces that begin at multiples of 8 px as the whole."""
    check(MODELS[name], 4, "gbrp", Siting.LEFT, size=size, tile=tile, count=3)


@pytest.mark.skipif(
    not (is_installed("openvino") and has_bf16()), reason="needs OpenVINO and bf16 arithmetic"
)
@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_tiles_hand_on_states_as_exact_as_whole_pictures(precision: str) -> None:
    """An engine that holds a state keeps it in bf16; one that does not must round it alike."""
    how = {"engine": "openvino", "precision": precision}
    size = (72, 56)
    check(MODELS["rlsp-7-48"], 4, "gbrp", Siting.LEFT, size=size, tile="24x16", count=5, **how)


def test_a_border_that_is_too_small_shows(tmp_path: Path) -> None:
    """So the tests above can fail: the cell reaches 2 px, and tiles of no halo know 0."""
    model = bordered(read_model(write_random_recurrent(tmp_path)), 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vsrcli.runtime.tile_plan._halo", lambda *_: 0)
        with pytest.raises(AssertionError):
            check(model, 4, "gbrp", Siting.LEFT, size=(77, 61), tile="16x16", count=3)


def test_memory_that_runs_out_makes_the_tiles_smaller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In the middle of a shot, for both kinds; what was carried goes on."""
    recurrent = bordered(read_model(write_random_recurrent(tmp_path)), 3)
    size, layout = (64, 48), layout_of("yuv420p")
    limit = {"px": 10**9}

    def limited(open_):  # type: ignore[no-untyped-def]  # an engine that has only so much
        def open_limited(*args, **kwargs):  # type: ignore[no-untyped-def]
            engine = open_(*args, **kwargs)
            run, bind = engine.run, engine.bind

            def check(feeds):  # type: ignore[no-untyped-def]
                given = (feed for feed in feeds.values() if isinstance(feed, np.ndarray))
                if max(math.prod(array.shape[-2:]) for array in given) > limit["px"]:
                    raise OutOfMemoryError("out of memory in the model: try a smaller input")

            def run_limited(feeds, into=None):  # type: ignore[no-untyped-def]
                check(feeds)
                return run(feeds, into)

            def bind_limited(feeds, into):  # type: ignore[no-untyped-def]
                bound = bind(feeds, into)
                return lambda: (check(feeds), bound())

            engine.run, engine.bind = run_limited, bind_limited
            return engine

        return open_limited

    monkeypatch.setattr(Setup, "open", limited(Setup.open))
    for model in (MODELS["espcn"], recurrent):
        frames = moving(layout, size, 5)
        with opened(model, 4, "yuv420p", size) as driver:
            wanted = run(driver, frames)
        caplog.clear()
        limit["px"] = 10**9
        with caplog.at_level(logging.WARNING), opened(model, 4, "yuv420p", size) as driver:
            made = [out for each in frames[:3] for out in driver.push(each)]
            limit["px"] = 60 * 44
            made += [out for each in frames[3:] for out in driver.push(each)] + driver.flush()
        assert_same(made, wanted)
        assert 1 <= len(caplog.messages) <= 3
        assert all("out of memory: going on in tiles of" in text for text in caplog.messages)
        limit["px"] = 1
        with opened(model, 4, "yuv420p", size) as driver, pytest.raises(OutOfMemoryError):
            landed(run(driver, frames))
        with opened(model, 4, "yuv420p", size, tile="off") as driver:
            caplog.clear()
            with pytest.raises(OutOfMemoryError):
                landed(run(driver, frames))
            assert not caplog.messages
        limit["px"] = 10**9


@pytest.mark.parametrize("row", [0, 1, 2])
def test_memory_that_runs_out_within_a_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: int
) -> None:
    """The frame begins anew in smaller tiles, unless states have been written over by then."""
    model = bordered(read_model(write_random_recurrent(tmp_path)), 3)
    size, step, left = (64, 96), TiledCell._step, [row]
    frames = moving(layout_of("yuv420p"), size, 3)

    def scarce(cell: TiledCell, tile: Tile, *rest: Any) -> Any:
        if left and tile is cell._tiles[left[0]][-1]:
            left.clear()
            raise OutOfMemoryError("out of memory in the model: try a smaller input")
        return step(cell, tile, *rest)

    with opened(model, 4, "yuv420p", size, tile="off") as driver:
        wanted = run(driver, frames)
    with opened(model, 4, "yuv420p", size, tile="64x24") as driver:
        driver._tiling = replace(driver._tiling, is_fixed=False)  # type: ignore[attr-defined]
        made = driver.push(frames[0]) + driver.push(frames[1])
        monkeypatch.setattr(TiledCell, "_step", scarce)
        if row < 2:
            assert_same(made + driver.push(frames[2]) + driver.flush(), wanted)
        else:
            with pytest.raises(DeviceError, match="within a frame; use a smaller --tile"):
                driver.push(frames[2])
        assert not left


def test_memory_that_runs_out_in_two_threads_at_once() -> None:
    """One waits for the planes of a frame, the other pushes the next."""
    layout, waits = layout_of("gray"), threading.Event()

    class Short(Memoryless):
        """Has too little for whole pictures: at the second, and when the first arrives."""

        scale, device, pushed = 1, "none", 0

        def __init__(self, part: Picture) -> None:
            self._is_whole = part.width == 128

        def push(self, frame: Frame) -> list[Frame]:
            self.pushed += 1
            if self._is_whole and self.pushed == 2:
                assert waits.wait(5)
                raise OutOfMemoryError("at the next frame")
            return [frame.scaled(Arriving(lambda: self._arrive(frame)), 1)]

        def _arrive(self, frame: Frame) -> list[NDArray[Any]]:
            if self._is_whole:
                waits.set()
                time.sleep(0.2)
                raise OutOfMemoryError("at the first frame")
            return [frame.planes[0].copy()]

        def close(self) -> None: ...

    picture = Picture(layout=layout, color=Color(), width=128, height=128)
    driver = TiledFrames(Short, Tiling(picture=picture, halo=4, step=1))
    first, second = moving(layout, (128, 128), 2)
    (begun,) = driver.push(first)
    with ThreadPoolExecutor(2) as pool:
        sums = [
            pool.submit(lambda: int(begun.planes[0].sum())),
            pool.submit(lambda: int(driver.push(second)[0].planes[0].sum())),
        ]
        assert [each.result(10) for each in sums] == [
            frame.planes[0].sum() for frame in (first, second)
        ]


def test_the_predicted_footprint_decides() -> None:
    model = MODELS["espcn"]
    layout = layout_of("yuv420p")
    picture = Picture(layout=layout, color=Color(), width=1920, height=1080)
    graph = model.graph(4)

    def plan(free: int | None, wanted: str | None = None) -> Tiling:
        return plan_tiling(model, graph, picture, wanted=wanted, free=free)

    for whole in (plan(64 << 30), plan(None), plan(1 << 20, "off")):
        assert whole.is_whole
        assert not whole.reason
    halves = [plan(free << 20) for free in (1200, 600, 300)]
    areas = [tiling.window().width * tiling.window().height for tiling in halves]
    assert areas[0] > areas[1] > areas[2]
    assert all(half.reason.startswith("1920x1080 would take ") for half in halves)
    asked = plan(64 << 30, "300x200").window()
    assert (asked.width, asked.height) < (330, 230)


@pytest.mark.parametrize("kind", ["espcn", "recurrent", "warmed up"])
def test_a_run_goes_on_in_the_tiles_that_it_was_stopped_in(tmp_path: Path, kind: str) -> None:
    """At a cut, too; in fewer bits, frames depend on them."""
    model = MODELS["espcn"]
    if kind != "espcn":
        model = bordered(read_model(write_random_recurrent(tmp_path)), 3)
    how = {"warm_up": 2} if kind == "warmed up" else {}
    frames = moving(layout_of("yuv420p"), (64, 96), 5)
    with opened(model, 4, "yuv420p", (64, 96), tile="40x24", **how) as driver:
        wanted = run(driver, frames)
    for at in (0, 1, 4):
        with opened(model, 4, "yuv420p", (64, 96), tile="40x24", **how) as driver:
            made = [out for each in frames[:at] for out in driver.push(each)]
            carried = driver.save()
            for out in made:
                list(out.planes)  # a driver's frames are looked at before it is closed
        with opened(model, 4, "yuv420p", (64, 96), tile=None, **how) as other:
            inner = getattr(other, "_driver", other) if kind == "warmed up" else other
            assert inner._tiling.is_whole
            other.load(carried.arrays, frames[at - carried.held : at])
            assert inner._tiling.tile == (40, 24)
            assert_same(made + run(other, frames[at:]), wanted)


def test_a_run_goes_on_in_smaller_tiles_where_memory_asks_for_them() -> None:
    picture = Picture(layout=layout_of("yuv420p"), color=Color(), width=1920, height=1080)
    graph = MODELS["espcn"].graph(4)
    many, some, few = (
        plan_tiling(MODELS["espcn"], graph, picture, wanted=None, free=free << 20)
        for free in (64 << 10, 600, 300)
    )
    assert some.taken_up(few.saved()).tile == few.tile
    assert many.taken_up(some.saved()).tile == some.tile
    assert few.taken_up(some.saved()) is few
    assert few.taken_up(many.saved()) is few
    assert many.saved() == {}


def test_options_are_checked(tmp_path: Path, vsr: Vsr) -> None:
    for text in ("12", "0x4", "x", "-1x5", "12x12x12", "on"):
        with pytest.raises(UsageError, match="--tile"):
            Tuning(tile=text)
    unknown = read_model(write_model(tmp_path))  # its card has no border
    layout = layout_of("yuv420p")
    with (
        pytest.raises(UsageError, match="border"),
        opened(unknown, 2, "yuv420p", (40, 40), tile="16x16"),
    ):
        pass
    with opened(unknown, 2, "yuv420p", (40, 40)) as driver:
        assert len(run(driver, moving(layout, (40, 40), 1))) == 1


def bordered(model: Model, border: int) -> Model:
    """The model with this border on its card."""
    return replace(model, graphs=tuple(replace(g, border=border) for g in model.graphs))


def check(
    model: Model,
    scale: int,
    pix_fmt: str,
    siting: Siting,
    *,
    size: tuple[int, int],
    tile: str,
    count: int,
    **how: str,
) -> None:
    """A moving picture in tiles is equal to the whole one to 1 code value."""
    frames = moving(layout_of(pix_fmt), size, count)
    with opened(model, scale, pix_fmt, size, siting=siting, tile="off", **how) as driver:
        wanted = run(driver, frames)
    with opened(model, scale, pix_fmt, size, siting=siting, tile=tile, **how) as driver:
        made = run(driver, frames)
        tiles = getattr(driver, "_rows", None) or driver._cell._tiles  # type: ignore[attr-defined]
        assert sum(map(len, tiles)) > 1
    assert len(wanted) == count
    assert_same(made, wanted)


def assert_same(made: list[Frame], wanted: list[Frame]) -> None:
    assert [f.index for f in made] == [f.index for f in wanted]
    for one, other in zip(made, wanted, strict=True):
        assert (one.width, one.height, one.pts) == (other.width, other.height, other.pts)
        for plane, whole in zip(one.planes, other.planes, strict=True):
            assert plane.shape == whole.shape
            assert plane.dtype == whole.dtype
            assert np.abs(plane.astype(int) - whole.astype(int)).max() <= 1


@contextmanager
def opened(
    model: Model,
    scale: int,
    pix_fmt: str,
    size: tuple[int, int],
    *,
    siting: Siting = Siting.LEFT,
    tile: str | None = None,
    engine: str = "auto",
    precision: str = "auto",
    warm_up: int = 0,
) -> Iterator[Driver]:
    layout, color = layout_of(pix_fmt), Color(siting=siting)
    picture = Picture(layout=layout, color=color, width=size[0], height=size[1])
    tuning = Tuning(tile=tile)
    driver = open_driver(
        model, scale, picture=picture, device="cpu", engine=engine, precision=precision, threads=1,
        warm_up=warm_up, tuning=tuning,
    )  # fmt: skip
    try:
        yield driver
    finally:
        driver.close()


def run(driver: Driver, frames: list[Frame]) -> list[Frame]:
    return [out for each in frames for out in driver.push(each)] + driver.flush()


def moving(layout: Layout, size: tuple[int, int], count: int) -> list[Frame]:
    """Frames of a texture that moves by 1 px right and 2 px down a frame."""
    rng = np.random.default_rng(1)
    frames = []
    textures = [
        rng.integers(0, layout.peak + 1, (size[1] + 40, size[0] + 40), dtype=layout.dtype)
        for _ in layout.roles
    ]
    for index in range(count):
        planes = []
        for plane, texture in enumerate(textures):
            height, width = layout.size(plane, *size)
            planes.append(texture[2 * index : 2 * index + height, index : index + width].copy())
        frames.append(frame_of(planes, layout, size, index))
    return frames


def test_a_run_in_tiles_and_what_probe_says(
    tmp_path: Path, vsr: Vsr, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(2)
    pictures = [rng.integers(0, 256, (90, 160, 3), np.uint8) for _ in range(3)]
    source = write(tmp_path / "a.mkv", pictures)
    lossless = ("--scale", 2, "-c:v", "ffv1", "--progress", "none")
    for name, tile in (("whole", "off"), ("tiled", "48x40")):
        made = tmp_path / f"{name}.mkv"
        assert vsr("upscale", source, "-o", made, "--tile", tile, *lossless).code == 0
    whole, tiled = (read(tmp_path / f"{name}.mkv").astype(int) for name in ("whole", "tiled"))
    assert whole.shape == (3, 180, 320, 3)
    assert np.abs(whole - tiled).max() <= 1
    refused = vsr("upscale", source, "-o", tmp_path / "b.mkv", "--tile", "small", *lossless)
    assert (refused.code, len(refused.lines)) == (2, 1)

    def said() -> Any:  # a JSON document
        return json.loads(vsr("probe", source, "--no-speed", "--json").out)["tiles"]

    assert said()["espcn"] is None
    for module in ("vsrcli.probe", "vsrcli.runtime.drivers"):
        monkeypatch.setattr(f"{module}.free_bytes", lambda _: 140 << 20)
    assert said()["espcn"]["width"] < 160
    assert "espcn: 160x90 would take" in vsr("probe", source, "--no-speed").out
    outcome = vsr("upscale", source, "-o", tmp_path / "c.mkv", *lossless)
    assert outcome.code == 0
    (line,) = (line for line in outcome.lines if "in tiles of" in line)
    assert "160x90 would take" in line
