"""Single pictures and numbered ones: exact pixels, no tint, and what hangs on them."""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Clip, make, picture
from conftest import Vsr
from facts import facts
from test_exact import oracle
from tiny_recurrent import write_random_recurrent

from vsrcli.errors import OutputError
from vsrcli.job import Job
from vsrcli.media.exif import Exif, read_exif
from vsrcli.media.outlet import SequenceOutlet
from vsrcli.media.pixels import EXACT
from vsrcli.media.side_data import Attached
from vsrcli.paths import Numbered
from vsrcli.pipeline import upscale as run
from vsrcli.progress import Finishing, Stage

CODECS = {".png": "png", ".jpg": "mjpeg", ".webp": "libwebp", ".tif": "tiff", ".bmp": "bmp"}
SILENT = Clip(frames=5, size=(48, 32), audio=())


def still(path: Path, pix_fmt: str, size: tuple[int, int] = (45, 31)) -> Path:
    """A picture in this pixel format, as FFmpeg's encoder for its suffix writes it.

    Its alpha, if any, is a ramp; of 16 bits all are used.
    """
    rgb = picture(3, size).astype(np.uint16)
    fine = rgb * 257 ^ (np.arange(rgb.size).reshape(rgb.shape) % 251).astype(np.uint16)
    clear = np.linspace(0, 65535, size[0] * size[1]).reshape(size[::-1]).astype(np.uint16)
    rgba = np.concatenate([fine, clear[..., None]], axis=2)
    frame = av.VideoFrame.from_ndarray(rgba, format="rgba64le").reformat(format=pix_fmt)
    frame.pts, frame.color_range = 0, 2
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as out:
        stream = out.add_stream(CODECS[path.suffix], rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.codec_context.color_range = 2
        if path.suffix == ".webp":
            stream.codec_context.options = {"lossless": "1", "quality": "50"}
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def rgba(path: Path, format_: str = "rgba") -> np.ndarray:
    """The picture as FFmpeg shows it, (H, W, 4), without being turned."""
    with av.open(str(path)) as file:
        frame = next(file.decode(video=0))
        reach = 1 if frame.format.name.startswith(("yuv4", "yuva")) else 2  # webp is limited
        return frame.to_ndarray(format=format_, interpolation=EXACT, src_color_range=reach)


def enlarged(image: np.ndarray, scale: int = 2) -> np.ndarray:
    """By bicubic in float64, (H, W, C), not rounded."""
    height, width = (side * scale for side in image.shape[:2])
    planes = [
        oracle(p, scale, (height, width), (1, 1), False, False) for p in np.moveaxis(image, 2, 0)
    ]
    return np.stack(planes, axis=2)


LOSSLESS = [
    *((".png", f) for f in ("rgb24", "gray", "rgba", "ya8", "rgb48be", "gray16be", "rgba64be")),
    *((".tif", f) for f in ("rgb24", "rgba", "gray16le", "rgb48le", "rgba64le")),
    (".bmp", "bgr24"),
]


@pytest.mark.parametrize(("suffix", "pix_fmt"), LOSSLESS)
def test_every_code_is_right(tmp_path: Path, upscale: Vsr, suffix: str, pix_fmt: str) -> None:
    """Within one code of the oracle, in all channels, at the source's depth, of odd sides."""
    source, out = still(tmp_path / f"in{suffix}", pix_fmt), tmp_path / f"out{suffix}"
    outcome = upscale(source, "-o", out)
    assert outcome.err == ""
    is_deep = "16" in pix_fmt or "48" in pix_fmt or "64" in pix_fmt
    depth, top = ("rgba64le", 65535) if is_deep else ("rgba", 255)
    made = rgba(out, depth).astype(float)
    expected = enlarged(rgba(source, depth)).clip(0, top)
    assert np.abs(made - expected).max() <= (1.01 if top == 255 else 2.01)
    kind = facts(out).pix_fmt
    assert ("gray" in kind, "a" in kind.replace("gray", "")) == (
        "gray" in pix_fmt, "a" in pix_fmt.replace("gray", "")
    )  # fmt: skip


LOSSY = [(".jpg", "yuvj420p"), (".jpg", "yuvj444p"), (".webp", "yuv420p"), (".webp", "bgra")]


@pytest.mark.parametrize(("suffix", "pix_fmt"), LOSSY)
def test_lossy_pictures_get_no_tint(
    tmp_path: Path, upscale: Vsr, suffix: str, pix_fmt: str
) -> None:
    """The encoder's noise is there; a shift of brightness or of a colour is not."""
    source, out = still(tmp_path / f"in{suffix}", pix_fmt, (64, 48)), tmp_path / f"out{suffix}"
    upscale(source, "-o", out)
    made, expected = rgba(out).astype(float), enlarged(rgba(source)).clip(0, 255)
    off = (made - expected)[expected[..., 3] > 64]  # webp leaves out what cannot be seen
    assert np.abs(off).mean() < 6
    assert np.abs(off.mean(axis=0)).max() < 1
    assert facts(out).size == (128, 96)


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".tif", ".bmp", ".mkv"])
def test_a_png_as_something_else(tmp_path: Path, upscale: Vsr, suffix: str) -> None:
    source, out = still(tmp_path / "in.png", "rgb24", (64, 48)), tmp_path / f"out{suffix}"
    upscale(source, "-o", out)
    with av.open(str(out)) as file:
        seen = next(file.decode(video=0)).to_ndarray(format="rgb24").astype(float)
    off = seen - enlarged(rgba(source)).clip(0, 255)[..., :3]
    assert np.abs(off.mean(axis=(0, 1))).max() < 1.5
    assert np.abs(off).mean() < 7


