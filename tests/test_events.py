"""What programs read about a run: JSON events, and FFmpeg's -progress."""

from __future__ import annotations

import io
import json
import signal
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from clips import Clip, make
from conftest import Vsr

from vsrcli import Job, upscale
from vsrcli.cli.events import JsonEvents, KeyValueEvents, fate, key_value_stream
from vsrcli.errors import DeviceError
from vsrcli.progress import Progress
from vsrcli.stops import Stop

QUICK = ("--model", "bicubic", "-s", "2", "--preset", "ultrafast")


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def blocks(text: str) -> list[dict[str, str]]:
    """FFmpeg's key=value blocks, each ended by its progress line."""
    found: list[dict[str, str]] = [{}]
    for line in text.splitlines():
        key, value = line.split("=", 1)
        found[-1][key] = value.strip()
        if key == "progress":
            found.append({})
    assert found.pop() == {}
    return found


def step(frame: int, *, frames: int = 50) -> Progress:
    return Progress(
        frame=frame, frames=frames, fps=25.0, out_time_s=frame / 25, eta_s=1.0, out_bytes=1000
    )


def test_json_events_tell_a_run_from_start_to_done(tmp_path: Path, vsr: Vsr) -> None:
    source, target = make(tmp_path / "in.mp4", Clip(frames=30)), tmp_path / "in_x2_bicubic.mp4"
    outcome = vsr("upscale", source, *QUICK, "--progress", "json")
    assert (outcome.code, outcome.err) == (0, "")
    start, *steps, last = events(outcome.out)
    assert {event["v"] for event in (start, *steps, last)} == {1}
    assert start == {
        **{"v": 1, "event": "start", "source": str(source), "target": str(target)},
        **{"model": "bicubic", "device": start["device"], "scale": 2},
        **{"width": 192, "height": 128, "frames": 30},
    }
    assert {event["event"] for event in steps} == {"progress"}
    assert {event["stage"] for event in steps[:-1]} == {"upscale"}
    assert steps[-1]["stage"] == "finish"
    assert (steps[-2]["frame"], steps[-2]["frames"], steps[-2]["eta_s"]) == (30, 30, 0)
    assert steps[-2]["out_time_s"] == pytest.approx(29 / 25)
    assert last["event"] == "done"
    assert (last["frames"], last["width"], last["height"], last["scale"]) == (30, 192, 128, 2)
    assert last["target"] == str(target)
    explained = vsr("help", "progress").out
    assert all(f"{key} " in explained or f"{key}," in explained for key in last)


def test_json_error_carries_the_exit_code(tmp_path: Path, vsr: Vsr) -> None:
    outcome = vsr("upscale", tmp_path / "none.mp4", "--progress", "json")
    message = f"{tmp_path / 'none.mp4'} does not exist"
    assert outcome.code == 3
    assert events(outcome.out) == [
        {"v": 1, "event": "error", "source": str(tmp_path / "none.mp4"), "code": 3}
        | {"message": message}
    ]
    assert outcome.lines == [f"vsr: {message}"]


@pytest.mark.parametrize(
    ("words", "is_read"),
    [
        (("--crf", "abc"), False),
        (("--nonsense",), False),
        (("--config", "nope.toml"), False),
        (("-ss", "foo"), True),
        (("--scale", "2", "--width", "100"), True),
        (("-c:a", "mp3"), True),
        (("--crf", "18", "-b:v", "1M"), True),
        (("-progress", "-"), False),
        (("-o", "-", "-f", "nut"), False),
    ],
)
def test_options_that_cannot_be_meant_are_an_event(
    vsr: Vsr, words: tuple[str, ...], is_read: bool
) -> None:
    outcome = vsr("upscale", "in.mp4", "--progress", "json", *words)
    (event,) = events(outcome.out)
    source = {"source": "in.mp4"} if is_read else {}
    assert event == {
        **{"v": 1, "event": "error", "code": 2, "message": event["message"]},
        **source,
    }
    assert outcome.lines == [f"vsr: {event['message']}"]
    assert outcome.code == 2


def test_events_are_flushed_and_rare() -> None:
    class Stream(io.StringIO):
        flushes = 0

        def flush(self) -> None:
            self.flushes += 1

    stream = Stream()
    shown = JsonEvents(stream, Path("in.mp4"), job=3)
    for frame in (1, 2, 3, 50):
        shown.step(step(frame))
    found = events(stream.getvalue())
    assert [event["frame"] for event in found] == [1, 50]  # the first, and the last of all
    assert {(event["job"], event["source"]) for event in found} == {(3, "in.mp4")}
    assert stream.flushes == 2


def test_a_cut_is_told_in_the_times_of_the_output(tmp_path: Path) -> None:
    source = make(tmp_path / "in.mkv", Clip(frames=30, audio=()))
    job = Job(source=source, target=tmp_path / "out.mkv", model="bicubic", start_s=Fraction("0.8"))
    seen: list[Progress] = []
    upscale(job, seen.append)
    assert [round(step.out_time_s, 3) for step in seen] == [n / 25 for n in range(10)]
    assert [round(step.done_s, 3) for step in seen] == [n / 25 for n in range(1, 11)]


