"""Restoration of footage that has no ground truth: a picture to look at, and NIQE.

    python examples/restore_real.py CLIPS OUT --models rlsp-7-128 realbasicvsr-lite --frames 12

For each clip OUT gets a picture, a column a model, bicubic first: the frame `--at` and the parts of
it with most detail, enlarged. What a bidirectional model did to each shot is printed. Needs the lab
extra.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from itertools import islice
from pathlib import Path
from statistics import fmean

from ending import run_main

from vsrcli.errors import ModelError
from vsrcli.frames import Frame, RgbU8
from vsrcli.job import DEFAULT_SCENE_THRESHOLD
from vsrcli.lab.clips import CLIPS
from vsrcli.lab.luma import luma
from vsrcli.lab.niqe import SHIPPED, Natural, niqe, read_natural
from vsrcli.media.images import rgb_of, write_png
from vsrcli.media.source import Source, Span
from vsrcli.models import Model, Temporal, Tuning, find_model
from vsrcli.montage import find_pieces, grid
from vsrcli.pipeline import run_model
from vsrcli.runtime.cleaning import ShotCleaning
from vsrcli.runtime.drivers import open_driver
from vsrcli.sequences import split_shots

SCALE, PIECE, ZOOM, PIECES = 4, (80, 56), 1, 3


def main() -> None:
    """Prints a line for each clip and model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--models", nargs="+", required=True)
    parser.add_argument("--start", type=Fraction, default=Fraction(0), help="seconds")
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--at", type=int, default=6, help="the frame that is shown")
    parser.add_argument("--clean", default="auto", help="of bidirectional models")
    parser.add_argument("--strength", type=float, help="of bidirectional models")
    parser.add_argument("--niqe-params", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    natural = read_natural(args.niqe_params or SHIPPED)
    models = list(found(["bicubic", *args.models]))
    for clip in sorted(p for p in args.clips.iterdir() if p.suffix.lower() in CLIPS):
        pictures = {}
        for model in models:
            pictures[model.id], text = one(clip, model, args, natural)
            print(f"{clip.stem[:32]:32s} {model.id:20s} {text}", flush=True)
        write_png(args.out / f"{clip.stem}.png", beside(clip, pictures, args))


def found(names: list[str]) -> Iterator[Model]:
    """The models that are there."""
    for name in names:
        try:
            yield find_model(name)
        except ModelError as exc:
            sys.stderr.write(f"left out: {exc}\n")


def one(clip: Path, model: Model, args: argparse.Namespace, natural: Natural) -> tuple[RgbU8, str]:
    """The frame that is shown, and the figures of all."""
    shots: list[ShotCleaning] = []
    tuning = Tuning()
    if model.temporal is Temporal.BIDIRECTIONAL:
        tuning = Tuning(clean=args.clean, strength=args.strength)
    figures, shown = [], None
    with Source(clip, span=Span(start_s=args.start)) as source:
        picture = source.info.video.picture
        frames = islice((f for f in source.items() if isinstance(f, Frame)), args.frames)
        with closing(
            open_driver(model, SCALE, picture=picture, tuning=tuning, on_shot=shots.append)
        ) as driver:
            cut = split_shots(frames, threshold=DEFAULT_SCENE_THRESHOLD)
            made = (item for item in run_model(cut, driver) if isinstance(item, Frame))
            for index, frame in enumerate(made):
                image = rgb_of(frame, picture.color)
                figures.append(niqe(luma(image), natural))
                shown = image if index == args.at or shown is None else shown
    assert shown is not None
    return shown, "  ".join((f"NIQE {fmean(figures):5.2f}", *map(str, shots)))


def beside(clip: Path, pictures: dict[str, RgbU8], args: argparse.Namespace) -> RgbU8:
    """The shown frame of each model, side by side, with pieces."""
    with Source(clip, span=Span(start_s=args.start)) as source:
        frames = (f for f in source.items() if isinstance(f, Frame))
        frame = next(islice(frames, args.at, None))
        color = source.info.video.picture.color
    wide = PIECE[0] * SCALE * ZOOM
    size = (wide, round(wide * frame.height / frame.width))
    small = dict.fromkeys(pictures, rgb_of(frame, color, size))
    pieces = find_pieces(frame.planes[0], *PIECE, PIECES)
    return grid(pictures, small, pieces, scale=SCALE, zoom=ZOOM)


if __name__ == "__main__":
    run_main(main)
