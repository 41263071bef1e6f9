"""Sound, subtitles, chapters, attachments and tags come along; what cannot is named."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from cases import png
from clips import ASS, B_FRAMES, Clip, Text, Track, make
from conftest import Vsr
from facts import facts
from test_media_breaks import PICTURE, ffmpeg

from vsrcli.media import convert
from vsrcli.media.languages import _IN_MOV, _KNOWN, language_in
from vsrcli.media.plan import Action, plan_streams
from vsrcli.media.source import Source

TWO_TRACKS = (
    Track(language="eng", title="Main"),
    Track(codec="libopus", rate=48000, hz=880, language="fra", default=False),
)
RICH = Clip(
    audio=TWO_TRACKS,
    subtitles=(
        Text(language="ger", title="Deutsch", forced=True),
        Text(suffix=".ass", content=ASS, language="jpn"),
    ),
    attachments={"font.ttf": b"not really a font", "note.txt": b"kept"},
    chapters=((0, 200, "One"), (200, 480, "Two")),
    metadata={"title": "A clip", "artist": "nobody"},
)


ENCODERS = {".mpg": "mpeg2video", ".mxf": "mpeg2video"}


def texts(path: Path) -> list[list[str]]:
    """The words of every subtitle track, decoded."""
    with av.open(str(path)) as file:
        found: dict[int, list[str]] = {s.index: [] for s in file.streams.subtitles}
        for packet in file.demux(*file.streams.subtitles):
            for subtitle in packet.decode():
                found[packet.stream.index].append(subtitle.dialogue.decode())
        return [[t for t in track if t] for track in found.values()]


def test_matroska_keeps_everything(tmp_path: Path, upscale: Vsr) -> None:
    source = make(tmp_path / "in.mkv", RICH)
    outcome = upscale(source, "-o", tmp_path / "out.mkv")
    before, after = facts(source), facts(tmp_path / "out.mkv")
    assert len(before.others) == 6
    for was, now in zip(before.others, after.others, strict=True):
        assert now.packets == was.packets
        assert [at for at, _ in now.times] == [at for at, _ in was.times]
        kept = ("kind", "codec", "language", "title", "disposition")
        assert [getattr(now, k) for k in kept] == [getattr(was, k) for k in kept]
    assert after.chapters == before.chapters
    assert after.metadata["title"] == "A clip"
    assert after.metadata["ARTIST"] == "nobody"
    assert outcome.err == ""


def test_attachments_keep_their_bytes(tmp_path: Path, upscale: Vsr) -> None:
    source = make(tmp_path / "in.mkv", RICH)
    upscale(source, "-o", tmp_path / "out.mkv")
    with av.open(str(tmp_path / "out.mkv")) as file:
        held = {s.metadata["filename"]: bytes(s.data) for s in file.streams.attachments}
    assert held == RICH.attachments


@pytest.fixture(scope="module")
def covered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds with a cover picture as the third stream."""
    folder = tmp_path_factory.mktemp("covered")
    film = make(folder / "film.mkv", Clip(frames=50, options={"g": "5"}))
    picture = ffmpeg(folder / "cover.jpg", "-f", "lavfi", "-i", "color=red:s=32x32",
                     "-frames:v", 1)  # fmt: skip
    return ffmpeg(folder / "in.mp4", "-i", film, "-i", picture, "-map", 0, "-map", 1,
                  "-c", "copy", "-disposition:v:1", "attached_pic")  # fmt: skip


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("start", ["0", "0.2", "1.4"])
def test_a_cut_keeps_the_cover(
    tmp_path: Path, upscale: Vsr, covered: Path, suffix: str, start: str
) -> None:
    outcome = upscale(covered, "-o", tmp_path / f"out{suffix}", "-ss", start, "-t", "0.4")
    (was,) = facts(covered).of("video")
    (now,) = facts(tmp_path / f"out{suffix}").of("video")
    assert (now.packets, now.disposition) == (was.packets, was.disposition)
    assert len(now.packets) == 1
    assert outcome.err == ""


def test_mp4_keeps_what_it_can_and_names_the_rest(tmp_path: Path, upscale: Vsr) -> None:
    source = make(tmp_path / "in.mkv", RICH)
    outcome = upscale(source, "-o", tmp_path / "out.mp4")
    before, after = facts(source), facts(tmp_path / "out.mp4")
    assert [s.codec for s in after.of("subtitle")] == ["mov_text", "mov_text"]
    assert [s.language for s in after.of("subtitle")] == ["ger", "jpn"]
    assert [s.packets for s in after.of("audio")] == [s.packets for s in before.of("audio")]
    assert [s.language for s in after.of("audio")] == ["eng", "fra"]
    assert after.chapters == before.chapters
    assert after.metadata["title"] == "A clip"
    warnings = [line for line in outcome.lines if "not kept" in line]
    assert len(warnings) == 2
    assert all("attachment" in line and ".mkv" in line for line in warnings)


