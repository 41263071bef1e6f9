"""`vsr-lab bf16`: that a card says what bf16 costs."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from test_engines import needs_bf16

pytest.importorskip("onnx")

from vsrcli.lab.__main__ import main
from vsrcli.lab.bf16 import bf16_change
from vsrcli.media.images import write_png
from vsrcli.models import find_model
from vsrcli.models.model import read_model


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    soft = np.random.default_rng(0).normal(0, 1, (96, 120, 3)).cumsum(0).cumsum(1)
    soft = 255 * (soft - soft.min()) / np.ptp(soft)
    write_png(folder / "soft.png", soft.astype(np.uint8))
    return folder


@needs_bf16
def test_the_card_says_what_bf16_costs(pictures: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(find_model("esr-max").folder, tmp_path / "esr-max"))
    assert main(["bf16", str(folder), "--measure", str(pictures)]) == 0
    graphs = read_model(folder).graphs
    assert [graph.scale for graph in graphs] == [2, 3, 4]
    for graph in graphs:
        assert graph.bf16_change == pytest.approx(
            bf16_change(folder, graph.scale, pictures), abs=1e-3
        )
        assert graph.measured["set5_psnr_y"] > 20, "what was there stays"


@needs_bf16
def test_a_net_that_bf16_hurts_is_found_out(pictures: Path) -> None:
    assert bf16_change(find_model("esr-cnn").folder, 4, pictures) < -0.03


def test_a_model_that_uses_time_is_refused(
    pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = find_model("rlsp-7-48").folder
    assert main(["bf16", str(folder), "--measure", str(pictures)]) == 5
    assert "wherever it can be had" in capsys.readouterr().err
