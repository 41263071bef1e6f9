"""Every frame comes out at its own instant: VFR, B-frames, offsets, cuts, other containers."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest
from clips import B_FRAMES, VFR_TIMES, Clip, Track, make
from conftest import Vsr
from facts import Facts, facts

from vsrcli.frames import Frame
from vsrcli.media.source import Source, Span, _Clock

MS = Fraction(1, 1000)
VFR = Clip(times=VFR_TIMES, time_base=MS, options=B_FRAMES)
HALF_MS = Fraction(1, 2000)
EDIT_LIST_TICK = Fraction(1, 10_000)
"""mp4 edit lists are rounded to the movie's time scale; ours is at least this fine."""


def offsets(file: Facts) -> list[Fraction]:
    """First audio packet minus first frame, one a track."""
    return [track.times[0][0] - file.pts[0] for track in file.of("audio")]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("clip", [Clip(), Clip(options=B_FRAMES), VFR], ids=["cfr", "b", "vfr"])
def test_every_frame_keeps_its_timestamp(
    tmp_path: Path, upscale: Vsr, clip: Clip, suffix: str
) -> None:
    source = make(tmp_path / f"in{suffix}", clip)
    upscale(source, "-o", tmp_path / f"out{suffix}")
    before, after = facts(source), facts(tmp_path / f"out{suffix}")
    assert after.pts == before.pts
    assert after.times[-1][1] == before.times[-1][1]
    assert offsets(after) == offsets(before)


@pytest.mark.parametrize("suffix", [".flv", ".nut", ".mkv"])
def test_sound_waits_for_the_first_of_a_late_picture(
    tmp_path: Path, upscale: Vsr, suffix: str
) -> None:
    """x264 looks ahead for longer than FFmpeg's 10 s here, and its first packet is to be decoded
    before the sound."""
    clip = Clip(rate=Fraction(1, 2), frames=20)
    source, target = make(tmp_path / "in.mkv", clip), tmp_path / f"out{suffix}"
    upscale(source, "-o", target, "-c:v", "libx264", "--preset", "medium")
    before, after = facts(source), facts(target)
    assert [at - after.pts[0] for at in after.pts] == [at - before.pts[0] for at in before.pts]
    assert abs(offsets(after)[0] - offsets(before)[0]) <= MS
    assert after.of("audio")[0].packets == before.of("audio")[0].packets


def test_vfr_into_matroska_is_rounded_to_its_milliseconds(tmp_path: Path, upscale: Vsr) -> None:
    times = (0, 1501, 4503, 6006, 10510, 12012)
    clip = Clip(times=times, time_base=Fraction(1, 90_000), options=B_FRAMES)
    source = make(tmp_path / "in.mp4", clip)
    upscale(source, "-o", tmp_path / "out.mkv", "-c:a", "none")
    expected = [t * Fraction(1, 90_000) for t in times]
    after = facts(tmp_path / "out.mkv").pts
    assert facts(source).pts == expected
    assert len(after) == len(expected)
    assert max(abs(a - b) for a, b in zip(after, expected, strict=True)) <= HALF_MS


def test_ntsc_rate_stays_exact(tmp_path: Path, upscale: Vsr) -> None:
    clip = Clip(rate=Fraction(30000, 1001), time_base=Fraction(1, 30000))
    source = make(tmp_path / "in.mp4", clip)
    upscale(source, "-o", tmp_path / "out.mp4")
    after = facts(tmp_path / "out.mp4")
    assert after.pts == [i * Fraction(1001, 30000) for i in range(12)]
    assert after.rate == Fraction(30000, 1001)


def test_slow_motion_is_not_too_fast_for_av1(tmp_path: Path, upscale: Vsr) -> None:
    """Whose encoder opens for 240 frames a second at most; the timestamps say otherwise."""
    clip = Clip(rate=Fraction(480), time_base=Fraction(1, 480), audio=())
    source = make(tmp_path / "in.mp4", clip)
    upscale(source, "-o", tmp_path / "out.mp4", "-c:v", "libsvtav1", "--preset", "12")
    assert facts(tmp_path / "out.mp4").pts == facts(source).pts


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30000, 1001)])
def test_a_clock_too_fine_for_mpeg4_becomes_one_that_fits_the_rate(
    tmp_path: Path, upscale: Vsr, rate: Fraction
) -> None:
    source = make(tmp_path / "in.ts", Clip(rate=rate, time_base=Fraction(1, 90_000), audio=()))
    upscale(source, "-o", tmp_path / "out.mp4", "-c:v", "mpeg4")
    after = facts(tmp_path / "out.mp4")
    assert {b - a for a, b in pairwise(after.pts)} == {1 / rate}
    assert (len(after.pts), after.times[-1][1]) == (12, 1 / rate)


