"""Options from vsr.toml, its profiles and the environment; the command line wins."""

from __future__ import annotations

from pathlib import Path

import pytest
from clips import Clip, make
from conftest import Vsr

from vsrcli.cli.config import configured, layered, typed
from vsrcli.cli.run_options import RunOptions
from vsrcli.errors import UsageError

CONFIG = """
model = "bicubic"
scale = 2
preset = "ultrafast"
crf = 30
audio-codec = "none"

[profile.archive]
encoder = "ffv1"

[profile.tall]
height = 160
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A vsr.toml in the working folder."""
    monkeypatch.delenv("VSR_CONFIG")
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "vsr.toml"
    path.write_text(CONFIG)
    return path


def test_file_in_the_working_folder_is_read(config: Path) -> None:
    found = configured(None, None)
    assert (found.model, found.scale, found.crf, found.audio_codec) == ("bicubic", 2, 30.0, "none")


def test_byte_order_mark_is_no_part_of_the_file(config: Path) -> None:
    config.write_text(CONFIG, encoding="utf-8-sig")
    assert configured(None, None).model == "bicubic"


def test_profile_goes_over_the_file(config: Path) -> None:
    archive = configured(None, "archive")
    assert (archive.model, archive.encoder) == ("bicubic", "ffv1")
    assert (archive.crf, archive.preset) == (None, None)  # they were meant for libx264
    tall = configured(None, "tall")
    assert (tall.height, tall.scale) == (160, None)  # one excludes the other


def test_the_same_encoder_in_a_nearer_place_keeps_its_settings(config: Path) -> None:
    config.write_text('encoder = "ffv1"\nencoder-option = "slices=4"\nprofile.a.encoder = "ffv1"')
    assert configured(None, "a").encoder_option == ["slices=4"]
    same = layered(RunOptions(encoder="libx265", crf=20.0), {"encoder": "libx265"})
    assert same.crf == 20.0


def test_users_folder_is_the_last_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("typer.get_app_dir", lambda name: str(tmp_path / name))
    assert configured(None, None) == RunOptions()
    (tmp_path / "vsr").mkdir()
    (tmp_path / "vsr" / "vsr.toml").write_text("scale = 3")
    assert configured(None, None).scale == 3
    (tmp_path / "vsr.toml").write_text("scale = 2")
    assert configured(None, None).scale == 2


