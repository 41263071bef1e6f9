"""`vsr eval` and `vsr models import`: the commands that need the lab extra."""

from __future__ import annotations

import errno
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from clips import Clip, make
from conftest import SHARED, Vsr
from tiny_models import repeat_graph, write_model
from tiny_recurrent import write_random_recurrent

from vsrcli.media.images import write_png

ESPCN = {
    "net.0": (5, 1, 5, 5),
    "net.2": (3, 5, 3, 3),
    "net.4": (4, 3, 3, 3),
}
"""Tensors of a small ESPCN x2: D5 S3."""


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the only one on the search path."""
    root = tmp_path / "models"
    root.mkdir()
    monkeypatch.setattr("vsrcli.models.find.search_path", lambda: (root,))
    monkeypatch.setattr("vsrcli.models.find.user_models", lambda: root)
    return root


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two pictures that nearest-neighbour treats worse than bicubic does."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    y, x = np.mgrid[:64, :72]
    for name, pace in (("one", 5), ("two", 9)):
        wave = 127 + 60 * np.sin(x / pace) + 60 * np.cos(y / pace)
        write_png(folder / f"{name}.png", np.repeat(wave[..., None], 3, 2).astype(np.uint8))
    return folder


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Imports as on a machine without the lab extra."""
    for name in [n for n in sys.modules if n.startswith("vsrcli.lab")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "onnx", None)


def test_eval_measures_an_id_a_folder_and_a_file(vsr: Vsr, models: Path, pictures: Path) -> None:
    pytest.importorskip("torch")
    folder = write_model(models)
    documents = []
    for model in ("tiny", folder, folder / "tiny-x2.onnx"):
        outcome = vsr("eval", model, pictures, "--scale", 2, "--json")
        assert (outcome.code, outcome.err) == (0, "")
        documents.append(json.loads(outcome.out))
    assert documents[0]["rows"] == documents[1]["rows"] == documents[2]["rows"]
    found = documents[0]
    assert [row["name"] for row in found["rows"]] == ["one", "two"]
    for row in found["rows"]:
        assert row["gain_db"] == pytest.approx(row["psnr_y"] - row["bicubic_psnr_y"])
        assert row["gain_db"] < -3
        assert 0 < row["ssim"] < row["bicubic_ssim"] < 1
    mean = np.mean([row["psnr_y"] for row in found["rows"]])
    assert found["mean"]["psnr_y"] == pytest.approx(mean)


def test_eval_prints_a_table(vsr: Vsr, models: Path, pictures: Path) -> None:
    pytest.importorskip("torch")
    write_model(models)
    outcome = vsr("eval", "tiny", pictures, "-s", 2, "--degrade", "bd")
    assert (outcome.code, outcome.err) == (0, "")
    assert "degraded by bd" in outcome.out
    first = [line.split()[:2] for line in outcome.out.splitlines() if line]
    assert ["one", "1"] in first
    assert ["mean", "2"] in first


