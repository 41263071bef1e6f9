"""Files that hold one kind of picture alone: named by their suffix, they get what they hold."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import pytest
from clips import Clip, make
from conftest import Vsr
from facts import facts

SILENT = Clip(frames=7, audio=())
CODECS = {
    "out.gif": "gif",
    "out.apng": "apng",
    "out.mjpeg": "mjpeg",
    "out.y4m": "rawvideo",
    "out.ivf": "vp9",
    "out.obu": "libdav1d",
    "out.h265": "hevc",
    "out.264": "h264",
    "out.m2v": "mpeg2video",
    "out.m1v": "mpeg1video",
}


def chunks(path: Path) -> list[tuple[str, int]]:
    """Name and first number of each chunk of a PNG that moves."""
    data, found, at = path.read_bytes(), [], 8
    while at < len(data):
        length, name, number = struct.unpack_from(">I4sI", data, at)
        found.append((name.decode(), number))
        at += 12 + length
    return found


@pytest.mark.parametrize(("name", "codec"), CODECS.items())
def test_the_suffix_says_what_is_in_it(
    tmp_path: Path, vsr: Vsr, monkeypatch: pytest.MonkeyPatch, name: str, codec: str
) -> None:
    """Settings for films, from a configuration, do not stop those that have none."""
    monkeypatch.setenv("VSR_CRF", "20")
    source = make(tmp_path / "in.mkv", SILENT)
    assert vsr("upscale", source, "-o", tmp_path / name, "-s", 2, "-m", "bicubic").code == 0
    with av.open(str(tmp_path / name)) as file:
        made = file.streams.video[0].codec_context
        assert (made.name, made.width, made.height) == (codec, 192, 128)
        assert sum(1 for _ in file.decode(video=0)) == 7


@pytest.mark.parametrize("name", ["out.gif", "out.m2v", "out.m1v", "out.mjpeg", "out.apng"])
def test_a_crf_that_an_encoder_lacks_is_told(tmp_path: Path, upscale: Vsr, name: str) -> None:
    """But of those that lose nothing."""
    source = make(tmp_path / "in.mkv", SILENT)
    said = upscale(source, "-o", tmp_path / name, "--crf", 20).err
    assert ("--crf has no effect" in said) == (name != "out.apng")
    assert "--crf" not in upscale(source, "-o", tmp_path / name, "-y").err


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p10le"])
def test_raw_pictures_are_what_is_decoded(tmp_path: Path, upscale: Vsr, pix_fmt: str) -> None:
    source = make(tmp_path / "in.mkv", Clip(frames=7, codec="ffv1", pix_fmt=pix_fmt, audio=()))
    for name in ("out.y4m", "out.yuv", "out.mkv"):
        upscale(source, "-o", tmp_path / name, *(("-c:v", "ffv1") if name == "out.mkv" else ()))
    assert facts(tmp_path / "out.y4m").pictures == facts(tmp_path / "out.mkv").pictures
    samples = {"yuv420p": 1.5, "yuv444p10le": 6}[pix_fmt]
    assert (tmp_path / "out.yuv").stat().st_size == 7 * 192 * 128 * samples


def test_apng_counts_its_pieces_through(tmp_path: Path, upscale: Vsr) -> None:
    source = make(tmp_path / "in.mkv", SILENT)
    upscale(source, "-o", tmp_path / "out.apng", "--segment", 2)
    found = chunks(tmp_path / "out.apng")
    numbers = [number for name, number in found if name in ("fcTL", "fdAT")]
    assert numbers == list(range(len(numbers)))
    names = [name for name, _ in found]
    assert names.index("fdAT") > max(i for i, name in enumerate(names) if name == "IDAT")


def test_a_gif_has_one_header(tmp_path: Path, upscale: Vsr) -> None:
    source = make(tmp_path / "in.mkv", SILENT)
    upscale(source, "-o", tmp_path / "out.gif", "--segment", 2)
    assert (tmp_path / "out.gif").read_bytes().count(b"GIF89a") == 1


def test_mjpeg_has_the_quality_of_its_pictures(tmp_path: Path, upscale: Vsr) -> None:
    source = make(tmp_path / "in.mkv", Clip(frames=1, size=(640, 360), audio=()))
    names = {"out.mjpeg": (), "out.jpg": (), "less.mjpeg": ("-b:v", "100k")}
    for name, options in names.items():
        upscale(source, "-o", tmp_path / name, *options)
    film, picture, less = ((tmp_path / name).stat().st_size for name in names)
    assert film == pytest.approx(picture, rel=0.1)
    assert less < 0.8 * film


@pytest.mark.parametrize("name", ["out.avif", "out.webp"])
def test_files_that_would_hold_one_picture_are_refused(tmp_path: Path, vsr: Vsr, name: str) -> None:
    source = make(tmp_path / "in.mkv", SILENT)
    format_ = ("-f", name[4:])
    outcome = vsr("upscale", source, "-o", tmp_path / name, *format_, "-m", "bicubic")
    assert (outcome.code, len(outcome.lines)) == (4, 1)
    assert "pictures that move go into .apng, .gif or .webm" in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]


@pytest.mark.parametrize("name", ["out.swf", "out.avm2"])
def test_flash_is_refused(tmp_path: Path, vsr: Vsr, name: str) -> None:
    source, format_ = make(tmp_path / "in.mkv", SILENT), ("-f", name[4:])
    outcome = vsr("upscale", source, "-o", tmp_path / name, *format_, "-m", "bicubic")
    assert (outcome.code, len(outcome.lines)) == (4, 1)
    assert f"{name[4:]} files are not written; write .flv, .mp4 or .webm" in outcome.err


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "sar", "said"),
    [
        ("libx264", "yuv420p", Fraction(4, 3), b"A4:3 C420mpeg2"),
        ("libx264", "yuv420p", Fraction(1280, 1117), b"A1280:1117 C420mpeg2"),
        ("mjpeg", "yuvj420p", Fraction(8, 9), b"A8:9 C420jpeg"),
        ("libx264", "yuv422p", None, b"A0:0 C422"),
        ("libx265", "gray", Fraction(8, 9), b"A8:9 Cmono"),
        ("libx265", "gray", Fraction(16, 11), b"A0:0 Cmono"),
    ],
)
def test_y4m_says_the_pixel_aspect_and_where_chroma_lies(
    tmp_path: Path, upscale: Vsr, codec: str, pix_fmt: str, sar: Fraction | None, said: bytes
) -> None:
    """In a header that does not grow: grey has no room in it for a long one, which is warned of."""
    clip = Clip(frames=3, codec=codec, pix_fmt=pix_fmt, sar=sar, audio=())
    source, target = make(tmp_path / "in.mkv", clip), tmp_path / "out.y4m"
    outcome = upscale(source, "-o", target)
    fits = not said.startswith(b"A0:0") or sar is None
    assert ("the pixel aspect is not kept" in outcome.err) is not fits
    assert said in target.read_bytes().split(b"\n")[0]
    made = facts(target)
    assert (made.size, len(made.times)) == ((192, 128), 3)
    assert made.sar == (sar if fits and sar else Fraction(1))
