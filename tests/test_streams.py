"""Standard streams that are closed or full, or whose other end has gone or does not move."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from clips import Clip, make

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
