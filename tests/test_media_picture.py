"""Pixel formats, odd sizes, colour tags, shape and rotation, and the size that was asked for."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import INTERLACED, Clip, Track, make, picture
from conftest import Vsr
from facts import facts

from vsrcli.frames import Siting
from vsrcli.media.decoded import PlainFrames
from vsrcli.media.describe import color_of
from vsrcli.media.side_data import Attached

KEPT = [
    *("yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p12le"),
    *("yuv444p16le", "gray", "gray10le", "gray16le", "gbrp10le", "gbrp16le", "yuva420p"),
    *("yuva444p10le", "gbrap16le"),
]
NEAREST = {"bgr0": "gbrp", "rgb24": "gbrp", "nv12": "yuv420p", "rgb48le": "gbrp16le"}
HDR10 = (9, 16, 9, 1)
"""BT.2020 primaries, PQ, BT.2020 matrix, limited range."""


def rgb(path: Path, index: int = 0) -> np.ndarray:
    """A frame as (H, W, 3) 8-bit RGB."""
    with av.open(str(path)) as file:
        frame = [f for _, f in zip(range(index + 1), file.decode(video=0), strict=False)][index]
        return frame.to_ndarray(format="rgb24")


def shrunk(image: np.ndarray, factor: int) -> np.ndarray:
    """The image with each factor x factor block averaged."""
    height, width = (side // factor for side in image.shape[:2])
    image = image[: height * factor, : width * factor].astype(float)
    return image.reshape(height, factor, width, factor, 3).mean(axis=(1, 3))


def assert_same_scene(out: Path, index: int = 0, within: float = 12.0) -> None:
    """The output, shrunk again, is the picture that the clip was made of: no plane is swapped."""
    seen = shrunk(rgb(out, index), 2)
    expected = picture(index, (seen.shape[1], seen.shape[0])).astype(float)
    assert np.abs(seen - expected).mean() < within


@pytest.mark.parametrize("pix_fmt", KEPT)
def test_pixel_format_is_kept(tmp_path: Path, upscale: Vsr, pix_fmt: str) -> None:
    clip = Clip(frames=3, codec="ffv1", pix_fmt=pix_fmt, audio=())
    source = make(tmp_path / "in.mkv", clip)
    outcome = upscale(source, "-o", tmp_path / "out.mkv", "-c:v", "ffv1")
    after = facts(tmp_path / "out.mkv")
    assert (after.size, after.pix_fmt, len(after.times)) == ((192, 128), pix_fmt, 3)
    assert outcome.err == ""
    if not pix_fmt.startswith("gray"):
        assert_same_scene(tmp_path / "out.mkv", index=2)


@pytest.mark.parametrize(("pix_fmt", "planar"), NEAREST.items())
def test_packed_formats_run_in_their_planar_twin(
    tmp_path: Path, upscale: Vsr, pix_fmt: str, planar: str
) -> None:
    codec = "ffv1" if pix_fmt == "bgr0" else "rawvideo"
    suffix = ".mkv" if codec == "ffv1" else ".nut"
    source = make(tmp_path / f"in{suffix}", Clip(frames=2, codec=codec, pix_fmt=pix_fmt, audio=()))
    assert facts(source).pix_fmt == pix_fmt
    upscale(source, "-o", tmp_path / "out.nut", "-c:v", "rawvideo")
    assert facts(tmp_path / "out.nut").pix_fmt == planar
    assert_same_scene(tmp_path / "out.nut", index=1)


def test_default_encoder_takes_rgb_and_says_how(tmp_path: Path, upscale: Vsr) -> None:
    source = make(tmp_path / "in.mkv", Clip(codec="ffv1", pix_fmt="bgr0", audio=()))
    outcome = upscale(source, "-o", tmp_path / "out.mkv")
    after = facts(tmp_path / "out.mkv")
    assert after.pix_fmt == "yuv444p"
    assert after.color[2] == 6
    (line,) = outcome.lines
    assert "libx264 cannot encode gbrp: converted to yuv444p" in line
    assert_same_scene(tmp_path / "out.mkv")


def test_grey_stays_grey_by_default(tmp_path: Path, upscale: Vsr) -> None:
    source = make(tmp_path / "in.mkv", Clip(codec="ffv1", pix_fmt="gray", audio=()))
    upscale(source, "-o", tmp_path / "out.mkv")
    seen = rgb(tmp_path / "out.mkv").astype(int)  # H.264 without chroma decodes as 4:2:0
    assert np.ptp(seen, axis=2).max() <= 1
    assert np.ptp(seen) > 100


def test_ten_bits_stay_ten_by_default(tmp_path: Path, upscale: Vsr) -> None:
    source = make(tmp_path / "in.mp4", Clip(pix_fmt="yuv420p10le", color=HDR10))
    upscale(source, "-o", tmp_path / "out.mp4")
    after = facts(tmp_path / "out.mp4")
    assert (after.pix_fmt, after.color) == ("yuv420p10le", HDR10)


@pytest.mark.parametrize("size", [(97, 64), (96, 65), (97, 65), (1, 1), (2, 2), (3, 5)])
@pytest.mark.parametrize("scale", [2, 3])
def test_odd_sizes(tmp_path: Path, upscale: Vsr, size: tuple[int, int], scale: int) -> None:
    source = make(tmp_path / "in.nut", Clip(frames=2, codec="rawvideo", size=size, audio=()))
    upscale(source, "-o", tmp_path / "out.nut", "-c:v", "rawvideo", "--scale", scale)
    after = facts(tmp_path / "out.nut")
    assert after.size == (size[0] * scale, size[1] * scale)
    assert after.pix_fmt == "yuv420p"


@pytest.mark.parametrize(
    "color", [(1, 1, 1, 1), (5, 6, 5, 1), (6, 6, 6, 2), (2, 2, 2, 0), (9, 18, 9, 1)]
)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_color_tags_are_kept(
    tmp_path: Path, upscale: Vsr, color: tuple[int, int, int, int], suffix: str
) -> None:
    source = make(tmp_path / f"in{suffix}", Clip(color=color, audio=()))
    assert facts(source).color == color
    upscale(source, "-o", tmp_path / f"out{suffix}")
    assert facts(tmp_path / f"out{suffix}").color == color


@pytest.mark.parametrize(
    ("lines", "height", "color", "matrix"),
    [
        (360, 720, (2, 2, 2, 0), 6),
        (720, 360, (2, 2, 2, 0), 1),
        (358, 716, (2, 2, 2, 0), 2),
        (360, 720, (9, 16, 9, 1), 9),
    ],
)
@pytest.mark.parametrize("encoder", [("-c:v", "ffv1"), ("-c:v", "libx265"), ("--ffmpeg", "auto")])
def test_untagged_colours_are_told_where_the_size_would_say_others(
    tmp_path: Path,
    upscale: Vsr,
    lines: int,
    height: int,
    color: tuple[int, int, int, int],
    matrix: int,
    encoder: tuple[str, ...],
) -> None:
    """Players take YUV without a matrix for BT.601, and from 720 lines for BT.709."""
    clip = Clip(size=(96, lines), codec="ffv1", color=color, frames=2, audio=())
    external = ("-c:v", "libopenh264") if encoder[0] == "--ffmpeg" else ()
    source, target = make(tmp_path / "in.mkv", clip), tmp_path / "out.mkv"
    upscale(source, "-o", target, "--height", height, *encoder, *external)
    assert facts(target).color[:3] == (*color[:2], matrix)


@pytest.mark.parametrize(
    ("name", "codec", "color", "lines", "said"),
    [
        ("out.nut", "rawvideo", (1, 1, 1, 1), 64, "bt709, and players take them for smpte170m"),
        ("out.avi", "ffv1", (9, 16, 9, 1), 64, "bt2020nc, and players take them for smpte170m"),
        ("out.y4m", "", (1, 1, 1, 1), 64, "yuv4mpegpipe with y4m does not say"),
        ("out.nut", "rawvideo", (2, 2, 2, 0), 360, "smpte170m, and players take them for bt709"),
        ("out.nut", "rawvideo", (5, 6, 5, 1), 64, ""),
        ("out.nut", "libx264", (1, 1, 1, 1), 64, ""),
        ("out.mkv", "rawvideo", (1, 1, 1, 1), 64, ""),
    ],
)
def test_a_matrix_that_nothing_tells_is_named(
    tmp_path: Path,
    upscale: Vsr,
    name: str,
    codec: str,
    color: tuple[int, int, int, int],
    lines: int,
    said: str,
) -> None:
    clip = Clip(size=(96, lines), codec="ffv1", color=color, frames=2, audio=())
    source = make(tmp_path / "in.mkv", clip)
    outcome = upscale(source, "-o", tmp_path / name, *(("-c:v", codec) if codec else ()))
    assert said in outcome.err
    assert bool(outcome.err) == bool(said)


@pytest.mark.parametrize(("width", "said"), [(24, b" no-cutree "), (25, b" cutree ")])
def test_x265_does_not_write_past_narrow_pictures(
    tmp_path: Path, upscale: Vsr, width: int, said: bytes
) -> None:
    """Twice as wide. It notes its settings in the stream."""
    source = make(tmp_path / "in.mkv", Clip(size=(width, 64), codec="ffv1", frames=2, audio=()))
    upscale(source, "-o", tmp_path / "out.mkv", "-c:v", "libx265")
    assert said in (tmp_path / "out.mkv").read_bytes()


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_shape_and_rotation_are_kept(
    tmp_path: Path, upscale: Vsr, suffix: str, rotation: int
) -> None:
    clip = Clip(sar=Fraction(16, 11), rotation=rotation, audio=())
    source = make(tmp_path / f"in{suffix}", clip)
    upscale(source, "-o", tmp_path / f"out{suffix}")
    after = facts(tmp_path / f"out{suffix}")
    assert (after.sar, after.rotation % 360) == (Fraction(16, 11), rotation % 360)
    assert after.size == (192, 128)


@pytest.mark.parametrize("suffix", [".ts", ".nut"])
def test_a_container_without_rotation_says_so(tmp_path: Path, upscale: Vsr, suffix: str) -> None:
    source = make(tmp_path / "in.mp4", Clip(frames=2, rotation=90, audio=()))
    (line,) = upscale(source, "-o", tmp_path / f"out{suffix}").lines
    assert "holds no rotation, so the picture will not be turned; use --autorotate" in line


def side_data(path: Path) -> dict[str, bytes]:
    """Static HDR metadata of the first frame."""
    with av.open(str(path)) as file:
        found = Attached().read(next(file.decode(video=0)))
    return {k: v for k, v in found.items() if "MASTERING" in k or "LIGHT" in k}


def test_ten_bit_ramp_keeps_its_codes(tmp_path: Path, upscale: Vsr) -> None:
    """All 1024 codes of a full-range ramp, 32 pixels each, are there after decoding again."""
    options = {"preset": "ultrafast", "x265-params": "lossless=1:log-level=none"}
    source = tmp_path / "in.mp4"
    with av.open(str(source), "w") as out:
        stream = out.add_stream("libx265", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 512, 64, "yuv420p10le"
        stream.codec_context.color_primaries, stream.codec_context.color_trc = HDR10[:2]
        stream.codec_context.colorspace, stream.codec_context.color_range = HDR10[2], 2
        frame = av.VideoFrame(512, 64, "yuv420p10le")
        for index, plane in enumerate(frame.planes):
            lines = np.frombuffer(plane, np.uint16).reshape(plane.height, -1)[:, : plane.width]
            ramp = np.arange(1024).reshape(2, 512).repeat(32, axis=0)
            lines[:] = 512 if index else ramp
        for index in range(3):
            frame.pts, frame.time_base = index, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    told = ("--encoder-option", "x265-params=lossless=1")
    upscale(source, "-o", tmp_path / "out.mp4", "-c:v", "libx265", "--preset", "ultrafast", *told)
    assert facts(tmp_path / "out.mp4").color == facts(source).color == (9, 16, 9, 2)
    with av.open(str(tmp_path / "out.mp4")) as file:
        frame = next(file.decode(video=0))
    assert frame.format.name == "yuv420p10le"
    luma = np.frombuffer(frame.planes[0], np.uint16)
    assert len(np.unique(luma)) == 1024


@pytest.mark.parametrize("encoder", ["libx264", "libx265"])
def test_hdr_mastering_metadata_is_kept(tmp_path: Path, upscale: Vsr, encoder: str) -> None:
    display = "G(8500,39850)B(6550,2300)R(35400,14600)WP(15635,16450)L(10000000,50)"
    told = f"hdr10=1:repeat-headers=1:master-display={display}:max-cll=1000,400:log-level=none"
    options = {"preset": "ultrafast", "x265-params": told}
    clip = Clip(frames=3, codec="libx265", pix_fmt="yuv420p10le", color=HDR10, options=options)
    source = make(tmp_path / "in.mp4", clip)
    assert len(side_data(source)) == 2
    out = tmp_path / "out.mp4"
    outcome = upscale(source, "-o", out, "-c:v", encoder, "--preset", "ultrafast")
    assert outcome.err == ""
    assert side_data(out) == side_data(source)
    outcome = upscale(source, "-o", tmp_path / "out.mkv", "-c:v", "ffv1")
    assert "HDR mastering metadata" in outcome.err


@pytest.mark.parametrize(
    ("pix_fmt", "siting"),
    [
        *((name, Siting.TOPLEFT) for name in ("yuv420p10le", "yuva420p", "nv12", "p010le")),
        *((name, Siting.LEFT) for name in ("yuv422p10le", "p210le", "yuv444p")),
    ],
)
def test_chroma_of_bt2020_lies_alike_however_it_is_packed(pix_fmt: str, siting: Siting) -> None:
    """NVDEC gives p010le where a decoder on the CPU gives yuv420p10le."""
    frame = av.VideoFrame(64, 48, pix_fmt)
    frame.colorspace = HDR10[2]
    assert color_of(frame).siting is siting


DNXHR = {"yuv422p": "dnxhr_hq", "yuv422p10le": "dnxhr_hqx", "yuv444p10le": "dnxhr_444"}


@pytest.mark.parametrize(("pix_fmt", "profile"), DNXHR.items())
def test_dnxhr_is_written_in_the_sources_format(
    tmp_path: Path, upscale: Vsr, pix_fmt: str, profile: str
) -> None:
    options = {"profile": profile}
    clip = Clip(frames=3, codec="dnxhd", pix_fmt=pix_fmt, size=(256, 128), options=options)
    source = make(tmp_path / "in.mov", clip)
    outcome = upscale(source, "-o", tmp_path / "out.mov", "-c:v", "dnxhd")
    assert outcome.err == ""
    before, after = facts(source), facts(tmp_path / "out.mov")
    assert (after.pix_fmt, after.size, after.times) == (pix_fmt, (512, 256), before.times)
    assert_same_scene(tmp_path / "out.mov", index=2)
    with av.open(str(tmp_path / "out.mov")) as file:
        assert file.streams.video[0].profile.upper().replace(" ", "_") == profile.upper()


def test_dnxhd_has_rates_of_its_own(tmp_path: Path, upscale: Vsr) -> None:
    source = make(tmp_path / "in.mkv", Clip(frames=2, size=(960, 540), pix_fmt="yuv422p", audio=()))
    upscale(source, "-o", tmp_path / "out.mov", "-c:v", "dnxhd", "-b:v", "120M")
    with av.open(str(tmp_path / "out.mov")) as file:
        assert file.streams.video[0].profile == "DNXHD"


def test_vc2_gets_bits_for_a_frame_not_a_tick(tmp_path: Path, upscale: Vsr) -> None:
    """2 Mbit/s of 25 frames a second; of ticks of 1/12800 s they would be too few to begin."""
    source = make(tmp_path / "in.mp4", Clip(audio=()))
    outcome = upscale(source, "-o", tmp_path / "out.mkv", "-c:v", "vc2", "-b:v", "2M")
    assert outcome.err == ""
    assert facts(tmp_path / "out.mkv").pts == facts(source).pts
    assert (tmp_path / "out.mkv").stat().st_size == pytest.approx(12 * 10_000, rel=0.1)
    assert upscale(source, "-o", tmp_path / "out.mkv", "-c:v", "vc2", "-y").err == ""


def test_interlaced_frames_keep_their_number(tmp_path: Path, upscale: Vsr) -> None:
    source = make(tmp_path / "in.mp4", Clip(options=INTERLACED))
    assert facts(source).interlaced
    outcome = upscale(source, "-o", tmp_path / "out.mp4")
    assert "interlaced" in outcome.err
    assert facts(tmp_path / "out.mp4").pts == facts(source).pts


SIZES = {
    "height": (("--height", 160), (240, 160)),
    "width": (("--width", 144), (144, 96)),
    "both": (("--width", 200, "--height", 100), (200, 100)),
    "a model's own": (("--height", 192), (288, 192)),
    "above every model": (("--width", 480), (480, 320)),
    "smaller": (("--width", 48), (48, 32)),
}


@pytest.mark.parametrize(("options", "size"), SIZES.values(), ids=SIZES.keys())
def test_size_instead_of_scale(
    tmp_path: Path, upscale: Vsr, options: tuple[object, ...], size: tuple[int, int]
) -> None:
    source = make(tmp_path / "in.mp4", Clip(frames=3))
    outcome = upscale(source, "-o", tmp_path / "out.mp4", *options)
    after = facts(tmp_path / "out.mp4")
    assert after.size == size
    assert len(after.times) == 3
    resized = [line for line in outcome.lines if "Lanczos" in line]
    assert len(resized) == (size != (288, 192))
    assert not resized or f"{size[0]}x{size[1]}" in resized[0]


def test_downscaled_output_is_the_same_scene(tmp_path: Path, upscale: Vsr) -> None:
    clip = Clip(frames=2, options={"preset": "ultrafast", "qp": "0"}, audio=(Track(),))
    source = make(tmp_path / "in.mp4", clip)
    upscale(source, "-o", tmp_path / "out.mkv", "-c:v", "ffv1", "--height", 96)
    small = rgb(tmp_path / "out.mkv").astype(float)
    upscale(source, "-o", tmp_path / "whole.mkv", "-c:v", "ffv1", "--scale", 3)
    whole = shrunk(rgb(tmp_path / "whole.mkv"), 2)
    assert np.abs(small - whole).mean() < 3


def test_a_picture_that_changes_midway_is_brought_to_the_first(
    tmp_path: Path, upscale: Vsr
) -> None:
    """Which is said once of each size and format."""
    shapes = {"a": ((96, 64), "yuv420p"), "b": ((64, 48), "yuv420p"), "c": ((96, 64), "yuv444p")}
    parts = {
        name: make(tmp_path / f"{name}.ts", Clip(frames=5, size=size, pix_fmt=pix_fmt, audio=()))
        for name, (size, pix_fmt) in shapes.items()
    }
    source = tmp_path / "in.ts"
    source.write_bytes(b"".join(parts[name].read_bytes() for name in "ababc"))
    outcome = upscale(source, "-o", tmp_path / "out.mkv", "-c:v", "ffv1")
    first = "scaled to the first frame's 96x64 yuv420p"
    assert outcome.lines == [
        f"vsr: warning: the video changes to 64x48 yuv420p at 0.200 s; {first}",
        f"vsr: warning: the video changes to 96x64 yuv444p at 0.800 s; {first}",
    ]
    made = facts(tmp_path / "out.mkv")
    assert made.size == (192, 128)
    assert made.pts == [n * Fraction(1, 25) for n in range(25)]
    for index in (5, 15, 20):
        seen = shrunk(rgb(tmp_path / "out.mkv", index), 2)
        assert np.abs(seen - picture(0, (96, 64)))[..., 1:].mean() < 6  # the ramps


def test_a_pixel_aspect_that_changes_midway_is_told(tmp_path: Path, upscale: Vsr) -> None:
    """As television's does between 4:3 and 16:9, twice here."""
    shapes = {"a": Fraction(16, 15), "b": Fraction(64, 45)}
    parts = {
        name: make(tmp_path / f"{name}.ts", Clip(frames=5, sar=shape, audio=()))
        for name, shape in shapes.items()
    }
    source = tmp_path / "in.ts"
    source.write_bytes(b"".join(parts[name].read_bytes() for name in "abab"))
    (line,) = upscale(source, "-o", tmp_path / "out.mkv").lines
    assert "the pixel aspect changes from 16:15 to 64:45" in line
    assert upscale(parts["b"], "-o", tmp_path / "out.mkv", "-y").err == ""


