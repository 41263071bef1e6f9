"""What a warm-up gains: PSNR-Y of the first frames of a shot, by how the state was filled.

python examples/warm_up.py MODEL CLIPS [--degrade bd] [--starts 0,12] [--run-in 2,4,8]

A shot is taken to begin at each frame of `--starts`. Its first frames are measured as they are, and
after a run-in without output: forwards over frames 0 .. k-1, or backwards over frames k .. 1, so
that the run-in ends beside frame 0. `vsr upscale --warm-up K` does the latter. Needs the lab extra.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from statistics import fmean

import numpy as np
from ending import numbers, run_main

from vsrcli.frames import RgbU8
from vsrcli.lab.clips import read_frames
from vsrcli.lab.data import modcrop
from vsrcli.lab.degrade import DEGRADATIONS
from vsrcli.lab.evaluate import CLIP_CROP, clip_upscaler, sources
from vsrcli.lab.luma import luma
from vsrcli.lab.metrics import psnr
from vsrcli.lab.sequence import ClipUpscale, EngineOptions
from vsrcli.models import find_folder

SCALE = 4
Figures = list[float]
"""PSNR-Y of frames 1, 2 … of a shot, dB."""


def run_ins(shot: list[RgbU8], lengths: list[int]) -> Iterator[tuple[str, list[RgbU8]]]:
    """(name, frames to run before the shot) of each way to warm up."""
    yield "none", []
    for length in lengths:
        yield f"forwards {length}", shot[:length]
        yield f"backwards {length}", shot[length:0:-1]


def measure(
    upscale: ClipUpscale, run_in: list[RgbU8], shot: list[RgbU8], truth: list[RgbU8]
) -> Figures:
    """Of the first frames of a shot, as many as `truth` has."""
    inner = (slice(CLIP_CROP, -CLIP_CROP),) * 2
    made = islice(upscale([*run_in, *shot]), len(run_in), len(run_in) + len(truth))
    return [
        psnr(luma(true)[inner], np.clip(ours, 0, 255)[inner])
        for true, ours in zip(truth, made, strict=True)
    ]


def main() -> None:
    """Print one row a way to warm up: the mean over all clips and starts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("clips", type=Path)
    parser.add_argument("--degrade", choices=tuple(DEGRADATIONS), default="bicubic")
    parser.add_argument("--starts", type=numbers, default="0")
    parser.add_argument("--run-in", type=numbers, default="2,4,8")
    parser.add_argument("--frames", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    upscale = clip_upscaler(find_folder(args.model), SCALE, EngineOptions(threads=args.threads))
    table: dict[str, list[Figures]] = {}
    for path in sources(args.clips):
        for start in args.starts:
            wanted = max(*args.run_in, args.frames) + 1
            whole = [modcrop(f, SCALE) for f in islice(read_frames(path), start, start + wanted)]
            shot = [DEGRADATIONS[args.degrade](frame, SCALE) for frame in whole]
            for name, run_in in run_ins(shot, args.run_in):
                rest, truth = shot[: args.frames + 1], whole[: args.frames]
                table.setdefault(name, []).append(measure(upscale, run_in, rest, truth))
    print(f"{'run-in':14}" + "".join(f"{i + 1:>8}" for i in range(args.frames)) + "    mean")
    for name, rows in table.items():
        means = [fmean(row[i] for row in rows) for i in range(args.frames)]
        print(f"{name:14}" + "".join(f"{v:8.2f}" for v in means) + f"{fmean(means):8.2f}")


if __name__ == "__main__":
    run_main(main)
