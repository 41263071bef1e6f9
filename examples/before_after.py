"""Makes examples/before_after.png: pieces of the example clip by bicubic, by a model, and as drawn.

    python examples/before_after.py [OUT] [--model ID]

Without --model it takes the shipped model that gains most on Set5 x4.
"""

from __future__ import annotations

import argparse
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
from ending import run_main
from make_clip import FONT, RATE, SCALE, codes, page, view

from vsrcli import Job, upscale
from vsrcli.frames import RgbU8
from vsrcli.media.images import read_rgb, write_png
from vsrcli.media.settings import VideoOptions
from vsrcli.models import list_models

CLIP = Path(__file__).with_name("clip.mp4")
INDEX = 40
PIECES = ((200, 18), (820, 160), (760, 400))
"""Left and top of the pieces, px of the large picture."""
WIDE, HIGH, GAP, BAR = 280, 170, 8, 30


def best_model() -> str:
    """The shipped model with the largest gain at x4."""
    gains = {
        model.id: graph.measured.get("set5_gain_db", 0.0)
        for model in list_models()
        for graph in model.graphs
        if graph.scale == SCALE and graph.precision == "fp32"
    }
    return max(gains, key=lambda name: gains[name])


def upscaled(model: str) -> RgbU8:
    """Frame INDEX of the clip, four times as large."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "frame.mkv"
        start = Fraction(INDEX, RATE)
        job = Job(
            source=CLIP,
            target=target,
            model=model,
            scale=SCALE,
            video=VideoOptions(codec="ffv1"),
            audio="none",
            start_s=start,
            end_s=start + Fraction(1, RATE),
        )
        upscale(job)
        return read_rgb(target)


def column(image: RgbU8, label: str) -> RgbU8:
    """The pieces of a picture, one below the other, under its name."""
    bar = np.full((BAR, WIDE, 3), 255, np.uint8)
    write(bar, label.upper())
    parts = [bar]
    for left, top in PIECES:
        parts += [
            image[top : top + HIGH, left : left + WIDE],
            np.full((GAP, WIDE, 3), 255, np.uint8),
        ]
    return np.concatenate(parts)


def write(bar: RgbU8, text: str) -> None:
    """Black letters of 5x7 dots, each two pixels wide."""
    for place, letter in enumerate(text):
        rows = bytes.fromhex(FONT.get(letter, "0000001F000000"))  # anything else becomes a dash
        dots = np.array([[row >> (4 - bit) & 1 for bit in range(5)] for row in rows], bool)
        left = 2 + place * 12
        area = bar[8:22, left : left + 10]
        area[dots.repeat(2, axis=0).repeat(2, axis=1)[:, : area.shape[1]]] = 30


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes the README's picture.")
    parser.add_argument(
        "out", nargs="?", type=Path, default=Path(__file__).with_name("before_after.png")
    )
    parser.add_argument("--model", default=None)
    arguments = parser.parse_args()
    model = arguments.model or best_model()
    drawn = codes(view(page(), INDEX))
    columns = [
        column(upscaled("bicubic"), "bicubic"),
        column(upscaled(model), model),
        column(drawn, "as drawn"),
    ]
    space = np.full((columns[0].shape[0], GAP, 3), 255, np.uint8)
    write_png(arguments.out, np.concatenate([columns[0], space, columns[1], space, columns[2]], 1))
    print(f"{arguments.out}: bicubic, {model}, as drawn")


if __name__ == "__main__":
    run_main(main)
