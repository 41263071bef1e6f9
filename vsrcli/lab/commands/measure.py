"""`vsr-lab measure`: PSNR-Y and SSIM of a video model on clips, put on its card."""

import argparse
import sys
from pathlib import Path

from vsrcli.lab.commands import at_least


def add(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("model", help="id in the weights folder")
    parser.add_argument("clips", type=Path, help="folder of clips, whole ones are measured")
    parser.add_argument("--scale", type=at_least(2), choices=(2, 3, 4), default=4)
    parser.add_argument("--degrade", default="bicubic", help="as of `vsr eval`; default bicubic")
    parser.add_argument("--weights", type=Path, default=Path("weights"))


def run(args: argparse.Namespace) -> None:
    """Measure, write, and say so in one line."""
    from vsrcli.lab.temporal.export import measure_clips

    found = measure_clips(args.weights / args.model, args.clips, args.scale, args.degrade)
    figures = "".join(f"  {key} {value}" for key, value in found.items())
    sys.stdout.write(f"{args.model} x{args.scale}{figures}\n")
