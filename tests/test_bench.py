"""`vsr bench` on tiny models: that what it says is so, never how fast it is."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Vsr
from fake_gpu import Gpu
from tiny_models import repeat_graph, write_model
from tiny_recurrent import FEATURES, PHASES, random_cell, write_random_recurrent

from vsrcli import stops
from vsrcli.benchmark import Plan, alone, measure, pictures, plot
from vsrcli.benchmark.alone import made_frames
from vsrcli.benchmark.cases import Case, Figures, Outcome, Stages
from vsrcli.benchmark.process import Ran, run
from vsrcli.benchmark.roofline import peak_gflops
from vsrcli.doctor import describe_machine
from vsrcli.errors import InputError, OutputError, VsrError
from vsrcli.frames import Arriving, Frame
from vsrcli.media.images import read_rgb, write_png
from vsrcli.media.source import Source
from vsrcli.runtime.engines import Setup
from vsrcli.runtime.engines.flops import work_of


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less of everything that is repeated to be precise."""
    monkeypatch.setattr("vsrcli.benchmark.roofline._SHAPES", ((8, 16, 16),))
    monkeypatch.setattr("vsrcli.benchmark.roofline._PRODUCT", (64, 32, 2))
    monkeypatch.setattr("vsrcli.benchmark.roofline._GPU_SHAPES", ((8, 16, 16),))
    monkeypatch.setattr("vsrcli.benchmark.roofline._GPU_PRODUCT", (64, 32, 2))
    monkeypatch.setattr("vsrcli.benchmark.alone._ENOUGH_S", 0.0)
    monkeypatch.setattr("vsrcli.benchmark.whole.STAGE_FRAMES", 6)
    monkeypatch.setattr("vsrcli.benchmark.run.STAGE_FRAMES", 6)
    monkeypatch.setattr("vsrcli.benchmark.whole._STEADY_S", 0.0)


def test_operations_are_counted() -> None:
    x = np.zeros((1, 1, 6, 8), np.float32)
    assert work_of(repeat_graph(2), {"x": x}) == 2 * 4 * 6 * 8  # four outputs of one input
    feeds = {
        "frames": np.zeros((1, 9, 6, 8), np.float32),
        "state": np.zeros((1, FEATURES + PHASES, 6, 8), np.float32),
    }
    inputs = 9 + FEATURES + PHASES
    products = 9 * (inputs * FEATURES + FEATURES * PHASES + FEATURES * FEATURES)
    assert work_of(random_cell(), feeds) == 2 * products * 6 * 8


def test_a_peak_is_a_rate(quick: None) -> None:
    assert 0 < peak_gflops(Setup(threads=1)) < 1e6


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_peak_of_a_gpu_waits_for_no_copies(quick: None, gpu: Gpu, precision: str) -> None:
    assert 0 < peak_gflops(Setup(device="cuda", threads=1, precision=precision)) < 1e6
    assert {way for way, _ in gpu.host} == {"out"}