@pytest.mark.parametrize(
    ("rate", "step"),
    [
        ("29.97003", Fraction(1001, 30000)),
        ("23.976024", Fraction(1001, 24000)),
        ("7.123457", Fraction(1_000_000, 7_123_457)),
    ],
)
def test_rates_with_many_decimals_make_an_even_grid(
    tmp_path: Path, upscale: Vsr, rate: str, step: Fraction
) -> None:
    """Such a rate and such a start have no common time base that FFmpeg could hold."""
    source = make(tmp_path / "in.ts", Clip(start_s=Fraction(12347, 90000)))
    upscale(source, "-o", tmp_path / "out.mp4", "--fps", rate)
    shown = facts(tmp_path / "out.mp4").pts
    off = Fraction(1, 1_000_000)
    assert all(abs(b - a - step) < off for a, b in pairwise(shown))
    assert abs(len(shown) - Fraction(12, 25) / step) < 1


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_late_starts_of_picture_and_sound_stay(tmp_path: Path, upscale: Vsr, suffix: str) -> None:
    tracks = (Track(start_s=Fraction(7, 10)), Track(hz=880))
    source = make(tmp_path / f"in{suffix}", Clip(start_s=Fraction(1, 2), audio=tracks))
    upscale(source, "-o", tmp_path / f"out{suffix}")
    before, after = facts(source), facts(tmp_path / f"out{suffix}")
    steps = [b - a for a, b in zip(before.pts, before.pts[1:], strict=False)]
    assert [b - a for a, b in zip(after.pts, after.pts[1:], strict=False)] == steps
    for was, now in zip(offsets(before), offsets(after), strict=True):
        assert abs(was - now) <= EDIT_LIST_TICK
    if suffix != ".ts":  # its muxer starts where it likes
        assert after.pts == before.pts


@pytest.mark.parametrize(
    ("suffix", "codec", "base"),
    [(".mkv", "libx264", 1000), (".nut", "libx264", 12800), (".wmv", "wmv2", 1000)],
)
def test_a_late_start_is_no_part_of_the_length(
    tmp_path: Path, upscale: Vsr, suffix: str, codec: str, base: int
) -> None:
    """These say when they end, not how long they are."""
    clip = Clip(start_s=Fraction(30), codec=codec, time_base=Fraction(1, base), audio=())
    source = make(tmp_path / f"in{suffix}", clip)
    with Source(source) as opened:
        assert opened.info.video.frames == pytest.approx(12, abs=1)
    upscale(source, "-o", tmp_path / "out.mkv")
    assert facts(tmp_path / "out.mkv").pts == facts(source).pts


def test_a_late_start_of_ogg_is_no_part_of_its_length(tmp_path: Path, upscale: Vsr) -> None:
    """It says when its sound ends."""
    sound = Track(codec="libopus", rate=48000, start_s=Fraction(30))
    clip = Clip(codec="libvpx", start_s=Fraction(30), time_base=Fraction(1, 25), audio=(sound,))
    source = make(tmp_path / "in.ogv", clip)
    assert upscale(source, "-o", tmp_path / "out.mkv").err == ""
    assert facts(tmp_path / "out.mkv").pts == facts(source).pts


