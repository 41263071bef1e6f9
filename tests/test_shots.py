"""Shots: where the picture is found to cut, and the options about it."""

from __future__ import annotations

from pathlib import Path

import pytest
from clips import Clip, make
from conftest import Vsr

from vsrcli.errors import UsageError
from vsrcli.job import Job

FRAME_MODEL = ("--model", "bicubic", "--scale", "2", "--progress", "none", "--preset", "ultrafast")


@pytest.mark.parametrize(
    "option", [("--scene-threshold", "20"), ("--no-scene-cut",), ("--warm-up", "4")]
)
def test_a_frame_model_says_what_has_no_effect(
    tmp_path: Path, vsr: Vsr, option: tuple[str, ...]
) -> None:
    source = make(tmp_path / "in.mkv", Clip(frames=2, audio=()))
    outcome = vsr("upscale", source, *FRAME_MODEL, *option)
    assert outcome.code == 0
    assert outcome.lines == [
        f"vsr: warning: {option[0]} has no effect: bicubic upscales each frame on its own"
    ]


@pytest.mark.parametrize(
    "options",
    [
        ("--scene-threshold", "0"),
        ("--scene-threshold", "101"),
        ("--scene-threshold", "20", "--no-scene-cut"),
        ("--warm-up", "-1"),
        ("--warm-up", "65"),
    ],
)
def test_values_that_cannot_be_meant(tmp_path: Path, vsr: Vsr, options: tuple[str, ...]) -> None:
    source = make(tmp_path / "in.mkv", Clip(frames=2, audio=()))
    outcome = vsr("upscale", source, *FRAME_MODEL, *options)
    assert (outcome.code, len(outcome.lines)) == (2, 1)
    assert options[0] in outcome.err
    assert [p.name for p in tmp_path.iterdir()] == ["in.mkv"]


@pytest.mark.parametrize("threshold", [0, 101])
def test_the_range_of_thresholds_is_told(threshold: float) -> None:
    with pytest.raises(UsageError, match="above 0 and at most 100"):
        Job(source=Path("in.mkv"), scene_threshold=threshold)


def test_help_tells_the_defaults(vsr: Vsr) -> None:
    from vsrcli.job import DEFAULT_SCENE_THRESHOLD

    text = " ".join(vsr("upscale", "--help").out.split())
    assert f"Default {DEFAULT_SCENE_THRESHOLD:g}." in text
    assert "Default: as the model needs; ours none." in text
