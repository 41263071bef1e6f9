"""`vsr-lab mean`: the mean of two checkpoints' weights.

Of weights before and after a training for something else (sharper texture, clean video), the mean
keeps most of what the one gained for little of what the other lost (WiSE-FT, arXiv 2109.01903).
"""

import argparse
import sys
from pathlib import Path


def add(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("first", type=Path, help="checkpoint of `train`")
    parser.add_argument("second", type=Path, help="another of the same net, begun from the first")
    parser.add_argument("--share", type=float, default=0.5, help="of the second; default 0.5")
    parser.add_argument("--out", type=Path, required=True, help="file to write; `export` takes it")


def run(args: argparse.Namespace) -> None:
    """Mix, write, and say so in one line."""
    from vsrcli.lab.checkpoints import mean_checkpoint

    minutes = mean_checkpoint(args.first, args.second, args.out, share=args.share)
    sys.stdout.write(f"{args.out}  {minutes:.1f} core-minutes in both\n")
