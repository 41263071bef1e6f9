"""A long run of a recurrent model: its memory and PSNR-Y at intervals.

python examples/endurance.py MODEL CLIP [--frames 10000] [--size 192x128] [--degrade bicubic]

26 frames of a clip are played to and fro, 50 frames a turn, so that any 100 frames
show the same. `--size` is that of the true picture. Needs the lab extra.
"""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from statistics import fmean

import numpy as np
from ending import run_main, size

from vsrcli.frames import RgbU8
from vsrcli.lab.clips import read_frames
from vsrcli.lab.degrade import DEGRADATIONS, shrink
from vsrcli.lab.evaluate import CLIP_CROP, clip_upscaler
from vsrcli.lab.luma import luma
from vsrcli.lab.metrics import psnr
from vsrcli.lab.sequence import EngineOptions
from vsrcli.models import find_folder

SCALE = 4
ONE_WAY, SPAN = 26, 100
STATM = Path("/proc/self/statm")


def memory_mib() -> float:
    """Resident memory of this process; Linux only."""
    return int(STATM.read_text(encoding="ascii").split()[1]) * 4096 / 2**20


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
    """Print a line an interval: memory, and PSNR-Y of the 100 frames, or fewer, that end there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("clip", type=Path)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--size", type=size, default="192x128")
    parser.add_argument("--degrade", choices=tuple(DEGRADATIONS), default="bicubic")
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    truth = loop_of(args.clip, *args.size)
    small = [DEGRADATIONS[args.degrade](frame, SCALE) for frame in truth]
    inner = (slice(CLIP_CROP, -CLIP_CROP),) * 2
    lumas = [luma(frame)[inner] for frame in truth]
    upscale = clip_upscaler(find_folder(args.model), SCALE, EngineOptions(threads=args.threads))
    step = max(SPAN, args.frames // 10 // SPAN * SPAN)
    figures: deque[float] = deque(maxlen=SPAN)
    for index, made in enumerate(upscale(endless(small, args.frames)), start=1):
        true = lumas[(index - 1) % len(lumas)]
        figures.append(psnr(true, np.clip(made, 0, 255)[inner]))
        if index % step == 0 or index in (SPAN, args.frames):
            print(
                f"{index:7} frames  {memory_mib():8.1f} MiB  {fmean(figures):7.3f} dB", flush=True
            )


if __name__ == "__main__":
    run_main(main)
