"""A stop may be asked for at any moment: nothing is left, lost or waited for."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import pytest
from clips import Clip, make
from conftest import Vsr

from vsrcli import stops
from vsrcli.cli.events import fate
from vsrcli.errors import EncodeError
from vsrcli.prefetch import prefetch

INSTANTS = 40


@pytest.fixture(autouse=True)
def _nothing_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stops._Noted, "number", 0)


class Steps:
    """Counts the steps after which Python may run a signal's handler, and does something at one."""

    def __init__(self, at: int, do: Callable[[], None]) -> None:
        self.count, self._at, self._do = 0, at, do

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        self.count += event in ("call", "c_return")
        if self.count == self._at and event in ("call", "c_return"):
            sys.setprofile(None)
            self._do()


@contextmanager
def watched(steps: Steps) -> Iterator[None]:
    sys.setprofile(steps)
    try:
        yield
    finally:
        sys.setprofile(None)


def let_go_of_logging() -> None:
    """A process that is interrupted within a lock of logging ends; this one goes on."""
    handlers = filter(None, (handler() for handler in logging._handlerList))  # type: ignore[attr-defined]
    for lock in (logging._lock, *(handler.lock for handler in handlers)):  # type: ignore[attr-defined]
        while lock and lock._is_owned():
            lock.release()


# Before and after the run it may come inside a callback of Python's own, which tells nobody: it is
# noted all the same.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_at_any_moment_of_a_run(tmp_path: Path, vsr: Vsr, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = make(tmp_path / "in.mp4", Clip(frames=8)), tmp_path / "out.mp4"
    order = ("upscale", source, "-o", target, "-y", "-s", 2, "-m", "bicubic", "--progress", "none")
    assert vsr(*order).code == 0  # what is imported and kept for later runs is there
    whole = Steps(0, lambda: None)
    with watched(whole):
        assert vsr(*order).code == 0
    codes = []
    for part in range(INSTANTS):
        monkeypatch.setattr(stops._Noted, "number", 0)
        target.write_text("precious")
        at = whole.count * (2 * part + 1) // (2 * INSTANTS)
        with watched(Steps(at, lambda: stops.ask(signal.SIGINT))):
            ended = vsr(*order)
        let_go_of_logging()
        codes.append(ended.code)
        assert sorted(tmp_path.iterdir()) == [source, target]
        assert (ended.code == 0) == (target.read_bytes() != b"precious")
        if ended.code:
            assert ended.err == "vsr: interrupted; nothing was written\n"
    assert codes == sorted(codes, reverse=True)  # only what came too late was in vain
    assert codes[INSTANTS * 3 // 4] == 130


def test_ctrl_c_in_the_middle_of_waiting_does_not_wait_for_ever() -> None:
    """Python's own handler raises anywhere: a lock of its library would stay taken."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    def consume(at: int) -> int:
        steps = Steps(at, interrupt)
        with prefetch(iter(range(9)), 2) as items, suppress(KeyboardInterrupt), watched(steps):
            for _ in items:
                pass
        return steps.count

    def every_moment() -> None:
        for at in range(1, consume(0)):
            consume(at)

    thread = threading.Thread(target=every_moment, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()


def test_what_fails_after_a_stop_fails_for_it() -> None:
    def run() -> None:
        with stops.orderly():
            stops.ask(signal.SIGTERM)
            error = EncodeError("the encoder ended")
            error.add_note("3 frames are kept")
            raise error

    with pytest.raises(stops.Stop) as caught:
        run()
    assert fate(caught.value) == (143, "terminated")
    assert caught.value.__notes__ == ["3 frames are kept"]


def test_a_stop_is_raised_at_once_only_where_that_is_safe() -> None:
    seen = []
    with stops.orderly():
        stops.ask(signal.SIGINT)
        seen.append("noted")
        with pytest.raises(stops.Stop), stops.at_once():
            seen.append("never")
    with pytest.raises(stops.Stop):
        stops.ask(signal.SIGINT)
    assert seen == ["noted"]


def test_interrupt_while_the_command_line_loads() -> None:
    program = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'typer':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from vsrcli.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "vsr: interrupted; nothing was written\n")