@pytest.mark.parametrize("model", ["espcn", "esr-max", "fsrcnn", "random-recurrent"])
def test_models_keep_the_colours(
    tmp_path: Path, vsr: Vsr, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    """A recurrent model takes a picture for a shot of one frame."""
    source, out = still(tmp_path / "in.png", "rgb24", (32, 24)), tmp_path / "out.png"
    if model == "random-recurrent":
        folder = write_random_recurrent(tmp_path / "models")
        model = str(folder)
    outcome = vsr("upscale", source, "-o", out, "--model", model, "--progress", "none")
    assert (outcome.code, outcome.err) == (0, "")
    made = rgba(out)[..., :3].astype(float)
    assert made.shape == (96, 128, 3)
    if "recurrent" not in model:
        off = made - enlarged(rgba(source)[..., :3], 4).clip(0, 255)
        assert np.abs(off.mean(axis=(0, 1))).max() < 2


def test_name_of_the_output(tmp_path: Path, upscale: Vsr) -> None:
    upscale(still(tmp_path / "in.png", "rgb24", (8, 6)))
    assert facts(tmp_path / "in_x2_bicubic.png").size == (16, 12)


def test_transparency_that_jpeg_cannot_hold(tmp_path: Path, vsr: Vsr, upscale: Vsr) -> None:
    """Refused, unless nothing is transparent or it is not wanted."""
    source, out = still(tmp_path / "in.png", "rgba"), tmp_path / "out.jpg"
    outcome = vsr("upscale", source, "-o", out, "--model", "bicubic")
    assert (outcome.code, out.exists()) == (8, False)
    assert "transparent, which mjpeg cannot hold; use .png, .webp or .tif" in outcome.err
    upscale(source, "-o", out, "--alpha", "drop")
    opaque = av.VideoFrame.from_ndarray(np.full((6, 8, 4), 255, np.uint8), format="rgba")
    with av.open(str(tmp_path / "opaque.png"), "w") as file:
        stream = file.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 8, 6, "rgba"
        file.mux(stream.encode(opaque))
    upscale(tmp_path / "opaque.png", "-o", tmp_path / "opaque.jpg")


def test_one_picture_is_not_many(tmp_path: Path, vsr: Vsr, upscale: Vsr) -> None:
    source, out = make(tmp_path / "in.mkv", SILENT), tmp_path / "out.png"
    outcome = vsr("upscale", source, "-o", out, "--model", "bicubic", "--progress", "none")
    assert (outcome.code, out.exists()) == (4, False)
    (line,) = [line for line in outcome.lines if "warning" not in line]
    assert line.endswith(
        "is one picture and there are more frames; name numbered ones, out_%05d.png, or choose one "
        "with -ss and -t"
    )
    upscale(source, "-o", out, "-t", "0.04")
    assert facts(out).size == (96, 64)


def with_exif(path: Path, orientation: int) -> Path:
    """The JPEG again, saying how it is to be turned."""
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    tiff = b"II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 0)
    data = path.read_bytes()
    block = b"\xff\xe1" + struct.pack(">H", len(tiff) + 8) + b"Exif\0\0" + tiff
    path.write_bytes(data[:2] + block + data[2:])
    return path


TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: np.rot90(image, -1),
    8: lambda image: np.rot90(image),
}