def test_frames_that_an_edit_list_hides_stay_hidden(tmp_path: Path, upscale: Vsr) -> None:
    source = make(tmp_path / "in.mp4", Clip(start_s=Fraction(-1, 5)))
    upscale(source, "-o", tmp_path / "out.mp4")
    assert facts(tmp_path / "out.mp4").pts == facts(source).pts


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_what_an_edit_list_cuts_away_is_not_missed(
    tmp_path: Path, upscale: Vsr, suffix: str
) -> None:
    """FFmpeg reads nothing before the last keyframe ahead of the cut, as telephones trim films."""
    groups = {"preset": "ultrafast", "g": "4"}
    clip = Clip(frames=24, start_s=Fraction(-2, 5), options=groups, audio=())
    source = make(tmp_path / f"in{suffix}", clip)
    with Source(source) as opened:
        assert opened.info.video.frames == 16
    upscale(source, "-o", tmp_path / "out.mp4")
    assert len(facts(source).pts) == 14
    assert facts(tmp_path / "out.mp4").pts == facts(source).pts


@pytest.mark.parametrize("encoder", ["libx264", "libx265"])
@pytest.mark.parametrize("frames", [1, 2])
def test_one_frame_is_a_video(tmp_path: Path, upscale: Vsr, encoder: str, frames: int) -> None:
    source = make(tmp_path / "in.mp4", Clip(frames=frames, audio=()))
    upscale(source, "-o", tmp_path / "out.mp4", "-c:v", encoder, "--preset", "ultrafast")
    assert facts(tmp_path / "out.mp4").times == facts(source).times


def test_transport_stream_keeps_its_steps(tmp_path: Path, upscale: Vsr) -> None:
    source = make(tmp_path / "in.ts", replace(VFR, audio=(Track(codec="mp2"),)))
    upscale(source, "-o", tmp_path / "out.ts")
    before, after = facts(source), facts(tmp_path / "out.ts")
    assert [at - after.pts[0] for at in after.pts] == [at - before.pts[0] for at in before.pts]
    assert offsets(after) == offsets(before)


@pytest.mark.parametrize(
    ("start_s", "audio"), [(3600, ()), (2, (Track(codec="mp2", start_s=Fraction(2)),))]
)
def test_avi_begins_where_its_source_does(
    tmp_path: Path, upscale: Vsr, start_s: int, audio: tuple[Track, ...]
) -> None:
    """Else it would show a broadcast's first frame for the hours before it, or be refused."""
    source = make(tmp_path / "in.ts", Clip(start_s=Fraction(start_s), audio=audio))
    upscale(source, "-o", tmp_path / "out.avi", "-c:v", "ffv1")
    after = facts(tmp_path / "out.avi")
    assert len(after.pts) == 12
    assert after.pts[-1] <= Fraction(13, 25)
    assert all(track.times[0][0] <= Fraction(1, 25) for track in after.of("audio"))


CUTS = {
    "ss": (("-ss", "0.24"), 6, 24),
    "between frames": (("-ss", "0.25"), 7, 24),
    "t": (("-t", "0.2"), 0, 5),
    "to": (("-to", "0.4"), 0, 10),
    "ss and t": (("-ss", "0.2", "-t", "0.28"), 5, 12),
    "ss and to": (("-ss", "00:00:00.4", "-to", "0.8"), 10, 20),
    "past the end": (("-ss", "0.8", "-t", "100"), 20, 24),
}


@pytest.mark.parametrize(("options", "first", "end"), CUTS.values(), ids=CUTS.keys())
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_cuts_are_frame_exact(
    tmp_path: Path, upscale: Vsr, suffix: str, options: tuple[str, ...], first: int, end: int
) -> None:
    """The pictures are those of the whole run: lossless, so equal bit for bit."""
    gop = {**B_FRAMES, "g": "8"}
    source = make(tmp_path / f"in{suffix}", Clip(frames=24, options=gop, audio=()))
    upscale(source, "-o", tmp_path / "whole.mkv", "-c:v", "ffv1")
    upscale(source, "-o", tmp_path / "cut.mkv", "-c:v", "ffv1", *options)
    whole, cut = facts(tmp_path / "whole.mkv"), facts(tmp_path / "cut.mkv")
    assert cut.pictures == whole.pictures[first:end]
    shift = whole.pts[first] - cut.pts[0]
    assert cut.pts == [at - shift for at in whole.pts[first:end]]


