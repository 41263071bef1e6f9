"""`vsr-lab mean`: weights between two checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from vsrcli.lab.__main__ import main
from vsrcli.lab.checkpoints import load_checkpoint


def saved(path: Path, value: float, minutes: float, size: int = 2) -> Path:
    weights = {"head.weight": torch.full((size,), value)}
    torch.save({"net": weights, "average": weights, "spent_s": 60 * minutes, "step": 7}, path)
    return path


def test_weights_lie_between_and_minutes_add_up(tmp_path: Path, capsys) -> None:
    one, other = saved(tmp_path / "a.pt", 1.0, 10), saved(tmp_path / "b.pt", 3.0, 5)
    out = tmp_path / "run" / "net.pt"
    assert main(["mean", str(one), str(other), "--share", "0.25", "--out", str(out)]) == 0
    made = load_checkpoint(out)
    assert made["average"]["head.weight"].tolist() == [1.5, 1.5]
    assert made["net"]["head.weight"].tolist() == [1.5, 1.5]
    assert made["spent_s"] == 15 * 60
    assert "15.0 core-minutes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("size", "share", "code", "says"),
    [(3, "0.5", 6, "not of the same net"), (2, "1.5", 2, "from 0 to 1")],
)
def test_what_has_no_mean_is_refused(tmp_path: Path, capsys, size, share, code, says) -> None:
    one, other = saved(tmp_path / "a.pt", 1.0, 1), saved(tmp_path / "b.pt", 2.0, 1, size)
    out = tmp_path / "net.pt"
    assert main(["mean", str(one), str(other), "--share", share, "--out", str(out)]) == code
    assert says in capsys.readouterr().err
    assert not out.exists()