@pytest.mark.parametrize("orientation", TURNS)
def test_exif_turns_the_pixels(tmp_path: Path, upscale: Vsr, orientation: int) -> None:
    """Another reader cannot be trusted to turn them, and a png has no usual place to say so."""
    source = with_exif(still(tmp_path / "in.jpg", "yuvj444p", (24, 16)), orientation)
    out = tmp_path / "out.png"
    upscale(source, "-o", out)
    expected = enlarged(TURNS[orientation](rgba(source))).clip(0, 255)
    made = rgba(out)
    assert made.shape == expected.shape
    assert np.abs(made - expected).mean() < 3
    assert facts(out).rotation == 0


def photographed(path: Path) -> Path:
    """A JPEG with the camera's maker, its sensitivity, and that it lies on its side."""
    rows = ((0x010F, 2, 8, 50), (0x0112, 3, 1, 6), (0x8769, 4, 1, 58))
    table = b"".join(struct.pack("<HHII", *row) for row in rows)
    more = struct.pack("<HHHIII", 1, 0x8827, 3, 1, 1600, 0)
    tiff = b"II*\0" + struct.pack("<IH", 8, 3) + table + bytes(4) + b"Nikonia\0" + more
    data = still(path, "yuvj420p", (24, 16)).read_bytes()
    block = b"\xff\xe1" + struct.pack(">H", len(tiff) + 8) + b"Exif\0\0" + tiff
    path.write_bytes(data[:2] + block + data[2:])
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_a_cameras_tags_are_kept(tmp_path: Path, upscale: Vsr, suffix: str) -> None:
    source, out = photographed(tmp_path / "in.jpg"), tmp_path / f"out{suffix}"
    assert upscale(source, "-o", out).err == ""
    assert facts(out).size == (32, 48)
    with av.open(str(out)) as file:
        exif = read_exif(next(file.decode(video=0)), (32, 48), Attached())
    assert b"Nikonia\0" in exif
    assert struct.pack("<HHII", 0x8827, 3, 1, 1600) in exif
    assert struct.pack("<H", 0x0112) not in exif[8:60]  # the pixels are turned


@pytest.mark.parametrize("suffix", [".tif", ".bmp"])
def test_what_cannot_hold_a_cameras_tags_says_so(tmp_path: Path, upscale: Vsr, suffix: str) -> None:
    source = photographed(tmp_path / "in.jpg")
    (line,) = upscale(source, "-o", tmp_path / f"out{suffix}").lines
    assert "Exif tags are not all kept" in line
    plain = still(tmp_path / "plain.tif", "rgb24")  # its own tags say how it is stored
    assert upscale(plain, "-o", tmp_path / f"plain_x2{suffix}").err == ""


def test_transparent_webp_keeps_the_cameras_tags(tmp_path: Path) -> None:
    still(tmp_path / "in.webp", "yuva420p")
    with av.open(str(photographed(tmp_path / "in.jpg"))) as file:
        frame = next(file.decode(video=0))
    exif = Exif("libwebp", Attached())
    with av.open(str(tmp_path / "in.webp")) as file:
        (packet,) = (p for p in file.demux(video=0) if p.size)
        exif.note(frame, (packet.stream.width, packet.stream.height))
        (made,) = exif.put([packet])
    (tmp_path / "out.webp").write_bytes(bytes(made))
    assert np.array_equal(rgba(tmp_path / "out.webp"), rgba(tmp_path / "in.webp"))
    with av.open(str(tmp_path / "out.webp")) as file:
        assert Attached().has_exif(next(file.decode(video=0)))