@pytest.mark.parametrize(
    ("suffix", "lost"),
    [(".mkv", ""), (".mp4", "original"), (".webm", "original, comment"), (".nut", "forced")],
)
def test_dispositions_that_a_container_lacks_are_named(
    tmp_path: Path, upscale: Vsr, suffix: str, lost: str
) -> None:
    sound = Track(codec="libopus", rate=48000)
    plain = make(tmp_path / "plain.mkv", Clip(audio=(sound,) * 3))
    source = ffmpeg(tmp_path / "in.mkv", "-i", plain, "-map", 0, "-c", "copy", "-disposition:a:0",
                    "original", "-disposition:a:1", "comment", "-disposition:a:2",
                    "default+forced")  # fmt: skip
    encoder = ("-c:v", "libvpx-vp9" if suffix == ".webm" else "libx264")
    outcome = upscale(source, "-o", tmp_path / f"out{suffix}", *encoder)
    before, after = (facts(p).of("audio") for p in (source, tmp_path / f"out{suffix}"))
    kept = [s.disposition for s in after] == [s.disposition for s in before]
    assert kept == (not lost)
    told = f"vsr: warning: {suffix[1:]} holds no dispositions such as {lost}; write .mkv to keep"
    assert [line.startswith(told) for line in outcome.lines] == [True] * bool(lost), outcome.err


@pytest.mark.parametrize(
    ("suffix", "lost"),
    [
        (".m4v", "titles, dispositions"),
        (".3gp", "tags, titles, dispositions"),
        (".wmv", "titles, dispositions"),
        (".flv", "chapters, languages, titles, dispositions"),
        (".mxf", "chapters, tags, titles, languages, dispositions"),
        (".mpg", "chapters, tags, titles, languages, dispositions"),
        (".nut", ""),
    ],
)
def test_what_rarer_containers_cannot_say_is_named(
    tmp_path: Path, upscale: Vsr, suffix: str, lost: str
) -> None:
    rich = replace(RICH, audio=RICH.audio[:1], attachments={}, subtitles=())
    plain = make(tmp_path / "plain.mkv", rich)
    source = ffmpeg(tmp_path / "in.mkv", "-i", plain, "-map", 0, "-c", "copy",
                    "-disposition:a:0", "comment")  # fmt: skip
    outcome = upscale(
        source, "-o", tmp_path / f"out{suffix}", "-c:v", ENCODERS.get(suffix, "libx264")
    )
    told = [line for line in outcome.lines if "holds no" in line]
    assert [line.split("holds no ")[1] for line in told] == [
        f"{lost}; write .mkv to keep them"
    ] * bool(lost), outcome.err


@pytest.mark.parametrize("holder", [".mkv", ".mxf"])
@pytest.mark.parametrize(
    ("suffix", "lost"), [(".ts", "both"), (".avi", "stream"), (".nut", ""), (".mp4", "")]
)
def test_a_timecode_that_a_container_lacks_is_named(
    tmp_path: Path, upscale: Vsr, holder: str, suffix: str, lost: str
) -> None:
    """Matroska's is the stream's, MXF's the file's, which is a tag like others."""
    clip = Clip(codec="mpeg2video", time_base=Fraction(1, 25), audio=())
    plain = make(tmp_path / "plain.mov", clip)
    source = ffmpeg(tmp_path / f"in{holder}", "-i", plain, "-c", "copy",
                    "-metadata:s:v" if holder == ".mkv" else "-metadata",
                    "timecode=01:02:03:04")  # fmt: skip
    told = "timecode; write .mkv to keep" in upscale(source, "-o", tmp_path / f"out{suffix}").err
    assert told == (lost == "both" or (lost == "stream" and holder == ".mkv"))


def test_text_subtitles_keep_words_and_times_in_mp4(tmp_path: Path, upscale: Vsr) -> None:
    source = make(tmp_path / "in.mkv", RICH)
    upscale(source, "-o", tmp_path / "out.mp4")
    (german, japanese) = texts(tmp_path / "out.mp4")
    assert [line.split(",")[-1] for line in german] == ["Erste Zeile", "ä ö ü"]
    assert "leaning" in japanese[0]
    assert "words" in japanese[0]
    times = {at for at, _ in facts(tmp_path / "out.mp4").of("subtitle")[0].times}
    assert {Fraction(0), Fraction(24, 100)} <= times


