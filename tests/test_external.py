"""--ffmpeg: the binary encodes, and everything else stays as it is."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import pytest
from cases import MASTERED, captioned
from clips import VFR_TIMES, Clip, make
from conformance import held
from conftest import Vsr
from facts import facts
from processes import started

from vsrcli.errors import EncodeError
from vsrcli.media.ffmpeg import ffmpeg_binary

ENCODER = 8
AOM = ("-c:v", "libaom-av1", "--encoder-option", "cpu-used=8", "--ffmpeg", "auto")
HDR = (9, 16, 9, 1)
ODD = ("--width", 191, "--height", 127)
FILES = ("in", "own", "other")
BASE = ("--model", "bicubic", "-s", 2, "--progress", "none")


@pytest.fixture(scope="module")
def binary() -> str:
    try:
        return ffmpeg_binary()
    except EncodeError:
        pytest.skip("there is no ffmpeg binary for this platform")


def test_an_encoder_that_pyav_lacks(tmp_path: Path, vsr: Vsr, binary: str) -> None:
    source, target = make(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    outcome = vsr("upscale", source, "-o", target, *BASE, *AOM, "--segment", 5)
    assert (outcome.code, outcome.err) == (0, "")
    before, after = facts(source), facts(target)
    assert after.times == before.times
    assert after.others == before.others
    assert after.size == (192, 128)
    with av.open(str(target)) as file:
        assert file.streams.video[0].codec_context.codec.canonical_name == "av1"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


def test_times_colours_and_shape_are_kept(tmp_path: Path, vsr: Vsr, binary: str) -> None:
    """Frames out of order in the stream, at uneven times, from a start of their own."""
    clip = Clip(
        times=VFR_TIMES,
        time_base=Fraction(1, 1000),
        start_s=Fraction(3, 10),
        color=(9, 16, 9, 1),
        sar=Fraction(4, 3),
        pix_fmt="yuv420p10le",
    )
    source = make(tmp_path / "in.mp4", clip)
    for name, more in (("own", ()), ("other", ("--ffmpeg", binary))):
        given = ("-o", tmp_path / f"{name}.mp4", "--preset", "veryfast", "-c:v", "libx264", *more)
        outcome = vsr("upscale", source, *BASE, *given)
        assert (outcome.code, outcome.err) == (0, "")
    before, own, other = (facts(tmp_path / f"{name}.mp4") for name in FILES)
    assert other.pts == before.pts
    assert other.times == own.times
    assert (other.color, other.sar, other.pix_fmt) == (before.color, before.sar, "yuv420p10le")


@pytest.mark.parametrize("encoder", ["libvpx", "libvpx-vp9"])
def test_webm_of_a_binary_is_that_of_pyav(
    tmp_path: Path, vsr: Vsr, binary: str, encoder: str
) -> None:
    """VP8, which mp4 and mov do not take, too; and chroma that covers more than the picture."""
    clip = Clip(times=VFR_TIMES, time_base=Fraction(1, 1000), color=(1, 1, 1, 1), audio=())
    source = make(tmp_path / "in.mkv", clip)
    for name, more in (("own", ()), ("other", ("--ffmpeg", binary, "--segment", 5))):
        given = ("-o", tmp_path / f"{name}.webm", "-c:v", encoder, *more)
        assert vsr("upscale", source, *BASE[:2], *given, *ODD).code == 0
    before, own, other = (facts(next(tmp_path.glob(f"{name}.*"))) for name in FILES)
    assert other.pts == before.pts
    assert (other.times, other.size) == (own.times, (191, 127))
    assert (other.color, other.pix_fmt) == (own.color, own.pix_fmt)


@pytest.mark.parametrize("encoder", ["libxvid", "libopenh264"])
def test_the_frame_rate_is_told(tmp_path: Path, vsr: Vsr, binary: str, encoder: str) -> None:
    """Matroska says from it how long the last frame is shown."""
    source, target = make(tmp_path / "in.mkv", Clip(audio=())), tmp_path / "out.mkv"
    outcome = vsr("upscale", source, "-o", target, *BASE, "-c:v", encoder, "--ffmpeg", "auto")
    assert (outcome.code, outcome.err) == (0, "")
    before, after = facts(source), facts(target)
    assert (after.rate, after.times) == (before.rate, before.times)


@pytest.mark.parametrize(("encoder", "suffix"), [("libxvid", ".ts"), ("libopenh264", ".avi")])
def test_containers_without_a_place_for_a_header(
    tmp_path: Path, vsr: Vsr, binary: str, encoder: str, suffix: str
) -> None:
    source, target = make(tmp_path / "in.mkv", Clip(audio=())), tmp_path / f"out{suffix}"
    order = ("-c:v", encoder, "--ffmpeg", "auto", "--segment", 5)
    outcome = vsr("upscale", source, "-o", target, *BASE, *order)
    assert (outcome.code, outcome.err) == (0, "")
    before, after = facts(source), facts(target)
    assert [at - after.pts[0] for at in after.pts] == before.pts


def test_hevc_is_named_as_pyav_names_it(tmp_path: Path, vsr: Vsr, binary: str) -> None:
    source, target = make(tmp_path / "in.mkv", Clip(frames=3, audio=())), tmp_path / "out.mp4"
    order = ("-c:v", "libkvazaar", "--ffmpeg", "auto")
    assert vsr("upscale", source, "-o", target, *BASE, *order).code == 0
    with av.open(str(target)) as file:
        assert file.streams.video[0].codec_context.codec_tag == "hvc1"


@pytest.mark.parametrize("encoder", ["libxvid", "libopenh264"])
def test_a_bit_rate_is_kept_at_any_frame_rate(
    tmp_path: Path, vsr: Vsr, binary: str, encoder: str
) -> None:
    clip = Clip(frames=120, rate=Fraction(60), time_base=Fraction(1, 60000), audio=())
    source, target = make(tmp_path / "in.mkv", clip), tmp_path / "out.mkv"
    order = ("-c:v", encoder, "--ffmpeg", "auto", "-b:v", "400k")
    assert vsr("upscale", source, "-o", target, *BASE, *order).code == 0
    with av.open(str(target)) as file:
        bits = 8 * sum(packet.size for packet in file.demux(video=0))
    assert 300_000 < bits / 2 < 500_000


def test_a_late_start_stays_where_frames_are_decoded_long_before(
    tmp_path: Path, vsr: Vsr, binary: str
) -> None:
    source = make(tmp_path / "in.mp4", Clip(start_s=Fraction(1, 10)))
    target = tmp_path / "out.mp4"
    order = ("-c:v", "libkvazaar", "--ffmpeg", "auto")
    assert vsr("upscale", source, "-o", target, *BASE, *order).code == 0
    assert facts(target).pts == facts(source).pts


def test_the_container_says_the_pixel_aspect(tmp_path: Path, vsr: Vsr, binary: str) -> None:
    """AV1 does not, and its decoder takes pixels for square."""
    clip = Clip(frames=3, sar=Fraction(16, 15), audio=())
    source, target = make(tmp_path / "in.mp4", clip), tmp_path / "out.mp4"
    assert vsr("upscale", source, "-o", target, *BASE, *AOM).code == 0
    assert facts(target).sar == clip.sar


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
def test_prores_says_its_profile(tmp_path: Path, vsr: Vsr, binary: str, suffix: str) -> None:
    source, target = make(tmp_path / "in.mkv", Clip(frames=3, audio=())), tmp_path / f"out{suffix}"
    order = ("-c:v", "prores_ks", "--encoder-option", "profile=proxy", "--ffmpeg", binary)
    assert vsr("upscale", source, "-o", target, *BASE, *order).code == 0
    with av.open(str(target)) as file:
        assert file.streams.video[0].codec_context.codec_tag == "apco"


@pytest.mark.parametrize("name", ["out.nut", "out.y4m"])
def test_pictures_that_are_not_coded_need_no_binary(
    tmp_path: Path, vsr: Vsr, binary: str, name: str
) -> None:
    source, target = make(tmp_path / "in.mkv", Clip(audio=())), tmp_path / name
    raw = () if name.endswith("y4m") else ("-c:v", "rawvideo")
    outcome = vsr("upscale", source, "-o", target, *BASE, *raw, "--ffmpeg", binary)
    assert (outcome.code, outcome.err) == (0, "")
    assert facts(target).pts == facts(source).pts


def test_transparency_that_would_be_lost_ends_the_run(
    tmp_path: Path, vsr: Vsr, binary: str
) -> None:
    clip = Clip(frames=3, codec="ffv1", pix_fmt="yuva420p", audio=())
    source, target = make(tmp_path / "in.mkv", clip), tmp_path / "out.webm"
    order = ("upscale", source, "-o", target, *BASE, "-c:v", "libvpx-vp9", "--ffmpeg", binary)
    outcome = vsr(*order)
    assert (outcome.code, len(outcome.lines)) == (ENCODER, 1), outcome.err
    assert "would lose the transparency" in outcome.err
    assert vsr(*order, "--alpha", "drop").code == 0


def test_captions_that_are_lost_are_named(tmp_path: Path, vsr: Vsr, binary: str) -> None:
    source, target = captioned(tmp_path), tmp_path / "out.mp4"
    order = ("upscale", source, "-o", target, *BASE, "--preset", "ultrafast")
    outcome = vsr(*order, "-c:v", "libx264", "--ffmpeg", binary)
    assert outcome.code == 0
    assert "keep them without --ffmpeg" in outcome.err
    assert not held(target).captions


@pytest.mark.parametrize(("suffix", "rotation"), [(".mkv", 90), (".ts", 0)])
def test_a_rotation_is_kept_or_its_loss_is_said(
    tmp_path: Path, vsr: Vsr, binary: str, suffix: str, rotation: int
) -> None:
    source = make(tmp_path / "in.mp4", Clip(frames=3, rotation=90, audio=()))
    target = tmp_path / f"out{suffix}"
    outcome = vsr("upscale", source, "-o", target, *BASE, "-c:v", "libx264", "--ffmpeg", binary)
    assert outcome.code == 0
    assert abs(facts(target).rotation) == rotation
    assert ("holds no rotation" in outcome.err) == (not rotation)


def test_ten_bits_stay_ten_and_the_loss_of_mastering_metadata_is_said(
    tmp_path: Path, vsr: Vsr, binary: str
) -> None:
    options = {"preset": "ultrafast", "x265-params": MASTERED}
    clip = Clip(frames=3, codec="libx265", pix_fmt="yuv420p10le", color=HDR, options=options)
    source = make(tmp_path / "in.mp4", clip)
    mastered = (*BASE, "-c:v", "libx265", "--preset", "ultrafast", "--ffmpeg", binary)
    for order, said in ((mastered, 0), ((*BASE, *AOM), 1)):
        outcome = vsr("upscale", source, "-o", tmp_path / "out.mp4", *order, "-y")
        assert (outcome.code, len(outcome.lines)) == (0, said), outcome.err
        assert ("is not told the HDR mastering metadata" in outcome.err) == bool(said)
        after = facts(tmp_path / "out.mp4")
        assert (after.pix_fmt, after.color) == ("yuv420p10le", HDR)
        if not said:
            assert held(tmp_path / "out.mp4").hdr == held(source).hdr


def test_the_pictures_are_those_of_pyav(tmp_path: Path, vsr: Vsr, binary: str) -> None:
    source = make(tmp_path / "in.mkv", Clip(codec="ffv1"))
    for name, more in (("own", ()), ("other", ("--ffmpeg", binary))):
        outcome = vsr(
            "upscale", source, "-o", tmp_path / f"{name}.mkv", *BASE, "-c:v", "ffv1", *more
        )
        assert outcome.code == 0, outcome.err
    own, other = facts(tmp_path / "own.mkv"), facts(tmp_path / "other.mkv")
    assert (own.pictures, own.pts) == (other.pictures, other.pts)


def test_pyav_goes_first_with_auto(
    tmp_path: Path, vsr: Vsr, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vsrcli.media.external.ffmpeg_binary", lambda: "none")
    source = make(tmp_path / "in.mp4")
    order = ("upscale", source, "-o", tmp_path / "out.mp4", *BASE, "--preset", "ultrafast")
    assert vsr(*order, "--ffmpeg", "auto").code == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-c:v", "libaom-av1"), "--ffmpeg auto"),
        (("-c:v", "libx2", "--ffmpeg", "auto"), "has no encoder 'libx2'"),
        (("-c:v", "libx264", "--ffmpeg", "/no/such/file"), "cannot be run"),
        ((*AOM, "--encoder-option", "nothing=1"), "nothing"),
        ((*AOM, "--pix-fmt", "rgb24"), "cannot encode rgb24"),
        (("-c:v", "libxvid", "--ffmpeg", "auto", "-o", "out.webm"), "cannot hold libxvid"),
        ((*AOM, "-o", "out.ts"), "cannot hold libaom-av1"),
    ],
)
def test_what_cannot_be_is_one_line(
    tmp_path: Path,
    vsr: Vsr,
    binary: str,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    source = make(tmp_path / "in.mp4")
    outcome = vsr("upscale", source, "-o", "out.mp4", *BASE, *options)
    assert (outcome.code, len(outcome.lines)) == (ENCODER, 1), outcome.err
    assert words in outcome.err
    assert [p.name for p in tmp_path.iterdir()] == ["in.mp4"]


def test_odd_sides_that_a_binary_refuses(tmp_path: Path, vsr: Vsr, binary: str) -> None:
    source, given = make(tmp_path / "in.mp4"), ("-c:v", "libxvid", "--ffmpeg", binary)
    outcome = vsr("upscale", source, "-o", tmp_path / "out.mkv", *BASE[:2], *given, *ODD)
    assert outcome.code == ENCODER
    assert "libxvid needs even sides in yuv420p and the output is 191x127" in outcome.err


def script_of(folder: Path, binary: str, *, trial: str = "", run: str = "") -> Path:
    """A script that stands for the binary: the first call after -h is the trial. Each may end in
    lines of its own, in which $0 is the script; what is left of it is the binary's."""
    script = folder / "ffmpeg"
    script.write_text(
        f"""#!/bin/sh
case "$*" in *" -h "*) exec {binary} "$@";; esac
if mkdir {folder}/tried 2>/dev/null; then {trial or ":"}; exec {binary} "$@"; fi
{run}
exec {binary} "$@"
"""
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return script


@pytest.mark.parametrize(
    ("trial", "run", "words"),
    [
        ("", 'head -c 300000 | {} "$@"; echo "[enc] lost" >&2; exit 1', "of ffmpeg refused"),
        ('{} "$@"; rm "$0"; exit', "", "cannot be run"),
        ("", 'rm "$0"', "cannot be run"),
        ("echo no film; exit", "echo no film; exit", "of ffmpeg refused"),
    ],
)
def test_a_binary_that_fails(
    tmp_path: Path, vsr: Vsr, binary: str, trial: str, run: str, words: str
) -> None:
    """Within its input, or as it is gone after the trial or after a segment, or it is none."""
    script = script_of(tmp_path, binary, trial=trial.format(binary), run=run.format(binary))
    source = make(tmp_path / "in.mkv", Clip(frames=60))
    order = ("-c:v", "libx264", "--preset", "ultrafast", "--ffmpeg", script, "--segment", 0)
    order = (*order[:-1], 10) if run.startswith("rm") else order
    outcome = vsr("upscale", source, "-o", tmp_path / "out.mkv", *BASE, *order)
    assert (outcome.code, len(outcome.lines)) == (ENCODER, 1), outcome.err
    assert words in outcome.err
    assert not (tmp_path / "out.mkv").exists()


@pytest.mark.skipif(os.name == "nt", reason="SIGINT cannot be sent to one program there")
def test_ctrl_c_ends_a_run_whose_binary_hangs(tmp_path: Path, binary: str) -> None:
    script = script_of(tmp_path, binary, run=f"touch {tmp_path}/hung; exec sleep 60")
    source, target = make(tmp_path / "in.mkv"), tmp_path / "out.mkv"
    order = ("upscale", source, "-o", target, *BASE, "-c:v", "libx264", "--ffmpeg", script)
    command = [sys.executable, "-m", "vsrcli", *map(str, order)]
    with started(command, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 30
        while not (tmp_path / "hung").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=20)[1]
    assert (process.returncode, said) == (130, "vsr: interrupted; nothing was written\n")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ffmpeg", "hung", "in.mkv", "tried"]


def test_a_dry_run_says_it(tmp_path: Path, vsr: Vsr, binary: str) -> None:
    source = make(tmp_path / "in.mkv")
    order = ("upscale", source, *BASE[:-2], *AOM, "--dry-run", "--progress", "json")
    assert json.loads(vsr(*order).out)["encoder"] == "libaom-av1"


def test_doctor_says_whose_an_encoder_is(vsr: Vsr, binary: str) -> None:
    found = json.loads(vsr("doctor", "--json").out)["encoders"]
    places = {entry["name"]: (entry["from"], entry["works"]) for entry in found}
    assert places["libx264"] == ("av", True)
    assert places["libaom-av1"] == ("ffmpeg", True)