@pytest.mark.parametrize("suffix", [".ts", ".mpg"])
@pytest.mark.parametrize("frames", [12, 60])
def test_a_cut_at_zero_loses_nothing(
    tmp_path: Path, upscale: Vsr, suffix: str, frames: int
) -> None:
    codec = {".ts": "libx264", ".mpg": "mpeg2video"}[suffix]
    clip = Clip(frames=frames, codec=codec, options={"g": "12"}, time_base=Fraction(1, 25))
    source = make(tmp_path / f"in{suffix}", replace(clip, audio=(Track(codec="mp2"),)))
    upscale(source, "-o", tmp_path / "out.mkv", "-ss", "0")
    before, after = facts(source), facts(tmp_path / "out.mkv")
    assert len(after.pts) == frames
    assert after.of("audio")[0].packets == before.of("audio")[0].packets
    assert min(after.pts[0], after.of("audio")[0].times[0][0]) == 0


def test_a_cut_warns_once_where_a_seek_came_too_late(tmp_path: Path, upscale: Vsr) -> None:
    """And then of the time at which the picture that is used begins."""
    options = {"x264-params": "tff=1:keyint=50:scenecut=0", "preset": "ultrafast"}
    source = make(tmp_path / "in.ts", Clip(frames=60, options=options))
    (line,) = upscale(source, "-o", tmp_path / "out.mkv", "-ss", "0.3", "-t", "0.2").lines
    assert line.startswith("vsr: warning: the picture is interlaced from 0.0")


def test_a_cut_reads_little_more_than_it_needs(tmp_path: Path) -> None:
    path = make(tmp_path / "in.mkv", Clip(frames=250))
    with Source(path, span=Span(end_s=Fraction(1))) as source:
        assert sum(isinstance(item, Frame) for item in source.items()) == 25
        assert source._packets < 75


def test_cut_starts_at_zero_with_its_sound(tmp_path: Path, upscale: Vsr) -> None:
    source = make(tmp_path / "in.mp4", Clip(frames=50))
    upscale(source, "-o", tmp_path / "cut.mp4", "-ss", "0.8", "-t", "0.8")
    before, cut = facts(source), facts(tmp_path / "cut.mp4")
    assert cut.pts == [i * Fraction(1, 25) for i in range(20)]
    (whole,), (part,) = before.of("audio"), cut.of("audio")
    at = whole.packets.index(part.packets[0])
    assert part.packets == whole.packets[at : at + len(part.packets)]
    moved = whole.times[at][0] - Fraction(8, 10)
    assert abs(part.times[0][0] - moved) <= EDIT_LIST_TICK
    assert part.times[-1][0] < Fraction(8, 10)


def test_frames_closer_than_a_millisecond_all_reach_matroska(tmp_path: Path, upscale: Vsr) -> None:
    """Its ticks are milliseconds: the second of two such frames moves on by one."""
    clip = Clip(times=(0, 1, 33000, 66000), time_base=Fraction(1, 1_000_000), audio=())
    source = make(tmp_path / "in.mp4", clip)
    upscale(source, "-o", tmp_path / "out.mkv")
    assert facts(tmp_path / "out.mkv").pts == [0, MS, 33 * MS, 66 * MS]


def test_ogg_counts_frames(tmp_path: Path, upscale: Vsr) -> None:
    """Its timestamps are numbers of frames: every one is kept, and a gap is filled."""
    start = Fraction(3, 100)  # which is no whole number of them
    source = make(tmp_path / "in.mp4", Clip(start_s=start, audio=()))
    upscale(source, "-o", tmp_path / "out.ogv", "-c:v", "libvpx")
    after = facts(tmp_path / "out.ogv")
    assert after.pts == [Fraction(1 + i, 25) for i in range(12)]
    with av.open(str(tmp_path / "out.ogv")) as file:
        assert file.streams.video[0].guessed_rate == 25
    source = make(tmp_path / "gap.mp4", Clip(times=(0, 1, 4, 5), time_base=Fraction(1, 25)))
    upscale(source, "-o", tmp_path / "gap.ogv", "-c:v", "libvpx")
    assert facts(tmp_path / "gap.ogv").pts == [Fraction(i, 25) for i in range(6)]
    source = make(tmp_path / "vfr.mp4", VFR)
    upscale(source, "-o", tmp_path / "vfr.ogv", "-c:v", "libvpx")
    steps = {b - a for a, b in pairwise(facts(tmp_path / "vfr.ogv").pts)}
    assert len(steps) == 1


