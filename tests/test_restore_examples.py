"""The examples about restoring run, and their figures hang together."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from clips import Clip, make

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from vsrcli.lab.restore.export import card_of, write
from vsrcli.lab.restore.network import RealBasicVsr, Shape
from vsrcli.media.images import read_rgb, write_png
from vsrcli.models import UNTUNED, find_model

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SMALL = Shape(
    features=8, blocks=1, cleaning=1, detail=8, flow_levels=3, flow_widths=(8, 8, 8, 8),
    flow_finest=2,
)  # fmt: skip
Run = Callable[..., list[list[str]]]


@pytest.fixture(autouse=True)
def _beside_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with random weights."""
    torch.manual_seed(1)
    net = RealBasicVsr(SMALL).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    root = tmp_path_factory.mktemp("models")
    card = card_of("toy", summary="", licence="MIT", trained_on="", recipe="", threshold=0.05)
    write(net, card, root)
    return root / "toy"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one short clip."""
    folder = tmp_path_factory.mktemp("clips")
    make(folder / "a.mkv", Clip(frames=8, size=(128, 128)))
    return folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The words of each line that an example prints."""

    def call(name: str, *arguments: object) -> list[list[str]]:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return [line.split() for line in capsys.readouterr().out.splitlines() if line]

    return call


def test_chunks_with_enough_overlap_equal_the_whole(run: Run, toy: Path, clips: Path) -> None:
    size = ("--frames", 8, "--size", "24x16", "--degrade", "bicubic", "--chunk", 4)
    none, whole = run("restore_chunks.py", toy, clips / "a.mkv", *size, "--overlaps", 0, 8)[1:]
    assert float(whole[1]) > 100
    assert float(none[1]) < float(whole[1])
    assert float(none[4]) < float(none[3])
    assert abs(float(whole[6])) < 1e-3


def test_chunks_are_compared_in_the_order_of_the_truth() -> None:
    example = runpy.run_path(str(EXAMPLES / "restore_chunks.py"))
    color = np.array([200, 120, 40], np.uint8)
    made = example["restored"](find_model("bicubic"), np.full((1, 8, 8, 3), color), UNTUNED)
    np.testing.assert_allclose(made.mean((0, 2, 3)) * 255, color, atol=0.1)


def test_stages_add_up(run: Run, toy: Path) -> None:
    *parts, graphs, driver = run(
        "restore_stages.py", toy, "--size", "24x16", "--chunk", 4, "--overlap", 2, "--runs", 1
    )
    assert [p[0] for p in parts] == ["clean", "flow", "backward", "forward", "reconstruct"]
    assert [p[4] for p in parts] == ["1.00", "2.00", "1.50", "1.00", "1.00"]
    assert sum(float(p[6]) for p in parts) == pytest.approx(float(graphs[1]), abs=0.3)
    assert float(driver[1]) > 0


def test_table_has_a_line_for_each_way(
    run: Run, toy: Path, clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ("--models", "none-such", "bicubic", toy, "--degrade", "x264-28", "--frames", 2)
    rows = run("restore_table.py", clips, *line, "--clean", 0, 1)[2:]
    assert [row[:-4] for row in rows[1:]] == [["bicubic"], ["bicubic"], ["toy", "0"], ["toy", "1"]]
    assert rows[1] == rows[2]
    assert float(rows[1][-4]) > float(rows[3][-4])


def test_table_is_by_default_of_the_models_in_readme() -> None:
    models = runpy.run_path(str(EXAMPLES / "restore_table.py"))["MODELS"]
    text = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")
    rows = text.split("(`examples/restore_table.py CLIPS")[1].split("\n\n")[1].splitlines()[2:]
    assert [row.split("|")[1].strip(" `") for row in rows] == ["bicubic", *models]


def test_real_footage_gets_a_picture(run: Run, toy: Path, clips: Path, tmp_path: Path) -> None:
    line = ("--models", toy, "--frames", 3, "--at", 1)
    bicubic, ours = run("restore_real.py", clips, tmp_path, *line)
    assert bicubic[:3] == ["a", "bicubic", "NIQE"]
    assert ours[4:8] == ["frames", "0", "to", "2:"]
    image = read_rgb(tmp_path / "a.png")
    assert image.shape[1] > 2 * 320
    assert np.abs(image[-200:, :300].astype(int) - image[-200:, -300:]).mean() > 1


def test_scheme_compares_both_ways(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        coarse = rng.integers(0, 256, (20, 20, 3)).astype(np.uint8)
        write_png(tmp_path / f"{name}.png", coarse.repeat(8, 0).repeat(8, 1))
    line = ("--steps", 2, "--length", 4, "--patch", 16)
    _, whole, half = run("restore_scheme.py", tmp_path, *line)
    assert (whole[0], half[0]) == ("whole", "mirrored")
    for row in (whole, half):
        parts = [float(row[i]) for i in (1, 3, 5)]
        assert sum(parts) == pytest.approx(float(row[7]), abs=2)
        assert all(0 < float(loss) < 1 for loss in row[9:])


def test_memory_is_measured_and_foreseen(run: Run, toy: Path) -> None:
    line = ("--seconds", 1, "--fps", 4, "--size", "48x32", "--chunk", 2)
    (row,) = run("restore_memory.py", toy, *line)
    assert row[:4] == ["1", "s,", "4", "frames"]
    assert 50 < int(row[5]) < 2000
    assert 50 < int(row[8]) < 2000
