"""The conformance table's own clips, and what the README says of each container."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from cases import FAST, VP9, Case, captioned, cases, png
from clips import ASS, PGS, Clip, Text, Track, make
from conformance import held, main, run

from vsrcli import Job, upscale
from vsrcli.media.settings import VideoOptions

MS, VFR_TICK = Fraction(1, 1000), Fraction(1, 90_000)
README = Path(__file__).resolve().parents[1] / "README.md"


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_nothing_is_lost_without_a_word(case: Case, tmp_path: Path) -> None:
    result = run(case, tmp_path)
    assert result.passed, f"{result.lost}; warned of {result.said}"


def test_there_are_enough_cases() -> None:
    names = [case.name for case in cases()]
    assert len(names) >= 60
    assert len(set(names)) == len(names)


def test_a_loss_is_found(tmp_path: Path) -> None:
    """The table can fail: here the sound is left out, and nobody warned of it."""
    case = next(c for c in cases() if c.name == "constant rate (mp4)")
    result = run(replace(case, options={"audio": "none"}), tmp_path)
    assert result.lost == ["audio 0"]


def test_ffmpeg_stands_beside(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    make(tmp_path / "a.mp4", Clip(rotation=90))
    (tmp_path / "b.mp4").write_text("no video")
    assert main([str(tmp_path), "--only", "a.mp4"]) == 0
    (line, count) = capsys.readouterr().out.splitlines()
    assert line.startswith("ok   a.mp4")
    assert "ffmpeg: size, rotation" in line
    assert count == "1 cases, 0 failed"
    assert main([str(tmp_path), "--only", "b.mp4", "--no-ffmpeg", "--json"]) == 1


SOUND = (Track(language="eng", title="Main"), Track(hz=880, language="fra", default=False))
WHOLE = Clip(
    frames=5,
    audio=SOUND,
    subtitles=(
        Text(language="ger", title="Deutsch", forced=True),
        Text(suffix=".ass", content=ASS),
        Text(suffix=".sup", content=PGS),
    ),
    attachments={"font.ttf": b"not really a font"},
    chapters=((0, 100, "One"), (100, 200, "Two")),
    metadata={"artist": "nobody"},
)
CONTAINERS = ("mkv", "mp4", "mov", "webm", "ts", "avi")


def table() -> dict[str, dict[str, str]]:
    """Row -> container -> what the README's table says of it."""
    lines = README.read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| | mkv |"))
    heads = [cell.strip() for cell in lines[start].split("|")[2:-1]]
    assert tuple(heads) == CONTAINERS
    rows = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        name, *cells = (cell.strip() for cell in line.split("|")[1:-1])
        rows[name] = dict(zip(heads, cells, strict=True))
    return rows


@pytest.mark.parametrize("container", CONTAINERS)
def test_readme_says_what_each_container_takes(tmp_path: Path, container: str) -> None:
    source, target = make(tmp_path / "in.mkv", WHOLE), tmp_path / f"out.{container}"
    video = VP9 if container == "webm" else FAST
    upscale(Job(source=source, target=target, model="bicubic", scale=2, video=video))
    was, now = held(source), held(target)
    says = {row: cells[container] for row, cells in table().items()}
    kinds = {kind: [t for t in now.tracks if t.kind == kind] for kind in ("audio", "subtitle")}
    sounds, words = kinds["audio"], [t for t in kinds["subtitle"] if "pgs" not in t.codec]
    codecs = [t.codec for t in words]

    assert says["audio"].startswith("copied")
    copied = [t.packets for t in sounds] == [t.packets for t in was.tracks if t.kind == "audio"]
    assert copied == (container not in ("webm",))
    assert {t.codec for t in sounds} == ({"aac"} if copied else {"opus"})
    expected = {
        "copied": ["subrip", "ass"],
        "to mov_text": ["mov_text"] * 2,
        "to WebVTT": ["webvtt"] * 2,
        "left out": [],
    }
    assert codecs == expected[says["text subtitles"].split(" (")[0]]
    has_pictures = len(words) < len(kinds["subtitle"])
    assert has_pictures == says["picture subtitles"].startswith("copied")
    assert bool(now.chapters) == (says["chapters"] == "kept")
    attached = [t for t in now.tracks if t.kind == "attachment"]
    assert bool(attached) == (says["attachments"] == "copied")
    assert (sounds[1].language == "fra") == says["languages"].startswith("kept")
    assert (sounds[0].title == "Main") == (says["track titles"] == "kept")
    marks = [t.disposition & 1 for t in sounds]
    assert (marks == [1, 0]) == says["dispositions"].startswith(("kept", "default"))
    assert (now.tags.get("artist") == "nobody") == (says["tags"] == "kept")


@pytest.mark.parametrize("container", CONTAINERS)
def test_readme_says_where_covers_and_captions_stay(tmp_path: Path, container: str) -> None:
    clip = Clip(frames=3, audio=(), attachments={"cover.png": png()})
    says = {row: cells[container] for row, cells in table().items()}
    video = VP9 if container == "webm" else FAST
    target = tmp_path / f"out.{container}"
    for row, source in (
        ("cover picture", make(tmp_path / "cover.mkv", clip)),
        ("closed captions", captioned(tmp_path)),
    ):
        job = Job(source=source, target=target, model="bicubic", scale=2, video=video)
        upscale(replace(job, overwrite=True))
        now = held(target)
        if row == "cover picture":
            assert bool([t for t in now.tracks if t.kind == "video"]) == (says[row] == "copied")
        else:
            assert bool(now.captions) == (says[row] == "kept")


@pytest.mark.parametrize("container", CONTAINERS)
def test_readme_says_how_exact_times_are(tmp_path: Path, container: str) -> None:
    ticks = (0, 1501, 4503, 6006)
    source = make(tmp_path / "in.mp4", Clip(times=ticks, time_base=VFR_TICK, audio=()))
    target = tmp_path / f"out.{container}"
    video = VideoOptions(codec="libvpx-vp9", bitrate=200_000) if container == "webm" else FAST
    upscale(Job(source=source, target=target, model="bicubic", scale=2, video=video))
    times = [t - held(target).times[0] for t in held(target).times]
    exact = times == [t * VFR_TICK for t in ticks]
    says = table()["timestamps"][container]
    assert exact == (says == "exact")
    if says == "rounded to 1 ms":
        assert times == [round(t * VFR_TICK * 1000) * MS for t in ticks]
    if says == "one frame rate":
        assert len({b - a for a, b in pairwise(times)}) == 1
