"""Deinterlacing, turning, a constant rate: what is done to frames before they are upscaled."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import B_FRAMES, INTERLACED, VFR_TIMES, Clip, make, picture
from conftest import Vsr
from facts import facts

from vsrcli.errors import InputError
from vsrcli.frames import Frame
from vsrcli.media.deinterlace import MODES, Deinterlacer
from vsrcli.media.intake import Intake
from vsrcli.media.pixels import layout_of
from vsrcli.media.rate import Grid, repeated
from vsrcli.media.rotation import Turn
from vsrcli.media.source import Source, Span

MS = Fraction(1, 1000)
COMBED = Clip(options=INTERLACED)
VFR = Clip(times=VFR_TIMES, time_base=MS, options=B_FRAMES)


def decoded(path: Path, **options: object) -> tuple[Source, list[Frame]]:
    """A closed source and the frames that it gave."""
    with Source(path, **options) as source:  # type: ignore[arg-type]
        found = [item for item in source.items() if isinstance(item, Frame)]
        return source, [replace(f, planes=tuple(p.copy() for p in f.planes)) for f in found]


def times(frames: list[Frame]) -> list[tuple[Fraction, Fraction]]:
    return [(f.pts * f.time_base, f.duration * f.time_base) for f in frames]


@pytest.mark.parametrize("frames", [1, 2, 12])
@pytest.mark.parametrize("mode", MODES)
def test_each_frame_gives_one_or_two(tmp_path: Path, mode: str, frames: int) -> None:
    path = make(tmp_path / "in.mp4", replace(COMBED, frames=frames, audio=()))
    before = facts(path).times
    source, after = decoded(path, intake=Intake(deinterlace=mode))
    if mode != "send_field":
        assert times(after) == list(before)
        assert source.info.video.rate == 25
    else:
        halves = [(at + i * d / 2, d / 2) for at, d in before for i in (0, 1)]
        assert times(after) == halves
        assert source.info.video.rate == 50
    assert source.frames == len(after)
    assert source.info.video.interlaced == (mode == "off")


@pytest.mark.parametrize("mode", ["off", "auto"])
def test_fields_that_stay_are_warned_of(tmp_path: Path, upscale: Vsr, mode: str) -> None:
    source = make(tmp_path / "in.mp4", replace(COMBED, frames=2, audio=()))
    outcome = upscale(source, "-o", tmp_path / "out.mp4", "--deinterlace", mode)
    assert ("is upscaled as it is, field lines and all" in outcome.err) == (mode == "off")


def test_fields_of_uneven_frames_lie_halfway(tmp_path: Path) -> None:
    path = make(tmp_path / "in.mp4", replace(VFR, options=INTERLACED, audio=()))
    _, after = decoded(path, intake=Intake(deinterlace="send_field"))
    at = [t for t, _ in times(after)]
    assert at[::2] == [t * MS for t in VFR_TIMES]
    ends = (*VFR_TIMES[1:], VFR_TIMES[-1] + 40)
    assert at[1::2] == [Fraction(a + b, 2) * MS for a, b in zip(VFR_TIMES, ends, strict=True)]


def test_auto_leaves_progressive_frames_alone(tmp_path: Path) -> None:
    path = make(tmp_path / "in.mp4")
    plain, auto = (decoded(path, intake=Intake(deinterlace=m))[1] for m in ("off", "auto"))
    for a, b in zip(plain, auto, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a.planes, b.planes, strict=True))


def woven(path: Path, codec: str = "ffv1", pix_fmt: str = "yuv420p") -> Path:
    """A bright square that has moved between the two fields of each frame."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25, options={"preset": "ultrafast", "qp": "0",
                                "x264-params": "tff=1"})  # fmt: skip
        stream.width, stream.height, stream.pix_fmt = 96, 64, pix_fmt
        stream.codec_context.flags |= av.codec.context.Flags.interlaced_dct
        for index in range(4):
            frame = av.VideoFrame(96, 64, "gray")
            lines = np.frombuffer(frame.planes[0], np.uint8).reshape(64, -1)
            for field in (0, 1):
                left = 8 * (2 * index + field)
                lines[field::2] = 40
                lines[16 + field : 48 : 2, left : left + 16] = 220
            out.mux(stream.encode(frame.reformat(format=pix_fmt)))
        out.mux(stream.encode(None))
    return path


