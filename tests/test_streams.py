"""Standard streams that are closed or full, or whose other end has gone or does not move."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from clips import Clip, make
from processes import started

from vsrcli import stops
from vsrcli.cli.events import JsonEvents
from vsrcli.cli.main import run
from vsrcli.media.outlet import FileOutlet

pytestmark = pytest.mark.skipif(os.name != "posix", reason="a shell's redirections")
VSR = f'"{sys.executable}" -m vsrcli'
QUICK = "-m bicubic -s 2 --preset ultrafast"


def shell(words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A command line of bash, in which vsr is ours; the exit code is that of its first program."""
    order = f'vsr() {{ {VSR} "$@"; }}; {words}; exit "${{PIPESTATUS[0]}}"'
    return subprocess.run(["bash", "-c", order], cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_upscaling_needs_no_standard_stream(tmp_path: Path, closed: str) -> None:
    make(tmp_path / "in.mp4", Clip(frames=2))
    done = shell(f"vsr upscale in.mp4 -o out.mp4 {QUICK} {closed}", tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("" if "2>&-" in closed else "out.mp4: 2 frames")
    assert (tmp_path / "out.mp4").is_file()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (f"upscale in.mp4 {QUICK}", 0),
        (f"batch in.mp4 {QUICK}", 0),
        ("upscale none.mp4", 3),
        ("upscale --nonsense", 2),
    ],
)
def test_nobody_need_hear_what_is_said(tmp_path: Path, words: str, code: int) -> None:
    make(tmp_path / "in.mp4", Clip(frames=2))
    assert shell(f"vsr {words} 2>/dev/full", tmp_path).returncode == code
    assert (tmp_path / "in_x2_bicubic.mp4").is_file() == (code == 0)


def test_batch_outlives_its_terminal_for_as_long_as_it_takes_to_stop(tmp_path: Path) -> None:
    make(tmp_path / "in.mkv", Clip(frames=200, size=(320, 180), audio=()))
    ours, theirs = os.openpty()
    order = [sys.executable, "-m", "vsrcli", "batch", "in.mkv", "-m", "bicubic", "--preset", "slow"]
    order += ["--report", "r.json"]
    with started(order, stderr=theirs, cwd=tmp_path, start_new_session=True) as process:
        os.close(theirs)
        assert os.read(ours, 1)  # it shows its progress
        os.close(ours)
        process.send_signal(signal.SIGHUP)
        assert process.wait(20) == 129
    assert json.loads((tmp_path / "r.json").read_text())["stopped"] == 1
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("place", [">&-", ">/dev/full"])
@pytest.mark.parametrize(
    "words",
    ["models", "models --json", "--version", "help files", "upscale in.mp4 --progress json"],
)
def test_data_that_cannot_be_written_is_one_line(tmp_path: Path, words: str, place: str) -> None:
    make(tmp_path / "in.mp4", Clip(frames=2))
    done = shell(f"vsr {words} {place}", tmp_path)
    assert done.returncode == 4, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("vsr: the standard output cannot be written (")
    assert os.listdir(tmp_path) == ["in.mp4"]


def test_progress_file_that_is_full_is_one_line(tmp_path: Path) -> None:
    make(tmp_path / "in.mp4", Clip(frames=2))
    done = shell("vsr upscale in.mp4 -progress /dev/full", tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (4, 1)
    assert done.stderr.startswith("vsr: -progress /dev/full cannot be written (")


@pytest.mark.parametrize("words", [f"upscale in.mp4 {QUICK} --progress json", "models --json"])
def test_reader_that_has_gone_is_no_error(tmp_path: Path, words: str) -> None:
    make(tmp_path / "in.mp4", Clip(frames=2))
    done = shell(f"vsr {words} | true", tmp_path)
    assert (done.returncode, done.stderr) == (141, "")
    assert os.listdir(tmp_path) == ["in.mp4"]


@pytest.fixture
def full_pipe() -> Iterator[int]:
    """The end of a pipe that nobody reads and that takes nothing more."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, bytes(4096))
    os.set_blocking(writer, True)
    yield writer
    os.close(writer)
    os.close(reader)


@pytest.mark.parametrize("command", [("upscale", "in.mkv"), ("batch", ".")])
def test_stop_while_nobody_reads_the_events(
    tmp_path: Path, full_pipe: int, command: tuple[str, ...]
) -> None:
    make(tmp_path / "in.mkv", Clip(frames=2))
    order = [sys.executable, "-m", "vsrcli", *command, *QUICK.split(), "--progress", "json"]
    with started(order, stdout=full_pipe, stderr=subprocess.PIPE, cwd=tmp_path) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)
    assert (process.returncode, said.count(b"\n")) == (143, 1), said
    assert not list(tmp_path.glob(".*"))


def test_stop_while_nobody_opens_the_progress_fifo(tmp_path: Path) -> None:
    source, fifo = make(tmp_path / "in.mkv", Clip(frames=2)), tmp_path / "fifo"
    os.mkfifo(fifo)
    order = [sys.executable, "-m", "vsrcli", "upscale", source, *QUICK.split(), "-progress", fifo]
    with started(order, stderr=subprocess.PIPE) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (130, b"vsr: interrupted; nothing was written\n")


def test_late_stop_leaves_what_is_done_done(
    full_pipe: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The output is in its place, and nobody hears of it."""
    monkeypatch.setattr(stops._Noted, "number", 0)
    place = FileOutlet.place

    def placed(outlet: FileOutlet, *, overwrite: bool) -> None:
        place(outlet, overwrite=overwrite)
        stops.ask(signal.SIGTERM)

    monkeypatch.setattr(FileOutlet, "place", placed)
    monkeypatch.setattr(JsonEvents, "stage", lambda *_: None)
    monkeypatch.setattr(JsonEvents, "step", lambda *_: None)
    source = make(tmp_path / "in.mp4", Clip(frames=2))
    with os.fdopen(os.dup(full_pipe), "w") as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        code = run(["upscale", str(source), *QUICK.split(), "--progress", "json"])
    assert (code, (tmp_path / "in_x2_bicubic.mp4").is_file()) == (0, True)
