"""The pixel aspect in Matroska files of codecs that do not say it themselves."""

from __future__ import annotations

import zlib
from fractions import Fraction
from pathlib import Path

import av
import pytest
from cases import RICH
from clips import Clip, make
from conftest import Vsr
from facts import facts

from vsrcli.media.display_size import write_display_size

ASPECT = Fraction(4, 3)
CODECS = {
    "ffv1": (".mkv", ()),
    "libvpx-vp9": (".webm", ("--bitrate", "500k")),
    "prores_ks": (".mkv", ()),
    "rawvideo": (".nut", ()),
}


@pytest.mark.parametrize(
    ("codec", "suffix", "options"), [(c, *o) for c, o in CODECS.items()], ids=CODECS.keys()
)
def test_pixel_aspect_is_kept(
    tmp_path: Path, upscale: Vsr, codec: str, suffix: str, options: tuple[str, ...]
) -> None:
    source = make(tmp_path / "in.mp4", Clip(frames=3, sar=ASPECT, pix_fmt="yuv420p", audio=()))
    outcome = upscale(source, "-o", tmp_path / f"out{suffix}", "-c:v", codec, *options)
    after = facts(tmp_path / f"out{suffix}")
    assert (after.sar, after.size, len(after.times)) == (ASPECT, (192, 128), 3)
    assert "pixel aspect" not in outcome.err


@pytest.mark.parametrize("aspect", [Fraction(64, 45), Fraction(1000, 701), Fraction(701, 1000)])
def test_nut_says_a_pixel_aspect_in_small_numbers(
    tmp_path: Path, upscale: Vsr, aspect: Fraction
) -> None:
    source = make(tmp_path / "in.mp4", Clip(frames=2, sar=aspect, audio=()))
    assert upscale(source, "-o", tmp_path / "out.nut", "-c:v", "ffv1").err == ""
    after = facts(tmp_path / "out.nut")
    assert after.sar == pytest.approx(aspect, rel=0.01)
    assert (after.sar == aspect) == (aspect == Fraction(64, 45))
    assert len(after.pts) == 2


@pytest.mark.parametrize(
    ("size", "sides", "aspect"),
    [
        ((72, 58), ("-s", "192x108"), Fraction(64, 45) * Fraction(72 * 108, 58 * 192)),
        ((72, 58), ("--height", 100), Fraction(64, 45)),  # rounded to 124
        ((64, 36), ("--width", 128, "--height", 100), Fraction(64, 45) * Fraction(6400, 36 * 128)),
    ],
)
def test_a_picture_of_another_shape_is_shown_in_its_own(
    tmp_path: Path, upscale: Vsr, size: tuple[int, int], sides: tuple[object, ...], aspect: Fraction
) -> None:
    clip = Clip(frames=3, size=size, sar=Fraction(64, 45), audio=())
    source = make(tmp_path / "in.mp4", clip)
    upscale(source, "-o", tmp_path / "out.mp4", *sides)
    after = facts(tmp_path / "out.mp4")
    assert after.sar == aspect


@pytest.mark.parametrize(("container", "codec"), [("avi", "ffv1"), ("flv", "flv")])
def test_a_container_says_that_it_holds_no_pixel_aspect(
    tmp_path: Path, upscale: Vsr, container: str, codec: str
) -> None:
    """Of codecs that do not say it themselves."""
    source, out = (tmp_path / name for name in ("in.mp4", f"out.{container}"))
    make(source, Clip(frames=3, sar=ASPECT, audio=()))
    assert upscale(source, "-o", out).err == ""
    (line,) = upscale(source, "-o", out, "-c:v", codec, "-y").lines
    assert line.endswith(f"{container} with {codec} holds no pixel aspect; write .mkv to keep it")


@pytest.mark.parametrize(("sar", "is_kept"), [((8, 9), True), ((10, 11), True), ((7, 5), False)])
def test_mpeg2_says_that_it_lacks_a_shape(
    tmp_path: Path, upscale: Vsr, sar: tuple[int, int], is_kept: bool
) -> None:
    """Of 1.5 times the pixel aspect, as television has."""
    clip = Clip(frames=3, size=(90, 60), sar=Fraction(*sar), audio=())
    source = make(tmp_path / "in.mp4", clip)
    outcome = upscale(source, "-o", tmp_path / "out.mpg", "-c:v", "mpeg2video")
    assert ("not in 2.10:1" in outcome.err) != is_kept
    assert bool(outcome.err) != is_kept
    assert (abs(facts(tmp_path / "out.mpg").sar / clip.sar - 1) < 0.03) == is_kept


@pytest.mark.parametrize(
    ("sar", "is_kept"), [((12, 11), True), ((10, 11), True), ((16, 15), False), ((2, 1), False)]
)
def test_mpeg1_says_that_it_lacks_a_pixel_aspect(
    tmp_path: Path, upscale: Vsr, sar: tuple[int, int], is_kept: bool
) -> None:
    clip = Clip(frames=3, sar=Fraction(*sar), audio=())
    source = make(tmp_path / "in.mp4", clip)
    outcome = upscale(source, "-o", tmp_path / "out.mpg", "-c:v", "mpeg1video")
    assert (f"mpeg1video has no pixel aspect of {sar[0]}:{sar[1]}" in outcome.err) != is_kept
    assert bool(outcome.err) != is_kept
    assert (abs(facts(tmp_path / "out.mpg").sar / clip.sar - 1) < 0.01) == is_kept


