"""What chunks cost a bidirectional model: PSNR between a clip in chunks and the clip as a whole.

    python examples/restore_chunks.py MODEL CLIP --chunk 15 --overlaps 0 1 2 3 5 8

The middle is what lies a quarter of a chunk or more from a border. "Lost" is what chunks take off
the PSNR against the ground truth in the two frames beside a border. With dynamic cleaning off, so
that the chunks alone differ; that the whole clip equals the network is proved at export. Needs the
lab extra.
"""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path

import numpy as np
from ending import run_main, size
from numpy.typing import NDArray

from vsrcli.errors import InputError
from vsrcli.lab.clips import read_frames
from vsrcli.lab.degradations import degradation
from vsrcli.lab.sequence import EngineOptions, driven
from vsrcli.models import Model, Tuning, find_model

SCALE = 4
Values = NDArray[np.float64]


def main() -> None:
    """Prints a line for each overlap."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("clip", type=Path)
    parser.add_argument("--frames", type=int, default=45)
    parser.add_argument(
        "--size", type=size, default="160x96", help="of the LR frames, cut from the middle"
    )
    parser.add_argument("--degrade", default="x264-28")
    parser.add_argument("--chunk", type=int, default=15)
    parser.add_argument("--overlaps", type=int, nargs="+", default=[0, 1, 2, 3, 5, 8])
    args = parser.parse_args()
    model, truths = find_model(args.model), cut(args)
    if len(truths) <= args.chunk:
        raise InputError(
            f"{args.clip} has {len(truths)} frames; one of two chunks and more shows it"
        )
    clip = np.stack(list(degradation(args.degrade, SCALE)(truths, args.clip.stem)))
    true = truths.transpose(0, 3, 1, 2) / 255
    whole = restored(model, clip, Tuning(chunk=len(clip), overlap=0, clean="1"))
    best = halves(psnr(whole, true), args.chunk)[1]
    print("overlap  worst   mean  middle  borders  borders - middle  lost")
    for overlap in args.overlaps:
        tuning = Tuning(chunk=args.chunk, overlap=overlap, clean="1")
        made = restored(model, clip, tuning)
        level, lost = psnr(made, whole), best - halves(psnr(made, true), args.chunk)[1]
        middle, borders = halves(level, args.chunk)
        print(
            f"{overlap:7d}  {level.min():5.1f}  {level.mean():5.1f}  {middle:6.1f}  {borders:7.1f}"
            f"  {borders - middle:+16.1f}  {lost:.4f}"
        )


def cut(args: argparse.Namespace) -> NDArray[np.uint8]:
    """(T, H, W, 3): the middle of the clip's first frames."""
    width, height = (SCALE * side for side in args.size)
    frames = np.stack(list(islice(read_frames(args.clip), args.frames)))
    top, left = (frames.shape[1] - height) // 2, (frames.shape[2] - width) // 2
    return frames[:, top : top + height, left : left + width]


def restored(model: Model, clip: NDArray[np.uint8], tuning: Tuning) -> Values:
    """(T, 3, 4H, 4W), red first, in 0..1."""
    upscale = driven(model, SCALE, EngineOptions(tuning=tuning))
    made = [np.stack([frame.planes[i] for i in (2, 0, 1)]) for frame in upscale(clip)]
    return np.stack(made) / 65535


def psnr(made: Values, wanted: Values) -> Values:
    """dB of each frame; 120 where they are equal."""
    error: Values = np.mean((made - wanted) ** 2, axis=(1, 2, 3))
    return -10 * np.log10(error + 1e-12)


def halves(level: Values, chunk: int) -> tuple[float, float]:
    """Means of the frames far from a border between chunks, and of the two beside each."""
    at = np.arange(len(level))
    borders = np.arange(chunk, len(level), chunk)
    distance = np.min(np.abs(at[:, None] - borders + 0.5), axis=1)
    return float(level[distance > chunk / 4].mean()), float(level[distance < 1].mean())


if __name__ == "__main__":
    run_main(main)
