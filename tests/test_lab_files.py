"""What the lab writes is there whole, or as it was before."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny_recurrent import write_random_recurrent

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
from vsrcli.errors import OutputError
from vsrcli.lab import quantise
from vsrcli.lab.checkpoints import write_checkpoint
from vsrcli.lab.niqe import Natural, read_natural, write_natural

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
