"""Frames in flight and CUDA graphs, with the CPU in the GPU's place."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from clips import Clip, make
from conftest import Vsr
from facts import facts
from fake_gpu import RECORDS, Gpu
from test_engines import X, counter
from test_gpu_path import SIZE, upscaled
from test_tile_plan import moving
from tiny_recurrent import write_random_recurrent

from vsrcli.errors import DeviceError, OutOfMemoryError
from vsrcli.frames import Arriving, Color, Picture
from vsrcli.job import Job
from vsrcli.media.inlet import Reading
from vsrcli.media.pixels import layout_of
from vsrcli.media.settings import VideoOptions
from vsrcli.models import find_model
from vsrcli.models.model import read_model
from vsrcli.runtime.drivers import open_driver
from vsrcli.runtime.engines import Engine, Setup, in_flight, providers

HELD = {"memory": "memory_next"}


@pytest.fixture
def counting(gpu: Gpu) -> Engine:
    """Gives 0, 1, 2 … from run to run."""
    return Setup(device="cuda").open(counter(), held=HELD, steady=True)


def counts(engine: Engine, runs: int) -> list[float]:
    return [float(made()["y"].mean()) for made in [engine.start({"x": X}) for _ in range(runs)]]


def watch_runs(monkeypatch: pytest.MonkeyPatch, see: Callable[[str], None]) -> None:
    """`see` hears of each run on a lane: the number of its recording."""
    inner = in_flight.run_options

    class Options:
        def __init__(self, recording: int | None) -> None:
            self.number, self.made = str(recording), inner(recording)

    class Session:
        def __init__(self, session: Any) -> None:
            self._inner = session

        def io_binding(self) -> Any:
            return self._inner.io_binding()

        def run_with_iobinding(self, binding: Any, options: Options) -> None:
            see(options.number)
            self._inner.run_with_iobinding(binding, options.made)

    made = in_flight.Lane.__init__

    def init(self: in_flight.Lane, session: ort.InferenceSession, **named: Any) -> None:
        made(self, Session(session), **named)  # type: ignore[arg-type]

    monkeypatch.setattr(in_flight, "run_options", Options)
    monkeypatch.setattr(in_flight.Lane, "__init__", init)


def hold_back(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """From now on nothing lands until this is set."""
    may_land, land = threading.Event(), in_flight._on_host

    def slowly(value: ort.OrtValue) -> np.ndarray:
        assert may_land.wait(10)
        return land(value)

    monkeypatch.setattr(in_flight, "_on_host", slowly)
    return may_land


def test_states_go_on_from_lane_to_lane(counting: Engine) -> None:
    assert counts(counting, 5) == [0, 1, 2, 3, 4]
    saved = counting.held()
    assert counts(counting, 2) == [5, 6]
    counting.hold(saved)
    assert counts(counting, 3) == [5, 6, 7]
    counting.hold({})
    assert counts(counting, 2) == [0, 1]
    assert counting.run({"x": X})["y"].mean() == 2  # the other way goes on too
    assert counts(counting, 2) == [3, 4]
    counting.close()


def test_outputs_are_those_of_their_own_run(counting: Engine) -> None:
    """Also when they are looked at late, after their lane has been used again."""
    made = [counting.start({"x": X + 10 * i}) for i in range(6)]
    assert [float(landed()["y"].mean()) for landed in made] == [0, 11, 22, 33, 44, 55]


def test_two_frames_are_in_flight(counting: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next is computed while one lands; the one after it waits for that one's lane."""
    counts(counting, 2)  # recorded
    may_land = hold_back(monkeypatch)
    first, second = counting.start({"x": X}), counting.start({"x": X})
    with ThreadPoolExecutor(1) as pool:
        third = pool.submit(counting.start, {"x": X})
        with pytest.raises(TimeoutError):
            third.result(0.2)
        may_land.set()
        landed = [first(), second(), third.result(10)()]
    assert [float(made["y"].mean()) for made in landed] == [2, 3, 4]


