"""`python -m vsrcli.lab half`: fp16 variants of a model's graphs, for GPUs."""

import argparse
import sys
from pathlib import Path


def add(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("folder", type=Path, help="a model folder: weights/ID")
    parser.add_argument("--scale", type=int, choices=(2, 3, 4), default=4)
    parser.add_argument("--measure", type=Path, help="pictures, or clips of a recurrent model")
    parser.add_argument("--degrade", default="bicubic", help="of the clips")


def run(args: argparse.Namespace) -> None:
    """Convert, compare on the CPU, measure, and say so in a line a graph."""
    from vsrcli.lab.evaluate import evaluate
    from vsrcli.lab.half import FP16, export_half
    from vsrcli.lab.sequence import Means

    for made in export_half(args.folder, args.scale):
        line = f"{args.folder / made.graph.file}  {made.psnr_db:.1f} dB of fp32"
        line += f"  {made.exact} operators in fp32"
        sys.stdout.write(f"{line}\n")
    if args.measure:
        psnr = {
            precision: evaluate(
                args.folder,
                args.measure,
                scale=args.scale,
                degrade=args.degrade,
                means=Means(precision=precision),
            ).mean.psnr_y
            for precision in ("fp32", FP16)
        }
        change = psnr[FP16] - psnr["fp32"]
        sys.stdout.write(f"PSNR-Y {psnr['fp32']:.3f} dB, in fp16 {change:+.4f} dB on this CPU\n")
