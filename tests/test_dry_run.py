"""--dry-run says what a run would do, and does nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from clips import Clip, Text, Track, make
from conftest import Vsr

from vsrcli import Job
from vsrcli.dry_run import rehearse
from vsrcli.errors import ResumeError
from vsrcli.media.source import Source
from vsrcli.pipeline import expected_frames
from vsrcli.resume import ResumePoint, open_work

QUICK = ("--model", "bicubic", "-s", 2)
TWO_TRACKS = Clip(audio=(Track(), Track(hz=880)), subtitles=(Text(),))


def test_it_says_what_would_be_done_and_writes_nothing(tmp_path: Path, vsr: Vsr) -> None:
    source = make(tmp_path / "in.mkv", TWO_TRACKS)
    outcome = vsr("upscale", source, *QUICK, "-o", tmp_path / "out.mp4", "--dry-run")
    assert (outcome.code, outcome.err) == (0, "")
    lines = [" ".join(line.split()) for line in outcome.out.splitlines()]
    assert lines[0] == f"{source} -> {tmp_path / 'out.mp4'}"
    assert "0 video h264 96x64 upscaled to 192x128, libx264 yuv420p" in lines
    assert "1 audio aac 44100 Hz mono copied" in lines
    assert "3 subtitle subrip converted to mov_text" in lines
    assert "picture 96x64 to 192x128, bicubic x2, libx264 yuv420p" in lines
    assert "12 frames in about" in outcome.out
    assert lines[-1] == "Nothing was written."
    assert [p.name for p in tmp_path.iterdir()] == ["in.mkv"]


def test_json_holds_the_same(tmp_path: Path, vsr: Vsr) -> None:
    source = make(tmp_path / "in.mkv", TWO_TRACKS)
    order = ("upscale", source, *QUICK, "--map", "0:a:1", "--map", "0:s", "-c:v", "ffv1")
    found = json.loads(vsr(*order, "--dry-run", "--progress", "json").out)
    assert found["target"] == str(tmp_path / "in_x2_bicubic.mkv")
    assert (found["encoder"], found["width"], found["height"]) == ("ffv1", 192, 128)
    assert [stream["action"] for stream in found["streams"]] == ["upscale", "drop", "copy", "copy"]
    assert found["frames"] == 12
    assert found["seconds"] == pytest.approx(12 / found["fps"])
    assert found["peak_bytes"] > 100 << 20


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (("-o", "missing/out.mkv"), 4),
        (("-c:v", "libx2"), 8),
        (("-c:v", "libx264", "--pix-fmt", "gbrp"), 8),
        (("--model", "none"), 5),
        (("-o", "out.txt"), 4),
        (("-c:v", "prores_ks", "-o", "out.h264"), 8),
        (("-c:v", "mjpeg", "--crf", 20), 8),
        (("--preset", "quick"), 8),
        (("--strength", 0.5), 2),
        (("--crf", "nan"), 2),
        (("-o", "out.png"), 4),
        (("-c:v", "libvpx-vp9", "-o", "out.mpg"), 8),
        (("--pix-fmt", "pal8", "-o", "%d.png"), 8),
        (("-c:v", "msrle", "-o", "out.avi"), 8),
    ],
)
def test_it_is_refused_as_the_run_would_be(
    tmp_path: Path, vsr: Vsr, more: tuple[str, ...], code: int
) -> None:
    order = ("upscale", make(tmp_path / "in.mkv"), *QUICK, *more)
    dry = vsr(*order, "--dry-run")
    wet = vsr(*order, "--progress", "none")
    assert (dry.code, dry.lines) == (wet.code, wet.lines[-1:])
    assert (dry.code, len(dry.lines)) == (code, 1)


@pytest.mark.parametrize(
    ("clip", "name", "more"),
    [
        (Clip(), "out.mkv", ("--no-scene-cut",)),
        (Clip(rotation=90), "out.mp4", ()),
        (Clip(rotation=90), "out.avi", ()),
        (TWO_TRACKS, "out.y4m", ()),
        (TWO_TRACKS, "out.ts", ("--tile", "48x48")),
        (Clip(), "out.mp4", ("--width", 101, "--height", 67, "-c:v", "mpeg4")),
    ],
)
def test_it_warns_as_the_run_does(
    tmp_path: Path, vsr: Vsr, clip: Clip, name: str, more: tuple[str | int, ...]
) -> None:
    order = ("upscale", make(tmp_path / "in.mkv", clip), "-m", "bicubic", *more)
    order += ("-o", tmp_path / name)
    dry = json.loads(vsr(*order, "--dry-run", "--progress", "json").out)
    wet = vsr(*order, "--progress", "none")
    assert [f"vsr: warning: {text}" for text in dry["warnings"]] == wet.lines
    assert wet.code == 0


def test_a_pipe_is_not_emptied(vsr: Vsr) -> None:
    outcome = vsr("upscale", "-", "-o", "-", "-f", "nut", "--dry-run")
    assert outcome.code == 2
    assert "cannot look into a pipe" in outcome.err


def test_unfinished_work_is_told_or_refused(tmp_path: Path) -> None:
    source, target = make(tmp_path / "in.mkv", Clip(frames=30)), tmp_path / "out.mkv"
    with open_work(target, {}, resume=None, keep=True) as work:
        work.next_file().write_bytes(b"packets")
        work.add(place=ResumePoint(frame=20, time_s=Fraction(0), digest=""), frames=20, state={})
    job = Job(source=source, target=target, model="bicubic", scale=2)
    with pytest.raises(ResumeError, match=r"20 frames are done\. Add --resume to go on"):
        rehearse(job)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    on, anew = (rehearse(replace(job, resume=resume)) for resume in (True, False))
    assert (on.resumes, anew.resumes) == (True, False)
    assert (on.done, on.seconds) == (20, 10 * on.speed.frame_s)
    assert (anew.done, anew.seconds) == (20, 30 * anew.speed.frame_s)
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}


@pytest.mark.parametrize(
    ("part", "frames"),
    [({}, 100), ({"start_s": 1}, 75), ({"end_s": 3}, 75), ({"start_s": 1, "end_s": 3}, 50),
     ({"end_s": 9}, 100), ({"start_s": 1, "end_s": 9}, 75), ({"start_s": 9}, 0),
     ({"end_s": 0.5}, 13), ({"start_s": 0.33, "end_s": 0.63}, 7), ({"start_s": 0.01}, 99)],
)  # fmt: skip
def test_a_part_is_expected_to_have_its_frames(
    tmp_path: Path, part: dict[str, float], frames: int
) -> None:
    times = {name: Fraction(time_s) for name, time_s in part.items()}
    clip = make(tmp_path / "in.mp4", Clip(frames=2))
    with Source(clip) as source:
        video = replace(source.info.video, frames=100)
    assert expected_frames(Job(source=clip, **times), video) == frames


def test_a_batch_says_it_of_each(tmp_path: Path, vsr: Vsr) -> None:
    make(tmp_path / "a.mp4")
    (tmp_path / "b.mp4").write_text("no video")
    outcome = vsr("batch", tmp_path, *QUICK, "-o", tmp_path / "new", "--dry-run")
    assert (outcome.code, outcome.err) == (10, "vsr: 1 of 2 would fail\n")
    first, about, second, failure, total = outcome.out.splitlines()
    assert first == f"upscale {tmp_path}/a.mp4 -> {tmp_path}/new/a_x2_bicubic.mp4"
    assert about.startswith("  96x64 to 192x128, bicubic x2, libx264 yuv420p; 12 frames in about")
    assert second.startswith(f"upscale {tmp_path}/b.mp4 -> ")
    assert failure.startswith("  would fail with exit code 3: ")
    assert total.endswith("in all, one at a time; nothing was written")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


@pytest.mark.parametrize("below", ["x", "deep/below"])
def test_a_batch_says_that_a_folder_cannot_be_made(tmp_path: Path, vsr: Vsr, below: str) -> None:
    a = make(tmp_path / "a.mp4")
    order = ("batch", a, *QUICK, "-o", a / below, "--progress", "json")
    dry = vsr(*order, "--dry-run")
    (job,) = json.loads(dry.out)["jobs"]
    assert (dry.code, job["state"], job["code"]) == (10, "failed", 4)
    assert "cannot be made" in job["message"]
    assert vsr(*order).code == 10


def test_a_batch_says_it_to_programs(tmp_path: Path, vsr: Vsr) -> None:
    a = make(tmp_path / "a.mp4")
    sources = (a, tmp_path / "none.mp4")
    outcome = vsr("batch", *sources, *QUICK, "--dry-run", "--progress", "json")
    assert outcome.code == 10
    good, bad = json.loads(outcome.out)["jobs"]
    assert (good["source"], good["width"], good["frames"]) == (str(a), 192, 12)
    assert (bad["source"], bad["state"], bad["code"]) == (str(sources[1]), "failed", 3)