def test_combs_are_gone(tmp_path: Path) -> None:
    path = woven(tmp_path / "in.mkv", codec="libx264")

    def combs(frames: list[Frame]) -> float:
        luma = frames[2].planes[0].astype(int)
        return float(np.abs(2 * luma[1:-1] - luma[:-2] - luma[2:]).mean())

    woven_, smooth = (
        combs(decoded(path, intake=Intake(deinterlace=m))[1]) for m in ("off", "auto")
    )
    assert smooth < woven_ / 3


def test_deinterlacing_is_said(tmp_path: Path, upscale: Vsr) -> None:
    source = make(tmp_path / "in.mp4", COMBED)
    outcome = upscale(source, "-o", tmp_path / "out.mp4")
    (line,) = outcome.lines
    assert "deinterlaced with bwdif" in line
    after = facts(tmp_path / "out.mp4")
    assert (after.pts, after.interlaced) == (facts(source).pts, False)
    outcome = upscale(source, "-o", tmp_path / "off.mp4", "--deinterlace", "off")
    assert "as it is" in outcome.err
    upscale(source, "-o", tmp_path / "two.mp4", "--deinterlace", "send_field")
    two = facts(tmp_path / "two.mp4")
    assert two.pts == [i * Fraction(1, 50) for i in range(24)]
    assert two.of("audio") == facts(source).of("audio")


def test_a_cut_deinterlaces_as_the_whole(tmp_path: Path) -> None:
    path = make(tmp_path / "in.mkv", replace(COMBED, frames=24, audio=()))
    auto = Intake(deinterlace="auto")
    _, whole = decoded(path, intake=auto)
    _, part = decoded(path, intake=auto, span=Span(start_s=Fraction(2, 5), end_s=Fraction(3, 5)))
    for a, b in zip(whole[10:15], part, strict=True):
        assert a.pts == b.pts
        assert np.array_equal(a.planes[0], b.planes[0])


def test_packed_pictures_are_deinterlaced_in_planes() -> None:
    fields, made = Deinterlacer("send_frame"), []
    for index in range(3):
        frame = av.VideoFrame.from_ndarray(picture(index, (32, 16)), format="rgb24")
        frame = frame.reformat(format="uyvy422")
        frame.pts, frame.time_base = index, Fraction(1, 25)
        made += fields.push(frame)
    made += fields.flush()
    assert [(frame.pts * frame.time_base, frame.format.name) for frame in made] == [
        (index * Fraction(1, 25), "yuv422p") for index in range(3)
    ]


def test_format_that_bwdif_lacks_is_refused() -> None:
    frame = av.VideoFrame(16, 16, "gray10le")
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    with pytest.raises(InputError, match="--deinterlace off"):
        Deinterlacer("send_frame").push(frame)


ORIENTED = {
    "quarter": (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30),
    "three quarters": (0, -65536, 0, 65536, 0, 0, 0, 0, 1 << 30),
    "half": (-65536, 0, 0, 0, -65536, 0, 0, 0, 1 << 30),
    "mirrored": (-65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30),
    "upside down": (65536, 0, 0, 0, -65536, 0, 0, 0, 1 << 30),
    "mirrored quarter": (0, -65536, 0, -65536, 0, 0, 0, 0, 1 << 30),
    "mirrored three quarters": (0, 65536, 0, 65536, 0, 0, 0, 0, 1 << 30),
}


def shown(pixels: np.ndarray, matrix: tuple[int, ...]) -> np.ndarray:
    """Every pixel carried to where the matrix says, by its definition: (x, y, 1) times M."""
    rows, columns = pixels.shape
    y, x = np.mgrid[:rows, :columns]
    a, b, _, c, d = (np.sign(m) for m in matrix[:5])
    to_x, to_y = a * x + c * y, b * x + d * y
    out = np.zeros((np.ptp(to_y) + 1, np.ptp(to_x) + 1), pixels.dtype)
    out[to_y - to_y.min(), to_x - to_x.min()] = pixels
    return out


