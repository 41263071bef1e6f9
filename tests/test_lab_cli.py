"""`vsr-lab`: what it says of orders that cannot be meant."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from clips import Clip, make

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
from vsrcli.lab.__main__ import main
from vsrcli.lab.networks import build
from vsrcli.lab.temporal.rlsp import Rlsp
from vsrcli.media.images import write_png

TRAIN = ("train", "--data", "one", "--out", "out")
ABLATE = ("ablate", "--data", "one", "--out", "out", "--minutes", "1", "--measure")
TINY = """id = "tiny"
family = "espcn"
summary = "a test"
[shapes]
2 = { depth = 4, features = 4 }
"""
ORDERS = {
    "no checkpoints": (("export", "espcn", "--scale", "4"), 2, "needs --checkpoints"),
    "no checkpoint": (("export", "rlsp-7-48", "--checkpoints", "nowhere"), 6, "no checkpoint"),
    "no scale": (("export", "espcn", "--checkpoints", "nowhere"), 2, "one --scale"),
    "no pictures": (
        *(("train", "espcn", "--scale", "4", "--minutes", "1", "--data", "clips", "--out", "out"),),
        *(3, "holds no pictures"),
    ),
    "nothing to measure on": (
        ("export", "bicubic", "--scale", "4", "--weights", "out", "--measure", "."),
        *(3, "holds no folder set5"),
    ),
    "no minutes": ((*TRAIN, "espcn", "--scale", "4", "--minutes", "0"), 2, "--minutes must be"),
    "an endless slice": (
        (*TRAIN, "rlsp-7-48-bd", "--minutes", "1", "--slice", "-1"),
        *(2, "--slice must be"),
    ),
    "one picture": ((*TRAIN, "espcn", "--scale", "4", "--minutes", "1"), 3, "holds one picture"),
    "one still": ((*TRAIN, "rlsp-7-48-bd", "--minutes", "1"), 3, "too few pictures"),
    "one restored": ((*TRAIN, "realbasicvsr-lite", "--minutes", "1"), 3, "too few pictures"),
    "a device": (
        (*TRAIN, "rlsp-7-48-bd", "--minutes", "1", "--device", "foo"),
        7,
        "no device 'foo'",
    ),
    "a device that holds nothing": (
        (*TRAIN, "rlsp-7-48-bd", "--minutes", "1", "--device", "meta"),
        *(7, "no device 'meta'"),
    ),
    "a slice of a single-frame training": (
        (*TRAIN, "espcn", "--scale", "4", "--minutes", "1", "--slice", "1"),
        *(2, "--slice is not for a single-frame model"),
    ),
    "a GPU for a single-frame model": (
        (*TRAIN, "espcn", "--scale", "4", "--minutes", "1", "--device", "cuda"),
        *(2, "--device is not for a single-frame model"),
    ),
    "clips for a restoring model": (
        (*TRAIN, "realbasicvsr-lite", "--minutes", "1", "--clips", "clips"),
        *(2, "--clips is not for a restoring model"),
    ),
    "another scale of a recurrent model": (
        (*TRAIN, "rlsp-7-64-bd", "--minutes", "1", "--scale", "2"),
        *(2, "rlsp-7-64-bd is for x4; leave --scale out"),
    ),
    "another scale of a restoring model": (
        ("export", "realbasicvsr-lite", "--checkpoints", "other", "--scale", "2"),
        *(2, "is for x4"),
    ),
    "a lesson of a recurrent model": (
        ("export", "rlsp-7-48-bd", "--checkpoints", "other", "--lesson", "gan"),
        *(2, "--lesson is not for a recurrent model"),
    ),
    "a pack that would lie idle": (
        (*TRAIN, "rlsp-7-48-bd", "--minutes", "1", "--pack", "one"),
        *(2, "rlsp-7-48-bd trains on no pack"),
    ),
    "no such scale": (
        (*TRAIN, "tiny.toml", "--scale", "3", "--minutes", "1"),
        *(2, "has no shape for x3; it has x2"),
    ),
    "a checkpoint cut short": (
        ("export", "tiny.toml", "--scale", "2", "--checkpoints", "short"),
        *(6, "is damaged"),
    ),
    "a recurrent one cut short": (
        ("export", "rlsp-7-48-bd", "--checkpoints", "short"),
        *(6, "is damaged"),
    ),
    "a restoring one cut short": (
        ("export", "realbasicvsr-lite", "--checkpoints", "short"),
        *(6, "is damaged"),
    ),
    "going on with one cut short": (
        (*TRAIN[:-1], "short", "tiny.toml", "--scale", "2", "--minutes", "1"),
        *(6, "is damaged"),
    ),
    "a checkpoint of another shape": (
        ("export", "tiny.toml", "--scale", "2", "--checkpoints", "other"),
        *(6, "does not fit this recipe"),
    ),
    "a recurrent one of another shape": (
        ("export", "rlsp-7-48-bd", "--checkpoints", "other"),
        *(6, "does not fit this recipe"),
    ),
    "a checkpoint that lacks its minutes": (
        ("export", "tiny-r.toml", "--checkpoints", "other"),
        *(6, "does not fit this recipe: 'spent_s'"),
    ),
    "a checkpoint of something else": (
        ("mean", "other/tiny-x2.pt", "other/number.pt", "--out", "mean.pt"),
        *(6, "number.pt is damaged, or not a checkpoint"),
    ),
    "a start from another family": (
        (*TRAIN, "rlsp-7-48-bd", "--minutes", "1", "--from", "other/tiny-x2.pt"),
        *(6, "does not fit this recipe"),
    ),
    "thresholds": (("cuts", ".", "--thresholds", "a,b"), 2, "--thresholds takes numbers"),
    "short clips": (("cuts", "clips"), 3, "nothing to cut between"),
    "a checkpoint as an official RLSP": (
        ("import", "other/tiny-x2.pt", "out", "--family", "rlsp"),
        *(6, "not an .npz file"),
    ),
    "an id outside the folder": (
        ("import", "other/tiny-x2.pt", "out", "--family", "egvsr", "--id", "../x"),
        *(2, "is no model id"),
    ),
    "an id of a restoring one": (
        ("export", "realbasicvsr-lite", "--checkpoints", "other", "--id", "a/b"),
        *(2, "is no model id"),
    ),
    "digits of another script": (
        ("measure", "tiny", "clips", "--degrade", "x264-٣"),
        *(2, "no degradation 'x264-٣'"),
    ),
    "ways of another family": (
        (*ABLATE, "clips", "egvsr-psnr"),
        *(2, "egvsr-psnr is an egvsr"),
    ),
    "nothing to measure an ablation on": (
        (*ABLATE, "nowhere", "rlsp-7-48-bd"),
        *(3, "not a folder of pictures"),
    ),
    "no card for an ablation": (
        (*ABLATE, "clips", "rlsp-7-48-bd", "--card", "nowhere"),
        *(6, "cannot be read"),
    ),
    "no folder": (("niqe", "nowhere", "--out", "natural.npz"), 3, "holds no pictures"),
}


def write_files(root: Path) -> None:
    """A recipe, a folder of one picture, one of a short clip, checkpoints that are none of it."""
    (root / "tiny.toml").write_text(TINY)
    (root / "tiny-r.toml").write_text('id = "tiny-r"\nfamily = "rlsp"\nlayers = 2\nfeatures = 4\n')
    for name in ("one", "clips", "short", "other"):
        (root / name).mkdir()
    write_png(root / "one" / "a.png", np.zeros((160, 160, 3), np.uint8))
    make(root / "clips" / "a.mkv", Clip(frames=3, size=(320, 180)))
    net = build("espcn", 2, {"depth": 5, "features": 4}).state_dict()
    for name in ("tiny-x2.pt", "rlsp-7-48-bd.pt", "realbasicvsr-lite.pt"):
        file = root / "other" / name
        torch.save({"net": net, "average": net, "step": 1, "spent_s": 1.0}, file)
        (root / "short" / name).write_bytes(file.read_bytes()[:700])
    torch.save({"average": 3}, root / "other" / "number.pt")
    cell = Rlsp(layers=2, features=4).state_dict()
    torch.save({"net": cell, "average": cell}, root / "other" / "tiny-r.pt")


LESSON = """id = "a"
family = "realbasicvsr"
summary = "a test"
[[stage]]
kind = "flow"
share = 1.0
batch = 1
length = 2
patch = 64
lr = 1e-3
"""
RECIPES = {
    "family": (TINY.replace('"espcn"', '"espnc"'), "no family 'espnc'"),
    "loss": ('loss = "l7"\n' + TINY, "no loss 'l7'"),
    "optimiser": ('optimiser = "foo"\n' + TINY, "no optimiser 'foo'"),
    "scale": (TINY.replace("2 =", "5 ="), "no scale 5"),
    "shape": (TINY.replace("depth", "deep"), "deep"),
    "batch": ("batch = 0\n" + TINY, "batch must be a whole number from 1 on, not 0"),
    "rate": ('lr = "fast"\n' + TINY, "lr must be a number above 0, not 'fast'"),
    "truth": ("batch = true\n" + TINY, "batch must be a whole number from 1 on, not True"),
    "average": ("ema = 1.0\n" + TINY, "ema must be a share below 1, not 1.0"),
    "shrinks": ("shrinks = 3\n" + TINY, "shrinks must be a list, not 3"),
    "patch": ("patch = 3\n" + TINY, "patch must be a table, not 3"),
    "flats": ("flats = 99\n" + TINY, "flats must be at most the batch, 16"),
    "no filters": (TINY.replace("depth = 4", "depth = 0"), "depth must be a whole number from 1"),
    "a path": (TINY.replace('"tiny"', '"a/b"'), "id must be letters, digits, dots and hyphens"),
    "a recurrent length": ('id = "a"\nfamily = "rlsp"\nlength = 0\n', "length must be a whole"),
    "a recurrent patch": ('id = "a"\nfamily = "rlsp"\npatch = 8\n', "multiple of 8 from 16 on"),
    "a stage": ('id = "a"\nfamily = "rlsp"\n[[stage]]\nzoom = 0.1\n', "share must be a number"),
    "a motion": (
        'id = "a"\nfamily = "rlsp"\n[[stage]]\nshare = 1.0\nspeed = [1.0]\n',
        "speed must be 2 values, not [1.0]",
    ),
    "a lesson": (LESSON.replace("batch = 1", "batch = 0"), "batch must be a whole number from 1"),
    "a flow's lesson": (LESSON.replace("64", "40"), "flow's lesson must be a multiple of 32"),
    "no lesson": (LESSON.partition("[[")[0], "must add up to 1"),
    "a recurrent optimiser": ('id = "a"\nfamily = "rlsp"\noptimiser = "foo"\n', "no optimiser"),
    "a recurrent scale": ('id = "a"\nfamily = "rlsp"\nscale = 5\n', "no scale 5"),
}


@pytest.mark.parametrize(("text", "words"), RECIPES.values(), ids=RECIPES.keys())
def test_a_recipe_says_only_what_there_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    recipe = tmp_path / "own.toml"
    recipe.write_text(text)
    order = ("train", recipe, "--scale", 2, "--minutes", 1, "--data", tmp_path, "--out", tmp_path)
    assert main([str(word) for word in order]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


@pytest.mark.parametrize(
    "words",
    [
        "train tiny.toml --scale 2 --minutes 1 --data one --out out --threads 0",
        "quantise espcn --clips clips --measure one --frames -2",
        "degrade pack --data one --sequences -1",
        "degrade pack --data one --length 0",
        "degrade pack --data one --side 7",
        "degrade pack --data one --versions x",
        "cuts clips --rounds 0",
        "cuts clips --rounds ٣",
        "degrade pack --data one --seed -1",
        "degrade pack --data one --seed 99999999999999999999",
        "measure espcn clips --scale ٣",
    ],
)
def test_a_number_that_is_too_small_is_refused(
    capsys: pytest.CaptureFixture[str], words: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(words.split())
    assert stopped.value.code == 2
    *_, option, number = words.split()
    assert f"argument {option}: {number} is not a whole number from" in capsys.readouterr().err


@pytest.mark.parametrize("share", ["2", "-1", "nan", "x"])
def test_a_share_is_from_0_to_1(capsys: pytest.CaptureFixture[str], share: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["degrade", "pack", "--data", "one", "--clean", share])
    assert stopped.value.code == 2
    assert f"{share} is not a number from 0 to 1" in capsys.readouterr().err


@pytest.mark.parametrize("loss", ["-1", "nan", "inf", "x"])
def test_a_loss_is_from_0_on(capsys: pytest.CaptureFixture[str], loss: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["quantise", "a", "--clips", "b", "--measure", "c", "--most-loss", loss])
    assert stopped.value.code == 2
    assert f"{loss} is not a number from 0 on" in capsys.readouterr().err


@pytest.mark.parametrize(("order", "code", "words"), ORDERS.values(), ids=ORDERS.keys())
def test_one_line_says_what_is_wrong(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    order: tuple[str, ...],
    code: int,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)
    assert main(list(order)) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("vsr: ")
    assert words in line
    assert not any(tmp_path.rglob("*.onnx"))


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe breaks otherwise there")
def test_nothing_is_said_where_nobody_reads(tmp_path: Path) -> None:
    checkpoint = tmp_path / "a.pt"
    torch.save({"average": {"a": torch.zeros(1)}}, checkpoint)
    order = [
        sys.executable,
        "-m",
        "vsrcli.lab",
        "mean",
        checkpoint,
        checkpoint,
        "--out",
        checkpoint,
    ]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(order, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(import_module("vsrcli.lab.commands.mean"), "run", missing)
    assert main(["mean", "a", "b", "--out", "c"]) == 7
    assert "pip install 'vsrcli[lab]'" in capsys.readouterr().err
