"""`vsr-lab train`: one model from its recipe, for a time budget; it can go on.

It goes on with the weights, their average and the optimiser as they were saved, and draws its
batches anew: a run in pieces is not to the bit the one that never stopped.
"""

import argparse
import sys
from pathlib import Path

from vsrcli.errors import UsageError
from vsrcli.lab.commands import at_least, check_scale, unfit


def add(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("recipe", type=Path, help="recipe file, or the name of a shipped recipe")
    parser.add_argument(
        "--minutes", type=float, required=True, help="core-minutes in all; on a GPU plain minutes"
    )
    parser.add_argument(
        "--scale", type=at_least(2), choices=(2, 3, 4), help="of a single-frame model"
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of sharp stills")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints")
    parser.add_argument("--clips", type=Path, help="folder of video files (recurrent)")
    parser.add_argument(
        "--pack", type=Path, nargs="+", default=[], help="folders that `degrade` made (recurrent)"
    )
    parser.add_argument("--cache", type=Path, help="where decoded clips are kept; in --out")
    parser.add_argument(
        "--from",
        dest="begin",
        type=Path,
        help="checkpoint or model folder to start from; a recurrent one is grown or pruned to fit",
    )
    parser.add_argument("--threads", type=at_least(1), default=1)
    parser.add_argument("--device", default="cpu", help="of a recurrent model: cpu, cuda")
    parser.add_argument(
        "--slice", type=float, help="stop after so many minutes; run again to go on (recurrent)"
    )


def run(args: argparse.Namespace) -> None:
    """Train and print a line now and then."""
    import torch

    from vsrcli.lab.budget import check_minutes
    from vsrcli.lab.restore.recipe import is_restoring
    from vsrcli.lab.restore.recipe import shipped as shipped_restoring
    from vsrcli.lab.temporal.recipe import is_recurrent, shipped

    check_minutes(minutes=args.minutes, slice=args.slice)
    torch.set_num_threads(args.threads)
    if is_restoring(shipped_restoring(args.recipe)):
        sys.stdout.write(f"{_restoring(args, shipped_restoring(args.recipe))}\n")
        return
    path = shipped(args.recipe)
    recurrent = path.exists() and is_recurrent(path)
    sys.stdout.write(f"{_recurrent(args, path) if recurrent else _single(args)}\n")


def _single(args: argparse.Namespace) -> Path:
    from vsrcli.lab.recipe import load_recipe, shipped
    from vsrcli.lab.train import Report, train

    def show(report: Report) -> None:
        sys.stderr.write(
            f"{report.minutes:7.2f} min  step {report.step:6d}  loss {report.loss:.3e}  "
            f"train {report.train_psnr:.3f} dB  valid {report.valid_psnr:.3f} dB\n"
        )

    if args.scale is None:
        raise UsageError("a single-frame model is trained for one --scale: 2, 3 or 4")
    if args.begin is not None:
        raise UsageError("a single-frame model starts from nothing; leave --from out")
    of_video = {name: getattr(args, name) for name in ("clips", "pack", "cache", "slice")}
    unfit("a single-frame", **of_video, device=args.device != "cpu")
    recipe = load_recipe(shipped(args.recipe))
    return train(recipe, args.scale, args.data, args.out, minutes=args.minutes, on_report=show)


def _recurrent(args: argparse.Namespace, path: Path) -> Path:
    from vsrcli.lab.temporal.feed import Sources
    from vsrcli.lab.temporal.recipe import load_recipe
    from vsrcli.lab.temporal.train import Report, train

    def show(report: Report) -> None:
        sys.stderr.write(
            f"{report.minutes:7.2f} min  step {report.step:6d}  loss {report.loss:.3e}  "
            f"{report.recurrent:.3f} dB, without state {report.stateless:.3f}, "
            f"without neighbours {report.static:.3f}"
            + (f", {report.revived} filters drawn anew" if report.revived else "")
            + "\n"
        )

    recipe = load_recipe(path)
    check_scale(recipe.id, recipe.scale, args.scale)
    return train(
        recipe,
        Sources(
            stills=args.data,
            clips=args.clips,
            packs=tuple(args.pack),
            cache=args.cache or args.out,
        ),
        args.out,
        minutes=args.slice or args.minutes,
        total_minutes=args.minutes,
        device=args.device,
        begin=args.begin,
        on_report=show,
    )


def _restoring(args: argparse.Namespace, path: Path) -> Path:
    from vsrcli.lab.restore.recipe import load_recipe
    from vsrcli.lab.restore.train import Report, train

    def show(report: Report) -> None:
        numbers = report.losses | report.figures
        parts = "  ".join(f"{name} {value:.4g}" for name, value in numbers.items())
        sys.stderr.write(
            f"{report.minutes:7.2f} min  step {report.step:6d}  {report.stage}  {parts}\n"
        )

    recipe = load_recipe(path)
    check_scale(recipe.id, recipe.scale, args.scale)
    unfit("a restoring", clips=args.clips, cache=args.cache)
    return train(
        recipe,
        args.data,
        args.out,
        minutes=args.slice or args.minutes,
        total_minutes=args.minutes,
        packs=args.pack,
        device=args.device,
        begin=args.begin,
        on_report=show,
    )
