"""The examples run, and what they made is what is committed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from clips import Clip, make
from facts import facts
from processes import started

from vsrcli.media.images import read_rgb
from vsrcli.models import find_model

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"


def run(name: str, *arguments: object, code: int = 0) -> str:
    """What an example prints."""
    order = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    done = subprocess.run(order, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_clip_is_what_its_script_makes(tmp_path: Path) -> None:
    run("make_clip.py", tmp_path / "clip.mp4", "--frames", 2)
    made, kept = facts(tmp_path / "clip.mp4"), facts(EXAMPLES / "clip.mp4")
    assert made.size == kept.size == (320, 180)
    assert kept.pts == [i * Fraction(1, 25) for i in range(100)]
    assert [s.codec for s in kept.of("audio")] == ["aac"]
    assert (EXAMPLES / "clip.mp4").stat().st_size < 500_000
    difference = read_rgb(tmp_path / "clip.mp4").astype(int) - read_rgb(EXAMPLES / "clip.mp4")
    assert np.abs(difference).mean() < 4


def test_python_example_upscales_with_progress(tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", Clip(frames=5))
    said = run("upscale_api.py", source, tmp_path / "out.mp4", "bicubic")
    assert "5/5 frames" in said
    assert facts(tmp_path / "out.mp4").size == (384, 256)


def test_python_example_tells_what_failed(tmp_path: Path) -> None:
    said = run("upscale_api.py", tmp_path / "none.mp4", tmp_path / "out.mp4", code=1)
    assert said.strip() == f"not upscaled: {tmp_path / 'none.mp4'} does not exist"
    assert run("upscale_api.py", code=1).startswith("usage: python examples/upscale_api.py IN OUT")


@pytest.fixture
def shell(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a shell script of the examples with `vsr` on the path, quickly.

    As Ctrl-C does, it stops all of it once the file `stop_at` is there.
    """
    command = tmp_path / "bin" / "vsr"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m vsrcli "$@"\n')
    command.chmod(0o755)
    env = os.environ | {"PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}"}
    env |= {"VSR_MODEL": "bicubic", "VSR_SCALE": "2", "VSR_PRESET": "ultrafast"}

    def call(
        name: str, *arguments: object, stop_at: Path | None = None, **more: str
    ) -> subprocess.CompletedProcess[str]:
        order = [str(EXAMPLES / name), *map(str, arguments)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with started(order, env=env | more, process_group=0, **pipes) as process:
            while stop_at and not stop_at.exists():
                assert process.poll() is None
                time.sleep(0.005)
            if stop_at:
                os.killpg(process.pid, signal.SIGINT)
            out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(order, process.returncode, out, err)

    return call


posix = pytest.mark.skipif(os.name != "posix", reason="a shell script")
Shell = Callable[..., subprocess.CompletedProcess[str]]


@posix
def test_queue_sorts_what_it_did(tmp_path: Path, shell: Shell) -> None:
    waiting, made = tmp_path / "queue", tmp_path / "made"
    waiting.mkdir()
    make(waiting / "a b.mp4", Clip(frames=2))
    (waiting / "bad.mp4").write_text("no video")
    done = shell("queue.sh", waiting, made, "--crf", 30)
    assert done.returncode == 1
    good, bad = done.stdout.splitlines()
    assert good == f"     done  {waiting}/a b.mp4 -> {made}/a b.mkv"
    assert bad.startswith(f"   failed  {waiting}/bad.mp4: ")
    assert bad.endswith("(exit code 3)")
    assert facts(made / "a b.mkv").size == (192, 128)
    assert (waiting / "done" / "a b.mp4").is_file()
    assert (waiting / "failed" / "bad.mp4").is_file()
    (waiting / "failed" / "bad.mp4").unlink()
    assert shell("queue.sh", waiting, made).returncode == 0  # nothing is left


@posix
def test_queue_counts_what_could_not_begin(tmp_path: Path, shell: Shell) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").write_text("")
    done = shell("queue.sh", tmp_path / "in", tmp_path / "out", "--scale", "x")
    assert (done.returncode, done.stdout) == (1, "")
    assert (tmp_path / "in" / "failed" / "a.mp4").is_file()


@posix
def test_queue_names_the_output_by_the_file_alone(tmp_path: Path, shell: Shell) -> None:
    (tmp_path / "a.folder").mkdir()
    make(tmp_path / "clip.mkv", Clip(frames=2)).rename(tmp_path / "a.folder" / "bare")
    assert shell("queue.sh", tmp_path / "a.folder", tmp_path / "out").returncode == 0
    assert facts(tmp_path / "out" / "bare.mkv").size == (192, 128)


@posix
def test_queue_goes_on_where_it_was_stopped(tmp_path: Path, shell: Shell) -> None:
    waiting, work = tmp_path / "in", tmp_path / "out" / ".a.mkv.vsr"
    waiting.mkdir()
    make(waiting / "a.mkv", Clip(frames=600, size=(160, 90), audio=()))
    make(waiting / "b.mkv", Clip(frames=2))
    order = ("queue.sh", waiting, tmp_path / "out", "--preset", "slow", "--segment", 100)
    stopped = shell(*order, stop_at=work / "manifest.json")
    assert stopped.returncode == 1
    assert "Traceback" not in stopped.stderr
    assert "frames are kept" in stopped.stderr
    assert {path.name for path in waiting.iterdir()} == {"a.mkv", "b.mkv", "done", "failed"}
    assert not list((waiting / "failed").iterdir())
    again = shell(*order)
    assert again.returncode == 0, again.stderr
    assert {path.name for path in (waiting / "done").iterdir()} == {"a.mkv", "b.mkv"}
    assert len(facts(tmp_path / "out" / "a.mkv").pts) == 600


@posix
def test_xargs_runs_two_at_a_time_into_one_table(tmp_path: Path, shell: Shell) -> None:
    names = [str(make(tmp_path / f"{name}.mp4", Clip(frames=20))) for name in ("a", "b c", "d")]
    done = shell("xargs.sh", *names)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == [
        f"     done  {name} -> {name.removesuffix('.mp4')}_x2_bicubic.mp4" for name in names
    ]
    assert shell("xargs.sh", names[0]).returncode == 1  # the output is there now
    other = shell("xargs.sh", names[0], VSR_SCALE="x")
    assert (other.returncode, other.stdout) == (1, "")  # it could not begin


def test_table_shows_runs_that_are_under_way() -> None:
    events = [
        {"v": 1, "event": "start", "source": "a", "frames": 200},
        {"v": 1, "event": "progress", "source": "a", "frame": 50, "frames": 200}
        | {"fps": 12.5, "eta_s": 12.0},
        {"v": 1, "event": "report", "done": 1},
    ]
    text = "".join(f"{json.dumps(event)}\n" for event in events)
    order = [sys.executable, str(EXAMPLES / "progress_table.py")]
    shown = subprocess.run(order, input=text, capture_output=True, text=True, check=False)
    assert (shown.returncode, shown.stdout) == (1, "     25 %  a: 12.5 fps, 12 s left\n")
    for line, code in {
        '{"v": 1, "event": "error", "code": 2, "message": "no"}': 1,
        '{"v": 1, "event": "report", "done": 1, "failed": 1}': 1,
        '{"v": 1, "event": "report", "done": 1, "stopped": 1}': 1,
        '{"v": 1, "event": "report", "done": 0, "failed": 0}': 0,
        "": 1,
    }.items():
        assert subprocess.run(order, input=line, text=True, check=False).returncode == code
    newer = subprocess.run(
        order, input='{"v": 2, "event": "start"}', capture_output=True, text=True, check=False
    )
    assert (newer.returncode, "schema 2" in newer.stderr) == (1, True)


def test_picture_shows_bicubic_and_a_model(tmp_path: Path) -> None:
    said = run("before_after.py", tmp_path / "picture.png", "--model", "esr-max")
    assert "bicubic, esr-max, as drawn" in said
    made, kept = read_rgb(tmp_path / "picture.png"), read_rgb(EXAMPLES / "before_after.png")
    assert made.shape == kept.shape
    third = made.shape[1] // 3
    bicubic, model, drawn = (
        made[40:, i * third : (i + 1) * third - 8].astype(int) for i in range(3)
    )
    shape = np.s_[: drawn.shape[0], : drawn.shape[1]]
    assert np.square(model[shape] - drawn).mean() < np.square(bicubic[shape] - drawn).mean()


def test_start_is_told_stage_by_stage() -> None:
    lines = run("startup.py", "--models", "bicubic", "--scale", "2", "--rounds", "1").splitlines()
    assert lines[0].split() == ["bicubic", "wall", "cpu", "ms"]
    spent = {line[2:14].strip(): [int(n) for n in line[14:].split()] for line in lines[1:]}
    assert list(spent)[-2:] == ["first frame", "in all"]
    assert all(len(pair) == 2 for pair in spent.values())
    wall = sum(pair[0] for stage, pair in spent.items() if stage != "in all")
    assert abs(spent["in all"][0] - wall) <= len(spent)


def test_readme_says_of_clips_what_the_cards_say() -> None:
    """Of models for ordinary video, calendar / city, as they are."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme.split("on the centred grid of an antialiased bicubic")[1].split("\n\n")[1]
    rows = re.findall(r"^\| `(\S+)`( x2)? \| (\S+) / (\S+) \|", table, re.MULTILINE)
    assert len(rows) >= 6
    for name, smaller, *figures in rows:
        measured = find_model(name).graph(2 if smaller else 4).measured
        keys = [f"bicubic_{clip}_psnr_y" for clip in ("calendar", "city")]
        assert [f"{measured[key]:.2f}" for key in keys] == figures


def test_readme_table_is_what_the_cards_say() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme.split("<!-- models -->\n")[1].split("\n<!-- /models -->")[0]
    assert table == run("model_table.py").strip()


def test_pytorch_runs_the_same_networks() -> None:
    """One of each kind, in sizes that nothing has to be a multiple of. Compiling takes minutes."""
    pytest.importorskip("torch")
    ids, sizes = ("espcn", "rlsp-7-48", "egvsr-psnr", "realbasicvsr-lite"), ("34x26", "18x22")
    options = ("--rounds", 1, "--frames", 2, "--device", "cpu", "--no-compile", "--planes")
    _, _, head, _, *rows = run("beside_torch.py", *ids, "--size", *sizes, *options).splitlines()
    assert "PyTorch eager" in head
    for (name, size), line in zip(product(ids, sizes), rows, strict=True):
        cells = [cell.strip() for cell in line.split("|")][1:-1]
        assert cells[:2] == [f"`{name}`", size]
        assert cells[2].split()[0] in ("onnxruntime", "openvino")
        share, ours, eager = cells[4], float(cells[5]), float(cells[6])
        assert (share == "") == (name == "realbasicvsr-lite")
        assert cells[7] == ""
        assert float(cells[3]) == pytest.approx(1000 / ours, rel=0.2)
        assert float(cells[8]) == pytest.approx(eager / ours, rel=0.2)


def test_precision_table_has_a_line_a_model(tmp_path: Path) -> None:
    """fp16 and int8 of a small net on a picture; bf16 as well, where the engine is installed."""
    pytest.importorskip("onnx")
    pytest.importorskip("torch")
    shutil.copy(EXAMPLES / "clip.mp4", tmp_path)
    folders = (tmp_path, tmp_path, "--calibrate", tmp_path)
    said = run("precision_table.py", *folders, "--models", "esr-max", "--frames", 2)
    cells = [cell.strip() for cell in said.splitlines()[2].split("|")][1:-1]
    assert cells[:2] == ["`esr-max`", "Set5"]
    exact, fp16, int8 = float(cells[2]), abs(float(cells[4])), abs(float(cells[5]))
    assert exact > 15
    assert fp16 < 0.01 < int8 < 2


@pytest.mark.parametrize(
    "words",
    [
        "beside_torch.py none",
        "endurance.py none none.mp4",
        "endurance.py espcn none.mp4 --size 3x",
        "make_clip.py none",
        "precision_table.py none none --calibrate none --models espcn",
        "restore_chunks.py none none.mp4",
        "restore_memory.py none --seconds 1",
        "restore_real.py none out --models espcn",
        "restore_scheme.py none",
        "restore_stages.py espcn",
        "restore_table.py none",
        "startup.py --models none",
        "warm_up.py espcn none",
        "warm_up.py espcn none --starts 1,x",
    ],
)
def test_wrong_arguments_end_with_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    if "restore" in words or "torch" in words:
        pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    order = [sys.executable, str(EXAMPLES / words.split()[0]), *words.split()[1:]]
    done = subprocess.run(order, capture_output=True, text=True, check=False)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(("usage", words.split()[0])) or (
        len(done.stderr.splitlines()) == 1
    )
