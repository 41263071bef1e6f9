"""Peak memory of a bidirectional model on clips of different lengths, beside what was predicted.

    python examples/restore_memory.py MODEL --seconds 30 300 --size 320x180 --chunk 15 --fps 25

Each run is a process of its own. The clip is made on the spot: moving noise, so nothing compresses.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
from ending import run_main, size

from vsrcli import Job, upscale
from vsrcli.media.source import Source
from vsrcli.memory_needs import memory_needs
from vsrcli.models import Tuning, find_model
from vsrcli.runtime.memory import peak_bytes


def main() -> None:
    """Prints a line for each length, or makes one run when called by itself."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--seconds", type=int, nargs="+", default=[30, 300])
    parser.add_argument("--size", type=size, default="320x180")
    parser.add_argument("--chunk", type=int, default=15)
    parser.add_argument("--overlap", type=int, default=5)
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run:
        print(measured(args.run, args.model, args.chunk, args.overlap))
        return
    width, height = args.size
    with TemporaryDirectory() as folder:
        for seconds in args.seconds:
            clip = Path(folder) / f"{seconds}.mkv"
            make_clip(clip, seconds, args.fps, width, height)
            line = [sys.executable, __file__, args.model, "--run", str(clip)]
            line += ["--chunk", str(args.chunk), "--overlap", str(args.overlap)]
            peak, predicted = map(int, subprocess.check_output(line, text=True).split())
            off = predicted / peak - 1
            print(
                f"{seconds:5d} s, {seconds * args.fps} frames  peak {peak / 2**20:7.0f} MiB  "
                f"predicted {predicted / 2**20:7.0f} MiB ({off:+.0%})"
            )


def measured(clip: Path, model: str, chunk: int, overlap: int) -> str:
    """Peak resident and predicted bytes of one run."""
    tuning = Tuning(chunk=chunk, overlap=overlap, clean="1")
    with Source(clip) as source:
        picture = source.info.video.picture
    (need,) = memory_needs(picture, [find_model(model)], scale=4, tuning=tuning)
    upscale(Job(source=clip, target=clip.with_suffix(".out.mkv"), model=model, tuning=tuning))
    peak = peak_bytes()
    return f"{peak} {need.peak_bytes}"


def make_clip(path: Path, seconds: int, fps: int, width: int, height: int) -> None:
    """Moving noise, losslessly fast to make."""
    rng = np.random.default_rng(0)
    plate = rng.integers(40, 215, (height + 64, width + 64), np.uint8)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=fps, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(seconds * fps):
            at = index % 64
            grey = np.ascontiguousarray(plate[at : at + height, at : at + width])
            frame = av.VideoFrame.from_ndarray(grey, format="gray").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, fps)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


if __name__ == "__main__":
    run_main(main)