def with_profile(path: Path) -> bytes:
    """Adds a colour profile with a name to a PNG; gives the chunk."""
    body = b"iCCPwide\0\0" + zlib.compress(bytes(range(256)))
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    data = path.read_bytes()
    path.write_bytes(data[:33] + chunk + data[33:])
    return chunk


def test_colour_profile_is_kept_or_it_is_said(tmp_path: Path, upscale: Vsr) -> None:
    source = still(tmp_path / "in.png", "rgb24")
    with_profile(source)
    assert upscale(source, "-o", tmp_path / "out.png").err == ""
    data = (tmp_path / "out.png").read_bytes()
    at = data.index(b"iCCP")
    (length,) = struct.unpack(">I", data[at - 4 : at])
    name, packed = data[at + 4 : at + 4 + length].split(b"\0", 1)
    assert (name, zlib.decompress(packed[1:])) == (b"wide", bytes(range(256)))
    assert upscale(source, "-o", tmp_path / "out.jpg").err == ""
    assert bytes(range(256)) in (tmp_path / "out.jpg").read_bytes()
    (line,) = upscale(source, "-o", tmp_path / "out.tif").lines
    assert "colour profile is not kept by tiff; write .png or .jpg" in line


def frames_of(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("pix_fmt", "kind"), [("yuv420p", "rgb24"), ("yuv420p10le", "rgb48be")])
def test_a_video_as_numbered_pictures_and_back(
    tmp_path: Path, upscale: Vsr, pix_fmt: str, kind: str
) -> None:
    source = make(
        tmp_path / "in.mkv", Clip(**{**vars(SILENT), "codec": "ffv1", "pix_fmt": pix_fmt})
    )
    folder = tmp_path / "50% of it"
    upscale(source, "-o", folder / "f%03d.png")
    assert frames_of(folder) == [f"f{n:03d}.png" for n in range(1, 6)]
    assert frames_of(tmp_path) == ["50% of it", "in.mkv"]
    first = facts(folder / "f001.png")
    assert (first.size, first.pix_fmt) == ((96, 64), kind)
    upscale(folder / "f%03d.png", "-o", tmp_path / "out.mkv", "--fps", "10", "-c:v", "ffv1")
    after = facts(tmp_path / "out.mkv")
    assert (after.size, after.pts) == ((192, 128), [n * Fraction(1, 10) for n in range(5)])
    for number, name in enumerate(frames_of(folder)):
        seen = rgba(folder / name)[..., :3]
        small = seen.reshape(32, 2, 48, 2, 3).mean(axis=(1, 3))
        assert np.abs(small - picture(number, (48, 32))).mean() < 12


