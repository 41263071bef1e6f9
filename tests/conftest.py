"""Fixtures that several tests share."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # else PyTorch's threads spin for each other

import pytest
from fake_gpu import Gpu, pretend

from vsrcli.cli.main import run

SHARED = Path(__file__).resolve().parents[2] / "shared"
"""Real media for development; the tests that use it run where it is."""


@dataclass(frozen=True)
class Outcome:
    """How a command line ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """stderr, line by line."""
        return self.err.splitlines()


Vsr = Callable[..., Outcome]


def pytest_configure() -> None:
    """A suite in the background of a script was told to ignore Ctrl-C and hang-ups, and what it
    starts would inherit that; tests send both."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the user's own settings nor the terminal may decide how the tests end."""
    for name in [n for n in os.environ if n.startswith("VSR_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("VSR_CONFIG", os.devnull)
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(autouse=True)
def _one_level() -> Iterator[None]:
    """A test that asks for more lines asks for itself alone."""
    log = logging.getLogger("vsr")
    level = log.level
    yield
    log.setLevel(level)


@pytest.fixture(autouse=True)
def _one_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """What auto chooses must not depend on what is installed; tests of OpenVINO ask for it."""
    monkeypatch.setattr("vsrcli.runtime.devices.is_installed", lambda _: False)


@pytest.fixture
def vsr(capsys: pytest.CaptureFixture[str]) -> Vsr:
    """Runs a `vsr` command line in this process."""

    def call(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = run([str(a) for a in arguments])
        said = capsys.readouterr()
        return Outcome(code, said.out, said.err)

    return call


@pytest.fixture
def upscale(vsr: Vsr) -> Vsr:
    """Runs `vsr upscale IN --model bicubic --scale 2`, quickly, and expects it to work."""

    def call(source: Path, *arguments: object) -> Outcome:
        sized = {"--scale", "--width", "--height", "-s"} & {str(a) for a in arguments}
        scale = () if sized else ("--scale", 2)
        preset = () if "-c:v" in arguments else ("--preset", "ultrafast")
        quick = ("--model", "bicubic", *scale, *preset, "--progress", "none")
        outcome = vsr("upscale", source, *quick, *arguments)
        assert outcome.code == 0, outcome.err
        assert not list(source.parent.glob(".*.part*"))
        return outcome

    return call


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Gpu:
    """One that is not there."""
    return pretend(monkeypatch, tmp_path / "cache")