def test_mp4_subtitles_become_srt_in_matroska(tmp_path: Path, upscale: Vsr) -> None:
    rich = make(tmp_path / "in.mkv", Clip(subtitles=(Text(language="ger"),)))
    upscale(rich, "-o", tmp_path / "mid.mp4")
    upscale(tmp_path / "mid.mp4", "-o", tmp_path / "out.mkv")
    (track,) = facts(tmp_path / "out.mkv").of("subtitle")
    assert track.codec == "subrip"
    assert [t.split(",")[-1] for t in texts(tmp_path / "out.mkv")[0]] == ["Erste Zeile", "ä ö ü"]


def test_audio_that_mov_refuses_late_is_converted(tmp_path: Path, upscale: Vsr) -> None:
    """Its muxer takes Opus as a stream and refuses it in the header."""
    source = make(tmp_path / "in.mkv", Clip(audio=TWO_TRACKS))
    outcome = upscale(source, "-o", tmp_path / "out.mov")
    assert [s.codec for s in facts(tmp_path / "out.mov").of("audio")] == ["aac", "aac"]
    assert "stream #2 (audio, opus) is converted to aac" in outcome.err


def test_two_audio_tracks_in_mp4(tmp_path: Path, upscale: Vsr) -> None:
    tracks = (Track(language="eng"), Track(hz=880, language="fra", default=False))
    source = make(tmp_path / "in.mp4", Clip(audio=tracks))
    upscale(source, "-o", tmp_path / "out.mp4")
    before, after = facts(source), facts(tmp_path / "out.mp4")
    assert after.of("audio") == before.of("audio")


def test_languages_go_into_mov_by_the_names_that_its_muxer_knows(
    tmp_path: Path, upscale: Vsr
) -> None:
    codes = ("deu", "swe", "fre", "hrv")
    tracks = tuple(Track(hz=440 + 40 * i, language=code) for i, code in enumerate(codes))
    source = make(tmp_path / "in.mp4", Clip(audio=tracks))
    assert [s.language for s in facts(source).of("audio")] == list(codes)
    outcome = upscale(source, "-o", tmp_path / "out.mov")
    assert [s.language for s in facts(tmp_path / "out.mov").of("audio")] == [
        "ger",
        "sve",
        "fra",
        "",
    ]
    assert "mov holds no languages such as hrv" in outcome.err
    assert upscale(tmp_path / "out.mov", "-o", tmp_path / "out.mkv", "--scale", "2").err == ""
    after = [s.language for s in facts(tmp_path / "out.mkv").of("audio")]
    assert after == ["ger", "swe", "fra", ""]


def test_the_mov_muxer_keeps_every_language_that_it_is_said_to_know(tmp_path: Path) -> None:
    codes = sorted({language_in("mov", code) for code in (*_KNOWN, *_IN_MOV)})
    with av.open(str(tmp_path / "all.mov"), "w") as file:
        for code in codes:
            file.add_stream("pcm_s16le", rate=8000, layout="mono").metadata["language"] = code
        file.start_encoding()
        for stream in file.streams:
            packet = av.Packet(bytes(16))
            packet.stream, packet.pts, packet.dts = stream, 0, 0
            file.mux(packet)
    with av.open(str(tmp_path / "all.mov")) as file:
        kept = [s.metadata.get("language", "und") for s in file.streams]
    assert kept == codes


@pytest.mark.parametrize("start", [Fraction(0), Fraction(1, 2)])
def test_the_picture_is_counted_where_sound_comes_first(
    tmp_path: Path, upscale: Vsr, start: Fraction
) -> None:
    """A program stream numbers its streams as they begin."""
    source = make(tmp_path / "in.mp4", Clip(start_s=start, options=B_FRAMES))
    upscale(source, "-o", tmp_path / "out.mpg", "-c:v", "mpeg2video")
    with av.open(str(tmp_path / "out.mpg")) as file:
        assert sum(p.size > 0 for p in file.demux(video=0)) == 12
        assert {s.type for s in file.streams} == {"video", "audio"}


