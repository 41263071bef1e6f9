"""What real files do with time: clocks that break, none at all, the same instant twice."""

from __future__ import annotations

import errno
import itertools
import subprocess
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import av
import imageio_ffmpeg
import pytest
from clips import Clip, make
from conftest import Vsr
from facts import facts

from vsrcli.frames import Frame
from vsrcli.media.convert import Audio
from vsrcli.media.packet import SidePacket
from vsrcli.media.source import Source

FFMPEG = (imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y")
PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=2")
SOUND = ("-f", "lavfi", "-i", "sine=d=2:r=48000")
H264 = ("-c:v", "libx264", "-preset", "fast")


def ffmpeg(target: Path, *words: object) -> Path:
    """A file that ffmpeg makes."""
    order = [*FFMPEG, *map(str, words), str(target)]
    subprocess.run(order, check=True, stdin=subprocess.DEVNULL)
    return target


def times(path: Path, kind: str) -> list[Fraction]:
    """When the packets of the first stream of a kind are shown, in order."""
    with av.open(str(path)) as file:
        stream = next(s for s in file.streams if s.type == kind)
        return sorted(p.pts * p.time_base for p in file.demux(stream) if p.size)


def lasts(path: Path, kind: str) -> float:
    found = times(path, kind)
    return float(found[-1] - found[0])


@pytest.mark.parametrize("suffix", [".ts", ".vob"])
@pytest.mark.parametrize("offset_s", [0, 1000])
def test_joined_streams_go_on(tmp_path: Path, upscale: Vsr, suffix: str, offset_s: int) -> None:
    codecs = H264 if suffix == ".ts" else ("-c:v", "mpeg2video")
    codecs = (*codecs, "-c:a", "ac3")
    first = ffmpeg(tmp_path / f"a{suffix}", *PICTURE, *SOUND, *codecs)
    second = ffmpeg(
        tmp_path / f"b{suffix}", *PICTURE, *SOUND, *codecs, "-output_ts_offset", offset_s
    )
    joined = tmp_path / f"joined{suffix}"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    outcome = upscale(joined, "-o", tmp_path / "out.mkv")
    assert outcome.err == ""
    shown = times(tmp_path / "out.mkv", "video")
    assert len(shown) == 100
    assert max(b - a for a, b in pairwise(shown)) < Fraction(7, 100)
    assert lasts(tmp_path / "out.mkv", "audio") == pytest.approx(4, abs=0.1)


def test_joined_frames_that_do_not_say_how_long_they_last_go_on(
    tmp_path: Path, upscale: Vsr
) -> None:
    """Those of vsr's own transport streams, and of others without a fixed rate."""
    part = make(tmp_path / "part.ts", Clip(frames=4, audio=()))
    joined = tmp_path / "joined.ts"
    joined.write_bytes(part.read_bytes() * 2)
    assert upscale(joined, "-o", tmp_path / "out.mkv").err == ""
    assert times(tmp_path / "out.mkv", "video") == [n * Fraction(1, 25) for n in range(8)]


def test_a_pause_of_the_picture_alone_stays(tmp_path: Path, upscale: Vsr) -> None:
    """Sound goes on meanwhile, so the clock has not broken."""
    slow = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=1/12:d=36")
    sound = ("-f", "lavfi", "-i", "sine=d=36:r=48000")
    source = ffmpeg(tmp_path / "in.ts", *slow, *sound, *H264, "-c:a", "ac3")
    upscale(source, "-o", tmp_path / "out.mkv")
    assert lasts(tmp_path / "out.mkv", "video") == pytest.approx(24, abs=0.1)


def test_avi_with_reordered_frames_is_read(tmp_path: Path, upscale: Vsr, vsr: Vsr) -> None:
    """It says when to decode, not when to show."""
    source = ffmpeg(tmp_path / "in.mp4", *PICTURE, *H264)
    own = tmp_path / "own.avi"
    vsr("upscale", source, "-o", own, "--model", "bicubic", "--scale", 2)
    upscale(own, "-o", tmp_path / "out.mkv")
    shown = facts(tmp_path / "out.mkv")
    assert len(shown.times) == 50
    starts = [start for start, _ in shown.times]
    assert {b - a for a, b in pairwise(starts)} == {Fraction(1, 25)}


def test_packed_frames_of_old_avi_are_read(tmp_path: Path, upscale: Vsr) -> None:
    """Xvid and DivX put two frames into a packet, and a word of nothing into the next one."""
    source = ffmpeg(tmp_path / "in.avi", *PICTURE, "-c:v", "libxvid", "-bf", 2)
    upscale(source, "-o", tmp_path / "out.mkv")
    shown = times(tmp_path / "out.mkv", "video")
    assert len(shown) == 48  # of 50 the encoder writes two into the place of others
    assert {b - a for a, b in pairwise(shown)} == {Fraction(1, 25)}


def test_theora_says_again_without_a_byte(tmp_path: Path, upscale: Vsr) -> None:
    still = ("-f", "lavfi", "-i", "color=blue:s=64x48:r=25:d=1")
    source = ffmpeg(tmp_path / "in.ogv", *still, "-c:v", "libtheora", "-g", 250)
    assert upscale(source, "-o", tmp_path / "out.mkv").err == ""


@pytest.mark.parametrize(("junk_at", "code"), [(None, 0), (7, 3)])
def test_mpjpeg_ends_with_its_boundary(
    tmp_path: Path, vsr: Vsr, junk_at: int | None, code: int
) -> None:
    """Which FFmpeg's reader takes for a part without a header; one that is followed is damaged."""
    source = ffmpeg(tmp_path / "in.mpjpeg", *PICTURE, "-frames:v", 10, "-f", "mpjpeg")
    mark = b"--ffmpeg\r\n"
    parts = source.read_bytes().split(mark)
    assert parts[-1] == b""
    if junk_at is not None:
        parts.insert(junk_at, b"\r\n")
        source.write_bytes(mark.join(parts))
    words = ("--model", "bicubic", "--scale", 2, "--progress", "none")
    outcome = vsr("upscale", source, "-o", tmp_path / "out.mkv", *words)
    assert (outcome.code, bool(outcome.err)) == (code, bool(code))
    if not code:
        assert len(times(tmp_path / "out.mkv", "video")) == 10


def test_a_keyframe_without_a_time_begins_a_scene(tmp_path: Path, upscale: Vsr) -> None:
    """As Matroska's is that begins before 0."""
    early = ("-vf", "setpts=PTS-2/25/TB", "-copyts", "-fps_mode", "passthrough")
    own = ("-avoid_negative_ts", "disabled")
    source = ffmpeg(tmp_path / "in.mkv", *PICTURE, *early, *H264, *own)
    assert "within a scene" not in upscale(source, "-o", tmp_path / "out.mkv").err


def test_short_packets_of_sound_keep_their_times(tmp_path: Path, upscale: Vsr) -> None:
    """TrueHD has 1200 a second, Matroska 1000 instants."""
    codecs = (*H264, "-strict", "-2", "-c:a", "truehd", "-ac", 2)
    source = ffmpeg(tmp_path / "in.mkv", *PICTURE, *SOUND, *codecs)
    upscale(source, "-o", tmp_path / "out.mkv")
    assert times(tmp_path / "out.mkv", "audio") == times(source, "audio")


def test_sound_that_changes_its_channels_is_converted(tmp_path: Path, upscale: Vsr) -> None:
    parts = [
        ffmpeg(tmp_path / f"{n}.ts", *PICTURE, *SOUND, *H264, "-c:a", "ac3", "-ac", n)
        for n in (2, 6)
    ]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    upscale(joined, "-o", tmp_path / "out.mkv", "-c:a", "aac")
    assert lasts(tmp_path / "out.mkv", "audio") == pytest.approx(4, abs=0.1)


@pytest.mark.parametrize(("options", "code"), [((), 3), (("--on-error", "skip"), 0)])
def test_sound_that_cannot_be_decoded(
    tmp_path: Path, vsr: Vsr, options: tuple[str, ...], code: int
) -> None:
    source = ffmpeg(tmp_path / "in.mkv", *PICTURE, *SOUND, *H264, "-c:a", "libvorbis")
    with av.open(str(source)) as file:
        sizes = [bytes(p) for p in file.demux(audio=0) if p.size > 40]
    broken = source.read_bytes().replace(sizes[5], b"\xff" * len(sizes[5]))
    source.write_bytes(broken)
    quick = ("--model", "bicubic", "--scale", 2, "--preset", "ultrafast")
    outcome = vsr("upscale", source, "-o", tmp_path / "out.mov", *quick, *options)
    assert outcome.code == code
    assert "the sound of stream #1" in outcome.err


@pytest.mark.parametrize(("options", "code"), [((), 3), (("--on-error", "skip"), 0)])
def test_the_last_sound_that_a_decoder_holds_cannot_be_decoded(
    tmp_path: Path,
    vsr: Vsr,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    code: int,
) -> None:
    def fail(packet: None) -> list[av.AudioFrame]:
        raise av.error.InvalidDataError(errno.EINVAL, "Invalid data found")

    flush = Audio.flush

    def flush_of_a_broken_decoder(self: Audio) -> Iterator[SidePacket]:
        self._source = SimpleNamespace(index=1, codec_context=SimpleNamespace(decode=fail))
        yield from flush(self)

    monkeypatch.setattr(Audio, "flush", flush_of_a_broken_decoder)
    source = ffmpeg(tmp_path / "in.mkv", *PICTURE, *SOUND, *H264, "-c:a", "aac")
    quick = ("--model", "bicubic", "--scale", 2, "--preset", "ultrafast", "-c:a", "aac")
    outcome = vsr("upscale", source, "-o", tmp_path / "out.mp4", *quick, *options)
    assert outcome.code == code, outcome.err
    assert not code or len(outcome.lines) == 1
    assert "the sound of stream #1 at its end cannot be decoded" in outcome.err
    assert (tmp_path / "out.mp4").exists() == (not code)


@pytest.mark.parametrize(("options", "code"), [((), 3), (("--on-error", "skip"), 0)])
def test_a_subtitle_that_cannot_be_decoded(
    tmp_path: Path, vsr: Vsr, options: tuple[str, ...], code: int
) -> None:
    cues = tmp_path / "cues.srt"
    cues.write_text(
        "1\n00:00:00,200 --> 00:00:00,400\none\n\n2\n00:00:00,500 --> 00:00:01,000\ntwo\n"
    )
    source = ffmpeg(tmp_path / "in.mkv", *PICTURE, "-i", cues, *H264, "-c:s", "srt")
    source.write_bytes(source.read_bytes().replace(b"two", b"tw\xf6"))  # Latin-1
    quick = ("--model", "bicubic", "--scale", 2, "--preset", "ultrafast")
    outcome = vsr("upscale", source, "-o", tmp_path / "out.mp4", *quick, *options)
    assert outcome.code == code
    assert "the subtitle of stream #1 at 0.500 s cannot be decoded" in outcome.err
    assert not code or outcome.err.count("\n") == 1


def test_sound_of_several_frames_a_packet_keeps_its_times(tmp_path: Path, upscale: Vsr) -> None:
    """Of which only the first says when it is."""
    plain = ffmpeg(tmp_path / "plain.aac", *SOUND, "-c:a", "aac")
    with av.open(str(plain)) as file:
        parts = [bytes(packet) for packet in file.demux(audio=0) if packet.size]
    clip = ffmpeg(tmp_path / "clip.mp4", *PICTURE, *H264)
    source = tmp_path / "in.nut"
    with av.open(str(plain)) as sound, av.open(str(clip)) as film, av.open(str(source), "w") as out:
        picture = out.add_stream_from_template(film.streams.video[0])
        stream = out.add_stream_from_template(sound.streams.audio[0])
        for packet in film.demux(video=0):
            if packet.size:
                packet.stream = picture
                out.mux(packet)
        for index in range(0, len(parts) - 2, 3):
            packet = av.Packet(b"".join(parts[index : index + 3]))
            packet.pts = packet.dts = index * 1024
            packet.time_base, packet.stream = Fraction(1, 48000), stream
            out.mux(packet)
    upscale(source, "-o", tmp_path / "out.mkv", "-c:a", "aac")
    shown = times(tmp_path / "out.mkv", "audio")
    assert len(shown) > 80
    assert all(abs(b - a - Fraction(1024, 48000)) <= Fraction(1, 1000) for a, b in pairwise(shown))


def test_a_picture_that_ends_before_the_part_keeps_its_last_frames(
    tmp_path: Path, upscale: Vsr
) -> None:
    """Which the decoder's threads still hold when the sound has passed the part's end."""
    sound = ("-f", "lavfi", "-i", "sine=d=20:r=48000")
    source = ffmpeg(tmp_path / "in.mp4", *PICTURE, *sound, *H264)
    upscale(source, "-o", tmp_path / "out.mp4", "-t", 5, "--threads", 64)
    assert len(times(tmp_path / "out.mp4", "video")) == 50


def test_what_came_before_reading_failed_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = ffmpeg(tmp_path / "in.mp4", *PICTURE, *H264, "-bf", 2)

    def broken(source: Source) -> Iterator[SidePacket]:
        try:
            yield from itertools.islice(source.container.demux(), 40)
            raise OSError(errno.EIO, "Input/output error")
        except OSError as exc:
            source._damage.stopped(exc)

    monkeypatch.setattr(Source, "_packets_read", broken)
    with Source(clip, on_error="skip", threads=8) as source:
        assert sum(isinstance(item, Frame) for item in source.items()) == 40


def test_overlapping_subtitles_begin_when_they_should(tmp_path: Path, upscale: Vsr) -> None:
    cues = tmp_path / "cues.srt"
    cues.write_text(
        "1\n00:00:00,200 --> 00:00:01,000\none\n\n2\n00:00:00,500 --> 00:00:01,400\ntwo\n\n"
        "3\n00:00:01,600 --> 00:00:01,900\nthree\n\n"
    )
    source = ffmpeg(tmp_path / "in.mkv", *PICTURE, "-i", cues, *H264, "-c:s", "srt")
    upscale(source, "-o", tmp_path / "out.mp4")
    ffmpeg(tmp_path / "back.srt", "-i", tmp_path / "out.mp4", "-map", "0:s")
    starts = [
        line[:12] for line in (tmp_path / "back.srt").read_text().splitlines() if "-->" in line
    ]
    assert starts == ["00:00:00,200", "00:00:00,500", "00:00:01,600"]


def test_a_subtitle_on_screen_at_the_cut_is_kept(tmp_path: Path, upscale: Vsr) -> None:
    cues = tmp_path / "cues.srt"
    cues.write_text("1\n00:00:00,200 --> 00:00:01,800\nlong\n\n")
    source = ffmpeg(tmp_path / "in.mkv", *PICTURE, "-i", cues, *H264, "-c:s", "srt")
    upscale(source, "-o", tmp_path / "out.mkv", "-ss", 1)
    ffmpeg(tmp_path / "back.srt", "-i", tmp_path / "out.mkv", "-map", "0:s")
    assert "00:00:00,000 --> 00:00:00,800" in (tmp_path / "back.srt").read_text()


def test_two_frames_at_one_time_are_both_shown(tmp_path: Path, upscale: Vsr) -> None:
    plain = ffmpeg(tmp_path / "plain.mkv", *PICTURE, *H264, "-bf", 0)
    source, twice = tmp_path / "in.mkv", (12, 30)
    with av.open(str(plain)) as file, av.open(str(source), "w") as copy:
        stream = copy.add_stream_from_template(file.streams.video[0])
        for index, packet in enumerate(p for p in file.demux(video=0) if p.size):
            if index in twice:
                packet.pts = packet.dts = packet.pts - 40
            packet.stream = stream
            copy.mux(packet)
    outcome = upscale(source, "-o", tmp_path / "out.mkv")
    assert [line.endswith("they are shown a moment later") for line in outcome.lines] == [True]
    assert times(tmp_path / "out.mkv", "video") == [
        Fraction(40 * n - 39 if n in twice else 40 * n, 1000) for n in range(50)
    ]


def test_a_raw_stream_is_cut_by_reading_it(tmp_path: Path, upscale: Vsr) -> None:
    source = ffmpeg(tmp_path / "in.h264", *PICTURE, *H264)
    upscale(source, "-o", tmp_path / "out.mkv", "-ss", 0.48)
    assert len(times(tmp_path / "out.mkv", "video")) == 38


def test_a_lossless_cut_does_not_begin_within_a_scene(tmp_path: Path, upscale: Vsr) -> None:
    """An edit list hides its keyframe and what follows; the frames after are all there."""
    plain = ffmpeg(tmp_path / "plain.mp4", *PICTURE, *H264)
    source = ffmpeg(tmp_path / "in.mp4", "-ss", 1.1, "-i", plain, "-c", "copy")
    assert upscale(source, "-o", tmp_path / "out.mp4").err == ""


def test_tags_of_matroska_are_those_of_mp4(tmp_path: Path, upscale: Vsr) -> None:
    plain = ffmpeg(tmp_path / "plain.mp4", *PICTURE, *H264)
    named = ("-c", "copy", "-metadata", "title=Foo", "-metadata", "artist=Bar")
    source = ffmpeg(tmp_path / "in.mkv", "-i", plain, *named)
    assert upscale(source, "-o", tmp_path / "out.mp4").err == ""
    data = (tmp_path / "out.mp4").read_bytes()
    assert (b"\xa9nam" in data, b"\xa9ART" in data, b"BRAND" in data) == (True, True, False)