def test_eval_takes_a_file_with_ports_of_any_name(vsr: Vsr, tmp_path: Path, pictures: Path) -> None:
    pytest.importorskip("torch")
    file = tmp_path / "mine.onnx"
    file.write_bytes(repeat_graph(2).replace(b"\x01y", b"\x01q").replace(b"\x01x", b"\x01p"))
    outcome = vsr("eval", file, pictures, "-s", 2, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    assert json.loads(outcome.out)["model"] == "mine"


def test_eval_without_time_obeys_engine_and_precision(vsr: Vsr, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    folder, clips = write_random_recurrent(tmp_path), tmp_path / "clips"
    clips.mkdir()
    make(clips / "a.mkv", Clip(frames=3, size=(96, 64)))
    order = ("eval", folder, clips, "--without", "state")
    assert vsr(*order, "--engine", "onnxruntime").code == 0
    refused = {("--precision", "int8"): 5, ("--engine", "onnxruntime", "--precision", "bf16"): 7}
    for words, code in refused.items():
        outcome = vsr(*order, *words)
        assert (outcome.code, outcome.out, len(outcome.lines)) == (code, "", 1), words


def test_eval_of_a_file_takes_no_graph_of_another_precision(
    vsr: Vsr, models: Path, pictures: Path
) -> None:
    pytest.importorskip("torch")
    file = write_model(models) / "tiny-x2.onnx"
    outcome = vsr("eval", file, pictures, "-s", 2, "--precision", "int8")
    assert (outcome.code, outcome.out, len(outcome.lines)) == (2, "", 1)


def test_eval_refuses_in_one_line(vsr: Vsr, models: Path, pictures: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    write_model(models)
    cases = {
        ("tini", pictures): 5,
        (tmp_path / "gone.onnx", pictures): 5,
        ("tiny", tmp_path / "gone"): 3,
        ("tiny", tmp_path / "models"): 3,
        ("tiny", pictures, "-s", 3): 5,
        ("tiny", pictures, "-s", 2, "--engine", "abacus"): 2,
        ("tiny", pictures, "--degrade", "none"): 2,
        ("tiny", pictures, "--degrade", "mpeg4-0"): 2,
        ("tiny", pictures, "-s", 2, "--metrics", "taste"): 2,
        ("tiny", pictures, "-s", 2, "--niqe-params", "natural.npz"): 2,
        ("tiny", pictures, "-s", 2, "--without", "sleep"): 2,
        ("tiny", pictures, "-s", 2, "--without", "state"): 5,
    }
    for arguments, code in cases.items():
        outcome = vsr("eval", *arguments)
        assert (outcome.code, outcome.out, len(outcome.lines)) == (code, "", 1), arguments


@pytest.mark.usefixtures("no_torch")
def test_without_the_lab_extra_both_say_what_to_install(vsr: Vsr, tmp_path: Path) -> None:
    for arguments in (("eval", "espcn", tmp_path), ("models", "import", tmp_path / "a.model")):
        outcome = vsr(*arguments)
        assert (outcome.code, outcome.out, len(outcome.lines)) == (7, "", 1)
        assert "pip install 'vsrcli[lab]'" in outcome.err


def _checkpoint(folder: Path) -> Path:
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for name, shape in ESPCN.items():
        tensors[f"{name}.weight"] = torch.randn(shape, generator=generator) / 5
        tensors[f"{name}.bias"] = torch.randn(shape[:1], generator=generator) / 5
    file = folder / "ESPCN_s2_D5_S3.model"
    torch.save(tensors, file)
    return file


def test_import_makes_a_model_that_verifies(vsr: Vsr, models: Path, tmp_path: Path) -> None:
    checkpoint = _checkpoint(tmp_path)
    outcome = vsr("models", "import", checkpoint, "--id", "mine", "--licence", "to me", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    report = json.loads(outcome.out)
    assert (report["id"], report["model"], report["scale"]) == ("mine", "mine", 2)
    assert report["error"] < 1e-5
    assert report["folder"] == str(models / "mine")
    shown = json.loads(vsr("models", "show", "mine", "--json").out)
    assert (shown["family"], shown["licence"], shown["scales"]) == ("espcn", "to me", [2])
    assert vsr("models", "verify", "mine").code == 0


def test_import_elsewhere_says_how_to_use_it(vsr: Vsr, models: Path, tmp_path: Path) -> None:
    target = tmp_path / "other"
    outcome = vsr("models", "import", _checkpoint(tmp_path), "-o", target)
    assert outcome.code == 0, outcome.err
    assert not list(models.iterdir())
    (folder,) = target.iterdir()
    last = outcome.out.replace("\n", " ").split("--model ")[1]
    assert last.replace(" ", "").startswith(f"{folder}--scale2")


def test_import_refuses_in_one_line(vsr: Vsr, models: Path, tmp_path: Path) -> None:
    checkpoint = _checkpoint(tmp_path)
    junk = tmp_path / "ESPCN_s4_D5_S3.model"
    junk.write_bytes(b"no tensors")
    nameless = tmp_path / "nameless.model"
    nameless.write_bytes(checkpoint.read_bytes())
    gone = tmp_path / "ESPCN_s3_D5_S3.model"
    cases = {
        (junk,): 6,
        (nameless,): 6,
        (gone,): 6,
        (checkpoint, "--as", "fsrcnn"): 6,
        (checkpoint, "--as", "realsr"): 2,
        (checkpoint, "--as", "rlsp"): 6,
        (checkpoint, "--id", "../up"): 2,
        (checkpoint, "-o", junk / "below"): 4,
    }
    for arguments, code in cases.items():
        outcome = vsr("models", "import", *arguments)
        assert (outcome.code, outcome.out, len(outcome.lines)) == (code, "", 1), arguments
    assert not list(models.iterdir())
    assert "cannot be read" in vsr("models", "import", tmp_path / "net.pth").err


def test_an_import_that_fails_leaves_the_last_one(
    vsr: Vsr, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = _checkpoint(tmp_path)

    def full(self: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    assert vsr("models", "import", checkpoint).code == 0
    files = sorted(models.rglob("*"))
    monkeypatch.setattr(Path, "replace", full)
    outcome = vsr("models", "import", checkpoint)
    assert (outcome.code, len(outcome.lines)) == (4, 1)
    assert vsr("models", "verify").code == 0
    assert sorted(models.rglob("*")) == files


def test_official_checkpoint_measures_as_published(vsr: Vsr, models: Path) -> None:
    pytest.importorskip("torch")
    checkpoint = SHARED / "upstream" / "esr" / "eSR-TM_s2_K7_C16.model"
    if not checkpoint.exists():
        pytest.skip("the official checkpoints are not here")
    assert vsr("models", "import", checkpoint, "--id", "tm").code == 0
    outcome = vsr("eval", "tm", SHARED / "data" / "eval" / "set5", "--scale", 2, "--json")
    mean = json.loads(outcome.out)["mean"]
    assert mean["psnr_y"] == pytest.approx(36.03, abs=0.02)
    assert mean["gain_db"] == pytest.approx(2.34, abs=0.02)
