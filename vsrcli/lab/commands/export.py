"""`vsr-lab export`: a checkpoint as a folder of `weights/`, measured."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vsrcli.errors import UsageError
from vsrcli.lab.commands import at_least, check_scale, unfit

if TYPE_CHECKING:
    from vsrcli.lab.origin import Origin


def add(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("recipe", help="recipe file or name, or 'bicubic'")
    parser.add_argument(
        "--scale", type=at_least(2), choices=(2, 3, 4), help="of a single-frame model"
    )
    parser.add_argument("--checkpoints", type=Path, help="folder that `train --out` wrote")
    parser.add_argument("--weights", type=Path, default=Path("weights"))
    parser.add_argument(
        "--measure", type=Path, help="folder with set5 and bsd100-part; of a recurrent model clips"
    )
    parser.add_argument("--trained-on", default="", help="for the card, if not what is noted")
    parser.add_argument("--licence", default="", help="for the card; MIT only of our own data")
    parser.add_argument("--id", help="of the model, if not the recipe's (restoring)")
    parser.add_argument(
        "--lesson", help="export the end of this lesson: pixel, texture, gan; default the last"
    )


def run(args: argparse.Namespace) -> None:
    """Export, check, measure, and say so in one line."""
    from vsrcli.lab.evaluate import sources
    from vsrcli.lab.export import BICUBIC_ID, eval_folders, export, export_bicubic, measure
    from vsrcli.lab.recipe import load_recipe, shipped
    from vsrcli.lab.restore.recipe import is_restoring
    from vsrcli.lab.restore.recipe import shipped as shipped_restoring
    from vsrcli.lab.temporal.recipe import is_recurrent
    from vsrcli.lab.temporal.recipe import shipped as shipped_recurrent

    restoring = shipped_restoring(Path(args.recipe))
    path = shipped_recurrent(Path(args.recipe))
    uses_time = is_restoring(restoring) or (path.exists() and is_recurrent(path))
    if args.measure:  # before anything is written
        _ = sources(args.measure) if uses_time else eval_folders(args.measure)
    if is_restoring(restoring):
        sys.stdout.write(f"{_restoring(args, restoring)}\n")
        return
    if uses_time:
        sys.stdout.write(f"{_recurrent(args, path)}\n")
        return
    unfit("a single-frame", id=args.id, lesson=args.lesson)
    if args.scale is None:
        raise UsageError("a single-frame model is exported for one --scale: 2, 3 or 4")
    if args.recipe == BICUBIC_ID:
        done = export_bicubic(args.scale, args.weights)
    else:
        recipe = load_recipe(shipped(Path(args.recipe)))
        checkpoint = _checkpoint(args, f"{recipe.id}-x{args.scale}")
        done = export(recipe, args.scale, checkpoint, args.weights, said=_said(args))
    line = f"{done.file}  {done.graph.config}  {done.graph.params} params  off by {done.error:.1e}"
    if args.measure:
        figures = measure(done.file.parent, args.scale, args.measure)
        line += "".join(f"  {key} {value}" for key, value in figures.items())
    sys.stdout.write(f"{line}\n")


def _checkpoint(args: argparse.Namespace, name: str) -> Path:
    if args.checkpoints is None:
        raise UsageError(f"{name} needs --checkpoints: the folder that `vsr-lab train --out` wrote")
    return Path(args.checkpoints / f"{name}.pt")


def _said(args: argparse.Namespace) -> Origin:
    from vsrcli.lab.origin import Origin

    return Origin(trained_on=args.trained_on, licence=args.licence)


def _recurrent(args: argparse.Namespace, path: Path) -> str:
    from vsrcli.lab.temporal.export import export_recurrent, measure_clips
    from vsrcli.lab.temporal.recipe import load_recipe

    recipe = load_recipe(path)
    check_scale(recipe.id, recipe.scale, args.scale)
    unfit("a recurrent", id=args.id, lesson=args.lesson)
    done = export_recurrent(recipe, _checkpoint(args, recipe.id), args.weights, said=_said(args))
    line = f"{done.file}  {done.graph.config}  {done.graph.params} params  off by {done.error:.1e}"
    if args.measure:
        found = measure_clips(done.file.parent, args.measure, recipe.scale, recipe.degrade)
        line += "".join(f"  {key} {value}" for key, value in found.items())
    return line


def _restoring(args: argparse.Namespace, path: Path) -> str:
    from vsrcli.lab.restore.export import export_restoring
    from vsrcli.lab.restore.recipe import load_recipe
    from vsrcli.lab.temporal.export import measure_clips

    recipe = load_recipe(path)
    check_scale(recipe.id, recipe.scale, args.scale)
    name = "-".join(filter(None, (recipe.id, args.lesson)))
    done = export_restoring(
        recipe, _checkpoint(args, name), args.weights, model_id=args.id, said=_said(args)
    )
    line = f"{done.file.parent}  {done.graph.config}  off by {done.error:.1e}"
    if args.measure:
        found = measure_clips(done.file.parent, args.measure, recipe.scale, "bicubic")
        line += "".join(f"  {key} {value}" for key, value in found.items())
    return line
