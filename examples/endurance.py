"""A long run of a recurrent model: memory at intervals, and PSNR-Y at its end against its start.

python examples/endurance.py MODEL CLIP [--frames 10000] [--size 192x128] [--degrade bicubic]

26 frames of a clip are played to and fro, 50 frames a turn, so that the last 100
frames show what the first 100 showed. `--size` is that of the true picture. Needs the lab extra.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from statistics import fmean

import numpy as np

from vsrcli.lab.clips import read_frames
from vsrcli.lab.degrade import DEGRADATIONS, shrink
from vsrcli.lab.evaluate import CLIP_CROP, clip_upscaler
from vsrcli.lab.luma import RgbU8, luma
from vsrcli.lab.metrics import psnr
from vsrcli.models import find_folder

SCALE = 4
ONE_WAY, END = 26, 100
STATM = Path("/proc/self/statm")


def memory_mib() -> float:
    """Resident memory of this process; Linux only."""
    return int(STATM.read_text().split()[1]) * 4096 / 2**20


def loop_of(clip: Path, width: int, height: int) -> list[RgbU8]:
    """50 frames that can be repeated: some of the clip, scaled to the height, and back again."""
    there = []
    for frame in islice(read_frames(clip), ONE_WAY):
        small = shrink(frame, max(height / frame.shape[0], width / frame.shape[1]))
        there.append(small[:height, :width])
    return [*there, *there[-2:0:-1]]


def endless(frames: list[RgbU8], count: int) -> Iterator[RgbU8]:
    """`count` frames, round and round."""
    for index in range(count):
        yield frames[index % len(frames)]


def main() -> None:
    """Print a line an interval, then PSNR-Y of both ends."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("clip", type=Path)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--size", default="192x128")
    parser.add_argument("--degrade", choices=tuple(DEGRADATIONS), default="bicubic")
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    truth = loop_of(args.clip, *map(int, args.size.split("x")))
    small = [DEGRADATIONS[args.degrade](frame, SCALE) for frame in truth]
    inner = (slice(CLIP_CROP, -CLIP_CROP),) * 2
    lumas = [luma(frame)[inner] for frame in truth]
    upscale = clip_upscaler(find_folder(args.model), SCALE, device="cpu", threads=args.threads)
    ends: dict[str, list[float]] = {"first": [], "last": []}
    step = max(1, args.frames // 10)
    for index, made in enumerate(upscale(endless(small, args.frames))):
        if index < END or index >= args.frames - END:
            figure = psnr(lumas[index % len(lumas)], np.clip(made, 0, 255)[inner])
            ends["first" if index < END else "last"].append(figure)
        if index % step == step - 1 or index == END:
            print(f"{index + 1:7} frames  {memory_mib():8.1f} MiB", flush=True)
    first, last = (fmean(figures) for figures in ends.values())
    print(f"PSNR-Y of the first {END} frames {first:.3f} dB, of the last {last:.3f} dB")


if __name__ == "__main__":
    main()