def test_command_line_wins_over_environment_over_file(
    config: Path, vsr: Vsr, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make(config.with_name("in.mp4"), Clip(frames=2))
    assert vsr("upscale", source).code == 0
    assert config.with_name("in_x2_bicubic.mp4").is_file()
    monkeypatch.setenv("VSR_SCALE", "3")
    assert vsr("upscale", source).code == 0
    assert config.with_name("in_x3_bicubic.mp4").is_file()
    assert vsr("upscale", source, "-s", 4).code == 0
    assert config.with_name("in_x4_bicubic.mp4").is_file()
    monkeypatch.delenv("VSR_SCALE")
    assert vsr("upscale", source, "--profile", "tall").code == 0
    assert config.with_name("in_240x160_bicubic.mp4").is_file()
    assert vsr("upscale", source, "--profile", "tall", "-s", 2, "-o", "s.mkv", "-y").code == 0


@pytest.mark.parametrize(
    ("name", "value", "nearer"),
    [
        ("SCALE", "2", ("--height", "96")),
        ("CRF", "18", ("-b:v", "1M")),
        ("KEEP", "1", ("-y",)),
        ("LENGTH", "1", ("-to", "1")),
        ("PRESET", "slow", ("-c:v", "libsvtav1")),
        ("CRF", "18", ("-c:v", "ffv1")),
        ("SCENE_THRESHOLD", "30", ("--no-scene-cut",)),
    ],
)
def test_command_line_drops_what_it_excludes_in_the_environment(
    tmp_path: Path,
    vsr: Vsr,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    nearer: tuple[str, ...],
) -> None:
    monkeypatch.setenv(f"VSR_{name}", value)
    source = make(tmp_path / "in.mkv", Clip(frames=2))
    quick = ("-m", "bicubic", "--progress", "none", "-loglevel", "error")
    outcome = vsr("upscale", source, *quick, *nearer)
    assert (outcome.code, outcome.err) == (0, "")


def test_a_variable_that_is_wrong_is_named(vsr: Vsr, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSR_CRF", "abc")
    (line,) = vsr("upscale", "in.mp4").lines
    assert line.startswith("vsr: Invalid value for VSR_CRF: 'abc' is not a valid float")
    (line,) = vsr("upscale", "in.mp4", "-crf", "xyz").lines
    assert line.startswith("vsr: Invalid value for '-crf' / '--crf': 'xyz'")


def test_a_variable_that_cannot_be_meant_is_named(
    vsr: Vsr, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VSR_BITRATE", "abc")
    (line,) = vsr("upscale", "in.mp4").lines
    assert line == "vsr: VSR_BITRATE: --bitrate 'abc' is not a rate; use 4M or 800k"
    (line,) = vsr("upscale", "in.mp4", "--crf", "20").lines
    assert line == "vsr: in.mp4 does not exist"


def test_environment_drops_what_it_excludes_in_the_file(
    config: Path, vsr: Vsr, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make(config.with_name("in.mp4"), Clip(frames=2))
    monkeypatch.setenv("VSR_HEIGHT", "160")
    monkeypatch.setenv("VSR_ENCODER", "mpeg4")
    assert vsr("upscale", source).code == 0
    assert config.with_name("in_240x160_bicubic.mp4").is_file()


def test_named_file_is_the_only_one(config: Path, vsr: Vsr, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text('scale = 3\nmodel = "bicubic"')
    source = make(tmp_path / "in.mp4", Clip(frames=2))
    assert vsr("upscale", source, "--config", other).code == 0
    assert (tmp_path / "in_x3_bicubic.mp4").is_file()


@pytest.mark.parametrize(
    ("text", "profile", "words"),
    [
        ("colour = 1", None, ("vsr.toml", "'colour'", "keys are the long options")),
        ("[profile.a]\nmodle = 'x'", None, ("[profile.a]", "'modle'")),
        (
            "audio-codec = 'none'\naudio_codec = 'copy'",
            None,
            ("vsr.toml: audio-codec and audio_codec are one",),
        ),
        ("scale = 'two'", None, ("scale = 'two'", "a whole number")),
        ("scale = 2.5", None, ("scale = 2.5", "a whole number")),
        ("scale = true", None, ("scale = True", "a whole number")),
        ("crf = [1]", None, ("crf", "a number")),
        ("no-scene-cut = 'maybe'", None, ("no_scene_cut", "true or false")),
        ("model = 1979-05-27", None, ("model", "text")),
        ("encoder-option = [1, []]", None, ("encoder_option", "a list of texts")),
        ("profile = 'archive'", None, ("profile is a table",)),
        ("profile.a = 1", None, ("profile.a is not a table",)),
        ("model = ", None, ("is not TOML",)),
        ("[profile.a]", "b", ("--profile b", "no [profile.b]", "profiles there: a")),
    ],
)
def test_bad_files_are_told_in_one_line(
    config: Path, vsr: Vsr, text: str, profile: str | None, words: tuple[str, ...]
) -> None:
    config.write_text(text)
    chosen = ("--profile", profile) if profile else ()
    outcome = vsr("upscale", "in.mp4", *chosen)
    assert outcome.code == 2
    assert len(outcome.lines) == 1
    for word in words:
        assert word in outcome.err


def test_missing_files_are_told(vsr: Vsr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = vsr("upscale", "in.mp4", "--config", tmp_path / "none.toml")
    assert (outcome.code, "cannot be read" in outcome.err) == (2, True)
    monkeypatch.delenv("VSR_CONFIG")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("typer.get_app_dir", lambda name: str(tmp_path / name))
    outcome = vsr("upscale", "in.mp4", "--profile", "a")
    assert (outcome.code, "there is no vsr.toml" in outcome.err) == (2, True)


def test_text_becomes_what_the_option_takes() -> None:
    words = {"scale": "2", "crf": "17.5", "no-scene-cut": "yes", "encoder-option": "a=1 b=2"}
    assert typed(words, "list.csv") == {
        **{"scale": 2, "crf": 17.5, "no_scene_cut": True},
        **{"encoder_option": ["a=1", "b=2"]},
    }
    with pytest.raises(UsageError, match=r"list\.csv: threads = 'many' is not a whole number"):
        typed({"threads": "many"}, "list.csv")


def test_nearer_option_drops_its_rivals() -> None:
    far = RunOptions(scale=2, crf=20.0, length="3", overwrite=True)
    assert layered(far, {"width": 640}).scale is None
    assert layered(far, {"bitrate": "4M"}).crf is None
    assert layered(far, {"end": "9"}).length is None
    assert layered(far, {"keep": True}).overwrite is False
    assert layered(far, {"keep": False}) == far
