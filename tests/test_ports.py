"""What other systems do otherwise, played here: vsr was run on Linux alone."""

from __future__ import annotations

import ctypes
import errno
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from clips import Clip, make
from conftest import Vsr

from vsrcli.batch import Failure, Interrupted, State, run_all
from vsrcli.cli.batch_report import open_log
from vsrcli.cli.options import ProgressKind
from vsrcli.cli.process import _named
from vsrcli.errors import OutputError
from vsrcli.job import Job
from vsrcli.media.outlet import _Stream
from vsrcli.models import find_folder
from vsrcli.progress import Progress
from vsrcli.resume import open_work
from vsrcli.runtime.devices import choose_device
from vsrcli.runtime.memory import free_bytes

ODD = "ä→日本"
QUICK = ("-m", "bicubic", "-s", 2, "--preset", "ultrafast", "--progress", "none")


def invalid(*_: object) -> int:
    raise OSError(errno.EINVAL, "Invalid argument")


def vsr_in(encoding: str, *arguments: object) -> tuple[int, bytes, bytes]:
    """A `vsr` whose standard streams have this encoding, as Windows' have that of its language."""
    order = [sys.executable, "-m", "vsrcli", *map(str, arguments)]
    env = os.environ | {"PYTHONIOENCODING": encoding}
    done = subprocess.run(order, env=env, capture_output=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_what_an_encoding_lacks_is_told_all_the_same(tmp_path: Path) -> None:
    source = make(tmp_path / f"{ODD}.mp4", Clip(frames=2))
    code, out, err = vsr_in("cp1252", "probe", source, "--no-speed")
    assert (code, err) == (0, b"")
    assert "ä\\u2192\\u65e5\\u672c.mp4: mp4".encode("cp1252") in out
    code, out, err = vsr_in("cp1252", "probe", source, "--no-speed", "--json")
    assert (code, err) == (0, b"")
    assert json.loads(out)["source"] == str(source)


def test_no_file_is_read_in_the_encoding_of_a_language(tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", Clip(frames=2))
    order = [sys.executable, "-X", "warn_default_encoding", "-W", "always::EncodingWarning"]
    order += ["-m", "vsrcli", "upscale", source, *map(str, QUICK), "--ffmpeg", "auto", "-c:v"]
    done = subprocess.run([*order, "libxvid"], capture_output=True, text=True, check=True)
    assert [line for line in done.stderr.splitlines() if "vsrcli" in line and "Warn" in line] == []


def test_reader_that_has_gone_is_an_invalid_argument_on_windows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as windows:
        windows.setattr(sys, "platform", "win32")
        with pytest.raises(BrokenPipeError), _named():
            invalid()
        for call in ("dup", "dup2", "write"):
            windows.setattr(os, call, invalid if call == "write" else lambda *_: 1)
        with pytest.raises(BrokenPipeError):
            _Stream().write(b"data")


def is_open(path: str | os.PathLike[str]) -> bool:
    """Whether this process has the file open, by whichever of its names."""
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if os.path.samestat(os.stat(f"/proc/self/fd/{number}"), os.lstat(path)):
                return True
    return False


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open files stay where they are, nothing is renamed over another, and locks are Windows'."""

    def closed_only(call: Callable[..., Any]) -> Callable[..., Any]:
        def checked(path: str | os.PathLike[str], *others: Any, **more: Any) -> Any:
            for each in (path, *others):
                if os.path.isfile(each) and is_open(each):
                    raise PermissionError(errno.EACCES, "it is used by another process", str(each))
            if call.__name__ == "rename" and os.path.lexists(others[0]):
                raise FileExistsError(errno.EEXIST, "it is there already", str(others[0]))
            return call(path, *others, **more)

        return checked

    def locking(descriptor: int, mode: int, size: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise PermissionError(errno.EACCES, "Permission denied") from exc

    fcntl = pytest.importorskip("fcntl")
    for name in ("unlink", "remove", "rename", "replace"):
        monkeypatch.setattr(os, name, closed_only(getattr(os, name)))
    msvcrt = SimpleNamespace(LK_NBLCK=2, locking=locking)
    monkeypatch.setitem(sys.modules, "msvcrt", msvcrt)
    silent = SimpleNamespace(GlobalMemoryStatusEx=lambda _: 0)
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=silent), raising=False)
    monkeypatch.setattr(sys, "platform", "win32")


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out/%03d.png"])
@pytest.mark.parametrize("can_link", [True, False])
def test_windows_moves_and_removes_only_what_is_closed(
    tmp_path: Path, vsr: Vsr, name: str, can_link: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not can_link:
        monkeypatch.setattr(os, "link", invalid)
    source, target = make(tmp_path / "in.mp4", Clip(frames=3)), tmp_path / name
    for again in ((), ("-y",)):
        made = vsr("upscale", source, "-o", target, *QUICK, *again)
        assert (made.code, made.err) == (0, "")
    assert sorted(os.listdir(tmp_path)) == sorted(["in.mp4", name.split("/")[0]])
    assert vsr("upscale", source, "-o", target, *QUICK).code == 4


@pytest.mark.usefixtures("windows")
def test_windows_run_that_fails_leaves_nothing(tmp_path: Path, vsr: Vsr) -> None:
    source = make(tmp_path / "in.mp4", Clip(frames=30))
    data = bytearray(source.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
    source.write_bytes(data)
    assert vsr("upscale", source, "-o", tmp_path / "out.mp4", *QUICK).code == 3
    assert os.listdir(tmp_path) == ["in.mp4"]


@pytest.mark.usefixtures("windows")
def test_windows_output_that_a_player_shows_is_not_replaced(tmp_path: Path, vsr: Vsr) -> None:
    source, target = make(tmp_path / "in.mp4", Clip(frames=3)), tmp_path / "out.mp4"
    target.write_text("precious")
    with target.open():
        outcome = vsr("upscale", source, "-o", target, *QUICK, "-y")
    assert outcome.code == 4
    assert outcome.lines == [
        f"vsr: {target} cannot be replaced; close the program that has it open"
    ]
    assert target.read_text() == "precious"
    assert sorted(os.listdir(tmp_path)) == ["in.mp4", "out.mp4"]


@pytest.mark.usefixtures("windows")
def test_windows_runs_do_not_share_an_output(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    with open_work(target, {}, resume=None), pytest.raises(OutputError, match="another run"):
        open_work(target, {}, resume=None)
    assert not os.listdir(tmp_path)


def test_a_drive_without_locks_takes_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refused)
    with open_work(tmp_path / "out.mp4", {}, resume=None) as work:
        work.finish()
    assert not os.listdir(tmp_path)


def test_a_windows_batch_asks_its_runs_to_stop_by_closing_their_pipes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To terminate a process there is to kill it: it would leave its work lying about."""

    def interrupt(_: int, event: object) -> None:
        if isinstance(event, Progress):
            raise KeyboardInterrupt

    monkeypatch.setattr("vsrcli.batch.sys", SimpleNamespace(platform="win32"))
    source = make(tmp_path / "in.mkv", Clip(frames=200, size=(160, 90), audio=()))
    job = Job(source=source, target=tmp_path / "out.mkv", model="bicubic", scale=2)
    with pytest.raises(Interrupted) as caught:
        run_all([job], on_event=interrupt)
    assert [result.state for result in caught.value.results] == [State.STOPPED]
    assert os.listdir(tmp_path) == ["in.mkv"]


@pytest.mark.skipif(os.name != "posix", reason="a signal in its place")
def test_ctrl_break_stops_a_run(tmp_path: Path) -> None:
    source = make(tmp_path / "in.mkv", Clip(frames=9, audio=()))
    program = (
        "import os, signal, sys\n"
        "signal.SIGBREAK = signal.SIGUSR1\n"
        "from vsrcli.media import sink\n"
        "sink.Sink.write = lambda *_: os.kill(os.getpid(), signal.SIGBREAK)\n"
        "from vsrcli.cli import main\n"
        "main()\n"
    )
    order = [sys.executable, "-c", program, "upscale", source, "-m", "bicubic", "-s", "2"]
    done = subprocess.run(order, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        128 + signal.SIGUSR1,
        "vsr: interrupted; nothing was written\n",
    )
    assert os.listdir(tmp_path) == ["in.mkv"]


def test_free_memory_of_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    def status(found: Any) -> int:
        assert found._obj.length == ctypes.sizeof(found._obj) == 64
        found._obj.free = 5 << 30
        return 1

    kernel = SimpleNamespace(GlobalMemoryStatusEx=status)
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=kernel), raising=False)
    monkeypatch.setattr("vsrcli.runtime.memory._field", lambda *_: 0)
    monkeypatch.setattr("vsrcli.runtime.memory._number", lambda _: None)
    monkeypatch.setattr(sys, "platform", "win32")
    assert free_bytes("cpu") == 5 << 30


@pytest.mark.parametrize(("has_driver", "warned"), [(False, False), (True, True)])
def test_windows_without_a_gpu_is_no_reason_to_warn(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    has_driver: bool,
    warned: bool,
) -> None:
    def load(name: str, **_: object) -> None:
        if not has_driver or name != "nvcuda.dll":
            raise OSError(f"Could not find module {name!r}")

    monkeypatch.setattr(ctypes, "CDLL", load)
    monkeypatch.setattr(sys, "platform", "win32")
    assert choose_device.__wrapped__("auto") == "cpu"
    assert bool(caplog.records) == warned


def test_a_path_of_a_model_may_have_slashes_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as windows:
        windows.setattr(os, "sep", "\\")
        assert [find_folder(name) for name in ("a/b", "a\\b")] == [Path("a/b"), Path("a\\b")]


@pytest.mark.parametrize(
    ("name", "cells"), [("in.mp4", 6), ("夏休みの動画.mp4", 16)], ids=["narrow", "wide"]
)
def test_the_line_of_a_batch_goes_on_terminals_that_know_no_codes(
    monkeypatch: pytest.MonkeyPatch, name: str, cells: int
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    said = Terminal()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", said)
        patch.setattr("vsrcli.cli.batch_report._columns", lambda: 40)
        job = Job(source=Path(name))
        log = open_log(ProgressKind.bar, [job], quiet=False)
        log.event(0, Progress(frame=1, frames=9, fps=2.0, out_time_s=0.1, eta_s=None))
        log.event(0, Failure(code=3, message="no"))
    shown, gone, told = said.getvalue().split("\r")[1:]
    line = f"[0/1] {name} 1/9 2.0 fps"
    assert shown == line + " " * (39 - len("[0/1]  1/9 2.0 fps") - cells)
    assert gone == " " * 39
    assert told == f"[1/1] failed {name}: no\n"
