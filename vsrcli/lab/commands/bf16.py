"""`vsr-lab bf16`: what bf16 costs a model, for its card: little, and it is used."""

import argparse
import sys
from pathlib import Path


def add(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("folders", nargs="+", type=Path, help="folders of single-frame models")
    parser.add_argument("--measure", type=Path, required=True, help="a folder of pictures")


def run(args: argparse.Namespace) -> None:
    """Measure every scale, note it, and say so in a line a graph."""
    from vsrcli.lab.bf16 import bf16_change
    from vsrcli.lab.card import note_measured, read_card
    from vsrcli.models.model import BF16_CHANGE

    for folder in args.folders:
        for scale in sorted({graph.scale for graph in read_card(folder).graphs}):
            change = bf16_change(folder, scale, args.measure)
            note_measured(folder, scale, {BF16_CHANGE: change}, digits=3)
            sys.stdout.write(f"{folder.name} x{scale}  {change:+.3f} dB in bf16\n")
            sys.stdout.flush()
