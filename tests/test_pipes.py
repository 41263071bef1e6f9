"""`ffmpeg … | vsr upscale - -o - | ffmpeg …` with a real ffmpeg, and pipes that break."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from threading import Thread

import imageio_ffmpeg
import pytest
from clips import VFR_TIMES, Clip, Track, make
from conftest import Vsr
from facts import Facts, facts
from processes import started

from vsrcli.errors import InputError
from vsrcli.job import Job
from vsrcli.media.source import Source
from vsrcli.pipeline import upscale as run

FFMPEG = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error"]
VSR = [sys.executable, "-m", "vsrcli", "upscale"]
QUICK = ["--model", "bicubic", "-s", "2", "--threads", "1", "--progress", "none"]
RAW = Clip(codec="rawvideo", size=(48, 32))
AS_IT_IS = ["-c", "copy", "-copyts"]
SHAPED = ["-pixel_format", "yuv420p", "-framerate", "25", "-video_size"]
TICKS = {"nut": 0, "matroska": Fraction(1, 1000)}
"""How far from the source's times a container may be, seconds."""
TERMINAL = "is a terminal; pipe"


def chain(*commands: list[str | Path], within_s: float = 60) -> list[int]:
    """The exit codes of programs that feed each other."""
    running: list[subprocess.Popen[bytes]] = []
    for number, command in enumerate(commands):
        before = running[-1].stdout if running else subprocess.DEVNULL
        after = subprocess.PIPE if number < len(commands) - 1 else None
        running.append(subprocess.Popen(command, stdin=before, stdout=after))
        if before is not subprocess.DEVNULL:
            before.close()
    return [process.wait(within_s) for process in running]


def furthest(ours: list[Fraction], theirs: list[Fraction]) -> Fraction:
    """How far apart two lists of instants are at most, seconds."""
    return max(abs(a - b) for a, b in zip(ours, theirs, strict=True))


def upscaled(source: Path, upscale: Vsr) -> Facts:
    """What comes of a source without a pipe."""
    target = source.with_name("plain.nut")
    upscale(source, "-o", target, "-c:v", "rawvideo")
    return facts(target)


@pytest.mark.parametrize("way", ["nut", "matroska"])
def test_containers_carry_everything_through(tmp_path: Path, upscale: Vsr, way: str) -> None:
    """Irregular times, pixels and sound come out as if there were no pipe."""
    clip = replace(RAW, times=VFR_TIMES, time_base=Fraction(1, 1000))
    source, out = make(tmp_path / "in.nut", clip), tmp_path / "out.nut"
    codes = chain(
        [*FFMPEG, "-i", source, *AS_IT_IS, "-f", way, "-"],
        [*VSR, "-", "-o", "-", "-f", way, "-c:v", "rawvideo", *QUICK],
        [*FFMPEG, "-i", "-", *AS_IT_IS, out],
    )
    before, after, plain = facts(source), facts(out), upscaled(source, upscale)
    assert codes == [0, 0, 0]
    assert after.pictures == plain.pictures
    assert plain.pts == before.pts
    assert furthest(after.pts, before.pts) <= TICKS[way]
    (sound,), (given,) = after.of("audio"), before.of("audio")
    assert sound.packets == given.packets
    assert furthest([t for t, _ in sound.times], [t for t, _ in given.times]) <= TICKS[way]


def test_ffmpegs_words_for_a_pipe(tmp_path: Path) -> None:
    source, out = make(tmp_path / "in.nut", RAW), tmp_path / "out.nut"
    codes = chain(
        [*FFMPEG, "-i", source, "-c", "copy", "-f", "nut", "-"],
        [*VSR, "-i", "pipe:", "-f", "nut", *QUICK, "pipe:1"],
        [*FFMPEG, "-i", "-", "-c", "copy", out],
    )
    assert codes == [0, 0, 0]
    assert len(facts(out).pictures) == len(facts(source).pictures)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.nut", "out.nut"]


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le"])
def test_y4m_both_ways(tmp_path: Path, upscale: Vsr, pix_fmt: str) -> None:
    clip = replace(RAW, pix_fmt=pix_fmt, audio=(), frames=4)
    source, out = make(tmp_path / "in.nut", clip), tmp_path / "out.nut"
    codes = chain(
        [*FFMPEG, "-i", source, "-strict", "-1", "-f", "yuv4mpegpipe", "-"],
        [*VSR, "-", "-o", "-", "-f", "y4m", *QUICK],
        [*FFMPEG, "-i", "-", "-c:v", "rawvideo", out],
    )
    after, plain = facts(out), upscaled(source, upscale)
    assert codes == [0, 0, 0]
    assert (after.pix_fmt, after.pictures) == (pix_fmt, plain.pictures)
    assert after.pts == [n * Fraction(1, 25) for n in range(4)]


