"""Transparency: read, upscaled, kept where the codec can hold it, and never lost without a word."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import picture
from conftest import Vsr

VPX = {"b": "2M", "auto-alt-ref": "0"}


def mask(width: int, height: int) -> np.ndarray:
    """(H, W) 8-bit: opaque in a soft disc, clear elsewhere."""
    y, x = np.mgrid[:height, :width]
    distance = np.hypot(x / width - 0.5, y / height - 0.5)
    return np.clip((0.35 - distance) * 2000, 0, 255).astype(np.uint8)


def make_clip(path: Path, codec: str, pix_fmt: str) -> Path:
    """Three frames with a disc cut out of them."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25, options=VPX if "vpx" in codec else {})
        stream.width, stream.height, stream.pix_fmt = 96, 64, pix_fmt
        stream.codec_context.time_base = Fraction(1, 25)
        for index in range(3):
            rgba = np.dstack([picture(index, (96, 64)), mask(96, 64)])
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgba), format="rgba")
            frame = frame.reformat(format=pix_fmt)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def seen(path: Path, decoder: str = "") -> np.ndarray:
    """The first frame as (H, W, 4) 8-bit RGBA; without alpha it is opaque."""
    with av.open(str(path)) as file:
        frames = file.decode(video=0)
        if decoder:
            context = av.CodecContext.create(decoder, "r")
            frames = (f for p in file.demux(video=0) if p.size for f in context.decode(p))
        return next(iter(frames)).to_ndarray(format="rgba")


KEPT = {
    "ffv1": ("in.mkv", "ffv1", "yuva420p", "out.mkv", "ffv1", ""),
    "prores": ("in.mov", "prores_ks", "yuva444p10le", "out.mov", "prores_ks", ""),
    "vp9": ("in.webm", "libvpx-vp9", "yuva420p", "out.webm", "libvpx-vp9", "libvpx-vp9"),
    "vp8": ("in.webm", "libvpx", "yuva420p", "out.webm", "libvpx", "libvpx"),
    "vp9 to ffv1": ("in.webm", "libvpx-vp9", "yuva420p", "out.mkv", "ffv1", ""),
    "animation": ("in.mov", "qtrle", "argb", "out.mov", "qtrle", ""),
    "animation to prores": ("in.mov", "qtrle", "argb", "out.mov", "prores_ks", ""),
    "png": ("in.mov", "png", "rgba", "out.mov", "png", ""),
    "animation to vp9": ("in.mov", "qtrle", "argb", "out.webm", "libvpx-vp9", "libvpx-vp9"),
    "prores to vp9": (
        *("in.mov", "prores_ks", "yuva444p10le", "out.webm", "libvpx-vp9", "libvpx-vp9"),
    ),
    "yuv to rgb": ("in.mkv", "ffv1", "yuva444p", "out.mov", "qtrle", ""),
}


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "target", "encoder", "decoder"), KEPT.values(), ids=KEPT.keys()
)
def test_alpha_is_kept(
    tmp_path: Path,
    upscale: Vsr,
    name: str,
    codec: str,
    pix_fmt: str,
    target: str,
    encoder: str,
    decoder: str,
) -> None:
    source = make_clip(tmp_path / name, codec, pix_fmt)
    quality = ("--bitrate", "2M") if "vpx" in encoder else ()
    upscale(source, "-o", tmp_path / target, "-c:v", encoder, *quality)
    after = seen(tmp_path / target, decoder).astype(int)
    assert after.shape == (128, 192, 4)
    assert np.abs(after[..., 3] - mask(192, 128).astype(int)).mean() < 4
    inside = after[44:84:2, 66:126:2, :3]
    assert np.abs(inside - picture(0, (96, 64))[22:42, 33:63].astype(int)).mean() < 14


def test_lost_transparency_is_refused(tmp_path: Path, vsr: Vsr) -> None:
    source = make_clip(tmp_path / "in.mkv", "ffv1", "yuva420p")
    order = ("upscale", source, "--model", "bicubic", "--scale", 2, "-o", tmp_path / "out.mkv")
    outcome = vsr(*order)
    assert outcome.code == 8
    (line,) = outcome.lines
    assert "frame 0 is transparent, which libx264 cannot hold" in line
    assert "--alpha drop" in line
    assert not (tmp_path / "out.mkv").exists()


@pytest.mark.parametrize("encoder", ["libx264", "libx265"])
@pytest.mark.parametrize(
    ("name", "pix_fmt", "end"),
    [("gif", "rgb8", 0), ("apng", "rgba", 8), ("qtrle", "argb", 8), ("ffv1", "yuva420p", 8)],
)
def test_what_is_opaque_needs_no_place_for_transparency(
    tmp_path: Path, vsr: Vsr, name: str, pix_fmt: str, end: int, encoder: str
) -> None:
    """A GIF, which always has an alpha plane, becomes an mp4; a clear corner ends the run."""
    source = tmp_path / f"in.{ {'qtrle': 'mov', 'ffv1': 'mkv'}.get(name, name) }"
    rgba = np.dstack([picture(0, (96, 64)), np.full((64, 96), 255, np.uint8)])
    clear = rgba.copy()
    clear[:8, :8, 3] = 0
    for last, code in ((rgba, 0), (clear, end)):
        with av.open(str(source), "w") as out:
            stream = out.add_stream(name, rate=25)
            stream.width, stream.height, stream.pix_fmt = 96, 64, pix_fmt
            for index, pixels in enumerate((rgba, rgba, last)):
                frame = av.VideoFrame.from_ndarray(pixels, format="rgba")
                frame.pts, frame.time_base = index, Fraction(1, 25)
                out.mux(stream.encode(frame.reformat(format=pix_fmt)))
            out.mux(stream.encode(None))
        order = ("upscale", source, "-m", "bicubic", "-s", 2, "-o", tmp_path / "out.mp4")
        order = (*order, "-c:v", encoder)
        outcome = vsr(*order, "-y")
        assert outcome.code == code, outcome.err
        if code:
            assert f"frame 2 is transparent, which {encoder} cannot hold" in outcome.lines[-1]
        said = vsr(*order, "-y", "--dry-run")
        assert said.code == 0
        assert "stop at a frame that is transparent" in " ".join((said.out + said.err).split())


@pytest.mark.parametrize("options", [("--alpha", "drop"), ("--pix-fmt", "yuv420p")])
@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("in.mkv", "ffv1", "yuva420p"),
        ("in.mov", "qtrle", "argb"),
        ("in.webm", "libvpx-vp9", "yuva420p"),
    ],
)
def test_alpha_is_dropped_on_request(
    tmp_path: Path, upscale: Vsr, options: tuple[str, ...], name: str, codec: str, pix_fmt: str
) -> None:
    source = make_clip(tmp_path / name, codec, pix_fmt)
    upscale(source, "-o", tmp_path / "out.mkv", *options)
    after = seen(tmp_path / "out.mkv").astype(int)
    assert after[..., 3].min() == 255
    inside = after[44:84:2, 66:126:2, :3]
    assert np.abs(inside - picture(0, (96, 64))[22:42, 33:63].astype(int)).mean() < 14


def test_probe_says_that_alpha_is_refused(tmp_path: Path, vsr: Vsr) -> None:
    source = make_clip(tmp_path / "in.mkv", "ffv1", "yuva420p")
    outcome = vsr("probe", source, "--no-speed")
    assert outcome.code == 0
    said = " ".join(outcome.out.split())
    assert "will refuse this: frame 0 is transparent, which libx264 cannot hold" in said
    assert vsr("upscale", source, "-m", "bicubic", "-s", 2, "--dry-run").code == 8