def test_speed_is_that_of_what_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.monotonic", iter((0.0, 0.0, 2.0, 2.0, 2.0, 2.0)).__next__)
    told, lines = io.StringIO(), io.StringIO()
    shown = JsonEvents(told, Path("in.mp4")), KeyValueEvents(lines)
    for each in shown:
        each.step(replace(step(1), out_time_s=36_000.0, done_s=4.0))
    (event,), (block,) = events(told.getvalue()), blocks(lines.getvalue())
    assert (event["speed"], block["speed"]) == (2.0, "2x")


def test_unknown_numbers_are_null() -> None:
    stream = io.StringIO()
    unknown = Progress(frame=1, frames=0, fps=25.0, out_time_s=0.0, eta_s=None)
    JsonEvents(stream, Path("in.mp4")).step(unknown)
    (event,) = events(stream.getvalue())
    assert (event["frames"], event["eta_s"]) == (None, None)


def test_ffmpeg_progress_is_what_its_readers_expect(tmp_path: Path, vsr: Vsr) -> None:
    source, log = make(tmp_path / "in.mp4", Clip(frames=30)), tmp_path / "progress.txt"
    assert vsr("upscale", source, *QUICK, "-progress", log, "--progress", "none").code == 0
    *going, last = blocks(log.read_text())
    assert going
    assert {block["progress"] for block in going} == {"continue"}
    assert last["progress"] == "end"
    assert list(last) == [
        *("frame", "fps", "bitrate", "total_size", "out_time_us", "out_time_ms", "out_time"),
        *("dup_frames", "drop_frames", "speed", "progress"),
    ]
    assert (last["frame"], last["out_time"]) == ("30", "00:00:01.160000")
    assert last["out_time_us"] == last["out_time_ms"] == "1160000"
    assert int(last["total_size"]) == (tmp_path / "in_x2_bicubic.mp4").stat().st_size
    assert last["bitrate"].endswith("kbits/s")
    assert float(last["speed"].removesuffix("x")) > 0


@pytest.mark.parametrize("url", ["-", "pipe:1"])
def test_ffmpeg_progress_on_stdout(tmp_path: Path, vsr: Vsr, url: str) -> None:
    outcome = vsr("upscale", make(tmp_path / "in.mp4"), *QUICK, "-progress", url)
    assert blocks(outcome.out)[-1]["progress"] == "end"


def test_failed_run_never_says_end() -> None:
    stream = io.StringIO()
    shown = KeyValueEvents(stream)
    shown.step(step(1))
    shown.failed(4, "the disk is full")
    assert [block["progress"] for block in blocks(stream.getvalue())] == ["continue"]


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("-progress", "pipe:1", "-o", "-", "-f", "nut"), 2, "both write on stdout"),
        (("-progress", "-", "--progress", "json"), 2, "both write on stdout"),
        (("-progress", "tcp://localhost:1"), 2, "not supported"),
        (("-progress", "pipe:7"), 2, "not supported"),
        (("-progress", "nowhere/p.txt"), 4, "cannot be written"),
    ],
)
def test_progress_that_cannot_be(
    tmp_path: Path, vsr: Vsr, arguments: tuple[str, ...], code: int, word: str
) -> None:
    outcome = vsr("upscale", make(tmp_path / "in.mp4"), *QUICK, *arguments)
    assert outcome.code == code
    assert word in outcome.err
    assert len(outcome.lines) == 1


@pytest.mark.parametrize("name", ["in.mp4", "link.mp4", "out.mp4"])
def test_progress_spares_the_files_of_the_run(tmp_path: Path, vsr: Vsr, name: str) -> None:
    source, out = make(tmp_path / "in.mp4", Clip(frames=2)), tmp_path / "out.mp4"
    (tmp_path / "link.mp4").symlink_to(source)
    out.write_text("precious")
    size = source.stat().st_size
    outcome = vsr("upscale", source, "-o", out, "-y", *QUICK, "-progress", tmp_path / name)
    assert (outcome.code, len(outcome.lines)) == (4, 1)
    assert "itself; name another file" in outcome.err
    assert (source.stat().st_size, out.read_text()) == (size, "precious")


def test_stderr_can_take_the_progress(capsys: pytest.CaptureFixture[str]) -> None:
    with key_value_stream("pipe:2") as stream:
        KeyValueEvents(stream).step(step(1))
    assert capsys.readouterr().err.startswith("frame=1\n")


def test_every_end_has_a_code() -> None:
    assert fate(DeviceError("no GPU")) == (7, "no GPU")
    assert fate(KeyboardInterrupt()) == (130, "interrupted")
    assert fate(ZeroDivisionError("x")) == (1, "internal error: ZeroDivisionError: x")
    assert fate(Stop(signal.SIGINT)) == (130, "interrupted")
    assert fate(Stop(signal.SIGTERM)) == (143, "terminated")
    assert fate(Stop(signal.SIGHUP)) == (129, "hung up")
