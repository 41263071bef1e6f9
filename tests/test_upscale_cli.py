"""`vsr upscale` as a user or a script sees it: names, options, progress, signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import pytest
from clips import Clip, Text, Track, make
from conftest import Vsr
from facts import facts
from processes import started

from vsrcli.benchmark.process import run
from vsrcli.media.encoders import check_encoders

VSR = (sys.executable, "-m", "vsrcli")
BICUBIC = ("--model", "bicubic", "--progress", "none")


def x264_settings(path: Path) -> str:
    """What x264 wrote into its stream about itself."""
    data = path.read_bytes()
    at = data.index(b"x264 - core")
    return data[at : at + 900].split(b"\0")[0].decode()


def test_default_name_and_settings(tmp_path: Path, vsr: Vsr) -> None:
    source = make(tmp_path / "my clip.mp4")
    outcome = vsr("upscale", source, *BICUBIC)
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    target = tmp_path / "my clip_x4_bicubic.mp4"
    assert sorted(tmp_path.iterdir()) == sorted([source, target])
    assert facts(target).size == (384, 256)
    settings = x264_settings(target)
    assert "crf=16.0" in settings
    assert "subme=7" in settings  # medium


@pytest.mark.parametrize(("name", "made"), [("a.mkv", "a_x2_bicubic.mkv"), ("b.avi", None)])
def test_default_container_is_the_sources_or_matroska(
    tmp_path: Path, upscale: Vsr, name: str, made: str | None
) -> None:
    tracks = (Track(codec="mp2"),)
    upscale(make(tmp_path / name, Clip(codec="mpeg4", audio=tracks)))
    assert (tmp_path / (made or "b_x2_bicubic.mkv")).is_file()


def test_default_name_tells_the_size_asked_for(tmp_path: Path, upscale: Vsr) -> None:
    upscale(make(tmp_path / "in.mp4"), "--height", 160)
    assert (tmp_path / "in_240x160_bicubic.mp4").is_file()


def test_input_option_is_the_argument(tmp_path: Path, vsr: Vsr) -> None:
    source = make(tmp_path / "in.mp4")
    assert vsr("upscale", "-i", source, "-s", 2, *BICUBIC).code == 0
    assert (tmp_path / "in_x2_bicubic.mp4").is_file()


@pytest.mark.parametrize("source", ["in.mkv", "shot/%05d.png", "-"])
def test_an_option_that_the_demuxer_lacks_is_refused(
    tmp_path: Path, vsr: Vsr, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    """FFmpeg's library passes over it, its command line does not."""
    clip = make(tmp_path / "in.mkv", Clip(frames=3, audio=()))
    assert vsr("upscale", clip, "-o", tmp_path / "shot/%05d.png", "-s", 2, *BICUBIC).code == 0
    with clip.open("rb") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        target = ("-o", tmp_path / "out.mkv")
        name = source if source == "-" else tmp_path / source
        outcome = vsr("upscale", name, *target, "--input-option", "probsize=1M", *BICUBIC)
    assert outcome.code == 2
    assert "--input-option probsize" in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_the_output_may_stand_where_ffmpeg_has_it(tmp_path: Path, vsr: Vsr) -> None:
    source, target = make(tmp_path / "in.mp4"), tmp_path / "out.mkv"
    assert vsr("upscale", "-y", "-i", source, "-s", 2, *BICUBIC, target).code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mkv"]


def test_files_may_be_called_by_their_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vsr: Vsr
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "a:b.mp4", Clip(frames=2))
    assert vsr("upscale", "file:a:b.mp4", "-s", 2, *BICUBIC, "-o", "file:c.mkv").code == 0
    assert vsr("upscale", f"file://{tmp_path}/c.mkv", "-s", 2, *BICUBIC).code == 0
    assert vsr("probe", "file:c_x2_bicubic.mkv", "--no-speed").code == 0
    still = ("-m", "esr-max", "-s", 2, "-o", "file:d.png")
    assert vsr("preview", "file:c.mkv", "--at", 0, *still).code == 0
    (tmp_path / "c.mkv").rename("file:e.mkv")
    assert vsr("upscale", "file:e.mkv", "-s", 2, *BICUBIC, "-o", "f.mkv").code == 0
    made = {"a:b.mp4", "c_x2_bicubic.mkv", "d.png", "f.mkv", "file:e.mkv"}
    assert {path.name for path in tmp_path.iterdir()} == made


