"""`vsr-lab ablate`: RLSP with its ways through time opened one by one."""

import argparse
import sys
from pathlib import Path


def add(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("recipe", type=Path, help="recipe file, or the name of a shipped recipe")
    parser.add_argument("--minutes", type=float, required=True, help="core-minutes for each net")
    parser.add_argument("--data", type=Path, required=True, help="folder of sharp stills")
    parser.add_argument("--clips", type=Path, help="folder of video files")
    parser.add_argument("--cache", type=Path, help="where decoded clips are kept; in --out")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints")
    parser.add_argument("--measure", type=Path, required=True, help="clips to measure on")
    parser.add_argument("--card", type=Path, help="model folder whose card is to say the figures")


def run(args: argparse.Namespace) -> None:
    """Train, measure, print a line for each net."""
    import torch

    from vsrcli.lab.budget import check_minutes
    from vsrcli.lab.card import note_measured
    from vsrcli.lab.evaluate import sources
    from vsrcli.lab.temporal.ablate import Step, ablate
    from vsrcli.lab.temporal.feed import Sources
    from vsrcli.lab.temporal.recipe import load_recipe, shipped
    from vsrcli.lab.temporal.train import Report
    from vsrcli.models.model import read_model

    def show(report: Report) -> None:
        sys.stderr.write(f"{report.minutes:7.2f} min  {report.recurrent:.3f} dB\n")

    def show_step(step: Step) -> None:
        opened = " + ".join(step.opened) or "no other frame"
        each = "  ".join(f"{row.name} {row.psnr_y:.2f}" for row in step.found.rows)
        sys.stdout.write(f"{opened:30} mean {step.found.mean.psnr_y:.2f}  {each}\n")
        sys.stdout.flush()

    check_minutes(minutes=args.minutes)
    torch.set_num_threads(1)
    recipe = load_recipe(shipped(args.recipe))
    _ = sources(args.measure)  # before anything is trained
    if args.card:
        _ = read_model(args.card).graph(recipe.scale)
    steps = ablate(
        recipe,
        Sources(stills=args.data, clips=args.clips, cache=args.cache or args.out),
        args.out,
        args.measure,
        minutes=args.minutes,
        on_report=show,
        on_step=show_step,
    )
    if args.card:
        figures = {f"ablation_{step.name}_psnr_y": step.found.mean.psnr_y for step in steps}
        note_measured(args.card, recipe.scale, {"ablation_minutes": args.minutes} | figures)
