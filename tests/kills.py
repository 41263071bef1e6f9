"""Runs of `vsr upscale` killed at random instants and resumed, against one that was left alone.

    python tests/kills.py --runs 50 --seed 1

Half the runs use a frame model, half a recurrent one whose memory crosses the borders. Every output
must decode to the same frames at the same times, hold the same audio, and leave nothing beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from clips import Clip, Track, make, picture
from facts import Facts, facts
from tiny_models import write_recurrent

VSR = (sys.executable, "-m", "vsrcli", "upscale")
STEADY = ("--preset", "veryfast", "--encoder-option", "mbtree=0")
"""B-frames, but no macroblock tree: on CPUs with AVX-512 x264's own is not the same every time."""
SEGMENT = 12
SHOT = 31
"""Frames; more than two segments, so that state is carried over a border within each shot."""


@dataclass(frozen=True)
class Kill:
    """What became of one run."""

    model: str
    after_s: tuple[float, ...]
    """When it was killed, since its work began; then the second attempt, if any."""
    resumed: bool
    """Some segment was finished before the last attempt."""
    problem: str = ""
    """Empty if the output is right."""


def shots_clip(path: Path, frames: int = 240) -> Path:
    """A clip with hard cuts, uneven times, B-frames and sound."""
    sound = make(path.with_name("sound.mkv"), Clip(frames=frames, audio=(Track(),)))
    with av.open(str(sound)) as tone, av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"preset": "veryfast", "g": "20"})
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        audio = out.add_stream_from_template(tone.streams.audio[0])
        for packet in tone.demux(audio=0):
            if packet.size:
                packet.stream = audio
                out.mux(packet)
        for index in range(frames):
            rgb = picture(index, (96, 64))
            if index // SHOT % 2:
                rgb = np.ascontiguousarray(255 - rgb[::-1])
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = 40 * index + index % 3 * 7, video.codec_context.time_base
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    sound.unlink()
    return path


def order(source: Path, target: Path, model: str, *more: str, segment: int = SEGMENT) -> list[str]:
    """The command of one run."""
    quiet = ("--progress", "none", "--threads", "1", *STEADY)
    place = (str(source), "-o", str(target), "--model", model, "--scale", "2")
    return [*VSR, *place, "--segment", str(segment), *quiet, *more]


def killed(command: list[str], folder: Path, after_s: float) -> int:
    """The exit status of a command that gets SIGKILL so long after it began to work.

    It may have ended by itself by then. `folder` is that of its output.
    """
    began = {p.stat().st_mtime_ns for p in folder.glob(".*.vsr")}
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            if {p.stat().st_mtime_ns for p in folder.glob(".*.vsr")} - began:
                break
            time.sleep(0.002)
        try:
            return process.wait(after_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            return process.wait()


def work_seconds(command: list[str], folder: Path) -> float:
    """How long a command works, from the moment its work folder is there."""
    with subprocess.Popen(command) as process:
        while not list(folder.glob(".*.vsr")) and process.poll() is None:
            time.sleep(0.002)
        began = time.monotonic()
        process.wait()
    return time.monotonic() - began


def same(one: Facts, other: Facts) -> str:
    """What differs, in a word; empty if nothing does."""
    for name in ("size", "times", "pictures", "others", "chapters", "rate"):
        if getattr(one, name) != getattr(other, name):
            return f"the {name} differ"
    return ""


def kill_and_resume(
    command: list[str], target: Path, alone: Facts, seconds: float, chance: random.Random
) -> Kill:
    """One run in a folder of its own, killed once or twice, then left to finish."""
    model, folder = command[command.index("--model") + 1], target.parent
    instants = tuple(chance.uniform(0, seconds) for _ in range(chance.choice((1, 1, 2))))
    for instant in instants:
        if killed(command, folder, instant) not in (0, -signal.SIGKILL):
            return Kill(model, instants, False, "an attempt failed by itself")
        if target.exists():
            break
    manifest = folder / ".out.mp4.vsr" / "manifest.json"
    resumed = manifest.exists() and bool(json.loads(manifest.read_text())["segments"])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    is_there = done.returncode == 4 and target.exists() and "exists" in done.stderr
    problem = ""
    if done.returncode and not is_there:
        problem = done.stderr.strip() or f"exit code {done.returncode}"
    elif [p.name for p in folder.iterdir()] != ["out.mp4"]:
        problem = f"left behind: {sorted(p.name for p in folder.rglob('*'))}"
    return Kill(model, instants, resumed, problem or same(facts(target), alone))


def campaign(
    root: Path, runs: int, seed: int, frames: int = 120, segment: int = SEGMENT
) -> Iterator[Kill]:
    """So many runs, frame and recurrent model in turn."""
    chance = random.Random(seed)
    source = shots_clip(root / "in.mp4", frames)
    models = ("bicubic", str(write_recurrent(root / "models")))
    alone: dict[str, tuple[Facts, float]] = {}
    for number, model in enumerate(models):
        target = root / f"alone{number}.mp4"
        command = order(source, target, model, segment=segment)
        subprocess.run(command, check=True)
        alone[model] = facts(target), work_seconds([*command, "-y"], root)
    for number in range(runs):
        model = models[number % 2]
        folder = root / f"run{number}"
        folder.mkdir()
        target = folder / "out.mp4"
        command = order(source, target, model, "--resume", segment=segment)
        yield kill_and_resume(command, target, *alone[model], chance)
        shutil.rmtree(folder)


def told(outcome: Kill) -> str:
    """A line on one run."""
    name, end = Path(outcome.model).name, outcome.problem or "the same"
    instants = ", ".join(f"{s:.2f} s" for s in outcome.after_s)
    resumed = "resumed" if outcome.resumed else "begun anew"
    return f"{name:15} killed after {instants}; {resumed}: {end}"


def main() -> None:
    """Prints one line a run and a summary; ends with 1 if any output is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--segment", type=int, default=SEGMENT, help="frames; at most 15")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        every = given.runs, given.seed, given.frames, given.segment
        for outcome in campaign(Path(folder), *every):
            outcomes.append(outcome)
            print(told(outcome), flush=True)  # noqa: T201
    wrong = sum(bool(outcome.problem) for outcome in outcomes)
    resumed = sum(outcome.resumed for outcome in outcomes)
    print(f"{len(outcomes)} runs killed, {resumed} after a finished segment, {wrong} wrong")  # noqa: T201
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