def test_the_picture_is_counted_where_a_cover_was_named_first(
    tmp_path: Path, upscale: Vsr, covered: Path
) -> None:
    upscale(covered, "-o", tmp_path / "out.mp4", "--map", "0:2", "--map", "0:0", "-t", "0.4")
    with av.open(str(tmp_path / "out.mp4")) as file:
        assert sum(p.size > 0 for p in file.demux(video=0)) == 10


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its sound begins after what FFmpeg looks at to find out what streams are."""
    return ffmpeg(tmp_path_factory.mktemp("late") / "in.ts",
                  "-f", "lavfi", "-i", "testsrc2=s=64x48:r=4:d=12", "-itsoffset", 8,
                  "-f", "lavfi", "-i", "sine=d=3", "-c:v", "libx264", "-c:a", "aac")  # fmt: skip


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts", ".avi"])
@pytest.mark.parametrize("audio", ["copy", "aac"])
def test_sound_that_was_not_found_is_left_out(
    tmp_path: Path, upscale: Vsr, late: Path, suffix: str, audio: str
) -> None:
    outcome = upscale(late, "-o", tmp_path / f"out{suffix}", "-c:a", audio)
    after = facts(tmp_path / f"out{suffix}")
    assert (len(after.pts), after.others) == (48, ())
    (line,) = outcome.lines
    assert "stream #1 (audio, aac) is not kept" in line
    assert "--input-option analyzeduration=20M" in line


def test_sound_that_was_not_found_is_found_as_the_warning_says(
    tmp_path: Path, upscale: Vsr, late: Path
) -> None:
    target = tmp_path / "out.mkv"
    outcome = upscale(late, "-o", target, "--input-option", "analyzeduration=20M")
    assert len(facts(target).of("audio")[0].packets) > 100
    assert outcome.err == ""


def test_a_rehearsal_tells_of_sound_that_was_not_found(
    tmp_path: Path, upscale: Vsr, late: Path
) -> None:
    outcome = upscale(late, "-o", tmp_path / "out.mkv", "--dry-run")
    assert "left out: its sound was not found near the beginning" in outcome.out


def test_no_audio(tmp_path: Path, upscale: Vsr) -> None:
    source = make(tmp_path / "in.mp4", Clip(audio=()))
    upscale(source, "-o", tmp_path / "out.mp4")
    assert facts(tmp_path / "out.mp4").others == ()


def test_audio_left_out_on_request(tmp_path: Path, upscale: Vsr) -> None:
    source = make(tmp_path / "in.mkv", RICH)
    outcome = upscale(source, "-o", tmp_path / "out.mkv", "-c:a", "none")
    after = facts(tmp_path / "out.mkv")
    assert not after.of("audio")
    assert len(after.of("subtitle")) == 2
    assert outcome.err == ""


@pytest.mark.parametrize("wave", ["0:d=1", "0/0:d=1", "0/0:d=0.01"])
def test_sound_that_its_encoder_refuses_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vsr: Vsr, wave: str
) -> None:
    """Silence at a rate that it has not, and what is no number: early, and less than a frame."""
    if wave == "0:d=1":
        monkeypatch.setattr(convert, "_fitting_rate", lambda *_: 1)  # Hz
    sound = ("-f", "lavfi", "-i", f"aevalsrc={wave}")
    source = ffmpeg(tmp_path / "in.mkv", *PICTURE, *sound, "-c:a", "pcm_f32le")
    outcome = vsr("upscale", source, "-o", tmp_path / "out.mkv", "-c:a", "aac", "-m", "bicubic")
    assert (outcome.code, len(outcome.lines)) == (8, 1)
    assert outcome.err.startswith("vsr: the audio cannot be encoded by aac (")
    assert "use -c:a none" in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]


def test_audio_encoded_on_request(tmp_path: Path, upscale: Vsr) -> None:
    tracks = (Track(codec="libopus", rate=48000, language="eng", title="Tone"),)
    source = make(tmp_path / "in.mkv", Clip(frames=25, audio=tracks))
    upscale(source, "-o", tmp_path / "out.mkv", "-c:a", "aac")
    (was,), (now,) = facts(source).of("audio"), facts(tmp_path / "out.mkv").of("audio")
    assert (now.codec, now.language, now.title) == ("aac", "eng", "Tone")
    length = now.times[-1][0] - now.times[0][0]
    assert abs(length - (was.times[-1][0] - was.times[0][0])) < Fraction(5, 100)


@pytest.mark.parametrize(
    ("suffix", "video", "encoder", "codec"),
    [
        (".webm", "libvpx-vp9", "libopus", "opus"),
        (".ogv", "libvpx", "libopus", "opus"),
        (".mpg", "mpeg2video", "mp2", "mp2"),
    ],
)
def test_audio_that_a_container_cannot_hold_is_converted_and_said(
    tmp_path: Path, upscale: Vsr, suffix: str, video: str, encoder: str, codec: str
) -> None:
    source = make(tmp_path / "in.mp4", Clip(frames=25, audio=(Track(rate=48000),)))
    target = tmp_path / f"out{suffix}"
    outcome = upscale(source, "-o", target, "-c:v", video)
    assert codecs(target, "audio") == [codec]
    (line,) = outcome.lines
    assert line.startswith(f"vsr: warning: stream #1 (audio, aac) is converted to {encoder}")


@pytest.mark.parametrize("codec", ["pcm_mulaw", "g722", "adpcm_ms", "adpcm_yamaha"])
def test_sound_that_pyav_puts_into_no_matroska_loses_nothing(
    tmp_path: Path, upscale: Vsr, codec: str
) -> None:
    sound = ("-c:v", "mpeg4", "-c:a", codec, "-ar", "16000")
    source = ffmpeg(tmp_path / "in.mkv", "-i", make(tmp_path / "plain.mkv"), *sound)
    outcome = upscale(source, "-o", tmp_path / "out.mkv")
    assert "is converted to flac: PyAV writes no " in outcome.err
    assert outcome.err.endswith(f"{codec} into matroska\n")
    assert samples(tmp_path / "out.mkv") == samples(source)


def test_the_last_sound_without_a_duration_is_read(tmp_path: Path, upscale: Vsr) -> None:
    """NUT says none, and of FLAC FFmpeg knows none; mp4's edit list would end before it."""
    source = make(tmp_path / "in.nut", Clip(audio=(Track(codec="flac", rate=32000),)))
    upscale(source, "-o", tmp_path / "out.mp4")
    (was,), (now,) = facts(source).of("audio"), facts(tmp_path / "out.mp4").of("audio")
    assert now.packets == was.packets