@pytest.mark.parametrize("matrix", ORIENTED.values(), ids=ORIENTED.keys())
def test_turn_is_the_matrix(matrix: tuple[int, ...]) -> None:
    luma = np.arange(24, dtype=np.uint8).reshape(4, 6)
    frame = Frame(planes=(luma,), layout=layout_of("gray"), width=6, height=4, pts=0, time_base=MS)
    turned = Turn(matrix=matrix).apply(frame)
    expected = shown(luma, matrix)
    assert np.array_equal(turned.planes[0], expected)
    assert (turned.height, turned.width) == expected.shape


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "gbrp10le"])
def test_autorotate_turns_the_picture(tmp_path: Path, upscale: Vsr, pix_fmt: str) -> None:
    """As FFmpeg's transpose does, bit for bit where the format stays."""
    clip = Clip(frames=2, codec="ffv1", pix_fmt=pix_fmt, rotation=90, audio=())
    source = make(tmp_path / "in.mkv", clip)
    out = tmp_path / "out.mkv"
    exact = ("-c:v", "ffv1", "--engine", "onnxruntime")  # libswscale rounds each way a bit else
    upscale(source, "-o", out, "--autorotate", *exact)
    after = facts(out)
    assert (after.size, after.rotation) == ((128, 192), 0)
    upscale(source, "-o", tmp_path / "kept.mkv", *exact)
    assert facts(tmp_path / "kept.mkv").rotation == 90
    with av.open(str(out)) as file:
        seen = next(file.decode(video=0)).to_ndarray(format="gray").astype(int)
    with av.open(str(tmp_path / "kept.mkv")) as file:
        kept = next(file.decode(video=0)).to_ndarray(format="gray").astype(int)
    assert np.abs(seen - np.rot90(kept)).max() <= 1


def test_format_that_cannot_be_turned_is_refused(tmp_path: Path, vsr: Vsr) -> None:
    source = make(tmp_path / "in.mkv", Clip(codec="ffv1", pix_fmt="yuv411p", rotation=90))
    outcome = vsr("upscale", source, "--model", "bicubic", "--autorotate")
    assert (outcome.code, len(outcome.lines)) == (3, 1)
    assert "yuv411p cannot be turned; leave out --autorotate" in outcome.err


