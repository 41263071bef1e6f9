"""Bicubic through the whole pipeline against a float64 oracle written from Keys' formula."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from vsrcli import upscale
from vsrcli.job import Job
from vsrcli.media.settings import VideoOptions
from vsrcli.media.source import Source

WIDTH, HEIGHT = 96, 64


def keys(distance):
    """Keys' cubic convolution kernel with a = -0.5 (1981, eq. 15)."""
    d = np.abs(distance)
    near = 1.5 * d**3 - 2.5 * d**2 + 1
    far = -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def resample(length, positions):
    """(len(positions), length) matrix that reads a line at these positions; edges repeat."""
    matrix = np.zeros((len(positions), length))
    base = np.floor(positions).astype(int)
    for tap in range(-1, 3):
        column = np.clip(base + tap, 0, length - 1)
        np.add.at(matrix, (np.arange(len(positions)), column), keys(positions - base - tap))
    return matrix


def oracle(plane, scale, size, sub, left, top):
    """A plane upscaled on the luma grid: sample i of a co-sited plane lies at luma sub * i."""

    def positions(count, factor, cosited):
        offset = 0.0 if cosited else (factor - 1) / 2
        luma_hr = factor * np.arange(count) + offset
        luma_lr = (luma_hr + 0.5) / scale - 0.5
        return (luma_lr - offset) / factor

    rows = resample(plane.shape[0], positions(size[0], sub[1], top))
    columns = resample(plane.shape[1], positions(size[1], sub[0], left))
    return rows @ plane.astype(np.float64) @ columns.T


def ramp_and_bars(fmt, full):
    """Planes of a grey ramp above colour bars, in code values of the format."""
    bits = fmt.components[0].bits
    low, high = (0, 2**bits - 1) if full else (16 << (bits - 8), 235 << (bits - 8))
    luma = np.tile(np.linspace(low, high, WIDTH), (HEIGHT, 1))
    bars = np.repeat(np.linspace(high, low, 8), WIDTH // 8)
    luma[HEIGHT // 2 :] = bars
    middle, reach = 128 << (bits - 8), (112 << (bits - 8)) - 1
    height, width = fmt.chroma_height(HEIGHT), fmt.chroma_width(WIDTH)
    angle = np.repeat(np.arange(8), -(-width // 8))[:width] * np.pi / 4
    chroma = [np.tile(middle + reach * f(angle), (height, 1)) for f in (np.cos, np.sin)]
    for plane in chroma:
        plane[: height // 2] = middle
    kind = np.uint8 if bits == 8 else np.uint16
    return [np.round(p).astype(kind) for p in (luma, *chroma)]


def write_clip(path, pix_fmt, planes, *, matrix, full, frames=2):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pix_fmt
        stream.codec_context.time_base = Fraction(1, 25)
        stream.codec_context.colorspace = matrix
        stream.codec_context.color_range = 2 if full else 1
        for index in range(frames):
            frame = av.VideoFrame(WIDTH, HEIGHT, pix_fmt)
            for target, plane in zip(frame.planes, planes, strict=True):
                lines = np.frombuffer(target, plane.dtype).reshape(target.height, -1)
                lines[:, : target.width] = plane
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def upscaled_planes(tmp_path, source, scale):
    target = tmp_path / "out.mkv"
    job = Job(
        source=source,
        target=target,
        model="bicubic",
        scale=scale,
        video=VideoOptions(codec="ffv1"),
        device="cpu",
    )
    upscale(job)
    with Source(target) as result:
        first = next(result.items())
        return [plane.copy() for plane in first.planes], result.info.video


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize(("matrix", "full"), [(1, False), (1, True), (6, False), (6, True)])
def test_bicubic_is_within_one_code_of_the_oracle(tmp_path, pix_fmt, matrix, full, scale):
    fmt = av.VideoFormat(pix_fmt, WIDTH, HEIGHT)
    planes = ramp_and_bars(fmt, full)
    source = tmp_path / "in.mkv"
    write_clip(source, pix_fmt, planes, matrix=matrix, full=full)

    got, info = upscaled_planes(tmp_path, source, scale)

    assert (info.color.matrix, info.color.full_range) == (matrix, full)
    assert info.pix_fmt == pix_fmt
    sub = (WIDTH // fmt.chroma_width(WIDTH), HEIGHT // fmt.chroma_height(HEIGHT))
    peak = 2 ** fmt.components[0].bits - 1
    for index, (plane, result) in enumerate(zip(planes, got, strict=True)):
        grid = sub if index else (1, 1)
        want = oracle(plane, scale, result.shape, grid, left=True, top=False).clip(0, peak)
        assert np.abs(result - want).max() <= 1


def test_left_sited_chroma_stays_on_its_luma(tmp_path):
    """Chroma that equals the luma ramp beside it still equals it after upscaling."""
    slope = 2
    luma = np.tile(slope * np.arange(WIDTH, dtype=np.float64), (HEIGHT, 1))
    chroma = luma[::2, ::2]  # left-sited: sample i beside luma column 2 i
    source = tmp_path / "in.mkv"
    planes = [p.astype(np.uint8) for p in (luma, chroma, chroma)]
    write_clip(source, "yuv420p", planes, matrix=1, full=True)

    (y, u, v), _ = upscaled_planes(tmp_path, source, 4)

    inside = slice(8, -8)
    assert np.abs(y[::2, ::2][:, inside].astype(int) - u[:, inside]).max() <= 1
    np.testing.assert_array_equal(u, v)