def test_ffmpegs_other_words_are_understood(tmp_path: Path, vsr: Vsr) -> None:
    source, target = make(tmp_path / "in.mp4"), tmp_path / "out.mkv"
    outcome = vsr(
        *("upscale", "-hide_banner", "-nostdin", "-nostats", "-y", "-i", source, "-s", 2),
        *("-m", "bicubic", "-threads", 1, "-an", "-r", 50, "-vcodec", "ffv1", target),
    )
    assert (outcome.code, outcome.err) == (0, "")
    with av.open(str(target)) as file:
        assert [stream.codec_context.name for stream in file.streams] == ["ffv1"]
        assert file.streams.video[0].average_rate == 50
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mkv"]


@pytest.mark.parametrize(
    "words",
    [
        ("-an", "-c:a", "copy", "-sn", "-map", "0"),
        ("-c:a", "copy", "-an", "-map", "0", "-sn"),
        ("-sn", "-an", "-map", "0:v", "-map", "0:a", "-map", "0:s", "--audio-codec=copy"),
    ],
)
def test_what_is_left_out_stays_out_whatever_the_order(
    tmp_path: Path, vsr: Vsr, words: tuple[str, ...]
) -> None:
    source = make(tmp_path / "in.mkv", Clip(frames=2, subtitles=(Text(),)))
    outcome = vsr("upscale", "-i", source, "-s", 2, *BICUBIC, *words, "--", tmp_path / "out.mkv")
    assert (outcome.code, outcome.err) == (0, "")
    with av.open(str(tmp_path / "out.mkv")) as file:
        assert [stream.type for stream in file.streams] == ["video"]


