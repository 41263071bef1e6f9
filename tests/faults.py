"""What goes wrong outside: full disks, vanishing folders, damaged inputs, failing encoders.

    python tests/faults.py --points 20 --cuts 30 --flips 200 --seed 1

Every run must end within 10 s with a documented exit code and one line that says why, without a
traceback; a run that ends well must have made one frame for each that a plain decoder finds.
"""

from __future__ import annotations

import argparse
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
from clips import Clip, make

VSR = (sys.executable, "-m", "vsrcli", "upscale")
QUICK = ("--model", "bicubic", "-s", "2", "--preset", "ultrafast", "--progress", "none")
SEGMENT = ("--segment", "20")
DOCUMENTED = {0, *range(1, 10), 130, 141, 143}
LONGEST_S = 10.0


@dataclass(frozen=True)
class Case:
    """How one fault ended."""

    fault: str
    code: int
    said: str
    problem: str = ""


def ran(
    fault: str,
    arguments: tuple[object, ...],
    *,
    expected: set[int],
    meanwhile: Callable[[subprocess.Popen[str]], None] = lambda _: None,
    limit_bytes: int | None = None,
) -> Case:
    """A command with a fault, and what is wrong with its end."""

    def limits() -> None:
        if limit_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    began = time.monotonic()
    command = [*VSR, *map(str, arguments)]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=limits
    ) as process:
        meanwhile(process)
        try:
            _, said = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            return Case(fault, -9, "", "it hung")
    took = time.monotonic() - began
    return Case(fault, process.returncode, said, _problem(process.returncode, said, expected, took))


def _problem(code: int, said: str, expected: set[int], took: float) -> str:
    errors = [line for line in said.splitlines() if not line.startswith("vsr: warning: ")]
    ours = [line for line in errors if line.startswith("vsr: ")]
    if "Traceback" in said or "internal error" in said:
        return "a traceback"
    if code not in expected & DOCUMENTED:
        return f"exit code {code}"
    if code and len(ours) != 1:
        return f"{len(ours)} lines of error"
    return f"it took {took:.0f} s" if took > 3 * LONGEST_S else ""