@pytest.mark.parametrize("matrix", [1, 5, 9, 2])
@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("out.mov", "prores_ks"),
        ("out.mpg", "mpeg2video"),
        ("out.avi", "mpeg4"),
        ("out.avi", "utvideo"),
        ("out.flv", "flv"),
        ("out.webm", "libvpx"),
        ("out.nut", "rawvideo"),
        ("out.avi", "ffv1"),
        ("out.mp4", "ffv1"),
        ("out.mov", "jpeg2000"),
    ],
)
def test_full_range_is_scaled_where_none_is_written(
    tmp_path: Path, upscale: Vsr, name: str, codec: str, matrix: int
) -> None:
    """The samples of plain pictures, within a code value; what is not converted loses 20 of it."""
    source = tmp_path / "in.mkv"
    samples = (220, 60, 200)
    with av.open(str(source), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, 2
        frame = av.VideoFrame(96, 64, "yuv420p")
        for plane, value in zip(frame.planes, samples, strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        for index in range(3):
            frame.pts, frame.time_base = index, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    is_exact = codec in ("utvideo", "rawvideo", "ffv1", "jpeg2000")
    quality = () if is_exact else ("--bitrate", "9M")
    outcome = upscale(source, "-o", tmp_path / name, "-c:v", codec, *quality)
    assert "limited range only: full range is scaled to it" in outcome.err
    with av.open(str(tmp_path / name)) as file:
        frame = next(file.decode(video=0))
    assert frame.color_range in (0, 1)
    deep = "10" in frame.format.name
    for plane, value, steps, base in zip(
        frame.planes, samples, (219, 224, 224), (16, 128, 128), strict=True
    ):
        lines = np.frombuffer(plane, np.uint16 if deep else np.uint8)
        seen = lines.reshape(plane.height, -1)[: plane.height, : plane.width] / (4 if deep else 1)
        zero = 0 if base == 16 else 128
        assert np.abs(seen - (base + (value - zero) * steps / 255)).max() <= 1.05


def plain(seconds: int, pix_fmt: str, matrix: int, limits: int) -> av.VideoFrame:
    """A frame of one colour, by these tags."""
    rgb = np.full((48, 64, 3), (192, 48, 32), np.uint8)
    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
    if pix_fmt != "gbrp":
        colors = {"dst_colorspace": {6: 5, 2: 5}.get(matrix, matrix)}
        full = 2 if limits == 0 and "j" in pix_fmt else limits or 1
        frame = frame.reformat(format="yuv420p", dst_color_range=full, **colors)
        if "j" in pix_fmt:
            named = av.VideoFrame(frame.width, frame.height, pix_fmt)
            for to, plane in zip(named.planes, frame.planes, strict=True):
                to.update(bytes(plane))
            frame = named
        frame.colorspace, frame.color_range = matrix, limits
    else:
        frame = frame.reformat(format=pix_fmt)
    frame.pts, frame.time_base = seconds, Fraction(1)
    return frame


BT601 = ("yuv420p", 6, 1)


@pytest.mark.parametrize(
    ("first", "later", "change"),
    [
        (BT601, ("yuv420p", 1, 1), "bt709, limited"),
        (BT601, ("yuv420p", 1, 2), "bt709, full"),
        (BT601, ("yuvj420p", 5, 2), "smpte170m, full"),
        (("yuv420p", 1, 2), BT601, "smpte170m, limited"),
        (("yuv420p", 9, 1), BT601, "smpte170m, limited"),
        (("yuv420p", 2, 0), ("yuv420p", 1, 1), "bt709, limited"),
        (BT601, ("yuv420p", 5, 1), ""),
        (BT601, ("yuv420p", 2, 0), ""),
        (("yuvj420p", 6, 2), ("yuvj420p", 6, 1), "smpte170m, limited"),
        (("yuvj420p", 6, 2), ("yuvj420p", 6, 0), ""),
        (BT601, ("gbrp", 0, 0), ""),
        (("gbrp", 0, 0), ("yuv420p", 1, 2), ""),
    ],
)
def test_colours_that_change_midway_are_brought_to_the_first(
    caplog: pytest.LogCaptureFixture,
    first: tuple[str, int, int],
    later: tuple[str, int, int],
    change: str,
) -> None:
    """Within a code value or two, and said once."""
    begun = plain(0, *first)
    frames = PlainFrames(begun)
    wanted = [int(plane.mean()) for plane in frames.plain(begun).planes]
    for seconds in (1, 2):
        made = frames.plain(plain(seconds, *later))
        for plane, value in zip(made.planes, wanted, strict=True):
            assert np.abs(plane.astype(int) - value).max() <= 2
    said = [line for line in caplog.messages if "colours change" in line]
    assert [line.split(" range, at 1.000 s; ")[0] for line in said] == (
        [f"the colours change to {change}"] if change else []
    )