def test_rate_before_an_input_with_times_is_refused(tmp_path: Path, vsr: Vsr) -> None:
    """In ffmpeg it would give the frames new times and leave none out; there is no such option."""
    source, target = make(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    outcome = vsr("upscale", "-r", 50, "-i", source, "-s", 2, *BICUBIC, target)
    assert (outcome.code, len(outcome.lines)) == (2, 1)
    assert outcome.err.startswith("vsr: -r before -i would give the frames other times")
    assert "ffmpeg -r 50 -i IN" in outcome.err
    assert vsr("upscale", "-r", 50, "-i", source, "-s", 2, *BICUBIC, "-o", target).code == 0


def test_what_ffmpeg_is_asked_for_and_is_done_anyway_is_no_error(tmp_path: Path, vsr: Vsr) -> None:
    source, target = make(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    outcome = vsr(
        *("upscale", "-i", source, "-map", 0, "-movflags", "+faststart", "-c:s", "copy", "-dn"),
        *("-map_metadata", 0, "-vsync", 0, "-strict", -2, "-s", "200x100", "-noautorotate"),
        *("-c:v:0", "libx264", "-preset:v", "ultrafast", *BICUBIC, target),
    )
    assert (outcome.code, len(outcome.lines)) == (0, 1), outcome.err
    assert "then Lanczos to 200x100" in outcome.err
    assert facts(target).size == (200, 100)


@pytest.mark.parametrize("codec", ["-codec:v:0", "-c:v:0", "-vcodec:0"])
def test_words_may_say_which_stream_as_in_ffmpeg(tmp_path: Path, vsr: Vsr, codec: str) -> None:
    source, target = make(tmp_path / "in.mp4"), tmp_path / "out.mkv"
    outcome = vsr(
        *("upscale", "-i", source, "-s", 2, *BICUBIC, "-c:s:0", "copy", "-codec:s:1", "copy"),
        *("-c:d:0", "copy", "-codec:t", "copy", "-tag:v:0", "hvc1", codec, "ffv1", target),
    )
    assert (outcome.code, outcome.err) == (0, "")
    with av.open(str(target)) as file:
        assert file.streams.video[0].codec_context.name == "ffv1"


def test_values_are_spelt_as_in_ffmpeg(tmp_path: Path, vsr: Vsr) -> None:
    source, target = make(tmp_path / "in.mp4", Clip(audio=())), tmp_path / "out.webm"
    order = ("upscale", "-y", "-v", 16, "-i", source, "-s", 2, *BICUBIC)
    bare = (
        *order,
        "-c:v",
        "libvpx-vp9",
        "-crf",
        60,
        "-b:v",
        0,
        "-t",
        "100000us",
        "-hwaccel",
        "auto",
    )
    outcome = vsr(*bare, target)
    assert (outcome.code, outcome.err) == (0, "")
    deep = (*order, "-loglevel", "level+error", "-c:v", "libx265", "-pix_fmt", "yuv420p10")
    outcome = vsr(*deep, tmp_path / "out.mkv")
    assert (outcome.code, outcome.err) == (0, "")
    assert facts(tmp_path / "out.mkv").pix_fmt == "yuv420p10le"
    outcome = vsr(*order, "-c:v", "hevc_qsv", "-crf", 20, target)
    assert (outcome.code, "use --encoder-option global_quality=20" in outcome.err) == (8, True)


def test_a_format_before_the_input_is_the_inputs_as_in_ffmpeg(tmp_path: Path, vsr: Vsr) -> None:
    first, listed, target = make(tmp_path / "in.mp4"), tmp_path / "list", tmp_path / "out.mkv"
    listed.write_text("file in.mp4\nfile in.mp4\n")
    concat = ("upscale", "-f", "concat", "-i", listed, "-s", 2, *BICUBIC)
    assert vsr(*concat, target).code == 0
    assert len(facts(target).times) == 2 * len(facts(first).times)
    for named in (("-o", tmp_path / "b.mkv"), (f"--output={tmp_path}/b.mkv",)):
        assert "no format 'concat' to write" in vsr(*concat, *named).err


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("-modl", "did you mean --model?"),
        ("-tune", "goes by --encoder-option tune=x"),
        ("-profile:v", "--encoder-option profile=x"),
        ("-level", "--encoder-option level=x"),
        ("-g", "--encoder-option g=x"),
        ("-x264opts", "--encoder-option x264opts=x"),
        ("-vf", "scale is --width or --height"),
        ("-filter:v", "scale is --width or --height"),
        ("-b:a", "ffmpeg -i OUT -map 0 -c copy -c:a aac -b:a x NEW"),
        ("-q:a", "-c:a aac -q:a x NEW"),
        ("-metadata:s:a:0", "ffmpeg -i OUT -map 0 -c copy -metadata:s:a:0 x NEW"),
        ("-movflags", "-c copy -movflags x NEW"),
        ("-stream_loop", "ffmpeg -stream_loop x -i IN -map 0 -c copy -f nut - | vsr upscale -"),
        ("-qscale:v", "--encoder-option qmin=x"),
        ("-c", "-c:v says how the new picture is encoded"),
        ("-c:s", "subtitles are copied"),
        ("-codec:s:0", "subtitles are copied"),
        ("-c:v:1", "-c:v says how the new picture is encoded"),
        ("-pass", "encoded once"),
        ("-safe", "--input-option safe=x"),
        ("-frames:v", "-t takes the length in seconds"),
        ("-vn", "takes the sound alone"),
        ("-cq", "--crf x"),
        ("-vsync", "passthrough, vfr and auto behind it are understood"),
        ("-fps_mode", "so is cfr, which is --cfr"),
    ],
)
def test_a_word_that_is_no_option_is_told_what_does_the_same(
    tmp_path: Path, vsr: Vsr, option: str, said: str
) -> None:
    outcome = vsr("upscale", make(tmp_path / "in.mp4"), option, "x")
    assert (outcome.code, len(outcome.lines)) == (2, 1)
    assert outcome.err.startswith(f"vsr: there is no option {option}; ")
    assert said in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_what_cannot_be_made_of_a_stream_is_told_what_can(tmp_path: Path, vsr: Vsr) -> None:
    source, target = make(tmp_path / "in.mp4"), tmp_path / "out.mkv"
    outcome = vsr("upscale", source, "-o", target, "-c:a", "libopus")
    assert (outcome.code, "-map 0 -c copy -c:a libopus NEW" in outcome.err) == (2, True)
    outcome = vsr("upscale", source, "-o", target, "-s", 2, *BICUBIC, "-c:v", "copy")
    assert (outcome.code, "cannot be copied" in outcome.err) == (8, True)
    outcome = vsr("upscale", "-i", source, "-i", source, target)
    assert (outcome.code, "-i SOUND -map 0:v" in outcome.err) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (("upscale", "in.mp4", "--nope"), "vsr upscale"),
        (("eval", "espcn"), "vsr eval"),
        (("models", "show"), "vsr models show"),
        (("nope",), "vsr"),
    ],
)
def test_what_cannot_be_read_is_told_with_the_help_of_its_command(
    vsr: Vsr, words: tuple[str, ...], command: str
) -> None:
    outcome = vsr(*words)
    assert (outcome.code, len(outcome.lines)) == (2, 1)
    assert outcome.err.endswith(f"; see {command} --help\n")


