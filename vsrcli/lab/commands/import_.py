"""`vsr-lab import`: a published checkpoint as a model folder."""

import argparse
import sys
from pathlib import Path


def add(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path, help="folder of model folders")
    parser.add_argument("--family", help="what the checkpoint must be")
    parser.add_argument("--id", dest="model_id", help="name of the model folder")
    parser.add_argument("--degradation", help="that EGVSR and its kin were trained on: bd, bi")
    parser.add_argument("--licence", default="unknown", help="licence of the checkpoint")


def run(args: argparse.Namespace) -> None:
    """Import and say what it is and how exact."""
    from vsrcli.lab.importers import import_checkpoint

    done = import_checkpoint(
        args.checkpoint,
        args.out,
        args.family,
        model_id=args.model_id,
        licence=args.licence,
        degradation=args.degradation,
    )
    sys.stdout.write(
        f"{done.folder}  {done.family} x{done.scale} {done.config}  {done.params} params  "
        f"off by {done.error:.1e}\n"
    )
