"""`vsr-lab`: what it says of orders that cannot be meant."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
from vsrcli.lab.__main__ import main

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
        *(("train", "espcn", "--scale", "4", "--minutes", "1", "--data", ".", "--out", "out"),),
        *(3, "holds no pictures"),
    ),
    "nothing to measure on": (
        ("export", "bicubic", "--scale", "4", "--weights", "out", "--measure", "."),
        *(3, "holds no folder set5"),
    ),
    "no folder": (("niqe", "nowhere", "--out", "natural.npz"), 3, "holds no pictures"),
}


RECIPES = {
    "family": (TINY.replace('"espcn"', '"espnc"'), "no family 'espnc'"),
    "loss": ('loss = "l7"\n' + TINY, "no loss 'l7'"),
    "optimiser": ('optimiser = "foo"\n' + TINY, "no optimiser 'foo'"),
    "scale": (TINY.replace("2 =", "5 ="), "no scale 5"),
    "shape": (TINY.replace("depth", "deep"), "deep"),
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
    assert main(list(order)) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("vsr: ")
    assert words in line
    assert not any(tmp_path.rglob("*.onnx"))


def test_a_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:

    def missing(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr("vsrcli.lab.commands.mean.run", missing)
    assert main(["mean", "a", "b", "--out", "c"]) == 7
    assert "pip install 'vsrcli[lab]'" in capsys.readouterr().err