def samples(path: Path) -> bytes:
    """The decoded sound."""
    with av.open(str(path)) as file:
        return b"".join(frame.to_ndarray().tobytes() for frame in file.decode(audio=0))


def test_a_codec_that_pyav_puts_into_no_matroska_is_named(tmp_path: Path, vsr: Vsr) -> None:
    source = make(tmp_path / "in.mp4", Clip(audio=()))
    words = ("--model", "bicubic", "-s", "2", "-c:v", "huffyuv", "-o")
    outcome = vsr("upscale", source, *words, tmp_path / "out.mkv")
    assert "PyAV writes no huffyuv into matroska; change -c:v or -o" in outcome.err
    assert vsr("upscale", source, *words, tmp_path / "out.avi").code == 0


def test_a_second_picture_that_pyav_puts_into_no_matroska_is_named(
    tmp_path: Path, upscale: Vsr
) -> None:
    plain = make(tmp_path / "plain.mp4", Clip(audio=()))
    two = ("-i", plain, "-map", "0", "-map", "0", "-c:v:0", "copy", "-c:v:1", "huffyuv")
    source = ffmpeg(tmp_path / "in.nut", *two)
    outcome = upscale(source, "-o", tmp_path / "out.mkv")
    reason = "PyAV writes no huffyuv into matroska; write .nut to keep it"
    assert f"stream #1 (video, huffyuv) is not kept: {reason}" in outcome.err
    assert upscale(source, "-o", tmp_path / "out.nut").err == ""
    assert codecs(tmp_path / "out.nut", "video") == ["h264", "huffyuv"]


def test_a_second_picture_that_avi_refuses_packet_by_packet_is_named(
    tmp_path: Path, upscale: Vsr
) -> None:
    """Framed as in mp4; with start codes, as in a transport stream, it is copied."""
    plain = make(tmp_path / "plain.mp4", Clip(audio=()))
    two = ("-i", plain, "-map", "0", "-map", "0", "-c", "copy")
    framed, coded = ffmpeg(tmp_path / "in.mkv", *two), ffmpeg(tmp_path / "in.ts", *two)
    outcome = upscale(framed, "-o", tmp_path / "one.avi")
    assert "stream #1 (video, h264) is not kept: avi cannot hold it" in outcome.err
    assert upscale(coded, "-o", tmp_path / "two.avi").err == ""
    assert codecs(tmp_path / "two.avi", "video") == ["h264", "h264"]


def test_audio_that_only_a_picture_lets_in_is_copied(tmp_path: Path) -> None:
    source = make(tmp_path / "in.mov", Clip(audio=(Track(codec="pcm_s16le", rate=48000), Track())))
    with av.open(str(source)) as file:
        _, plain, packed = plan_streams(file, video=0, container="mxf", audio="copy")
    assert plain.action is Action.COPY
    assert (packed.action, packed.encoder) == (Action.CONVERT, "pcm_s16le")


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30000, 1001)])
def test_mxf_keeps_pictures_after_the_sound(tmp_path: Path, upscale: Vsr, rate: Fraction) -> None:
    """What is missing of either track is silence; the sound itself is the source's."""
    tracks = (Track(codec="pcm_s16le", rate=48000), Track(codec="pcm_s24le", rate=48000))
    source = make(tmp_path / "in.mov", Clip(frames=25, rate=rate, audio=tracks))
    target = tmp_path / "out.mxf"
    upscale(source, "-o", target, "-c:v", "mpeg2video")
    assert len(facts(target).pts) == 25
    samples = int(25 / rate * 48000)
    for before, after, size in zip(sounds(source), sounds(target), (2, 3), strict=True):
        assert len(before) < len(after) == samples * size
        assert after == before + bytes(len(after) - len(before))


