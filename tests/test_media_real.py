"""Real files, where they are at hand: everyday clips and awkward ones. The first moment of each."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest
from conftest import SHARED, Vsr

CLIPS = sorted((SHARED / "data/eval/clips").glob("*.mp4"))
ODD = sorted(p for p in (SHARED / "data/odd").glob("*/*") if p.is_file())
MOMENT = {"edit_list_positive_shift.mp4": "1.3", "no-initial-keyframe.ts": "3"}
"""Seconds, where the first picture comes late."""
REFUSED = {
    "config.mts": "cannot be opened",
    "sample_qt.mp4": "cannot be decoded",
    "invalid-bitstream.webm": "cannot be decoded",
    "sample_fragmented_clearkey.mp4": "cannot be opened",
    "chunk_out_of_range.mp4": "cannot be opened",
    "invalid_userdata.mp4": "no frame",
    "no_timescale.mp4": "is damaged",
    "Error_I_P.264": "is damaged",
    "fixture-corrupt.mkv": "cannot be opened",
    "fixture-moov.mov": "cannot be opened",
    "fixture.ogv": "cannot be opened",
    "webav2.mp4": "-c:a aac",
}
"""Broken, cut short, encrypted or without a picture."""
CONTAINERS = {".mp4", ".mov", ".mkv"}
TICK = Fraction(1, 1000)

if not CLIPS:
    pytest.skip("no real files here", allow_module_level=True)


def pts(path: Path, length_s: Fraction | None = None) -> list[Fraction]:
    """When each frame of the largest video is shown; of the first `length_s` if given."""
    found = []
    with av.open(str(path.absolute())) as file:
        end = None if length_s is None else Fraction(file.start_time or 0, 1_000_000) + length_s
        best = file.streams.best("video") if length_s else max(file.streams.video, key=_width)
        for index, frame in enumerate(file.decode(best)):
            at = Fraction(index, 25) if frame.pts is None else frame.pts * frame.time_base
            if end is not None and at >= end:
                break
            found.append(Fraction(at))
    return found


def _width(stream: av.VideoStream) -> int:
    return stream.codec_context.width


def sound(path: Path) -> list[list[bytes]]:
    """The packets of every audio track."""
    with av.open(str(path.absolute())) as file:
        tracks: dict[int, list[bytes]] = {s.index: [] for s in file.streams.audio}
        for packet in file.demux(*file.streams.audio) if tracks else ():
            if packet.size:
                tracks[packet.stream.index].append(bytes(packet))
        return list(tracks.values())


def upscaled(path: Path, folder: Path, vsr: Vsr) -> tuple[int, str, Path]:
    """The first moment of a file, its exit code and what was said."""
    suffix = path.suffix.lower() if path.suffix.lower() in CONTAINERS else ".mkv"
    target = folder / f"out{suffix}"
    order = ("--model", "bicubic", "--scale", 2, "--preset", "ultrafast", "--progress", "none")
    outcome = vsr("upscale", path, "-o", target, *order, "-t", MOMENT.get(path.name, "0.3"))
    return outcome.code, outcome.err, target


@pytest.mark.parametrize("path", CLIPS, ids=lambda p: p.name)
def test_clip_keeps_time_and_sound(path: Path, tmp_path: Path, vsr: Vsr) -> None:
    code, said, target = upscaled(path, tmp_path, vsr)
    assert (code, said) == (0, "")
    assert pts(target) == pts(path, Fraction("0.3"))
    for before, after in zip(sound(path), sound(target), strict=True):
        assert after
        assert after == before[: len(after)]


@pytest.mark.parametrize("path", ODD, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_awkward_file_is_upscaled_or_refused(path: Path, tmp_path: Path, vsr: Vsr) -> None:
    code, said, target = upscaled(path, tmp_path, vsr)
    if path.name in REFUSED and (code or target.suffix == ".mkv"):
        assert code in (3, 4)
        assert len(said.splitlines()) == 1
        assert REFUSED[path.name] in said
        assert not list(tmp_path.iterdir())
        return
    assert code == 0, said
    expected, seen = pts(path, Fraction(MOMENT.get(path.name, "0.3"))), pts(target)
    assert len(seen) == len(expected)
    drift = [(a - seen[0]) - (b - expected[0]) for a, b in zip(seen, expected, strict=True)]
    assert max(map(abs, drift)) <= (TICK if target.suffix == ".mkv" else 0)
