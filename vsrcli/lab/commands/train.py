"""`python -m vsrcli.lab train`: one model at one scale, for a number of core-minutes."""

import argparse
import sys
from pathlib import Path


def add(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("recipe", type=Path, help="recipe file, or the name of a shipped recipe")
    parser.add_argument("--minutes", type=float, required=True, help="core-minutes in all")
    parser.add_argument("--scale", type=int, choices=(2, 3, 4), required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder of sharp stills")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints")
    parser.add_argument("--threads", type=int, default=1)


def run(args: argparse.Namespace) -> None:
    """Train and print a line now and then."""
    import torch

    from vsrcli.lab.recipe import load_recipe, shipped
    from vsrcli.lab.train import Report, train

    def show(report: Report) -> None:
        sys.stderr.write(
            f"{report.minutes:7.2f} min  step {report.step:6d}  loss {report.loss:.3e}  "
            f"train {report.train_psnr:.3f} dB  valid {report.valid_psnr:.3f} dB\n"
        )

    torch.set_num_threads(args.threads)
    recipe = load_recipe(shipped(args.recipe))
    path = train(recipe, args.scale, args.data, args.out, minutes=args.minutes, on_report=show)
    sys.stdout.write(f"{path}\n")