def test_pictures_that_were_counted_are_not_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    stat = Path.stat

    def noted(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        looked.append(path.name)
        return stat(path, follow_symlinks=follow_symlinks)

    outlet = SequenceOutlet(Numbered(path=tmp_path / "out" / "%d.png"))
    with outlet.open({}):
        (growing,) = tmp_path.glob(".out.*.part")
        monkeypatch.setattr(Path, "stat", noted)
        assert outlet.bytes() == 0
        for number in range(1, 12):
            (growing / f"{number}.png").write_bytes(bytes(number))
            assert outlet.bytes() == sum(range(1, number + 1))
    assert max(looked.count(name) for name in looked) == 2  # once before it was there
    outlet.discard()


def numbered(folder: Path, *numbers: int) -> Path:
    """Pictures with these numbers; gives their pattern."""
    folder.mkdir()
    for number in numbers:
        still(folder / f"{number:04d}.png", "rgb24", (16, 12))
    return folder / "%04d.png"


def test_numbers_may_begin_anywhere_but_not_skip(tmp_path: Path, vsr: Vsr, upscale: Vsr) -> None:
    good, out = numbered(tmp_path / "good", 98, 99, 100), tmp_path / "out.mkv"
    upscale(good, "-o", out)
    assert facts(out).pts == [0, Fraction(1, 25), Fraction(2, 25)]
    bad = numbered(tmp_path / "bad", 1, 2, 4)
    outcome = vsr("upscale", bad, "-o", tmp_path / "no.mkv", "--model", "bicubic")
    assert outcome.code == 3
    assert outcome.lines == [f"vsr: {tmp_path}/bad/0003.png is missing: pictures go on to 4"]
    outcome = vsr("upscale", tmp_path / "none" / "%d.png", "-o", tmp_path / "no.mkv")
    assert (outcome.code, "there is no picture" in outcome.err) == (3, True)


READ_ONLY = {".dpx": ("dpx", "gbrp10be"), ".tga": ("targa", "bgr24"), ".exr": ("exr", "gbrpf32le")}


def film_scans(folder: Path, suffix: str, *numbers: int) -> Path:
    """Pictures of these numbers in a new folder, of a kind that is only read; their pattern."""
    folder.mkdir()
    codec, pix_fmt = READ_ONLY[suffix]
    for number in numbers:
        path = folder / f"{number:04d}{suffix}"
        with av.open(str(path), "w", format="image2", options={"update": "1"}) as out:
            stream = out.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 16, 12, pix_fmt
            frame = av.VideoFrame.from_ndarray(picture(number, (16, 12)), format="rgb24")
            out.mux(stream.encode(frame.reformat(format=pix_fmt)))
            out.mux(stream.encode(None))
    return folder / f"%04d{suffix}"


@pytest.mark.parametrize("suffix", READ_ONLY)
def test_kinds_that_are_only_read_are_read_whole_or_not(
    tmp_path: Path, vsr: Vsr, upscale: Vsr, suffix: str
) -> None:
    outcome = upscale(film_scans(tmp_path / "good", suffix, 98, 99, 100))
    assert ("above 1 is cut off" in outcome.err) is (suffix == ".exr")
    made = [n for n in frames_of(tmp_path / "good") if n.endswith(".png")]
    assert made == [f"{n:04d}_x2_bicubic.png" for n in (1, 2, 3)]
    bad = film_scans(tmp_path / "bad", suffix, 1, 2, 4)
    outcome = vsr("upscale", bad, "-o", tmp_path / "no.mkv", "--model", "bicubic")
    assert outcome.code == 3
    assert outcome.lines == [f"vsr: {tmp_path}/bad/0003{suffix} is missing: pictures go on to 4"]


@pytest.mark.parametrize("name", ["%03d.exr", "one.dpx"])
def test_kinds_that_are_only_read_are_not_written(tmp_path: Path, vsr: Vsr, name: str) -> None:
    source = make(tmp_path / "in.mkv", SILENT)
    outcome = vsr("upscale", source, "-o", tmp_path / name, "-t", 0.04, "-c:v", "dpx")
    assert (outcome.code, len(outcome.lines)) == (4, 1)
    assert f"{Path(name).suffix} pictures are not written; choose .png or .tif" in outcome.err
    assert frames_of(tmp_path) == ["in.mkv"]


def test_longer_sequences_are_replaced_whole_or_not(tmp_path: Path, vsr: Vsr, upscale: Vsr) -> None:
    old = numbered(tmp_path / "old", *range(1, 8))
    (tmp_path / "old" / "notes.txt").write_text("mine")
    before = frames_of(tmp_path / "old")
    source = make(tmp_path / "in.mkv", SILENT)
    outcome = vsr("upscale", source, "-o", old, "--model", "bicubic")
    assert (outcome.code, "exists; use -y to replace the pictures" in outcome.err) == (4, True)
    outcome = vsr("upscale", source, "-o", old, "-y", "--model", "bicubic", "-c:v", "nonsense")
    assert (outcome.code, frames_of(tmp_path / "old")) == (8, before)
    upscale(source, "-o", old, "-y")
    assert frames_of(tmp_path / "old") == [f"{n:04d}.png" for n in range(1, 6)] + ["notes.txt"]
    assert facts(tmp_path / "old" / "0001.png").size == (96, 64)
    assert frames_of(tmp_path) == ["in.mkv", "old"]


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("in/%04d.png", "in/%04d.png"),
        ("in/%04d.png", "in/../in/%4d.png"),
        ("in/%04d.png", "link/%04d.png"),
        ("in/%04d.png", "in/0001.png"),
        ("in/0002.png", "link/%04d.png"),
    ],
)
def test_pictures_that_are_the_input_are_not_replaced(
    tmp_path: Path, vsr: Vsr, source: str, target: str
) -> None:
    numbered(tmp_path / "in", 1, 2)
    (tmp_path / "link").symlink_to(tmp_path / "in")
    outcome = vsr("upscale", tmp_path / source, "-o", tmp_path / target, "-y", "--model", "bicubic")
    assert outcome.code == 4
    assert outcome.lines == [f"vsr: {tmp_path / target} is the input itself; choose another -o"]