def test_a_name_too_many_is_told_where_it_goes(tmp_path: Path, vsr: Vsr) -> None:
    source, target = make(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    outcome = vsr("upscale", source, target, "-y")
    assert (outcome.code, len(outcome.lines)) == (2, 1)
    assert f"The output goes by -o {target}" in outcome.err
    assert vsr("probe", source, source).lines == [f"vsr: what is {source}? See vsr probe --help"]
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_values_may_begin_with_a_dash_and_hang_on_a_letter(tmp_path: Path, vsr: Vsr) -> None:
    source = make(tmp_path / "in.mp4")
    options = ("-map", "-0:a", "-s2", f"-o{tmp_path}/-an.mp4", *BICUBIC, "--", source)
    assert vsr("upscale", *options).code == 0
    with av.open(str(tmp_path / "-an.mp4")) as file:
        assert len(file.streams) == 1
    for value in ("-an", "-tune"):  # a name, where one is asked for
        assert f"no model {value!r}" in vsr("upscale", source, "-m", value).err


def test_names_that_shells_and_ffmpeg_trip_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vsr: Vsr
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("te[s]t 'x' %03d.mp4", "a:b.mp4", "ünï.mp4", "-dash.mp4"):
        make(tmp_path / name)
        outcome = vsr("upscale", "-s", 2, *BICUBIC, "--", name)
        assert outcome.code == 0, outcome.err
        assert facts(tmp_path / name.replace(".mp4", "_x2_bicubic.mp4")).size == (192, 128)


def test_brackets_in_a_name_are_no_markup(
    tmp_path: Path, vsr: Vsr, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = make(tmp_path / "in.mp4", Clip(frames=2)), tmp_path / "a[" / "b] [red] :x:.mp4"
    target.parent.mkdir()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    outcome = vsr("upscale", source, "-o", target, "-m", "bicubic", "-s", 2)
    assert outcome.code == 0, outcome.err
    assert f"{target}: 2 frames" in outcome.err


def test_names_and_values_may_hold_what_a_word_of_ffmpegs_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vsr: Vsr
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "b:a.mp4")
    options = ("--map=0:a", "--map=0:v", "--encoder-option=x264-params=ref=2:aud=1", "-r:v", 25)
    outcome = vsr("upscale", "b:a.mp4", *options, "-s", 2, *BICUBIC)
    assert (outcome.code, outcome.err) == (0, "")


def test_existing_output_is_replaced_with_y(tmp_path: Path, upscale: Vsr) -> None:
    source = make(tmp_path / "in.mp4")
    (tmp_path / "out.mp4").write_text("old")
    upscale(source, "-o", tmp_path / "out.mp4", "-y")
    assert len(facts(tmp_path / "out.mp4").times) == 12


OPTIONS = {
    "crf": (("--crf", "30"), "crf=30.0"),
    "bitrate": (("--bitrate", "400k"), "bitrate=400"),
    "preset": (("--preset", "superfast"), "subme=1"),
    "encoder option": (("--encoder-option", "x264-params=keyint=7:bframes=2"), "keyint=7"),
    "two of them": (("--encoder-option", "g=9", "--encoder-option", "tune=grain"), "keyint=9"),
    "ffmpeg's words": (("-crf", "31", "-preset", "veryfast"), "crf=31.0"),
}


@pytest.mark.parametrize(("options", "setting"), OPTIONS.values(), ids=OPTIONS.keys())
def test_encoder_settings_arrive(
    tmp_path: Path, vsr: Vsr, options: tuple[str, ...], setting: str
) -> None:
    source = make(tmp_path / "in.mp4", Clip(frames=3))
    outcome = vsr("upscale", source, "-o", tmp_path / "o.mp4", "-s", 2, *BICUBIC, *options)
    assert outcome.code == 0, outcome.err
    assert setting in x264_settings(tmp_path / "o.mp4")


@pytest.mark.parametrize(
    ("encoder", "codec"),
    [("libx265", "hevc"), ("libsvtav1", "av1"), ("libvpx-vp9", "vp9"), ("ffv1", "ffv1")],
)
def test_other_encoders(tmp_path: Path, upscale: Vsr, encoder: str, codec: str) -> None:
    source = make(tmp_path / "in.mkv")
    upscale(source, "-o", tmp_path / "o.mkv", "-c:v", encoder)
    assert facts(tmp_path / "o.mkv").pts == facts(source).pts
    with av.open(str(tmp_path / "o.mkv")) as file:
        assert file.streams.video[0].codec_context.codec.canonical_name == codec


@pytest.mark.parametrize("encoder", ["libvpx", "libvpx-vp9"])
def test_crf_is_not_held_back_by_a_rate(tmp_path: Path, upscale: Vsr, encoder: str) -> None:
    source = make(tmp_path / "in.mp4", Clip(frames=6, audio=()))
    best, usual = tmp_path / "best.webm", tmp_path / "usual.webm"
    upscale(source, "-o", best, "-c:v", encoder, "--crf", 4)
    upscale(source, "-o", usual, "-c:v", encoder)
    assert best.stat().st_size > 1.3 * usual.stat().st_size


def test_other_encoders_print_nothing(tmp_path: Path) -> None:
    """x265 and SVT-AV1 print past FFmpeg's log, so this needs a process."""
    source = make(tmp_path / "in.mkv", Clip(frames=3))
    for encoder in ("libx265", "libsvtav1"):
        order = (*VSR, "upscale", str(source), "-o", str(tmp_path / f"{encoder}.mkv"))
        done = subprocess.run(
            (*order, "-s", "2", *BICUBIC, "-c:v", encoder), capture_output=True, check=True
        )
        assert (done.stdout, done.stderr) == (b"", b"")


def test_hevc_in_mp4_plays_on_apple(tmp_path: Path, upscale: Vsr) -> None:
    source = make(tmp_path / "in.mp4", Clip(frames=3))
    upscale(source, "-o", tmp_path / "o.mp4", "-c:v", "libx265", "--preset", "ultrafast")
    with av.open(str(tmp_path / "o.mp4")) as file:
        assert file.streams.video[0].codec_context.codec_tag == "hvc1"


@pytest.mark.parametrize("level", ["info", "verbose"])
def test_info_level_tells_what_is_done(tmp_path: Path, vsr: Vsr, level: str) -> None:
    source = make(tmp_path / "in.mp4")
    outcome = vsr("upscale", source, *BICUBIC, "-s", 2, "-loglevel", level)
    assert "96x64 to 192x128" in outcome.err
    assert "stream #1 (audio, aac): copy" in outcome.err
    assert outcome.out == ""


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("-b:v", value) for value in ("inf", "nan", "-5", "1e30", "9e99G")),
        *((option, value) for option in ("-ss", "-t", "-to") for value in ("1e400", "1e30", "inf")),
        *(("--fps", value) for value in ("1e-300", "1e300", "0", "inf")),
    ],
)
def test_numbers_beyond_all_clips_are_refused(
    tmp_path: Path, vsr: Vsr, option: str, value: str
) -> None:
    outcome = vsr("upscale", make(tmp_path / "in.mp4", Clip(frames=2)), *BICUBIC, option, value)
    assert (outcome.code, len(outcome.lines)) == (2, 1), outcome.err