@pytest.mark.parametrize("suffix", [".h264", ".hevc", ".m2v", ".mjpeg", ".obu", ".y4m"])
def test_files_without_times_fill_gaps(tmp_path: Path, upscale: Vsr, suffix: str) -> None:
    times = (0, 1, 2, 3, 4, 5, 9, 10)
    clip = Clip(times=times, time_base=Fraction(1, 25), audio=())
    source = make(tmp_path / "in.mp4", clip)
    out = tmp_path / f"out{suffix}"
    codec = ("-c:v", "libsvtav1") if suffix == ".obu" else ()
    upscale(source, "-o", out, *codec)
    with av.open(str(out)) as file:
        frames = list(file.decode(video=0))
    assert len(frames) == 11


@pytest.mark.parametrize("suffix", [".h264", ".y4m", ".avi", ".mpg"])
def test_late_start_is_no_other_rate(tmp_path: Path, upscale: Vsr, suffix: str) -> None:
    """It is between two frames, but ticks are frames."""
    rate = Fraction(30000, 1001)
    source = make(tmp_path / "in.mkv", Clip(rate=rate, start_s=Fraction(7, 10), audio=()))
    codec = ("-c:v", "mpeg2video") if suffix == ".mpg" else ()
    upscale(source, "-o", tmp_path / f"out{suffix}", *codec)
    with av.open(str(tmp_path / f"out{suffix}")) as file:
        assert file.streams.video[0].guessed_rate == rate
        assert sum(packet.size > 0 for packet in file.demux()) == 12


@pytest.mark.parametrize("suffix", [".avi", ".y4m"])
def test_a_single_frame_stays_one(tmp_path: Path, upscale: Vsr, suffix: str) -> None:
    """FFmpeg takes the ticks of such a GIF, of 10 ms, for its frames."""
    clip = Clip(frames=1, codec="gif", pix_fmt="rgb8", audio=())
    source, target = make(tmp_path / "in.gif", clip), tmp_path / f"out{suffix}"
    for options, rate, frames in (((), 25, 1), (("--fps", 50), 50, 2)):
        upscale(source, "-o", target, *options, "-y")
        with av.open(str(target)) as file:
            assert file.streams.video[0].guessed_rate == rate
            assert sum(packet.size > 0 for packet in file.demux()) == frames


def test_numbered_pictures_are_not_repeated(tmp_path: Path, upscale: Vsr) -> None:
    source = make(tmp_path / "in.mp4", Clip(times=(0, 1, 9), time_base=Fraction(1, 25), audio=()))
    upscale(source, "-o", tmp_path / "out_%d.png")
    assert len(list(tmp_path.glob("out_*.png"))) == 3


def test_the_last_frame_of_a_wmv_has_a_time_of_its_own(tmp_path: Path, upscale: Vsr) -> None:
    source = make(tmp_path / "in.mp4", Clip(options=B_FRAMES, audio=()))
    upscale(source, "-o", tmp_path / "out.wmv")
    with av.open(str(tmp_path / "out.wmv")) as file:
        stream = file.streams.video[0]
        assert stream.codec_context.name == "h264"
        times = sorted(packet.pts for packet in file.demux(stream) if packet.pts is not None)
    assert {b - a for a, b in pairwise(times)} == {40}
    assert len(times) == 12


def test_a_frame_with_the_time_of_another_is_shown_when_it_was_decoded(tmp_path: Path) -> None:
    """FFmpeg's parser does that to one in many of an MPEG program stream."""
    given = [(0, 0), (3600, 3600), (0, 7200), (10800, 10800), (10800, None), (14400, 5000)]
    found = []
    with Source(make(tmp_path / "in.ts", Clip(audio=()))) as source:
        clock = _Clock(source.stream)
        for pts, dts in given:
            frame = av.VideoFrame(16, 16)
            frame.pts, frame.dts, frame.time_base = pts, dts, Fraction(1, 90_000)
            clock.set(frame)
            found.append(frame.pts)
    assert found == [0, 3600, 7200, 10800, 10800, 14400]