def test_y4m_says_the_pixel_aspect(tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", Clip(sar=Fraction(16, 11), audio=(), frames=4))
    done = subprocess.run(
        [*VSR, source, "-o", "-", "-f", "y4m", *QUICK], capture_output=True, check=True
    )
    assert b" A16:11 C420mpeg2 XYSCSS=420MPEG2" in done.stdout.split(b"\n")[0]
    assert done.stdout.count(b"FRAME\n") == 4
    assert done.stderr == b""


def test_nut_says_the_pixel_aspect(tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", Clip(sar=Fraction(16, 11), audio=(), frames=4))
    order = [*VSR, source, "-o", "-", "-f", "nut", *QUICK]
    done = subprocess.run(order, capture_output=True, check=True)
    (tmp_path / "out.nut").write_bytes(done.stdout)
    after = facts(tmp_path / "out.nut")
    assert (after.sar, len(after.pts)) == (Fraction(16, 11), 4)
    assert done.stderr == b""


@pytest.mark.parametrize("audio", [(), (Track(),)])
def test_mp4_keeps_a_late_start(tmp_path: Path, audio: tuple[Track, ...]) -> None:
    source = make(tmp_path / "in.mkv", Clip(start_s=Fraction(1, 10), audio=audio))
    out = tmp_path / "out.mp4"
    with out.open("wb") as file:
        order = [*VSR, source, "-o", "-", "-f", "mp4", "--preset", "veryfast", *QUICK]
        subprocess.run(order, stdout=file, check=True)
    before, after = facts(source), facts(out)
    assert after.pts == before.pts
    sound = [other.times[1][0] for facts in (before, after) for other in facts.of("audio")]
    assert not sound or abs(sound[0] - sound[1]) < Fraction(1, 1000)


def test_raw_video_both_ways(tmp_path: Path, upscale: Vsr) -> None:
    clip = replace(RAW, audio=(), frames=4)
    source, out = make(tmp_path / "in.nut", clip), tmp_path / "out.nut"
    shape = ["video_size=48x32", "pixel_format=yuv420p", "framerate=25"]
    codes = chain(
        [*FFMPEG, "-i", source, "-f", "rawvideo", "-"],
        [*VSR, "-", "--input-format", "rawvideo", *(f"--input-option={s}" for s in shape),
         "-o", "-", "-f", "rawvideo", *QUICK],
        [*FFMPEG, "-f", "rawvideo", *SHAPED, "96x64", "-i", "-", "-c:v", "rawvideo", out],
    )  # fmt: skip
    assert codes == [0, 0, 0]
    assert facts(out).pictures == upscaled(source, upscale).pictures


def test_aac_without_a_header_is_told_to_a_pipe(tmp_path: Path) -> None:
    """FFmpeg itself refuses this one: Matroska wants to know at once what ADTS says later."""
    source, out = make(tmp_path / "in.ts", Clip(frames=4)), tmp_path / "out.mkv"
    order = [*VSR, "-", "-o", "-", "-f", "matroska", "--preset", "ultrafast", *QUICK]
    with source.open("rb") as given, out.open("wb") as taken:
        done = subprocess.run(order, stdin=given, stdout=taken, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    assert b"is converted to aac: its header comes too late for a pipe" in done.stderr
    after = facts(out)
    assert (len(after.pictures), after.of("audio")[0].codec) == (4, "aac")


def test_aac_without_a_header_into_a_pipe_that_holds_no_aac(tmp_path: Path) -> None:
    source, out = make(tmp_path / "in.ts", Clip(frames=4)), tmp_path / "out.ogg"
    order = [*VSR, "-", "-o", "-", "-f", "ogg", *QUICK]
    with source.open("rb") as given, out.open("wb") as taken:
        done = subprocess.run(order, stdin=given, stdout=taken, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    assert b"is converted to libopus: ogg cannot hold aac" in done.stderr
    assert facts(out).of("audio")[0].codec == "opus"


@pytest.mark.parametrize("way", ["nut", "matroska"])
def test_reader_that_goes_away(tmp_path: Path, way: str) -> None:
    """Nothing is said, however much the encoder and the muxer still hold: that is how head ends."""
    source = make(tmp_path / "in.nut", replace(RAW, frames=40, size=(96, 64)))
    order = [*VSR, source, "-o", "-", "-f", way, "-c:v", "rawvideo", *QUICK]
    with started(order, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(1000)
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait(30) == 141
    assert said == b""


@pytest.mark.parametrize(("kept", "says"), [(0, "cannot be opened"), (9000, "-: ")])
def test_writer_that_ends_early(tmp_path: Path, kept: int, says: str) -> None:
    source, out = make(tmp_path / "in.nut", replace(RAW, audio=())), tmp_path / "out.mkv"
    order = [*VSR, "-", "-o", out, *QUICK]
    data = source.read_bytes()[:kept]
    done = subprocess.run(order, input=data, stderr=subprocess.PIPE)
    (line,) = done.stderr.decode().splitlines()
    assert (done.returncode, says in line) == (3, True), line
    assert list(tmp_path.iterdir()) == [source]


def test_interrupt_while_the_pipe_is_silent(tmp_path: Path) -> None:
    """Ctrl-C ends a run that waits for a program which gives nothing."""
    source, out = make(tmp_path / "in.nut", replace(RAW, frames=30, audio=())), tmp_path / "out.mkv"
    order = [*VSR, "-", "-o", out, *QUICK[:-1], "json"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with started(order, **pipes) as process:
        process.stdin.write(source.read_bytes()[:-3000])
        process.stdin.flush()
        while json.loads(process.stdout.readline()).get("frame", 0) < 1:
            pass
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr.read().startswith(b"vsr: interrupted")
    assert not out.exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_fifo_is_read_like_the_standard_input(tmp_path: Path) -> None:
    """A shell's <(...) is one, too."""
    source, fifo = make(tmp_path / "in.nut", replace(RAW, audio=())), tmp_path / "fifo"
    os.mkfifo(fifo)
    pictures = []
    for name, given in (("file", source), ("fifo", fifo)):
        out = tmp_path / f"{name}.mkv"
        with started([*VSR, given, "-o", out, *QUICK]) as process:
            if given is fifo:
                fifo.write_bytes(source.read_bytes())
            assert process.wait(30) == 0
        pictures.append(facts(out).pictures)
    assert pictures[0] == pictures[1]


@contextmanager
def fed(fifo: Path, data: bytes) -> Iterator[None]:
    """Somebody writes this to a FIFO, and goes when it is not wanted any more."""

    def feed() -> None:
        with suppress(BrokenPipeError):
            fifo.write_bytes(data)

    thread = Thread(target=feed, daemon=True)
    thread.start()
    yield
    thread.join()


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts descriptors in /proc")
@pytest.mark.parametrize(
    ("kept", "maps"), [(None, ()), (0, ()), (9000, ()), (None, ("0:v", "0:9"))]
)
def test_fifo_is_closed_behind_a_run(
    tmp_path: Path, kept: int | None, maps: tuple[str, ...]
) -> None:
    """However it ends: a program may make many of them."""
    fifo, clip = tmp_path / "fifo", make(tmp_path / "in.nut", replace(RAW, audio=()))
    os.mkfifo(fifo)
    target = tmp_path / "out.mkv"
    job = Job(source=fifo, target=target, maps=maps, model="bicubic", scale=2, overwrite=True)
    counts = []
    for _ in range(3):
        works = kept is None and not maps
        fails = nullcontext() if works else pytest.raises(InputError)
        with fed(fifo, clip.read_bytes()[:kept]), fails:
            run(job)
        counts.append(len(os.listdir("/proc/self/fd")))
    assert counts[1] == counts[2]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_closed_fifo_leaves_other_descriptors_alone(tmp_path: Path) -> None:
    """Its numbers may be other files' by then."""
    fifo, clip = tmp_path / "fifo", make(tmp_path / "in.nut", replace(RAW, audio=()))
    os.mkfifo(fifo)
    with fed(fifo, clip.read_bytes()):
        source = Source(fifo)
        source.close()
    others = [os.pipe() for _ in range(4)]
    source.stop()
    source.close()
    for reader, writer in others:
        os.set_blocking(reader, False)
        with pytest.raises(BlockingIOError):
            os.read(reader, 1)
        os.close(reader)
        os.close(writer)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
@pytest.mark.parametrize("opened", [False, True])
def test_interrupt_while_a_fifo_is_silent(tmp_path: Path, opened: bool) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    order = [*VSR, fifo, "-o", tmp_path / "out.mkv", *QUICK]
    with started(order, stderr=subprocess.PIPE) as process, ExitStack() as stack:
        if opened:
            stack.enter_context(fifo.open("wb"))
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr.read() == b"vsr: interrupted; nothing was written\n"


def test_interrupt_before_the_pipe_gives_anything(tmp_path: Path) -> None:
    order = [*VSR, "-", "-o", tmp_path / "out.mkv", *QUICK]
    with started(order, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr.read() == b"vsr: interrupted; nothing was written\n"
    assert not list(tmp_path.iterdir())


def test_interrupt_while_nobody_reads_the_output(tmp_path: Path) -> None:
    source = make(tmp_path / "in.nut", replace(RAW, frames=30, audio=()))
    order = [*VSR, source, "-o", "-", "-f", "nut", *QUICK]
    with started(order, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.read(1)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr.read() == b"vsr: interrupted; nothing was written\n"


@pytest.mark.skipif(os.name != "posix", reason="select takes no pipes on Windows")
@pytest.mark.parametrize("stopped", [False, True])
def test_output_that_does_not_wait_for_its_reader(tmp_path: Path, stopped: bool) -> None:
    """As a parent of another runtime may hand it on; all comes, and Ctrl-C ends the wait."""
    source = make(tmp_path / "in.nut", replace(RAW, frames=30, size=(96, 64), audio=()))
    order = [*VSR, source, "-o", "-", "-f", "nut", *QUICK]
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with (
        started(order, stdout=writer, stderr=subprocess.PIPE) as process,
        open(reader, "rb") as output,
    ):
        os.close(writer)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2)
        if stopped:
            process.send_signal(signal.SIGINT)
        else:
            (tmp_path / "out.nut").write_bytes(output.read())
        assert process.wait(20) == (130 if stopped else 0), process.stderr.read()
    if not stopped:
        assert len(facts(tmp_path / "out.nut").pictures) == 30


class Terminal:
    """A standard stream that is no pipe."""

    def isatty(self) -> bool:
        return True

    def flush(self) -> None:
        pass

    def write(self, text: str) -> int:
        return len(text)


@pytest.mark.parametrize("order", [("probe",), ("preview", "--at", "0")])
def test_what_reads_twice_refuses_pipes(vsr: Vsr, order: tuple[str, ...]) -> None:
    outcome = vsr(order[0], "-", *order[1:])
    assert (outcome.code, len(outcome.lines)) == (2, 1)
    assert "pipe" in outcome.err
    assert "name a file" in outcome.err


def test_what_comes_from_a_pipe_needs_a_name(tmp_path: Path, vsr: Vsr) -> None:
    """Which is said before anything comes."""
    os.mkfifo(tmp_path / "fifo")
    outcome = vsr("upscale", tmp_path / "fifo", "--model", "bicubic")
    assert (outcome.code, len(outcome.lines)) == (2, 1)
    assert "name the output" in outcome.err


def test_terminals_are_refused(tmp_path: Path, vsr: Vsr, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make(tmp_path / "in.nut", replace(RAW, audio=(), frames=2))
    monkeypatch.setattr(sys, "stdin", Terminal())
    outcome = vsr("upscale", "-", "-o", tmp_path / "out.mkv", *QUICK)
    assert (outcome.code, TERMINAL in outcome.err) == (3, True)
    monkeypatch.setattr(sys, "stdout", Terminal())
    outcome = vsr("upscale", source, "-o", "-", "-f", "nut", *QUICK)
    assert (outcome.code, TERMINAL in outcome.err) == (4, True)


def test_formats_are_asked_for_by_name(tmp_path: Path, vsr: Vsr) -> None:
    source = make(tmp_path / "in.nut", replace(RAW, audio=(), frames=2))
    for words, says in (((), "add -f nut"), (("-f", "xyz"), "there is no format 'xyz'")):
        outcome = vsr("upscale", source, "-o", "-", *words, *QUICK)
        assert (outcome.code, says in outcome.err, len(outcome.lines)) == (4, True, 1)