@pytest.mark.parametrize("codec", ["pcm_s16le", "aac"])
@pytest.mark.parametrize("late_s", [Fraction(12, 25), Fraction(-12, 25)])
def test_mxf_keeps_sound_and_picture_together(
    tmp_path: Path, upscale: Vsr, codec: str, late_s: Fraction
) -> None:
    """It has no times: what is before the picture is cut off, what is missing there is silent."""
    picture_s, sound_s = max(late_s, Fraction(0)), max(-late_s, Fraction(0))
    track = Track(codec=codec, rate=48000, start_s=sound_s)
    source = make(tmp_path / "in.mov", Clip(frames=50, start_s=picture_s, audio=(track,)))
    target = tmp_path / "out.mxf"
    outcome = upscale(source, "-o", target, "-c:v", "mpeg2video")
    assert len(facts(target).pts) == 50
    assert ("0.48 s of sound before the first picture are left out" in outcome.err) == (late_s > 0)
    before, after = heard(source)[round(picture_s * 48000) :], heard(target)
    assert len(after) == 2 * 48000
    length = min(len(before), len(after))
    assert np.abs(after[:length] - before[:length]).max() < 1e-4
    assert not after[length:].any()


def heard(path: Path) -> np.ndarray:
    """The first sound track from the instant 0."""
    with av.open(str(path)) as file:
        resampler = av.AudioResampler(format="fltp", layout="mono")
        frames = [f for frame in file.decode(audio=0) for f in resampler.resample(frame)]
    before = np.zeros(round(frames[0].pts * frames[0].time_base * 48000))
    return np.concatenate([before, *(frame.to_ndarray()[0] for frame in frames)])


def test_a_rate_that_mxf_has_not_is_refused(tmp_path: Path, vsr: Vsr) -> None:
    source = make(tmp_path / "in.mp4", Clip(frames=2, audio=()))
    done = vsr("upscale", source, "--fps", 4, "--model", "bicubic", "-o", tmp_path / "out.mxf")
    assert (done.code, done.err.splitlines()[-1]) == (
        4,
        f"vsr: {tmp_path / 'out.mxf'}: mxf may have no 4 frames a second; try --fps 25, or another "
        "container, such as .mkv",
    )
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
def test_mxf_gets_sound_at_the_one_rate_that_it_has(
    tmp_path: Path, upscale: Vsr, codec: str
) -> None:
    clip = Clip(frames=25, rate=Fraction(25), audio=(Track(codec=codec, rate=44100),))
    source, target = make(tmp_path / "in.mov", clip), tmp_path / "out.mxf"
    outcome = upscale(source, "-o", target, "-c:v", "mpeg2video")
    of_rate = " of 44100 Hz" if codec == "pcm_s16le" else ""
    assert f"is converted to pcm_s16le: mxf cannot hold {codec}{of_rate}" in outcome.err
    with av.open(str(target)) as file:
        (sound,) = file.streams.audio
        assert sound.rate == 48000
        frames = [frame for frame in file.decode(sound)]
    assert sum(frame.samples for frame in frames) == 48000


@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_f32le"])
@pytest.mark.parametrize("name", ["in.mkv", "in.avi", "in.nut"])
def test_pcm_that_names_no_layout_is_copied_to_mp4(
    tmp_path: Path, upscale: Vsr, name: str, codec: str
) -> None:
    sound = ("-c:v", "mpeg4", "-c:a", codec, "-ac", "2")
    source = ffmpeg(tmp_path / name, "-i", make(tmp_path / "plain.mkv"), *sound)
    with av.open(str(source)) as file:
        assert file.streams.audio[0].layout.name == "2 channels"
    assert upscale(source, "-o", tmp_path / "out.mp4").err == ""
    assert sounds(tmp_path / "out.mp4") == sounds(source)
    with av.open(str(tmp_path / "out.mp4")) as file:
        assert file.streams.audio[0].layout.name == "stereo"


@pytest.mark.parametrize(("channels", "codec"), [(2, "pcm_s16le"), (6, "aac")])
def test_pcm_does_not_abort_the_muxer_of_flv(tmp_path: Path, channels: int, codec: str) -> None:
    """It asserts that there are no places of channels to be written. In a process of its own."""
    sound = ("-c:v", "mpeg4", "-c:a", "pcm_s16le", "-ac", channels)
    source = ffmpeg(tmp_path / "in.avi", "-i", make(tmp_path / "plain.mkv"), *sound)
    order = [sys.executable, "-m", "vsrcli", "upscale", source, "-o", tmp_path / "out.flv"]
    done = subprocess.run([*order, "-m", "bicubic", "-s", "2"], capture_output=True, check=False)
    assert done.returncode == 0
    with av.open(str(tmp_path / "out.flv")) as file:
        (stream,) = file.streams.audio
        assert (stream.codec_context.name, stream.channels) == (codec, channels)