def test_each_lane_has_its_own_recording(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    watch_runs(monkeypatch, seen.append)
    engine = Setup(device="cuda").open(counter(), held=HELD, steady=True)
    assert gpu.options("CUDAExecutionProvider")[RECORDS] == "1"
    assert counts(engine, 5) == [0, 1, 2, 3, 4]
    settling = ["None"] * in_flight._SETTLING
    assert seen == [*settling, "0", *settling, "1", "0", "1", "0"]
    for setup, steady in ((Setup(device="cuda"), False), (Setup(device="tensorrt"), True)):
        other = setup.open(counter(), held=HELD, steady=steady)
        assert gpu.options("CUDAExecutionProvider")[RECORDS] == "0"
        seen.clear()
        assert counts(other, 3) == [0, 1, 2]
        assert seen == ["None"] * 3


def test_nothing_lands_while_a_graph_is_recorded(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA gives a recording up when another thread copies meanwhile, for whatever engine."""
    landing, land = threading.Event(), in_flight._on_host
    overlaps: list[str] = []

    def watched(value: ort.OrtValue) -> np.ndarray:
        landing.set()
        threading.Event().wait(0.05)
        array = land(value)
        landing.clear()
        return array

    def see(recording: str) -> None:
        threading.Event().wait(0.01)
        if landing.is_set():
            overlaps.append(recording)

    monkeypatch.setattr(in_flight, "_on_host", watched)
    watch_runs(monkeypatch, see)
    one, other = (Setup(device="cuda").open(counter(), held=HELD, steady=True) for _ in range(2))
    made = [engine.start({"x": X}) for engine in (one, other, one, other)]
    assert overlaps == []
    assert [float(landed()["y"].mean()) for landed in made] == [0, 0, 1, 1]
    made = [engine.start({"x": X}) for engine in (one, other)]
    assert overlaps  # from then on they may
    for landed in made:
        landed()


def test_what_would_break_recordings_is_done_without(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread's use of the GPU, and releases that free what a recording reads."""
    shared = Setup(device="cuda", records=False).open(counter(), held=HELD, steady=True)
    assert gpu.options("CUDAExecutionProvider")[RECORDS] == "0"
    assert counts(shared, 3) == [0, 1, 2]
    for release, records in (("1.30.2", "0"), ("1.31.0", "1"), ("2.0", "1")):
        monkeypatch.setattr(providers.ort, "__version__", release)
        Setup(device="cuda").open(counter(), held=HELD, steady=True).close()
        assert gpu.options("CUDAExecutionProvider")[RECORDS] == records


@pytest.mark.parametrize(
    ("job", "shared"),
    [({}, False), ({"reading": Reading(hwaccel="cuda")}, True),
     ({"reading": Reading(hwaccel="auto")}, True),
     ({"video": VideoOptions(codec="hevc_nvenc")}, True),
     ({"video": VideoOptions(codec="hevc_nvenc", ffmpeg="auto")}, True),
     ({"video": VideoOptions(codec="hevc_nvenc", ffmpeg="/usr/bin/ffmpeg")}, False),
     ({"reading": Reading(hwaccel="vaapi")}, False)],
)  # fmt: skip
def test_a_run_that_decodes_or_encodes_on_the_gpu_shares_it(
    job: dict[str, Any], shared: bool
) -> None:
    assert Job(source=Path("in.mp4"), **job).shares_gpu == shared


def test_a_graph_that_cannot_be_recorded_runs_without(
    gpu: Gpu, caplog: pytest.LogCaptureFixture
) -> None:
    gpu.refuses_recordings = True
    with caplog.at_level(logging.INFO, logger="vsr"):
        engine = Setup(device="cuda").open(counter(), held=HELD, steady=True)
    assert "no CUDA graph" in caplog.text
    assert gpu.options("CUDAExecutionProvider")[RECORDS] == "0"
    assert counts(engine, 3) == [0, 1, 2]


def failing(monkeypatch: pytest.MonkeyPatch, said: str, recording: str) -> None:
    def see(number: str) -> None:
        if number == recording:
            raise RuntimeError(said)

    watch_runs(monkeypatch, see)


def test_a_recording_that_fails_is_done_without(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Even the second lane's: what is held goes on."""
    failing(monkeypatch, "CUDA failure 900: operation not permitted when stream is capturing", "1")
    engine = Setup(device="cuda").open(counter(), held=HELD, steady=True)
    with caplog.at_level(logging.INFO, logger="vsr"):
        assert counts(engine, 4) == [0, 1, 2, 3]
    assert "no CUDA graph" in caplog.text
    assert gpu.options("CUDAExecutionProvider")[RECORDS] == "0"


def test_a_full_gpu_is_no_reason_to_go_without(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, "Failed to allocate memory for requested buffer of size 1", "0")
    engine = Setup(device="cuda").open(counter(), held=HELD, steady=True)
    with pytest.raises(OutOfMemoryError):
        engine.start({"x": X})
    assert gpu.options("CUDAExecutionProvider")[RECORDS] == "1"


def test_what_goes_wrong_on_the_way_is_said_to_the_reader(
    counting: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(_: ort.OrtValue) -> np.ndarray:
        raise RuntimeError("CUDA failure 700: an illegal memory access\nat line 7")

    with monkeypatch.context() as patch:
        patch.setattr(in_flight, "_on_host", lost)
        first = counting.start({"x": X})
        with pytest.raises(DeviceError, match=r"illegal memory access$"):
            first()
    assert counts(counting, 2) == [1, 2]


def test_planes_are_waited_for_when_they_are_looked_at() -> None:
    asked: list[int] = []

    def collect() -> list[np.ndarray]:
        asked.append(1)
        return [np.zeros((2, 2), np.uint8), np.ones((1, 1), np.uint8)]

    planes = Arriving(collect)
    assert not asked
    assert planes[1].max() == 1
    assert len(planes[:-1]) == 1
    assert [plane.shape for plane in planes] == [(2, 2), (1, 1)]
    assert len(asked) == 1


@pytest.mark.parametrize("kind", ["frame", "recurrent"])
def test_drivers_run_ahead_of_what_lands(
    gpu: Gpu, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frame comes back before its planes have arrived, and they are right when they have."""
    is_frame = kind == "frame"
    model = find_model("espcn") if is_frame else read_model(write_random_recurrent(tmp_path))
    scale = 2 if is_frame else 4
    wanted = upscaled(model, scale, "cpu", precision="fp32" if is_frame else "fp16")
    layout = layout_of("yuv420p")
    picture = Picture(layout=layout, color=Color(), width=SIZE[0], height=SIZE[1])
    driver = open_driver(model, scale, picture=picture, device="cuda", threads=1)
    assert gpu.options("CUDAExecutionProvider")[RECORDS] == "1"
    frames = moving(layout, SIZE, 4)
    made = [out for frame in frames[:3] for out in driver.push(frame)]
    assert [len(out.planes) for out in made] == [3] * len(made)  # all landed
    may_land = hold_back(monkeypatch)
    made += driver.push(frames[3])  # has its planes still before it
    may_land.set()
    made += driver.flush()
    for one, other in zip(made, wanted, strict=True):
        for plane, same in zip(one.planes, other.planes, strict=True):
            np.testing.assert_array_equal(plane, same)
    driver.close()


@pytest.mark.parametrize("kind", ["frame", "recurrent"])
def test_a_run_is_the_same_there(gpu: Gpu, kind: str, tmp_path: Path, vsr: Vsr) -> None:
    """Computed on one thread, landed on another, looked at on a third."""
    clip = make(tmp_path / "in.mkv", Clip(frames=20))
    is_frame = kind == "frame"
    model = "espcn" if is_frame else write_random_recurrent(tmp_path / "models")
    for device in ("cpu", "cuda"):
        outcome = vsr(
            "upscale", clip, "-o", tmp_path / f"{device}.mkv", "--model", model, "--scale",
            2 if is_frame else 4, "-c:v", "ffv1", "--device", device, "--progress", "none",
            "--precision", "fp32" if is_frame else "fp16",
        )  # fmt: skip
        assert (outcome.code, outcome.err) == (0, "")
    assert gpu.options("CUDAExecutionProvider")[RECORDS] == "1"
    assert facts(tmp_path / "cuda.mkv") == facts(tmp_path / "cpu.mkv")
