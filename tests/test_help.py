"""What is explained, and what the shell completes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Vsr

from vsrcli.cli.help import TOPICS
from vsrcli.errors import VsrError


@pytest.mark.parametrize("topic", TOPICS)
def test_every_topic_is_explained_in_lines_that_fit(vsr: Vsr, topic: str) -> None:
    outcome = vsr("help", topic)
    assert outcome.code == 0
    assert len(outcome.out.splitlines()) > 10
    assert max(map(len, outcome.out.splitlines())) <= 100


def test_topics_are_listed(vsr: Vsr) -> None:
    assert all(f"  {topic} " in vsr("help").out for topic in TOPICS)
    outcome = vsr("help", "cooking")
    assert (outcome.code, "'cooking'" in outcome.err) == (2, True)


def test_a_bare_call_shows_what_there_is(vsr: Vsr) -> None:
    outcome = vsr()
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == vsr("--help").out


def test_every_command_is_there_on_its_own(vsr: Vsr) -> None:
    listed = re.findall(r"^  (\w+)  ", vsr("--help").out.split("Commands:")[1], re.MULTILINE)
    assert len(listed) == 10
    for command in listed:
        assert f"Usage: vsr {command} " in vsr(command, "--help").out


def test_a_traceback_changes_nothing_else(
    vsr: Vsr, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    order = ("upscale", tmp_path / "none.mp4", "--progress", "json")
    plain = vsr(*order)
    monkeypatch.setenv("VSR_DEBUG", "0")
    assert vsr(*order).err == plain.err
    monkeypatch.setenv("VSR_DEBUG", "1")
    outcome = vsr(*order)
    assert (outcome.code, outcome.out, outcome.lines[-1]) == (3, plain.out, plain.lines[-1])
    assert outcome.err.startswith("Traceback")


def test_who_listens_no_more_is_no_error() -> None:
    listens, tells = os.pipe()
    os.close(listens)
    order = (sys.executable, "-m", "vsrcli", "models")
    done = subprocess.run(order, stdout=tells, stderr=subprocess.PIPE, check=False)
    os.close(tells)
    assert (done.returncode, done.stderr) == (141, b"")


def test_options_stand_in_groups(vsr: Vsr) -> None:
    text = vsr("upscale", "--help").out
    heads = re.findall(r"^(\w.*):$", text, re.MULTILINE)
    assert heads[:2] == ["Arguments", "Options"]
    assert {"Picture encoding", "Engine", "Configuration", "Examples"} <= set(heads)
    encoding = text.split("Picture encoding:")[1].split("\n\n")[0]
    assert "--crf" in encoding
    assert text.count("--crf <float>") == 1


def test_every_exit_code_is_in_the_help(vsr: Vsr) -> None:
    said = {int(n) for n in re.findall(r"\b(\d+)\s+[a-z]", vsr("--help").out)}
    kinds = [VsrError, *VsrError.__subclasses__()]
    assert {kind.exit_code for kind in kinds} | {0, 129, 130, 141, 143} <= said


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("vsr ups", "upscale"),
        ("vsr upscale --progre", "--progress"),
        ("vsr upscale --progress j", "json"),
        ("vsr upscale --model bicu", "bicubic"),
        ("vsr preview -m bicu", "bicubic"),
        ("vsr eval bicu", "bicubic"),
        ("vsr models show bicu", "bicubic"),
        ("vsr models verify esr-max bicu", "bicubic"),
        ("vsr help bat", "batch"),
    ],
)
def test_bash_completes(words: str, found: str) -> None:
    count = len(words.split()) - 1
    env = os.environ | {"_VSR_COMPLETE": "complete_bash", "COMP_WORDS": words}
    done = subprocess.run(
        [sys.executable, "-m", "vsrcli"],
        env=env | {"COMP_CWORD": str(count)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found in done.stdout.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_completion_scripts_call_vsr(vsr: Vsr, shell: str) -> None:
    outcome = vsr("completion", shell)
    assert outcome.code == 0
    assert "_VSR_COMPLETE" in outcome.out