@pytest.mark.parametrize(
    ("name", "layout", "kept"),
    [
        ("out.ts", "2.1", "2.1"),
        ("out.ts", "4.0", "4.0"),
        ("out.ts", "5.0", "5.0"),
        ("out.webm", "6.1", "6.1"),
        ("out.webm", "2.1", "3.0"),  # what Opus has of as many channels
        ("out.mpg", "5.0", "stereo"),
    ],
)
def test_the_encoder_of_sound_gets_a_layout_that_it_takes(
    tmp_path: Path, upscale: Vsr, name: str, layout: str, kept: str
) -> None:
    sound = ("-c:v", "copy", "-c:a", "pcm_s16le", "-af", f"aformat=channel_layouts={layout}")
    source = ffmpeg(tmp_path / "in.mkv", "-i", make(tmp_path / "plain.mkv"), *sound)
    encoder = ("-c:v", "libvpx") if name == "out.webm" else ()
    outcome = upscale(source, "-o", tmp_path / name, *encoder)
    assert ("mixed to stereo" in outcome.err) == (kept == "stereo")
    with av.open(str(tmp_path / name)) as file:
        assert next(file.decode(audio=0)).layout.name == kept


@pytest.mark.parametrize(("rate", "kept"), [(192000, 96000), (12345, 12000), (44100, 44100)])
def test_sound_is_resampled_to_a_rate_that_aac_has(
    tmp_path: Path, upscale: Vsr, rate: int, kept: int
) -> None:
    source = make(tmp_path / "in.mkv", Clip(audio=(Track(codec="flac", rate=rate),)))
    upscale(source, "-o", tmp_path / "out.mov")
    with av.open(str(source)) as before, av.open(str(tmp_path / "out.mov")) as after:
        assert after.streams.audio[0].rate == kept
        lasts = [float(sum(f.samples for f in c.decode(audio=0))) for c in (before, after)]
    assert lasts[1] / kept == pytest.approx(lasts[0] / rate, abs=0.1)


def sounds(path: Path) -> list[bytes]:
    """The data of each sound track."""
    with av.open(str(path)) as file:
        found = {stream.index: b"" for stream in file.streams.audio}
        for packet in file.demux(*file.streams.audio):
            found[packet.stream.index] += bytes(packet)
        return list(found.values())


def test_a_container_without_h264_gets_what_it_holds(tmp_path: Path, vsr: Vsr) -> None:
    source = make(tmp_path / "in.mp4", Clip(audio=()))
    outcome = vsr("upscale", source, "-o", tmp_path / "out.ogv", "--model", "bicubic")
    assert outcome.code == 0, outcome.err
    assert codecs(tmp_path / "out.ogv", "video") == ["vp8"]


@pytest.mark.parametrize("encoder", ["mpeg2video", "mpeg1video"])
def test_an_encoder_of_some_rates_gets_one(tmp_path: Path, upscale: Vsr, encoder: str) -> None:
    source = make(tmp_path / "in.mp4", Clip(audio=()))
    upscale(source, "-o", tmp_path / "out.mkv", "-c:v", encoder)
    assert codecs(tmp_path / "out.mkv", "video") == [encoder]
    wanted = [start for start, _ in facts(source).times]
    assert [start for start, _ in facts(tmp_path / "out.mkv").times] == wanted


def codecs(path: Path, kind: str) -> list[str]:
    """Of the streams of a kind, in order."""
    with av.open(str(path)) as file:
        return [s.codec_context.codec.canonical_name for s in file.streams if s.type == kind]


def test_subtitles_that_a_transport_stream_cannot_hold_are_named(
    tmp_path: Path, upscale: Vsr
) -> None:
    source = make(tmp_path / "in.mkv", Clip(subtitles=(Text(),)))
    outcome = upscale(source, "-o", tmp_path / "out.ts")
    assert not facts(tmp_path / "out.ts").of("subtitle")
    assert [line for line in outcome.lines if "subtitle" in line and "not kept" in line]


@pytest.mark.parametrize("start", ["0.1", "0.2"])
def test_chapters_follow_a_cut(tmp_path: Path, upscale: Vsr, start: str) -> None:
    source = make(tmp_path / "in.mkv", RICH)
    upscale(source, "-o", tmp_path / "out.mkv", "-ss", start)
    chapters = facts(tmp_path / "out.mkv").chapters
    at = Fraction(start)
    two = (Fraction(2, 10) - at, Fraction(48, 100) - at, "Two")
    one = ((Fraction(0), Fraction(2, 10) - at, "One"),) if start == "0.1" else ()
    assert chapters == (*one, two)


