"""What goes wrong outside: full disks, vanishing folders, damaged inputs, failing encoders.

    python tests/faults.py                        all of it, about ten minutes
    python tests/faults.py flipped --part 2/4     the second quarter of one kind

Every run must end within 10 s of the fault with a documented exit code and, unless it is 0, one
line that says why, without a traceback. Seconds count from the fault where it comes from outside,
else from the start of the program; those in which other programs had the processor are left out. A
run that ends well must have made one frame for each that a plain decoder finds, and with --on-error
fail may only lack some of the source's with a warning.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import av
from clips import Clip, make

PYTHON = sys.executable
UPSCALE = ("-m", "vsrcli", "upscale")
FAILING = """
import sys, av
from vsrcli.media.encode import FrameWriter
from vsrcli.cli.main import run

class Failing:
    def __init__(self, stream):
        self.stream, self.left = stream, int(sys.argv[1])
    def __getattr__(self, name):
        return getattr(self.stream, name)
    def encode(self, frame):
        self.left -= frame is not None
        if self.left < 0 or (frame is None and self.left == 0):
            raise av.error.ExternalError(542398533, "Generic error in an external library", "")
        return self.stream.encode(frame)

begin = FrameWriter.__init__
FrameWriter.__init__ = lambda self, stream, *rest: begin(self, Failing(stream), *rest)
sys.exit(run(["upscale", *sys.argv[2:]]))
"""
"""`vsr upscale` with an encoder that fails after so many frames, or when it is flushed."""
PIPED = ("--model", "bicubic", "-s", "2", "--progress", "none")
QUICK = (*PIPED, "--preset", "ultrafast")
SEGMENT = ("--segment", "20")
DOCUMENTED = {0, *range(1, 10), 130, 141, 143}
LONGEST_S = 10.0
LOOK_EVERY_S, LATEST_LOOK_S = 0.1, 0.5
DONE, INPUT, OUTPUT, ENCODER, READER_GONE = 0, 3, 4, 8, 141


@dataclass(frozen=True)
class Case:
    """How one fault ended."""

    fault: str
    code: int
    said: str
    took_s: float
    problem: str = ""
    """Empty if that is as it should be."""


def ran(
    fault: str,
    arguments: Iterable[object],
    *,
    expected: set[int],
    program: tuple[str, ...] = UPSCALE,
    meanwhile: Callable[[subprocess.Popen[bytes]], None] = lambda _: None,
    feed: bytes | None = None,
    take: int | None = None,
    limit_bytes: int | None = None,
) -> Case:
    """A command with a fault, and what is wrong with its end.

    It gets `feed` on its standard input; of its standard output only `take` bytes are read.
    """

    def limits() -> None:
        if limit_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    with subprocess.Popen(
        [PYTHON, *program, *map(str, arguments)],
        stdin=subprocess.DEVNULL if feed is None else subprocess.PIPE,
        stdout=subprocess.DEVNULL if take is None else subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=limits,
    ) as process:
        meanwhile(process)
        if take is not None and process.stdout:
            process.stdout.read(take)
            process.stdout.close()
            process.stdout = None
        if feed is not None and process.stdin:
            threading.Thread(target=_give, args=(process.stdin, feed), daemon=True).start()
            process.stdin = None
        told, took_s = _to_its_end(process)
        if told is None:
            process.kill()
            return Case(fault, -9, "", took_s, "it hung")
    case = Case(fault, process.returncode, told.decode(), took_s)
    return replace(case, problem=_problem(case, expected))


def _give(pipe: IO[bytes], feed: bytes) -> None:
    with suppress(OSError), pipe:
        pipe.write(feed)


def _to_its_end(process: subprocess.Popen[bytes]) -> tuple[bytes | None, float]:
    """What it writes on its standard error, None if it does not end; and the seconds it took.

    Other programs may have the processor meanwhile, or stop it and this one, so that a look comes
    late. Time in which its threads were ready and had to wait for them is left out; what a thread
    used of the processor counts in any case.
    """
    begun = _threads(process.pid)
    seen, took_s, watched_s, last_s = dict(begun), 0.0, 0.0, time.monotonic()
    over_s = 0.0  # threads that wait at the same time leave out no more than that time
    while took_s < 6 * LONGEST_S:
        try:
            _, told = process.communicate(timeout=LOOK_EVERY_S)
        except subprocess.TimeoutExpired:
            told = None
        now_s = time.monotonic()
        watched_s += min(now_s - last_s, LATEST_LOOK_S) * (not _is_stopped(process.pid))
        last_s = now_s
        seen |= _threads(process.pid)
        used, waited = (
            [seen[t][i] - begun.get(t, (0.0, 0.0))[i] for t in seen] or [0.0] for i in range(2)
        )
        over_s = max(over_s, sum(waited) - watched_s)
        took_s = max(*used, watched_s - sum(waited) + over_s)
        if told is not None:
            return told, took_s
    return None, took_s


def _is_stopped(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


def _threads(pid: int) -> dict[str, tuple[float, float]]:
    """Seconds that each thread of a process had the processor, and waited for it; Linux says."""
    found = {}
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with suppress(OSError, ValueError):
            used, waited, _ = path.read_text().split()
            found[path.parent.name] = int(used) / 1e9, int(waited) / 1e9
    return found


def _problem(case: Case, expected: set[int]) -> str:
    errors = [line for line in case.said.splitlines() if not line.startswith("vsr: warning: ")]
    ours = [line for line in errors if line.startswith("vsr: ")]
    if "Traceback" in case.said or "internal error" in case.said:
        return "a traceback"
    if case.code not in expected & DOCUMENTED:
        return f"exit code {case.code}"
    if case.code and len(ours) != (case.code != READER_GONE):
        return f"{len(ours)} lines of error"
    return f"it took {case.took_s:.0f} s" if case.took_s > LONGEST_S else ""


def chance_of(kind: str, number: int, seed: int) -> random.Random:
    """The same for the same case, however many others there are."""
    return random.Random(f"{kind} {number} {seed}")


def full_disk(root: Path, numbers: range, seed: int) -> Iterator[Case]:
    """The disk is full at some point; where none can be mounted, a file may not grow further."""
    source = make(root / "long.mp4", Clip(frames=80, size=(192, 128)))
    whole = root / "whole.mp4"
    subprocess.run([PYTHON, *UPSCALE, source, "-o", whole, *QUICK, *SEGMENT], check=True)
    for number in numbers:
        chance = chance_of("full_disk", number, seed)
        limit = chance.randrange(8192, whole.stat().st_size)
        folder = root / f"disk{number}"
        folder.mkdir()
        order = (source, "-o", folder / f"out{chance.choice(('.mp4', '.mkv'))}", *QUICK, *SEGMENT)
        if _mounted(folder, limit // 1024):

            def fill(process: subprocess.Popen[bytes], disk: Path = folder) -> None:
                while os.statvfs(disk).f_bavail and process.poll() is None:
                    time.sleep(0.005)

            fault = f"disk of {limit // 1024} KiB"
            case = ran(fault, order, expected={OUTPUT}, meanwhile=fill)
            left = [p.name for p in folder.iterdir() if not p.name.endswith(".vsr")]
            subprocess.run(["umount", folder], check=True)
        else:
            fault = f"files up to {limit} bytes"
            case = ran(fault, order, expected={OUTPUT}, limit_bytes=limit)
            left = [p.name for p in folder.iterdir() if not p.name.endswith(".vsr")]
        yield replace(case, problem=f"left behind: {left}") if left else case


def _mounted(folder: Path, kib: int) -> bool:
    """Whether the folder is now a disk of so many KiB."""
    mount = shutil.which("mount")
    if mount is None:
        return False
    order = [mount, "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder)]
    return subprocess.run(order, check=False, capture_output=True).returncode == 0


def folder_removed(root: Path, numbers: range, seed: int) -> Iterator[Case]:
    """The folder of the output goes away while it is written."""
    source = make(root / "longer.mp4", Clip(frames=1500, size=(192, 128)))
    for number in numbers:
        folder = root / f"gone{number}"
        folder.mkdir()
        delay = chance_of("folder_removed", number, seed).uniform(0, 0.5)

        def remove(process: subprocess.Popen[bytes], at: Path = folder, s: float = delay) -> None:
            while not list(at.glob(".*.vsr/part*")) and process.poll() is None:
                time.sleep(0.005)
            time.sleep(s)
            shutil.rmtree(at, ignore_errors=True)

        order = (source, "-o", folder / "out.mp4", *QUICK, *SEGMENT)
        fault = f"folder removed after {delay:.2f} s"
        yield ran(fault, order, expected={OUTPUT}, meanwhile=remove)


def broken_pipe(root: Path, numbers: range, seed: int) -> Iterator[Case]:
    """The program that reads the output ends early, or the one that writes the input does."""
    source = make(root / "piped.mkv", Clip(frames=60, size=(192, 128)))
    data = source.read_bytes()
    for number in numbers:
        chance = chance_of("broken_pipe", number, seed)
        if number % 2:
            take = int(10 ** chance.uniform(0, 5))
            piped = (source, "-o", "-", "-f", chance.choice(("nut", "mpegts", "y4m")), *PIPED)
            yield ran(f"reader gone after {take} bytes", piped, expected={READER_GONE}, take=take)
            continue
        at = chance.randrange(len(data))
        target = root / f"piped{number}.mkv"
        fault, order = f"writer gone after {at} bytes", ("-", "-o", target, *QUICK)
        case = ran(fault, order, expected={DONE, INPUT}, feed=data[:at])
        yield _as_long_as(case, target, data[:at], root, 60)


def failing_encoder(root: Path, numbers: range, seed: int) -> Iterator[Case]:
    """The encoder gives an error after some frames, or at the end of a segment."""
    source = make(root / "encoded.mp4", Clip(frames=40))
    for number in numbers:
        chance = chance_of("failing_encoder", number, seed)
        frames = chance.randrange(20)
        segment = chance.choice((0, 20))
        folder = root / f"encoder{number}"
        folder.mkdir()
        order = (frames, source, "-o", folder / "out.mkv", *QUICK, "--segment", segment)
        fault = f"encoder fails after {frames} frames"
        case = ran(fault, order, expected={ENCODER}, program=("-c", FAILING))
        left = [p.name for p in folder.iterdir()]
        yield replace(case, problem=f"left behind: {left}") if left else case


CODECS = (
    Clip(frames=24, audio=(), options={"preset": "veryfast", "g": "8"}),
    Clip(frames=24, audio=(), codec="ffv1"),
    Clip(frames=24, audio=(), codec="mpeg4"),
    Clip(frames=24, audio=(), codec="libvpx-vp9"),
    Clip(
        frames=24,
        audio=(),
        codec="libx265",
        options={"preset": "ultrafast", "x265-params": "log-level=none:keyint=8"},
    ),
)


def undecodable(root: Path, numbers: range, seed: int) -> Iterator[Case]:
    """Packets of the picture hold something else."""
    for number in numbers:
        chance = chance_of("undecodable", number, seed)
        clip = CODECS[number % len(CODECS)]
        whole = make(root / "sound.mkv", clip)
        holes = {chance.randrange(clip.frames) for _ in range(chance.choice((1, 1, 4)))}
        source = root / "holes.mkv"
        _with_holes(whole, source, holes, chance)
        mode = chance.choice(("fail", "skip", "repeat"))
        expected = {INPUT} if mode == "fail" else {DONE, INPUT}
        fault = f"{clip.codec}, {len(holes)} packets lost (from {min(holes)})"
        yield damaged(root, fault, source, clip.frames, mode, expected)


def _with_holes(whole: Path, source: Path, holes: set[int], chance: random.Random) -> None:
    with av.open(str(whole)) as file, av.open(str(source), "w") as out:
        stream = out.add_stream_from_template(file.streams.video[0])
        for index, packet in enumerate(p for p in file.demux(video=0) if p.size):
            data = chance.randbytes(packet.size) if index in holes else bytes(packet)
            made = av.Packet(data)
            made.pts, made.dts, made.duration = packet.pts, packet.dts, packet.duration
            made.time_base, made.is_keyframe = packet.time_base, packet.is_keyframe
            made.stream = stream
            out.mux(made)


SOURCES = (
    ("a.mp4", Clip(frames=40)),
    ("b.mkv", Clip(frames=40)),
    ("c.ts", Clip(frames=40)),
    ("d.mkv", Clip(frames=40, codec="ffv1")),
    ("e.mp4", Clip(frames=40, container={"movflags": "faststart"})),
    ("f.avi", Clip(frames=40, codec="mpeg4", audio=())),
)


def truncated(root: Path, numbers: range, seed: int) -> Iterator[Case]:
    """The input is cut off at some point."""
    for number in numbers:
        chance = chance_of("truncated", number, seed)
        name, clip = SOURCES[number % len(SOURCES)]
        data = make(root / name, clip).read_bytes()
        at = chance.randrange(len(data))
        (root / f"cut_{name}").write_bytes(data[:at])
        fault = f"{name} cut at {at} of {len(data)}"
        mode = chance.choice(("fail", "fail", "skip"))
        yield damaged(root, fault, root / f"cut_{name}", 40, mode, {DONE, INPUT})


def flipped(root: Path, numbers: range, seed: int) -> Iterator[Case]:
    """Some bits of the input are turned over."""
    for number in numbers:
        chance = chance_of("flipped", number, seed)
        name, clip = SOURCES[number % len(SOURCES)]
        data = bytearray(make(root / name, clip).read_bytes())
        places = [chance.randrange(len(data)) for _ in range(chance.choice((1, 3, 20)))]
        for place in places:
            data[place] ^= 1 << chance.randrange(8)
        (root / f"bad_{name}").write_bytes(data)
        mode = chance.choice(("fail", "fail", "skip", "repeat"))
        fault = f"{name} with {len(places)} bits turned (from {places[0]})"
        yield damaged(root, fault, root / f"bad_{name}", 40, mode, {DONE, INPUT, OUTPUT, ENCODER})


def damaged(
    root: Path, fault: str, source: Path, whole: int, on_error: str, expected: set[int]
) -> Case:
    """A damaged input upscaled: refused, or as many frames as can be decoded."""
    target = root / "damaged.mkv"
    target.unlink(missing_ok=True)
    order = (source, "-o", target, *QUICK, "--on-error", on_error)
    case = ran(f"{fault}, --on-error {on_error}", order, expected=expected)
    shutil.rmtree(root / ".damaged.mkv.vsr", ignore_errors=True)
    if case.problem or case.code:
        return case
    made, found = decodable(target) or 0, decodable(source) or 0
    if made != found and not (on_error == "repeat" and found <= made <= whole):
        return replace(case, problem=f"{made} frames of {found}")
    if made < whole and not case.said.strip():
        return replace(case, problem=f"{made} frames of {whole} without a word")
    return case


def _as_long_as(case: Case, target: Path, data: bytes, root: Path, whole: int) -> Case:
    """The case, with what is wrong with the length of the output of a run that went well."""
    if case.problem or case.code:
        return case
    (root / "given.mkv").write_bytes(data)
    made, found = decodable(target), decodable(root / "given.mkv")
    if made != found:
        return replace(case, problem=f"{made} frames of {found}")
    silent = made != whole and not case.said.strip()
    return replace(case, problem="short without a word") if silent else case


def decodable(path: Path) -> int | None:
    """Frames that a plain decoder finds; None: it cannot be opened.

    Damaged packets are left out, and so are frames that do not come after the ones before them.
    """
    count, last = 0, -(1 << 63)
    try:
        with av.open(str(path)) as file:
            if not file.streams.video:
                return None
            decoder = file.streams.video[0].codec_context
            try:
                for packet in file.demux(video=0):
                    try:
                        for frame in decoder.decode(packet if packet.size else None):
                            pts = last + 1 if frame.pts is None else frame.pts
                            count, last = count + (pts > last), max(pts, last)
                    except av.FFmpegError:
                        continue
            except (av.FFmpegError, OSError):
                return count
    except (av.FFmpegError, OSError, ValueError):
        return None
    return count


Kind = Callable[[Path, range, int], Iterator[Case]]
KINDS: dict[str, tuple[Kind, int]] = {
    "full_disk": (full_disk, 20),
    "folder_removed": (folder_removed, 10),
    "truncated": (truncated, 30),
    "flipped": (flipped, 200),
    "undecodable": (undecodable, 30),
    "failing_encoder": (failing_encoder, 10),
    "broken_pipe": (broken_pipe, 20),
}
"""Name -> the faults, and how many make a full run."""
_COLUMNS = "{:16} {:>5}" + " {:>7}" * 5 + " {:>6} {:>8}"


def row(name: str, cases: list[Case]) -> str:
    """How many runs of a kind ended how."""
    codes = Counter(case.code for case in cases)
    ends = [codes.pop(code, 0) for code in (DONE, INPUT, OUTPUT, ENCODER)]
    wrong = sum(bool(case.problem) for case in cases)
    longest = f"{max(case.took_s for case in cases):.1f} s"
    return _COLUMNS.format(name, len(cases), *ends, codes.total(), wrong, longest)


def main() -> None:
    """Prints what goes wrong and a row for each kind; ends with 1 if anything did."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", help=f"of {', '.join(KINDS)}; all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--part", default="1/1", help="2/4: the second quarter of each kind")
    given = parser.parse_args()
    part, parts = map(int, given.part.split("/"))
    ends = (f"exit {code}" for code in (DONE, INPUT, OUTPUT, ENCODER))
    print(_COLUMNS.format("fault", "runs", *ends, "other", "wrong", "longest"))  # noqa: T201
    wrong = 0
    for name in given.kinds or KINDS:
        kind, count = KINDS[name]
        numbers = range(count * (part - 1) // parts, count * part // parts)
        cases = []
        with tempfile.TemporaryDirectory() as folder:
            for case in kind(Path(folder), numbers, given.seed):
                cases.append(case)
                if case.problem:
                    wrong += 1
                    last = (case.said.strip().splitlines() or [""])[-1]
                    print(f"  {case.fault}: {case.problem}: {last}", flush=True)  # noqa: T201
        print(row(name, cases), flush=True)  # noqa: T201
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
