"""What the lab writes is there whole, or as it was before."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_recurrent import write_random_recurrent

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
from vsrcli.errors import OutputError
from vsrcli.lab import quantise
from vsrcli.lab.card import note_measured, read_card, write_card
from vsrcli.lab.checkpoints import write_checkpoint
from vsrcli.lab.niqe import Natural, read_natural, write_natural
from vsrcli.models.model import read_model

LIMIT = 100_000


@pytest.fixture
def full_disk() -> Iterator[None]:
    """No file grows beyond LIMIT bytes."""
    if sys.platform == "win32":
        pytest.skip("files have no such limit there")
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_checkpoint_that_finds_no_room_leaves_the_last_one(
    tmp_path: Path, full_disk: None
) -> None:
    file = tmp_path / "net.pt"
    write_checkpoint({"average": {}, "step": 1}, file)
    before = file.read_bytes()
    with pytest.raises(OutputError, match=r"net\.pt cannot be written \(File too large\)"):
        write_checkpoint({"average": {"a": torch.zeros(LIMIT)}}, file)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [before]


def test_an_int8_graph_that_finds_no_room_leaves_the_last_one(
    tmp_path: Path, full_disk: None
) -> None:
    folder = write_random_recurrent(tmp_path)
    quantise._add(folder, 4, {"": b"one"})
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises(OutputError):
        quantise._add(folder, 4, {"": b"two" * LIMIT})
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_niqe_parameters_are_in_the_file_that_was_named(tmp_path: Path) -> None:
    write_natural(Natural(mean=np.zeros(36), cov=np.eye(36)), tmp_path / "natural")
    assert [p.name for p in tmp_path.iterdir()] == ["natural"]
    assert read_natural(tmp_path / "natural").cov.trace() == 36


@pytest.mark.parametrize("name", ["my clip (1)", "clip.v2", 'a"b\\c', "Größe", "x264-٣", "a\x7fb"])
def test_a_card_takes_figures_of_clips_of_any_name(tmp_path: Path, name: str) -> None:
    folder = write_random_recurrent(tmp_path)
    note_measured(folder, 4, {f"{name}_psnr_y": 30.0})
    assert read_model(folder).graph(4).measured[f"{name}_psnr_y"] == 30
    assert read_card(folder).graphs[0].measured[f"{name}_psnr_y"] == 30


def test_a_card_takes_a_file_name_that_is_no_text(tmp_path: Path) -> None:
    folder = write_random_recurrent(tmp_path)
    write_card(replace(read_card(folder), summary="from \udcff.pth"), folder)
    assert read_model(folder).summary == "from ?.pth"
