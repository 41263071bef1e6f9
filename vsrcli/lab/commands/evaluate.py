"""`python -m vsrcli.lab eval`: PSNR-Y and SSIM of a model on a folder of pictures or clips."""

import argparse
import json
import sys
from pathlib import Path

from vsrcli.lab.degrade import DEGRADATIONS


def add(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("model", type=Path, help="model folder or ONNX file")
    parser.add_argument("folder", type=Path, help="folder of pictures and clips")
    parser.add_argument("--scale", type=int, choices=(2, 3, 4), default=4)
    parser.add_argument("--degrade", choices=tuple(DEGRADATIONS), default="bicubic")
    parser.add_argument("--frames", type=int, default=0, help="frames of each clip; 0 = all")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> None:
    """Measure and print a table or one JSON document."""
    from vsrcli.lab.evaluate import evaluate
    from vsrcli.lab.table import as_json, as_table

    result = evaluate(
        args.model, args.folder, scale=args.scale, degrade=args.degrade, frames=args.frames
    )
    text = json.dumps(as_json(result), indent=2) if args.json else as_table(result)
    sys.stdout.write(f"{text}\n")
