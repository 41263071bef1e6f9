"""`python -m vsrcli.lab eval`: PSNR-Y and SSIM of a model on a folder of pictures or clips."""

import argparse
import json
import sys
from pathlib import Path


def add(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("model", type=Path, help="model folder or ONNX file")
    parser.add_argument("folder", type=Path, help="folder of pictures and clips")
    parser.add_argument("--scale", type=int, choices=(2, 3, 4), default=4)
    parser.add_argument("--degrade", default="bicubic", help="bicubic, bd, real, x264-28, ...")
    parser.add_argument("--frames", type=int, default=0, help="frames of each clip; 0 = all")
    parser.add_argument("--metrics", default="psnr,ssim", help="besides these tof, niqe, shift")
    parser.add_argument("--niqe-params", type=Path, help="published parameters (.npz)")
    parser.add_argument("--short-side", type=int, default=0, help="scale larger truths down, px")
    parser.add_argument("--without", choices=("state", "neighbours"), default="")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> None:
    """Measure and print a table or one JSON document."""
    from vsrcli.lab.evaluate import evaluate
    from vsrcli.lab.table import as_json, as_table

    result = evaluate(
        args.model,
        args.folder,
        scale=args.scale,
        degrade=args.degrade,
        frames=args.frames,
        metrics=args.metrics.split(","),
        niqe_params=args.niqe_params,
        short_side=args.short_side,
        without=args.without,
    )
    text = json.dumps(as_json(result), indent=2) if args.json else as_table(result)
    sys.stdout.write(f"{text}\n")