@pytest.mark.parametrize(("end", "ends"), [("0.1", ["0.1"]), ("0.3", ["0.2", "0.3"])])
def test_chapters_end_with_a_cut(tmp_path: Path, upscale: Vsr, end: str, ends: list[str]) -> None:
    source = make(tmp_path / "in.mkv", RICH)
    upscale(source, "-o", tmp_path / "out.mkv", "-t", end)
    found = facts(tmp_path / "out.mkv").chapters
    assert [stop for _, stop, _ in found] == [Fraction(each) for each in ends]


def test_mp4_is_ready_to_stream(tmp_path: Path, upscale: Vsr) -> None:
    source = make(tmp_path / "in.mp4")
    upscale(source, "-o", tmp_path / "out.mp4")
    data = (tmp_path / "out.mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("threads", [1, 3])
def test_the_decoder_keeps_to_its_threads(tmp_path: Path, threads: int) -> None:
    with Source(make(tmp_path / "a.mp4"), threads=threads) as source:
        assert source.stream.codec_context.thread_count == threads


def test_data_that_a_container_cannot_hold_is_named(tmp_path: Path, upscale: Vsr) -> None:
    (tmp_path / "data.bin").write_bytes(bytes(range(256)) * 8)
    data = ("-f", "data", "-i", tmp_path / "data.bin", "-map", "0", "-map", "1", "-c", "copy")
    source = ffmpeg(tmp_path / "in.ts", "-i", make(tmp_path / "plain.ts"), *data)
    (line,) = upscale(source, "-o", tmp_path / "out.mkv").lines
    assert line.endswith("stream #2 (data, bin_data) is not kept: matroska cannot hold it")


@pytest.mark.parametrize("name", ["out.avi", "out.wmv"])
def test_the_track_of_chapters_is_no_junk_elsewhere(
    tmp_path: Path, upscale: Vsr, name: str
) -> None:
    source = make(tmp_path / "in.mp4", Clip(chapters=((0, 480, "One"),)))
    with av.open(str(source)) as file:
        assert [s.type for s in file.streams] == ["video", "audio", "data"]
    outcome = upscale(source, "-o", tmp_path / name, "-c:v", "mpeg4")
    assert "stream #2 (data, bin_data) is not kept" in outcome.err
    with av.open(str(tmp_path / name)) as file:
        assert [s.type for s in file.streams] == ["video", "audio"]


def test_segments_of_a_picture_that_is_not_the_first_stream(tmp_path: Path, upscale: Vsr) -> None:
    """Each segment has an encoder of its own, whose packets belong to the stream of the first."""
    source = make(tmp_path / "in.mkv", Clip())
    first, out = tmp_path / "first.mkv", tmp_path / "out.mkv"
    upscale(source, "-o", first, "--map", "0:a", "--map", "0:v")
    assert av.open(str(first)).streams[0].type == "audio"
    upscale(first, "-o", out, "--segment", 5)
    before, after = facts(first), facts(out)
    assert (len(after.times), after.pts) == (12, before.pts)
    assert after.of("audio")[0].packets == before.of("audio")[0].packets


@pytest.mark.parametrize("codec", ["png", "mjpeg", "bmp"])
def test_a_cover_is_attached_to_matroska(tmp_path: Path, upscale: Vsr, codec: str) -> None:
    """mp4 has no name for it; FFmpeg reads a BMP as an attachment, the others as covers."""
    video = ("-f", "lavfi", "-i", "testsrc=s=96x64:r=25:d=0.4")
    image = ("-f", "lavfi", "-i", "color=red:s=32x32:d=0.04", "-map", "0", "-map", "1")
    coded = ("-c:v:0", "libx264", "-pix_fmt:v:0", "yuv420p", "-c:v:1", codec)
    cover = ("-disposition:v:1", "attached_pic")
    source, out = ffmpeg(tmp_path / "in.mp4", *video, *image, *coded, *cover), tmp_path / "out.mkv"
    said = upscale(source, "-o", tmp_path / "out.mov").err
    assert "mov cannot hold it; write .mkv to keep it" in said
    assert not upscale(source, "-o", out).err
    (was,), (now,) = facts(source).others, facts(out).others
    assert now.title.startswith("cover.")
    if codec == "bmp":
        assert now.kind == "attachment"
    else:
        assert (now.packets, now.disposition) == (was.packets, was.disposition)


def test_attached_covers_stay_what_they_are(tmp_path: Path, upscale: Vsr) -> None:
    clip = Clip(audio=(), attachments={"cover.png": png(), "small_cover.png": png()})
    source, out = make(tmp_path / "in.mkv", clip), tmp_path / "out.mkv"
    assert not upscale(source, "-o", out, "--segment", 5).err
    assert facts(out).others == facts(source).others
