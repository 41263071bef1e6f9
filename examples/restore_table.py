"""Restoration of degraded clips, measured: a table of models for each degradation.

    python examples/restore_table.py CLIPS --models rlsp-7-128 realbasicvsr-lite \\
        --degrade real x264-28 x264-33 --frames 8 --short-side 540 --niqe-params FILE

Bicubic and the truth stand beside them. By default they are of README's models. Models
that are not there are left out. Needs the lab extra.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from math import isnan
from pathlib import Path

from ending import run_main

from vsrcli.errors import ModelError
from vsrcli.lab.evaluate import Evaluation, Row, evaluate
from vsrcli.lab.sequence import EngineOptions
from vsrcli.models import Temporal, Tuning, find_folder
from vsrcli.models.model import read_model

MODELS = (
    "egvsr-psnr",
    "egvsr",
    "rlsp-7-128",
    "rlsp-7-64",
    "rlsp-7-48",
    "realbasicvsr-lite",
    "realbasicvsr-lite-psnr",
)
METRICS = ("psnr", "ssim", "tof", "niqe")
HEADINGS = f"{'':24s} PSNR-Y    SSIM    tOF   NIQE"


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("--models", nargs="+", default=MODELS, help="default: README's")
    parser.add_argument("--degrade", nargs="+", default=["real", "x264-28", "x264-33"])
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--short-side", type=int, default=540)
    parser.add_argument("--niqe-params", type=Path)
    parser.add_argument("--clean", nargs="+", default=["auto"], help="of bidirectional models")
    parser.add_argument("--each", action="store_true", help="a line for each clip too")
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    for degrade in args.degrade:
        print(f"\n{degrade}, {args.frames} frames, short side {args.short_side}\n{HEADINGS}")
        for index, (label, found) in enumerate(evaluations(args, degrade)):
            if not index:
                show("truth", found, "true_", args.each)
                show("bicubic", found, "bicubic_", args.each)
            show(label, found, "", args.each)


def evaluations(args: argparse.Namespace, degrade: str) -> Iterator[tuple[str, Evaluation]]:
    """Each model, a bidirectional one with each kind of cleaning that was asked for."""
    for name in args.models:
        try:
            folder = find_folder(name)
        except ModelError as exc:
            sys.stderr.write(f"left out: {exc}\n")
            continue
        model = read_model(folder)
        ways = args.clean if model.temporal is Temporal.BIDIRECTIONAL else [None]
        for clean in ways:
            found = evaluate(
                folder,
                args.clips,
                degrade=degrade,
                frames=args.frames,
                short_side=args.short_side,
                metrics=METRICS,
                niqe_params=args.niqe_params,
                options=EngineOptions(tuning=Tuning(clean=clean), threads=args.threads),
            )
            yield model.id if len(ways) == 1 else f"{model.id} {clean}", found


def show(label: str, found: Evaluation, kind: str, each: bool) -> None:
    """A line for the mean, and one for each clip if asked for."""
    for row in (*(found.rows if each else ()), found.mean):
        name = label if row is found.mean else f"  {row.name[:22]}"
        print(f"{name:24s} {_figures(row, kind)}", flush=True)


def _figures(row: Row, kind: str) -> str:
    value = row.more[kind + "niqe"]
    niqe = "" if isnan(value) else f"{value:7.2f}"
    if kind == "true_":
        return f"{'':22s}{niqe}"
    ours = kind == ""
    psnr = row.psnr_y if ours else row.bicubic_psnr_y
    ssim = row.ssim if ours else row.bicubic_ssim
    return f"{psnr:6.2f}  {ssim:.4f}  {row.more[kind + 'tof']:5.3f}{niqe}"


if __name__ == "__main__":
    run_main(main)
