"""What a card says of the data, as a checkpoint has noted it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from vsrcli.lab.__main__ import main
from vsrcli.lab.card import read_card
from vsrcli.lab.origin import Origin, noted, origin_of
from vsrcli.lab.temporal.recipe import load_recipe, shipped
from vsrcli.lab.temporal.train import build
from vsrcli.media.images import write_png

OURS = {"folder": "stills", "pictures": 161, "clips": 0, "begin": ""}
FEW = {"folder": "mine", "pictures": 12, "clips": 2, "begin": "rlsp-7-64"}


def test_a_card_says_ours_only_of_as_much_data() -> None:
    assert origin_of([OURS], "ours") == Origin(trained_on="ours", licence="MIT")
    told = origin_of([OURS, FEW], "ours")
    assert told.licence == "unknown"
    few = "12 pictures of mine and 2 clips, begun from rlsp-7-64"
    assert told.trained_on == f"161 pictures of stills; {few}"
    assert origin_of([OURS], "ours", with_clips=True).licence == "unknown"
    assert "does not name" in origin_of([], "ours").trained_on
    said = Origin(trained_on="my own", licence="CC0")
    assert origin_of([FEW], "ours", said) == said


def test_data_is_noted_once(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    first = noted([], tmp_path, begin=Path("weights/rlsp-7-64"))
    assert first == [{"folder": tmp_path.name, "pictures": 1, "clips": 0, "begin": "rlsp-7-64"}]
    assert noted(first, tmp_path) == first
    write_png(tmp_path / "b.png", np.zeros((8, 8, 3), np.uint8))
    assert [entry["pictures"] for entry in noted(first, tmp_path)] == [1, 2]
    other = tmp_path / "other.pt"
    torch.save({"average": {}, "data": [FEW]}, other)
    assert noted([], tmp_path, begin=other)[0] == FEW


def test_export_takes_what_is_said(tmp_path: Path) -> None:
    net = build(load_recipe(shipped(Path("rlsp-7-48-bd"))))
    saved = {"average": net.state_dict(), "spent_s": 60.0, "data": [FEW]}
    torch.save(saved, tmp_path / "rlsp-7-48-bd.pt")
    order = ["export", "rlsp-7-48-bd", "--checkpoints", str(tmp_path), "--weights", str(tmp_path)]
    assert main([*order, "--trained-on", "a film of mine"]) == 0
    card = read_card(tmp_path / "rlsp-7-48-bd")
    assert (card.trained_on, card.licence) == ("a film of mine", "unknown")