def test_a_gpus_frames_are_timed_with_the_one_before_on_its_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two never wait on the GPU, and one always does."""
    monkeypatch.setattr("vsrcli.benchmark.alone._WARM_S", 0.0)
    monkeypatch.setattr("vsrcli.benchmark.alone._MOST_GPU_RUNS", 7)
    said: list[str] = []

    class Driver:
        device = "onnxruntime cuda fp16"

        def push(self, frame: Frame) -> list[Frame]:
            said.append("push")

            def collect() -> tuple[np.ndarray, ...]:
                said.append("land")
                return tuple(frame.planes)

            return [replace(frame, planes=Arriving(collect))]

    times = alone._time_frames(Driver(), made_frames((64, 48), 3))  # type: ignore[arg-type]
    assert len(times) == 7
    assert said[:5] == ["push", "push", "land", "push", "land"]


def test_shares_and_overlap_follow_from_the_figures() -> None:
    case = Case(model="a", scale=4, engine="auto", precision="auto", size=(480, 270))
    row = Figures(case=case, model_ms=20.0, gflop=2.0, peak_gflops=400.0)
    assert (row.gflops, row.peak_share) == (100.0, 0.25)
    assert Figures(case=case, model_ms=20.0).peak_share is None
    stages = Stages(decode_ms=1, infer_ms=4, encode_ms=8, together_ms=10, first_s=1, busy=0.9)
    assert stages.overlap == 1.25


def test_the_bench_in_json(vsr: Vsr, quick: None, tmp_path: Path) -> None:
    model = write_model(tmp_path / "models", scales=(2,))
    image = tmp_path / "bars.png"
    outcome = vsr(
        "bench", "-m", model, "--size", "48x32", "--frames", 8, "--compare-ffmpeg", "--engine",
        "onnxruntime", "--precision", "fp32", "--precision", "bf16", "--plot", image, "--json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    found = json.loads(outcome.out)
    works, refused = found["cases"]
    assert (works["device"], works["reason"], works["psnr_change_db"]) == (
        "onnxruntime cpu",
        None,
        0,
    )
    assert works["gflop"] == pytest.approx(2 * 4 * 48 * 32 / 1e9)
    assert 15 < works["psnr_db"] < 40
    numbers = ("model_ms", "gflops", "peak_share", "fps")
    assert all(works[name] > 0 for name in numbers)
    assert works["stages"]["overlap"] > 0
    assert 0 < works["stages"]["busy"] <= 1.05
    assert 0 < works["stages"]["first_s"] < 60
    assert "OpenVINO" in refused["reason"]
    assert refused["model_ms"] is None
    assert [s["kernel"] for s in found["ffmpeg"]] == ["bicubic", "lanczos"]
    assert found["machine"]["cores"] >= 1
    assert found["peak_gflops"]["onnxruntime fp32"] > 0
    if sys.platform == "linux":
        assert works["peak_mib"] > 20
    assert read_rgb(image).shape[1] >= 960


def test_the_bench_as_a_table(vsr: Vsr, quick: None, tmp_path: Path) -> None:
    """A recurrent model from the user's own video and pictures, alone."""
    model = write_random_recurrent(tmp_path / "models")
    (tmp_path / "set").mkdir()
    noise = np.random.default_rng(0).integers(60, 200, (40, 72, 3)).astype(np.uint8)
    write_png(tmp_path / "set" / "a.png", noise)
    outcome = vsr(
        "bench", "-m", model, "--size", "32x24", "--frames", 0, "--pictures", tmp_path / "set",
        "--threads", 1,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert "onnxruntime cpu" in outcome.out
    assert "32x24" in outcome.out
    assert "decode" not in outcome.out


def test_no_figure_is_cut_where_lines_are_short(
    vsr: Vsr, quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("VSR_MODELS", str(write_model(tmp_path, scales=(2,)).parent))
    outcome = vsr("bench", "-m", "tiny", "--size", "48x32", "--frames", 0)
    assert outcome.code == 0, outcome.err
    words = outcome.out.split()
    assert outcome.out.count("tiny x2  onnxruntime cpu") > 1
    assert all(word in words for word in ("GFLOP", "GFLOP/s", "PSNR", "change", "fps", "MiB"))
    assert max(map(len, outcome.out.splitlines())) <= 60


@pytest.mark.usefixtures("quick")
def test_frames_a_second_are_of_the_frames_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_model(tmp_path, scales=(2,))
    ran: list[Path] = []

    def two_seconds(case: Case, plan: Plan, clip: Path) -> Ran:
        ran.append(clip)
        with Source(clip) as source:
            assert sum(isinstance(item, Frame) for item in source.items()) == 6
        return Ran(seconds=2, peak_mib=None)

    monkeypatch.setattr("vsrcli.benchmark.run.run_case", two_seconds)
    outcome = measure(Plan(models=(str(model),), sizes=((48, 32),), frames=2, threads=1))
    assert (len(ran), outcome.plan.frames, outcome.figures[0].fps) == (1, 6, 3.0)


@pytest.mark.usefixtures("quick")
def test_the_users_settings_are_not_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VSR_PROFILE", "tv")
    monkeypatch.setenv("VSR_WIDTH", "wide")
    monkeypatch.setenv("VSR_MODELS", str(write_model(tmp_path, scales=(2,)).parent))
    plan = Plan(models=("tiny",), sizes=((48, 32),), frames=6, threads=1)
    assert measure(plan).figures[0].fps


def test_a_shot_is_timed_warm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The median of three, of which the first to be pushed is none."""

    class Slow:
        """A driver whose shots take 100, 3, 1 and 2 seconds."""

        times, left = [0.0], [100, 3, 1, 2]

        def push(self, frame: Frame) -> list[Frame]:
            return []

        def flush(self) -> list[Frame]:
            self.times.append(self.times[-1] + self.left.pop(0))
            return []

        def reset(self) -> None:
            pass

    monkeypatch.setattr("vsrcli.benchmark.alone.time.perf_counter", lambda: Slow.times[-1])
    assert alone._time_shots(Slow(), made_frames((32, 24), 1)) == [3, 1, 2]


def test_cores_are_those_that_may_be_used(
    quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_model(tmp_path, scales=(2,))
    plan = Plan(models=(str(model),), sizes=((48, 32),), frames=6, threads=1)
    monkeypatch.setattr("vsrcli.benchmark.run.run_case", lambda *_: Ran(seconds=2, peak_mib=None))
    monkeypatch.setattr("os.cpu_count", lambda: 10_000)
    (row,) = measure(plan).figures
    assert row.stages is not None
    assert row.stages.busy > 0.01


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--size", "480"), 2),
        (("--size", "31x20"), 2),
        (("--size", "²x2"), 2),
        (("--size", "0x2"), 2),
        (("-m", "bicubic", "--frames", "0", "--size", "48x32", "-s", "0"), 2),
        (("--engine", "tensorrt"), 2),
        (("-m", "no-such-model"), 5),
        (("--pictures", "."), 3),
        (("-i", "nope.mp4"), 3),
        (("-i", "notes.txt"), 3),
        (("--preset", "nope"), 8),
        (("-m", "bicubic", "--size", "48x32", "--frames", "0", "--compare-ffmpeg"), 2),
        (("--plot", "nodir/x.png"), 4),
        (("--plot", "."), 4),
        (("--plot", "bars.jpg"), 2),
        (("--pictures", "small"), 3),
        (("--preset", "foo", "--frames", "0"), 8),
        (("-i", "clip.mp4", "--frames", "0"), 2),
        (("--rounds", "2", "--frames", "0"), 2),
        (("--preset", "slow", "--frames", "0"), 2),
        (("-m", "bicubic", "--size", "99998x99998"), 2),
        (("-m", "bicubic", "--size", "99998x99998", "--frames", "0"), 2),
        (("-i", "words.mp4"), 3),
        (("--device", "foo"), 7),
        (("--plot", "none/plot.png"), 4),
    ],
)
def test_what_cannot_be_measured_is_refused(
    vsr: Vsr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("no video")
    (tmp_path / "words.mp4").write_text("no video")
    (tmp_path / "small").mkdir()
    write_png(tmp_path / "small" / "a.png", np.zeros((3, 3, 3), np.uint8))
    outcome = vsr("bench", *words)
    assert (outcome.code, outcome.out, len(outcome.lines)) == (code, "", 1)


def test_a_missing_ffmpeg_is_noticed_first(vsr: Vsr, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/none/ffmpeg")
    outcome = vsr("bench")
    assert (outcome.code, outcome.out, len(outcome.lines)) == (8, "", 1)


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files")
@pytest.mark.parametrize("frames", [0, 30])
def test_no_room_for_temporary_files_is_told(tmp_path: Path, frames: int) -> None:
    """A clip, and what onnxruntime notes of a run."""
    model = write_model(tmp_path, scales=(2,))
    words = ("bench", "-m", str(model), "--size", "48x32", "--frames", str(frames))
    order = (sys.executable, "-m", "vsrcli", *words, "--engine", "onnxruntime")
    shell = ("bash", "-c", 'ulimit -f 1; exec "$@"', "-", *order)
    ran = subprocess.run(shell, capture_output=True, text=True)
    assert ran.returncode == 4, ran.stderr
    assert "free space" in ran.stderr or "cannot be written" in ran.stderr


def test_the_table_is_printed_before_the_plot(
    vsr: Vsr, quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OutputError("the disk is full")

    monkeypatch.setattr("vsrcli.benchmark.plot.write_plot", full)
    model, plot = write_model(tmp_path, scales=(2,)), tmp_path / "plot.png"
    outcome = vsr("bench", "-m", model, "--size", "48x32", "--frames", 0, "--plot", plot)
    assert outcome.code == 4
    assert "48x32" in outcome.out


def test_a_plot_that_fails_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(path: Path, _: object) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("vsrcli.media.images._write_png", half)
    (tmp_path / "bars.png").write_text("old")
    case = Case(model="a", scale=4, engine="auto", precision="auto", size=(480, 270))
    outcome = Outcome(
        plan=Plan(), machine=describe_machine(), versions={}, peaks={}, scalers=(),
        figures=(Figures(case=case, model_ms=20.0),),
    )  # fmt: skip
    with pytest.raises(OutputError, match="disk is full"):
        plot.write_plot(tmp_path / "bars.png", outcome)
    assert (tmp_path / "bars.png").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["bars.png"]


def test_clips_move_and_shrink_as_models_are_trained() -> None:
    picture = pictures.made_pictures(1)[0]
    pairs = list(pictures.clip_of(picture, 4))
    assert len(pairs) == pictures.FRAMES
    truth, small = pairs[0]
    assert truth.shape == (4 * small.height, 4 * small.width)
    np.testing.assert_array_equal(pairs[1][0][:, :-2], truth[:, 2:])
    assert small.planes[0].mean() == pytest.approx(truth.mean(), abs=0.5)
    assert pictures.psnr(truth, truth ^ 1, 4) == pytest.approx(48.13, abs=0.01)
    flat = np.full((8, 12), 77.0)
    np.testing.assert_allclose(pictures.shrunk(flat, 4), 77)


def test_drawn_frames_have_even_planes() -> None:
    first, second = made_frames((34, 22), 2)
    assert [plane.shape for plane in first.planes] == [(22, 34), (11, 17), (11, 17)]
    assert not np.array_equal(first.planes[0], second.planes[0])


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        pictures.read_pictures(tmp_path)


def test_bars_are_as_long_as_their_values() -> None:
    bars = [plot.Bar(label="a", value=10, text="10"), plot.Bar(label="b", value=5, text="5")]
    image = plot.panel("title", bars)
    blue = (image == plot._OURS).all(axis=2)
    lengths = sorted({int(n) for n in blue.sum(axis=1) if n})
    assert lengths[1] == pytest.approx(2 * lengths[0], abs=1)


def test_bars_have_room_beside_long_words() -> None:
    bars = [plot.Bar(label="a/" * 60, value=10, text="10"), plot.Bar(label="b", value=5, text="5")]
    image = plot.stacked([plot.panel("title", bars[1:]), plot.panel("title " * 30, bars)])
    ours = (image == plot._OURS).all(axis=2)
    assert ours.sum(axis=1).max() >= 200
    assert (image[:, -10:] == 255).all()  # nothing is cut


def test_a_command_that_fails_says_its_last_line() -> None:
    with pytest.raises(VsrError, match="it broke"):
        run((sys.executable, "-c", "import sys; print('x', file=sys.stderr); sys.exit('it broke')"))


@pytest.mark.parametrize(("code", "kind"), [(4, OutputError), (228, OutputError), (1, VsrError)])
def test_a_full_disk_is_told_from_other_ends(code: int, kind: type[VsrError]) -> None:
    """vsr's exit code, and ffmpeg's."""
    with pytest.raises(VsrError) as caught:
        run((sys.executable, "-c", f"raise SystemExit({code})"))
    assert caught.type is kind


def test_a_stop_ends_the_command_that_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(_: float) -> None:
        raise stops.Stop(15)

    monkeypatch.setattr("vsrcli.benchmark.process.time.sleep", stopped)
    began = time.perf_counter()
    with pytest.raises(stops.Stop):
        run((sys.executable, "-c", "import threading; threading.Event().wait(20)"))
    assert time.perf_counter() - began < 10


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_command_is_measured() -> None:
    program = "import time; block = bytearray(80 << 20); time.sleep(0.3)"
    ran = run((sys.executable, "-c", program))
    assert ran.peak_mib is not None
    assert 80 < ran.peak_mib < 200
    assert ran.seconds > 0.3
