"""`vsr models`: what it lists, shows and finds wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Vsr
from tiny_models import repeat_graph, write_model

from vsrcli.cli.tables import rounded


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the only one on the search path."""
    root = tmp_path / "models"
    root.mkdir()
    monkeypatch.setattr("vsrcli.models.find.search_path", lambda: (root,))
    return root


def test_list_has_figures_and_licence(vsr: Vsr, models: Path) -> None:
    write_model(models)
    outcome = vsr("models", "list")
    assert outcome.code == 0
    row = next(line for line in outcome.out.splitlines() if line.startswith("tiny"))
    assert row.split() == [
        *("tiny", "nearest", "frame", "2", "4", "12.3", "k", "27.25", "-1.12"),
        *("CC0", "repeats", "pixels"),
    ]
    assert vsr("models").out == outcome.out


def test_list_counts_each_weight_once(vsr: Vsr, models: Path) -> None:
    """An int8 graph has the same parameters as the fp32 one beside it."""
    folder = write_model(models)
    card = folder / "model.toml"
    _, *graphs = card.read_text().split("[[graph]]")
    again = graphs[-1].replace('precision = "fp32"', 'precision = "int8"')
    card.write_text(f"{card.read_text()}\n[[graph]]{again}")
    assert "12.3 k" in vsr("models").out


def test_list_names_broken_cards_and_goes_on(vsr: Vsr, models: Path) -> None:
    write_model(models, "good")
    card = write_model(models, "bad") / "model.toml"
    card.write_text("schema = ")
    for order in (("models",), ("models", "list", "--json")):
        outcome = vsr(*order)
        assert (outcome.code, len(outcome.lines), "good" in outcome.out) == (0, 1, True)
        assert outcome.err.startswith(f"vsr: warning: {card} is not valid TOML")


def test_list_fits_80_columns(vsr: Vsr, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    write_model(models, "a-model-with-a-long-id")
    outcome = vsr("models")
    assert "a-model-with-a-long-id" in outcome.out
    assert max(map(len, outcome.out.splitlines())) <= 80


def test_list_loses_nothing_in_40_columns(
    vsr: Vsr, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    write_model(models, "a-model-with-a-long-id")
    lines = vsr("models").out.splitlines()
    assert max(map(len, lines)) <= 40
    tables = [line.split()[1:] for line in lines if line.startswith("a-model-with-a-long-id")]
    found = [word for words in tables for word in words]
    assert found == ["2", "4", "12.3", "k", "27.25", "-1.12", "CC0", "repeats", "pixels"]


def test_list_as_json_is_one_document(vsr: Vsr, models: Path) -> None:
    write_model(models, "b")
    write_model(models, "a", scales=(3,))
    outcome = vsr("models", "list", "--json")
    listed = json.loads(outcome.out)["models"]
    assert [m["id"] for m in listed] == ["a", "b"]
    assert listed[0]["scales"] == [3]
    assert listed[1]["graphs"][1]["measured"]["set5_gain_db"] == -1.125
    assert json.loads(vsr("models", "--json").out)["models"] == listed
    assert outcome.err == ""


def test_empty_list_says_what_to_do(vsr: Vsr, models: Path) -> None:
    assert "VSR_MODELS" in vsr("models").out
    assert json.loads(vsr("models", "--json").out) == {"models": []}


def test_show_tells_where_a_model_comes_from(vsr: Vsr, models: Path) -> None:
    write_model(models)
    out = vsr("models", "show", "tiny").out
    for text in ("nothing at all", "CC0", "12345", "1.5 min", "tiny-x4.onnx", "0.7500", "27.25"):
        assert text in out
    shown = json.loads(vsr("models", "show", "tiny", "--json").out)
    assert [len(graph["sha256"]) for graph in shown["graphs"]] == [64, 64]


def test_no_minus_stands_before_nothing(vsr: Vsr, models: Path) -> None:
    card = write_model(models) / "model.toml"
    card.write_text(card.read_text().replace("-1.125", "-0.001"))
    assert "-0.00" not in vsr("models", "show", "tiny").out
    assert rounded(-0.0004, 3, "+") == "+0.000"
    assert rounded(-0.0006, 3, "+") == "-0.001"


def test_parts_share_a_column_of_figures(vsr: Vsr) -> None:
    lines = vsr("models", "show", "realbasicvsr-lite").out.splitlines()
    (heading,) = (line.split() for line in lines if line.startswith("measured"))
    assert heading == ["measured", "x4", "fp32", "x4", "int8"]


def test_show_of_an_unknown_id_names_the_nearest(vsr: Vsr, models: Path) -> None:
    write_model(models, "espcn")
    outcome = vsr("models", "show", "epscn")
    assert (outcome.code, len(outcome.lines)) == (5, 1)
    assert "did you mean espcn?" in outcome.err


def test_verify_of_good_models_ends_with_0(vsr: Vsr, models: Path) -> None:
    write_model(models)
    outcome = vsr("models", "verify")
    assert outcome.code == 0, outcome.err
    assert outcome.err == ""
    assert vsr("models", "verify", "tiny", "--json").code == 0


def test_verify_names_an_altered_file(vsr: Vsr, models: Path) -> None:
    write_model(models, "good")
    folder = write_model(models, "bad")
    (folder / "bad-x4.onnx").write_bytes(repeat_graph(4) + b" ")
    outcome = vsr("models", "verify", "--json")
    assert outcome.code == 6
    assert len(outcome.lines) == 1
    assert "bad" in outcome.err
    found = json.loads(outcome.out)
    assert found["ok"] is False
    assert {m["id"]: m["ok"] for m in found["models"]} == {"good": True, "bad": False}
    problem = found["models"][0]["problems"]
    assert len(problem) == 1
    assert "x4" in problem[0]
    assert "checksum" in problem[0]
    assert vsr("models", "verify", "good").code == 0


def _edit(folder: Path, old: str, new: str) -> None:
    card = folder / "model.toml"
    text = card.read_text(encoding="utf-8")
    assert old in text
    card.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ('id = "tiny"', 'id = "other"', "the folder is tiny"),
        ("scale = 4", "scale = 3", "upscales by 4"),
        ("scale = 4", "scale = 2", "2 times"),
        ('licence = "CC0"', "", "licence"),
        ("schema = 1", "schema = 99", "schema 99"),
        ("schema = 1", "schema = ", "not valid TOML"),
        ("tiny-x4.onnx", "gone.onnx", "cannot be read"),
    ],
)
def test_verify_finds_a_wrong_card(
    vsr: Vsr, models: Path, old: str, new: str, finding: str
) -> None:
    _edit(write_model(models), old, new)
    outcome = vsr("models", "verify", "--json")
    assert outcome.code == 6
    assert any(finding in text for text in json.loads(outcome.out)["models"][0]["problems"])


def test_verify_takes_the_path_of_a_folder(vsr: Vsr, models: Path, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "elsewhere")
    assert vsr("models", "verify", folder).code == 0
    assert vsr("models", "verify", tmp_path / "nowhere").code == 6


def test_json_stands_behind_the_command(vsr: Vsr) -> None:
    outcome = vsr("models", "--json", "list")
    assert (outcome.code, outcome.out) == (2, "")
    assert "vsr models list --json" in outcome.err
