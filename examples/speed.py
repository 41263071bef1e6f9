"""Compares vsr end to end with ffmpeg's bicubic scaler on this machine: same clip, same encoder.

    python examples/speed.py [--models bicubic,esr-max] [--frames 300] [--rounds 3] [--json]

480x270 to 1920x1080, libx264 ultrafast, no sound. Each round runs ffmpeg and every model, one after
the other and each in a process of its own, so a busy machine slows them alike; the medians are
compared. Then each stage runs alone, for the time a frame spends in it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from statistics import median

import imageio_ffmpeg

from vsrcli.frames import Frame
from vsrcli.media.encode import VideoOptions
from vsrcli.media.sink import Sink
from vsrcli.media.source import Source
from vsrcli.models import find_model
from vsrcli.runtime.drivers import open_driver

CLIP = Path(__file__).with_name("clip.mp4")
SCALE, PRESET = 4, "ultrafast"
FFMPEG = (imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", "-nostdin")
STAGE_FRAMES = 50


def make_source(folder: Path, frames: int) -> Path:
    """The example clip at 480x270, repeated to so many frames."""
    path = folder / "source.mp4"
    order = (*FFMPEG, "-stream_loop", "-1", "-i", CLIP, "-vf", "scale=480:270", "-an")
    subprocess.run((*order, "-frames:v", str(frames), "-crf", "18", path), check=True)
    return path


def seconds(order: tuple[object, ...]) -> float:
    """Wall time of a command, start-up included."""
    began = time.perf_counter()
    subprocess.run([str(word) for word in order], check=True)
    return time.perf_counter() - began


def orders(source: Path, models: list[str]) -> dict[str, tuple[object, ...]]:
    """The commands that are compared."""
    out = source.with_name("out.mp4")
    scale = f"scale={SCALE}*iw:{SCALE}*ih:flags=bicubic"
    encoder = ("-c:v", "libx264", "-preset", PRESET, "-crf", "16")
    found: dict[str, tuple[object, ...]] = {
        "ffmpeg": (*FFMPEG, "-i", source, "-vf", scale, *encoder, "-movflags", "+faststart", out)
    }
    vsr = (sys.executable, "-m", "vsrcli", "upscale", source, "-o", out, "-y")
    for model in models:
        found[model] = (*vsr, "--model", model, "--scale", SCALE, *encoder, "--progress", "none")
    return found


def compare(source: Path, models: list[str], frames: int, rounds: int) -> dict[str, float]:
    """Frames a second, the median of all rounds."""
    commands = orders(source, models)
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, order in commands.items():
            times[name].append(seconds(order))
    return {name: frames / median(taken) for name, taken in times.items()}


def stages(path: Path, model: str) -> dict[str, float]:
    """Milliseconds a frame in each stage, when it runs alone on all cores."""
    with Source(path) as source:
        video = source.info.video
        items = source.items()
        frames: list[Frame] = []
        decode = _each(lambda: frames.append(next(i for i in items if isinstance(i, Frame))))
        driver = open_driver(find_model(model), SCALE, picture=video.picture, device="cpu")
        large: list[Frame] = []
        with closing(driver):
            left = iter(frames)
            infer = _each(lambda: large.extend(driver.push(next(left))))
    options = VideoOptions(preset=PRESET)
    size = (video.width * SCALE, video.height * SCALE)
    target = path.with_name("stage.mp4")
    with Source(path) as source, Sink(target, source, video=options, size=size) as sink:
        done = iter(large)
        began = time.perf_counter()
        _each(lambda: sink.write(next(done)))
        sink.finish(STAGE_FRAMES)
        encode = (time.perf_counter() - began) * 1000 / STAGE_FRAMES
    return {"decode": decode, "infer": infer, "encode": encode}


def _each(step: Callable[[], object]) -> float:
    began = time.perf_counter()
    for _ in range(STAGE_FRAMES):
        step()
    return (time.perf_counter() - began) * 1000 / STAGE_FRAMES


def main() -> None:
    parser = argparse.ArgumentParser(description="Compares vsr with ffmpeg's scaler.")
    parser.add_argument("--models", default="bicubic,esr-max")
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    models = arguments.models.split(",")
    with tempfile.TemporaryDirectory() as folder:
        source = make_source(Path(folder), max(arguments.frames, STAGE_FRAMES))
        rates = compare(source, models, max(arguments.frames, STAGE_FRAMES), arguments.rounds)
        spent = {model: stages(source, model) for model in models}
    if arguments.json:
        print(json.dumps({"fps": rates, "ms_a_frame": spent}))
        return
    for name, rate in rates.items():
        print(f"{name:12} {rate:7.1f} fps  {rate / rates['ffmpeg']:5.2f} of ffmpeg")
    for model, parts in spent.items():
        print(f"{model:12}", *(f" {part} {ms:.1f} ms" for part, ms in parts.items()))


if __name__ == "__main__":
    main()