LONG = f"{'n' * 245}.mp4"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("upscale", ""), 3),
        (("upscale", "."), 3),
        (("upscale", "/", "-o", "out.mp4"), 3),
        (("upscale", LONG * 2, "-o", "out.mp4"), 3),
        (("upscale", "in.mp4", "-o", ""), 4),
        (("upscale", "in.mp4", "-o", "."), 4),
        (("upscale", "in.mp4", "-o", "/"), 4),
        (("upscale", "in.mp4", "-o", LONG * 2), 4),
        (("upscale", LONG), 4),  # whose output has a longer name
        (("upscale", LONG, "--dry-run"), 4),
        (("preview", "", "--at", "0"), 3),
        (("preview", LONG, "--at", "0"), 4),
        (("preview", "in.mp4", "--at", "0", "-o", f"{LONG}.png"), 4),
        (("probe", LONG * 2), 3),
        (("batch", ""), 2),
        (("batch", "in.mp4", "-o", ""), 2),
        (("batch", LONG, "--progress", "none"), 10),
        (("batch", LONG * 2, "--progress", "none"), 10),
    ],
)
def test_what_names_no_file_is_told(
    tmp_path: Path, vsr: Vsr, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "in.mp4", Clip(frames=2))
    (tmp_path / LONG).hardlink_to(tmp_path / "in.mp4")
    model = () if words[0] == "probe" else ("--model", "bicubic")
    outcome = vsr(*words, *model)
    assert (outcome.code, "internal" in outcome.err) == (code, False), outcome.err
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("pair", ["aud", "=1"])
def test_every_option_of_an_encoder_has_a_name_and_a_value(vsr: Vsr, pair: str) -> None:
    """Behind one that is given twice, too."""
    said = [word for each in ("aud=0", "aud=1", pair) for word in ("--encoder-option", each)]
    outcome = vsr("upscale", "in.mp4", *said)
    assert outcome.lines == [f"vsr: --encoder-option {pair!r} is not of the form name=value"]


