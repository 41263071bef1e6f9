"""The examples run, and what they made is what is committed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import Clip, make
from facts import facts

from vsrcli.media.images import read_rgb

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


@pytest.mark.skipif(os.name != "posix", reason="a shell script")
def test_batch_goes_on_after_a_failure(tmp_path: Path) -> None:
    good = [make(tmp_path / f"{name}.mp4", Clip(frames=2)) for name in ("a", "b c")]
    bad = tmp_path / "bad.mp4"
    bad.write_text("no video")
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "vsr"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m vsrcli "$@"\n')
    command.chmod(0o755)
    env = os.environ | {
        "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}",
        "VSR_OPTIONS": "--model bicubic --scale 2",
    }
    order = [str(EXAMPLES / "batch.sh"), str(good[0]), str(bad), str(good[1])]
    done = subprocess.run(order, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"done: {good[0]}",
        f"failed with exit code 3: {bad}",
        f"done: {good[1]}",
    ]
    assert facts(tmp_path / "b c_x2_bicubic.mp4").size == (192, 128)
    assert subprocess.run([order[0], str(good[0])], env=env | {"VSR_OPTIONS": "-y --model bicubic"},
                          capture_output=True, check=False).returncode == 0  # fmt: skip


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


def test_speed_compares_in_one_run() -> None:
    order = ("--models", "bicubic", "--frames", 50, "--rounds", 1, "--json")
    found = json.loads(run("speed.py", *order))
    assert set(found["fps"]) == {"ffmpeg", "bicubic"}
    assert all(rate > 0 for rate in found["fps"].values())
    assert set(found["ms_a_frame"]["bicubic"]) == {"decode", "infer", "encode"}


def test_readme_table_is_what_the_cards_say() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme.split("<!-- models -->\n")[1].split("\n<!-- /models -->")[0]
    assert table == run("model_table.py").strip()