def test_pictures_go_to_a_folder_that_is_a_mount_point(
    tmp_path: Path, upscale: Vsr, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount = tmp_path / "mount"
    mount.mkdir()

    def within_devices(move: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
        def moved(old: Path, new: Path) -> None:
            if (mount in Path(old).parents) != (mount in Path(new).parents):
                raise OSError(errno.EXDEV, "Invalid cross-device link")
            move(old, new)

        return moved

    monkeypatch.setattr("os.link", within_devices(os.link))
    monkeypatch.setattr("os.replace", within_devices(os.replace))
    source = make(tmp_path / "in.mkv", SILENT)
    upscale(source, "-o", mount / "%d.png", "-t", "0.08")
    assert frames_of(mount) == ["1.png", "2.png"]


@pytest.mark.parametrize("makes_folder", [True, False])
def test_of_two_runs_to_the_same_pictures_one_is_refused(
    tmp_path: Path, makes_folder: bool
) -> None:
    source, folder = make(tmp_path / "in.mkv", SILENT), tmp_path / "out"
    if not makes_folder:
        folder.mkdir()

    def other_run(stage: Stage) -> None:
        if isinstance(stage, Finishing):
            run(replace(job, scale=3, end_s=Fraction("0.12")))

    job = Job(source=source, target=folder / "%d.png", model="bicubic", scale=2)
    with pytest.raises(OutputError, match=r"1\.png has come to be there since the run began"):
        run(job, on_stage=other_run)
    assert frames_of(folder) == ["1.png", "2.png", "3.png"]
    assert facts(folder / "1.png").size == (144, 96)
    assert frames_of(tmp_path) == ["in.mkv", "out"]


def test_of_pictures_beside_one_that_came_meanwhile_none_is_placed(tmp_path: Path) -> None:
    def comes_late(stage: Stage) -> None:
        if isinstance(stage, Finishing):
            (folder / "9.png").write_text("precious")

    source, folder = make(tmp_path / "in.mkv", SILENT), tmp_path / "out"
    folder.mkdir()
    job = Job(source=source, target=folder / "%d.png", model="bicubic", scale=2)
    with pytest.raises(OutputError, match=r"9\.png has come to be there since the run began"):
        run(job, on_stage=comes_late)
    assert frames_of(folder) == ["9.png"]


def test_pictures_in_the_current_folder(
    tmp_path: Path, upscale: Vsr, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "in.mkv", SILENT)
    upscale(Path("in.mkv"), "-o", "f%%%2d.png", "-t", "0.08")
    assert frames_of(tmp_path) == ["f%01.png", "f%02.png", "in.mkv"]
    upscale(Path("f%%%2d.png"))
    assert frames_of(tmp_path)[-2:] == ["f%02_x2_bicubic.png", "in.mkv"]


def test_folder_that_cannot_be_made(tmp_path: Path, vsr: Vsr) -> None:
    source = make(tmp_path / "in.mkv", SILENT)
    outcome = vsr("upscale", source, "-o", tmp_path / "no" / "such" / "%d.png")
    assert (outcome.code, len(outcome.lines)) == (4, 1)
    assert "cannot be made or written to" in outcome.err