def test_an_error_has_the_name_as_it_is(vsr: Vsr) -> None:
    assert vsr("upscale", "two  blanks.mp4").lines == ["vsr: two  blanks.mp4 does not exist"]


def test_no_input_is_dropped_in_silence(tmp_path: Path, vsr: Vsr) -> None:
    source, out = make(tmp_path / "in.mp4", Clip(frames=2)), tmp_path / "out.mp4"
    for words in (("-i", source, "-i", source, out), ("-i", source, source, "-o", out)):
        outcome = vsr("upscale", *BICUBIC, *words)
        assert (outcome.code, "several go by vsr batch" in outcome.err) == (2, True)
    assert not out.exists()


@pytest.mark.parametrize("level", ["quiet", "fatal", "error"])
def test_quiet_levels_hold_warnings_back(tmp_path: Path, vsr: Vsr, level: str) -> None:
    source = make(tmp_path / "in.mp4")
    outcome = vsr("upscale", source, *BICUBIC, "--height", 100, "-v", level)
    assert (outcome.code, outcome.err) == (0, "")


def test_model_folder_instead_of_an_id(tmp_path: Path, vsr: Vsr) -> None:
    from vsrcli.models import find_model

    source = make(tmp_path / "in.mp4", Clip(frames=2))
    folder = find_model("bicubic").folder
    outcome = vsr("upscale", source, "-s", 2, "--model", folder, "--progress", "none")
    assert outcome.code == 0, outcome.err
    assert (tmp_path / "in_x2_bicubic.mp4").is_file()