@pytest.mark.parametrize("codec", ["mpeg1video", "mpeg2video"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".nut"])
def test_containers_keep_what_mpeg_does_not_say(
    tmp_path: Path, upscale: Vsr, suffix: str, codec: str
) -> None:
    clip = Clip(frames=3, sar=ASPECT, audio=())
    source, target = make(tmp_path / "in.mp4", clip), tmp_path / f"out{suffix}"
    assert upscale(source, "-o", target, "-c:v", codec).err == ""
    assert facts(target).sar == ASPECT


def test_a_file_that_cannot_be_told_its_pixel_aspect_says_so(
    tmp_path: Path, upscale: Vsr, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vsrcli.media.sink.write_display_size", lambda *_: False)
    source = make(tmp_path / "in.mp4", Clip(frames=3, sar=ASPECT, audio=()))
    (line,) = upscale(source, "-o", tmp_path / "out.mkv", "-c:v", "ffv1").lines
    assert line.endswith("the pixel aspect is not kept; write .mp4 or .mov to keep it")


def elements(data: bytes, start: int, end: int) -> dict[int, tuple[int, int]]:
    """id -> (start and end of the body) of the elements of a part of a Matroska file."""
    found = {}
    while start < end:
        at = start + 9 - data[start].bit_length()
        width = 9 - data[at].bit_length()
        size = int.from_bytes(data[at : at + width], "big") & ((1 << 7 * width) - 1)
        found.setdefault(int.from_bytes(data[start:at], "big"), (at + width, at + width + size))
        start = at + width + size
    return found


def test_the_rest_of_the_file_stays(tmp_path: Path) -> None:
    path = make(tmp_path / "in.mkv", RICH)
    before, bytes_before = facts(path), path.read_bytes()
    assert write_display_size(path, (96, 64), ASPECT)
    after, data = facts(path), path.read_bytes()
    assert len(data) == len(bytes_before)
    assert after.sar == ASPECT
    for what in ("times", "pictures", "others", "chapters", "metadata", "color"):
        assert getattr(after, what) == getattr(before, what)
    segment = elements(data, 0, len(data))[0x18538067]
    inside = elements(data, *segment)
    for kind in (0x114D9B74, 0x1654AE6B):
        start, end = inside[kind]
        checksum = elements(data, start, end)[0xBF]
        stated = int.from_bytes(data[slice(*checksum)], "little")
        assert stated == zlib.crc32(data[checksum[1] : end])


def test_tracks_may_outgrow_the_width_of_their_size(tmp_path: Path) -> None:
    """A byte of it tells up to 126, which some title brings the tracks just below."""
    for length in range(1, 60):
        path, title = tmp_path / f"{length}.mkv", length * "x"
        with av.open(str(path), "w") as out:
            stream = out.add_stream("mjpeg", rate=25)
            stream.width, stream.height, stream.pix_fmt = 96, 64, "yuvj420p"
            stream.metadata["title"] = title
            out.mux(stream.encode(av.VideoFrame(96, 64, "yuvj420p")))
            out.mux(stream.encode(None))
        size = path.stat().st_size
        assert write_display_size(path, (96, 64), ASPECT)
        after = facts(path)
        assert (after.sar, len(after.times), path.stat().st_size) == (ASPECT, 1, size)
        with av.open(str(path)) as file:
            assert file.streams.video[0].metadata["title"] == title


def test_index_still_finds_the_tracks(tmp_path: Path) -> None:
    path = make(tmp_path / "in.mkv", RICH)
    assert write_display_size(path, (96, 64), ASPECT)
    data = path.read_bytes()
    origin = elements(data, 0, len(data))[0x18538067][0]
    start, end = elements(data, origin, len(data))[0x114D9B74]
    wanted = {}
    while start < end:
        body = elements(data, start, end)
        entry = body.get(0x4DBB)
        if entry is None:
            break
        parts = elements(data, *entry)
        kind, position = (data[slice(*parts[k])] for k in (0x53AB, 0x53AC))
        wanted[kind] = origin + int.from_bytes(position, "big")
        start = entry[1]
    assert len(wanted) >= 4
    for kind, at in wanted.items():
        assert data[at : at + len(kind)] == kind


@pytest.mark.parametrize("data", [b"", b"no video at all", bytes(100), b"\x1a\x45\xdf\xa3\x80"])
def test_other_files_are_left_alone(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "in.mkv"
    path.write_bytes(data)
    assert not write_display_size(path, (96, 64), ASPECT)
    assert path.read_bytes() == data


def test_other_sizes_are_left_alone(tmp_path: Path) -> None:
    path = make(tmp_path / "in.mkv", Clip(frames=2))
    data = path.read_bytes()
    assert not write_display_size(path, (10, 10), ASPECT)
    assert path.read_bytes() == data
