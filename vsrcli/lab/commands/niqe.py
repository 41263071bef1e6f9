"""`vsr-lab niqe`: what NIQE takes for natural, from a folder of sharp stills.

The parameters in the package are made so; `vsr eval --niqe-params` takes others.
"""

import argparse
import sys
from pathlib import Path


def add(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("stills", type=Path, help="folder of sharp pictures of 96 px and more")
    parser.add_argument("--out", type=Path, required=True, help=".npz file to write")


def run(args: argparse.Namespace) -> None:
    """Fit, write, and say so in one line."""
    from vsrcli.lab.data import pictures
    from vsrcli.lab.luma import luma
    from vsrcli.lab.niqe import fit, write_natural
    from vsrcli.media.images import read_rgb

    found = pictures(args.stills)
    write_natural(fit(luma(read_rgb(path)) for path in found), args.out)
    sys.stdout.write(f"{args.out}  from {len(found)} pictures\n")