@pytest.mark.parametrize(
    ("name", "code", "word"),
    [("TERM", 143, b"terminated"), ("INT", 130, b"interrupted"), ("HUP", 129, b"hung up")],
)
@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_signals_leave_nothing_behind(tmp_path: Path, name: str, code: int, word: bytes) -> None:
    number = signal.Signals[f"SIG{name}"]
    source = make(tmp_path / "in.mp4", Clip(frames=400, size=(320, 180), audio=()))
    target = tmp_path / "out.mp4"
    target.write_text("precious")
    order = (*VSR, "upscale", str(source), "-o", str(target), "-y", "--model", "bicubic")
    with started(
        (*order, "--progress", "json", "--preset", "slow"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert b'"start"' in process.stdout.readline()
        assert b'"progress"' in process.stdout.readline()
        began = time.monotonic()
        process.send_signal(number)
        rest, said = process.communicate(timeout=30)
    assert process.returncode == code, said
    last = json.loads(rest.splitlines()[-1])
    assert (last["event"], last["code"]) == ("error", code)
    assert time.monotonic() - began < 10
    assert said.startswith(b"vsr: " + word)
    assert said.count(b"\n") == 1
    assert sorted(tmp_path.iterdir()) == sorted([source, target])
    assert target.read_text() == "precious"


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_a_closed_terminal_is_nothing_to_nohup(tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", Clip(frames=60, audio=()))
    order = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *VSR, "upscale", str(source)]
    order += ["--model", "bicubic", "--preset", "slow", "--progress", "json"]
    with started(order, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert b'"start"' in process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        out, said = process.communicate(timeout=30)
    assert (process.returncode, b'"done"' in out) == (0, True), said


def test_api_does_what_the_command_does(tmp_path: Path, upscale: Vsr) -> None:
    from vsrcli.job import Job
    from vsrcli.media.settings import VideoOptions
    from vsrcli.pipeline import upscale as run
    from vsrcli.progress import Progress

    source = make(tmp_path / "in.mp4")
    upscale(source, "-o", tmp_path / "cli.mp4")
    seen: list[Progress] = []
    video = VideoOptions(preset="ultrafast")
    job = Job(source=source, target=tmp_path / "api.mp4", model="bicubic", scale=2, video=video)
    report = run(job, seen.append)
    assert (report.frames, report.width, report.height) == (12, 192, 128)
    assert [step.frame for step in seen] == list(range(1, 13))
    assert facts(tmp_path / "api.mp4").pictures == facts(tmp_path / "cli.mp4").pictures
    assert Fraction(seen[-1].out_time_s).limit_denominator(1000) == Fraction(11, 25)


@pytest.mark.skipif(sys.platform != "linux", reason="needs the peak memory of another process")
def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    peaks = []
    for frames in (80, 480):
        source = make(tmp_path / f"{frames}.mkv", Clip(frames=frames, size=(160, 90)))
        ran = run((*VSR, "upscale", source, *BICUBIC, "--preset", "ultrafast", "-v", "quiet"))
        peaks.append(ran.peak_mib)
    short, long = peaks
    assert short is not None
    assert long is not None
    assert long < 1.1 * short


@pytest.mark.parametrize("encoder", ["h264_nvenc", "hevc_nvenc", "av1_nvenc"])
def test_encoder_without_its_hardware(tmp_path: Path, vsr: Vsr, encoder: str) -> None:
    if check_encoders([encoder])[0].works:
        pytest.skip("this machine has the hardware")
    source, out = make(tmp_path / "in.mp4", Clip(audio=())), tmp_path / "out.mp4"
    outcome = vsr("upscale", source, "-o", out, "-c:v", encoder, "--model", "bicubic", "-s", "2")
    (line,) = outcome.lines
    assert (outcome.code, out.exists()) == (8, False)
    instead = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1"}[encoder.split("_")[0]]
    assert f"{encoder} cannot be opened" in line
    assert f"use -c:v {instead}" in line


@pytest.mark.parametrize("device", ["cuda:x", "tensorrt:x", "gpu:x", "npu"])
def test_a_device_that_is_none_is_named(tmp_path: Path, vsr: Vsr, device: str) -> None:
    source = make(tmp_path / "in.mp4")
    for command in (("upscale", source), ("preview", source, "--at", 0)):
        outcome = vsr(*command, "--device", device, "--model", "esr-max")
        assert outcome.code == 7
        assert f"unknown device '{device}'" in outcome.err


def test_an_encoder_whose_name_is_no_text_is_missing(tmp_path: Path, vsr: Vsr) -> None:
    source = make(tmp_path / "in.mp4")
    for binary in ((), ("--ffmpeg", "auto")):
        outcome = vsr("upscale", source, *BICUBIC, "-c:v", "\udcff", *binary)
        assert outcome.code == 8
        assert "internal" not in outcome.err