def full_disk(root: Path, points: int, chance: random.Random) -> Iterator[Case]:
    """The disk (or what one file may hold) is full at so many points of a run."""
    source = make(root / "long.mp4", Clip(frames=80, size=(192, 128)))
    whole = root / "whole.mp4"
    subprocess.run([*VSR, source, "-o", whole, *QUICK, *SEGMENT], check=True)
    size = whole.stat().st_size
    for point in range(points):
        limit = chance.randrange(1, size)
        folder = root / f"disk{point}"
        folder.mkdir()
        kib = max(8, limit // 1024)
        target = folder / f"out{chance.choice(('.mp4', '.mkv'))}"
        order = (source, "-o", target, *QUICK, *SEGMENT)
        if _mounted(folder, kib):
            case = ran(f"disk of {kib} KiB", order, expected={4})
            left = [p.name for p in folder.iterdir() if not p.name.endswith(".vsr")]
            subprocess.run(["umount", folder], check=True)
        else:
            case = ran(f"files up to {limit} bytes", order, expected={4}, limit_bytes=limit)
            left = [p.name for p in folder.iterdir() if not p.name.endswith(".vsr")]
        yield case if not left else Case(case.fault, case.code, case.said, f"left behind: {left}")


def _mounted(folder: Path, kib: int) -> bool:
    """Whether the folder is now a disk of so many KiB."""
    mount = shutil.which("mount")
    if mount is None:
        return False
    order = [mount, "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", folder]
    return subprocess.run(order, check=False, capture_output=True).returncode == 0


def folder_removed(root: Path, runs: int, chance: random.Random) -> Iterator[Case]:
    """The folder of the output goes away while it is written."""
    source = make(root / "longer.mp4", Clip(frames=300, size=(192, 128)))
    for number in range(runs):
        folder = root / f"gone{number}"
        folder.mkdir()
        delay = chance.uniform(0, 0.5)

        def remove(process: subprocess.Popen[str], at: Path = folder, wait: float = delay) -> None:
            while not list(at.glob(".*.vsr/part*")) and process.poll() is None:
                time.sleep(0.005)
            time.sleep(wait)
            shutil.rmtree(at, ignore_errors=True)

        order = (source, "-o", folder / "out.mp4", *QUICK, *SEGMENT)
        case = ran(f"folder removed after {delay:.2f} s", order, expected={0, 4}, meanwhile=remove)
        there = (folder / "out.mp4").exists()
        wrong = (case.code == 0) != there and not (case.code == 0 and not folder.exists())
        yield (
            case if not wrong else Case(case.fault, case.code, case.said, "success without a file")
        )


def decodable(path: Path) -> int | None:
    """Frames that a plain decoder finds, damaged packets left out; None: it cannot be opened."""
    count = 0
    try:
        with av.open(str(path)) as file:
            stream = file.streams.best("video")
            if stream is None:
                return None
            try:
                for packet in file.demux(stream):
                    try:
                        count += len(packet.decode())
                    except av.FFmpegError:
                        continue
            except (av.FFmpegError, OSError):
                return count
    except (av.FFmpegError, OSError, ValueError):
        return None
    return count


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
    made, found = decodable(target), decodable(source)
    silent = not case.said.strip()
    if made != found and not (on_error == "repeat" and made is not None and made >= (found or 0)):
        return Case(case.fault, 0, case.said, f"{made} frames of {found}")
    if on_error == "fail" and made is not None and made < whole and silent:
        return Case(case.fault, 0, case.said, f"{made} frames of {whole} without a word")
    return case


SOURCES = (
    ("a.mp4", Clip(frames=40)),
    ("b.mkv", Clip(frames=40)),
    ("c.ts", Clip(frames=40)),
    ("d.mkv", Clip(frames=40, codec="ffv1")),
    ("e.mp4", Clip(frames=40, container={"movflags": "faststart"})),
    ("f.avi", Clip(frames=40, codec="mpeg4", audio=())),
)


def truncated(root: Path, cuts: int, chance: random.Random) -> Iterator[Case]:
    """Inputs cut off at so many points."""
    for number in range(cuts):
        name, clip = SOURCES[number % len(SOURCES)]
        data = make(root / name, clip).read_bytes()
        at = chance.randrange(len(data))
        (root / f"cut_{name}").write_bytes(data[:at])
        for on_error in ("fail", "skip")[: 1 + number % 2]:
            said = f"{name} cut at {at} of {len(data)}"
            yield damaged(root, said, root / f"cut_{name}", 40, on_error, {0, 3})


def flipped(root: Path, flips: int, chance: random.Random) -> Iterator[Case]:
    """Inputs with some bits turned over, a run each."""
    for number in range(flips):
        name, clip = SOURCES[number % len(SOURCES)]
        data = bytearray(make(root / name, clip).read_bytes())
        places = [chance.randrange(len(data)) for _ in range(chance.choice((1, 3, 20)))]
        for place in places:
            data[place] ^= 1 << chance.randrange(8)
        (root / f"bad_{name}").write_bytes(data)
        mode = chance.choice(("fail", "fail", "skip", "repeat"))
        fault = f"{name} with {len(places)} bits turned (from {places[0]})"
        yield damaged(root, fault, root / f"bad_{name}", 40, mode, {0, 3, 4, 7, 8})


def main() -> None:
    """Prints what went wrong and a summary; ends with 1 if anything did."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, count in (("points", 20), ("removals", 5), ("cuts", 30), ("flips", 200), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=count)
    given = parser.parse_args()
    chance = random.Random(given.seed)
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for kind, count in (
            (full_disk, given.points),
            (folder_removed, given.removals),
            (truncated, given.cuts),
            (flipped, given.flips),
        ):
            cases = list(kind(root, count, chance))
            codes = Counter(case.code for case in cases)
            ends = ", ".join(f"{n} x exit code {code}" for code, n in sorted(codes.items()))
            print(f"{kind.__name__}: {len(cases)} runs, {ends}", flush=True)  # noqa: T201
            for case in cases:
                if case.problem:
                    wrong += 1
                    last = (case.said.strip().splitlines() or [""])[-1]
                    print(f"  {case.fault}: {case.problem}: {last}", flush=True)  # noqa: T201
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