def test_pixels_turn_with_the_picture(tmp_path: Path, upscale: Vsr) -> None:
    source = make(tmp_path / "in.mp4", Clip(rotation=-90, sar=Fraction(4, 3)))
    upscale(source, "-o", tmp_path / "out.mp4", "--autorotate")
    after = facts(tmp_path / "out.mp4")
    assert (after.size, after.rotation, after.sar) == ((128, 192), 0, Fraction(3, 4))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_mirroring_is_carried(tmp_path: Path, upscale: Vsr, suffix: str) -> None:
    source = tmp_path / f"in{suffix}"
    with av.open(str(source), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.set_display_matrix(ORIENTED["mirrored"])
        out.mux(stream.encode(av.VideoFrame.from_ndarray(picture(0, (96, 64)), format="rgb24")))
        out.mux(stream.encode(None))
    upscale(source, "-o", tmp_path / f"out{suffix}")
    with Source(tmp_path / f"out{suffix}") as result, Source(source) as before:
        assert result.info.video.turn == before.info.video.turn
        assert result.info.video.turn == Turn(matrix=ORIENTED["mirrored"])


def test_translation_grows_with_the_picture() -> None:
    turn = Turn(matrix=(0, 65536, 0, -65536, 0, 0, 96 << 16, 0, 1 << 30))
    assert turn.moved(2, 3)[6] == 192 << 16


def test_container_without_rotation_says_so(tmp_path: Path, upscale: Vsr) -> None:
    source = make(tmp_path / "in.mp4", Clip(rotation=90))
    outcome = upscale(source, "-o", tmp_path / "out.ts")
    assert [line for line in outcome.lines if "--autorotate" in line]


def at(times_ms: tuple[int, ...], last_ms: int = 40) -> list[Frame]:
    """Frames without a picture at these instants."""
    ends = (*times_ms[1:], times_ms[-1] + last_ms)
    return [
        Frame(planes=(), layout=layout_of("gray"), width=1, height=1, pts=t, time_base=MS,
              duration=end - t, index=i)
        for i, (t, end) in enumerate(zip(times_ms, ends, strict=True))
    ]  # fmt: skip


GRIDS = {
    "already even": ((0, 40, 80), 25, [0, 1, 2]),
    "repeats": ((0, 120, 160), 25, [0, 0, 0, 1, 2]),
    "left out": ((0, 10, 40, 45, 80), 25, [1, 3, 4]),
    "twice as fast": ((0, 40, 80), 50, [0, 0, 1, 1, 2, 2]),
    "a late start": ((1003, 1043, 1123), 25, [0, 1, 1, 2]),
    "one frame": ((7,), 25, [0]),
}


@pytest.mark.parametrize(("instants", "rate", "order"), GRIDS.values(), ids=GRIDS.keys())
def test_grid(instants: tuple[int, ...], rate: int, order: list[int]) -> None:
    grid = Grid(Fraction(rate))
    placed = list(repeated(grid.place(iter(at(instants)))))
    assert [f.index for f in placed] == order
    first = Fraction(instants[0], 1000)
    assert [f.pts * f.time_base for f in placed] == [
        first + Fraction(i, rate) for i in range(len(order))
    ]
    assert len(set(order)) == len(instants) - grid.dropped
    assert len(order) == len(instants) - grid.dropped + grid.repeated


@pytest.mark.parametrize("options", [("--fps", "30000/1001"), ("--cfr",), ("--fps", "12.5")])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_constant_rate(tmp_path: Path, upscale: Vsr, options: tuple[str, ...], suffix: str) -> None:
    source = make(tmp_path / "in.mp4", replace(VFR, start_s=Fraction(1, 2)))
    upscale(source, "-o", tmp_path / f"out{suffix}", *options)
    before, after = facts(source), facts(tmp_path / f"out{suffix}")
    steps = {b - a for a, b in zip(after.pts, after.pts[1:], strict=False)}
    rounding = MS if suffix == ".mkv" else 0
    assert max(steps) - min(steps) <= rounding
    sounds = [file.of("audio")[0].times[0][0] for file in (before, after)]
    assert abs((after.pts[0] - sounds[1]) - (before.pts[0] - sounds[0])) <= 2 * rounding
    length = before.times[-1][0] + before.times[-1][1] - before.pts[0]
    assert abs(len(after.pts) * sum(steps) / len(steps) - length) <= 2 * max(steps)
    assert after.of("audio")[0].packets == before.of("audio")[0].packets


def test_a_rate_that_cannot_be_meant_has_to_be_given(tmp_path: Path, vsr: Vsr) -> None:
    source = make(tmp_path / "in.mkv", Clip(frames=4, rate=Fraction(1000)))
    outcome = vsr("upscale", source, "--model", "bicubic", "--cfr")
    assert (outcome.code, len(outcome.lines)) == (3, 1)
    assert "give one with --fps" in outcome.err


def test_constant_rate_is_counted(tmp_path: Path, upscale: Vsr) -> None:
    source = make(tmp_path / "in.mkv", VFR)
    told = ("-loglevel", "info", "--progress", "json")
    outcome = upscale(source, "-o", tmp_path / "out.mp4", "--fps", 25, *told)
    assert "25 frames a second: left out 1, repeated 15" in outcome.err
    start, *_, done = map(json.loads, outcome.out.splitlines())
    assert start["frames"] == 26
    assert (done["frames"], done["dropped"], done["repeated"]) == (26, 1, 15)
    assert len(facts(tmp_path / "out.mp4").pts) == 26
