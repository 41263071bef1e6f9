"""What numbers of fewer bits cost each model in PSNR-Y at x4, as a Markdown table.

    python examples/precision_table.py SET5 VID4 --calibrate CLIPS [--frames 12] [--models ID ...]
        [--write]

Single-frame models on Set5, the others on Vid4's calendar and city: `-bd` models on the grid they
were trained on, the rest on antialiased bicubic. bf16 is OpenVINO's, for single-frame models on
luma of 8 bits, as video has it (`vsr-lab bf16`); int8 graphs, where a model has none, are made for
the occasion (`vsr-lab quantise`); they and fp16 run in onnxruntime on the CPU.
Needs the lab and openvino extras, and a CPU that multiplies bf16. `--write` puts the table into
README.md.
"""

from __future__ import annotations

import argparse
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from ending import run_main

from vsrcli.errors import VsrError
from vsrcli.lab.bf16 import bf16_change
from vsrcli.lab.evaluate import evaluate
from vsrcli.lab.quantise import INT8, Shots, quantise
from vsrcli.lab.sequence import EngineOptions
from vsrcli.models import Model, Temporal, list_models

README = Path(__file__).resolve().parents[1] / "README.md"
BETWEEN = re.compile(r"(?<=<!-- precision -->\n).*?(?=<!-- /precision -->)", re.DOTALL)
SCALE = 4
HEAD = ("model", "on", "fp32", "bf16", "fp16", "int8")
at_any_cost = partial(quantise, frames=1, most_loss_db=99.0, weight_bits=8)


def main() -> None:
    """Prints the table, and a line on each model that something cannot be made of."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set5", type=Path)
    parser.add_argument("vid4", type=Path)
    parser.add_argument("--calibrate", type=Path, required=True, help="folder of clips")
    parser.add_argument("--frames", type=int, default=12, help="of each clip")
    parser.add_argument("--models", nargs="+", help="only these")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    print(line(HEAD), line(["---"] * len(HEAD)), sep="\n", flush=True)
    lines = [line(HEAD), line(["---"] * len(HEAD))]
    for model in list_models():
        if model.id == "bicubic" or (args.models and model.id not in args.models):
            continue
        lines.append(line(row(model, args)))
        print(lines[-1], flush=True)
    if args.write:
        text = README.read_text(encoding="utf-8")
        table = "\n".join(lines) + "\n"
        README.write_text(BETWEEN.sub(lambda _: table, text), encoding="utf-8")


def row(model: Model, args: argparse.Namespace) -> tuple[str, ...]:
    """The cells of one model."""
    is_frame = model.temporal is Temporal.FRAME
    folder = args.set5 if is_frame else args.vid4
    degrade = "bd" if model.id.endswith("-bd") else "bicubic"

    def psnr(where: Path, precision: str, engine: str) -> float:
        return evaluate(
            where,
            folder,
            scale=SCALE,
            degrade=degrade,
            frames=args.frames,
            options=EngineOptions(engine=engine, precision=precision),
        ).mean.psnr_y

    with TemporaryDirectory() as scratch:
        trial = Path(shutil.copytree(model.folder, Path(scratch) / model.id))

        def bf16() -> float:
            if is_frame:
                return exact + bf16_change(trial, SCALE, folder)
            return psnr(trial, "bf16", "openvino")

        def fp16() -> float:
            return psnr(trial, "fp16", "onnxruntime")

        def int8() -> float:
            if not any((g.scale, g.precision) == (SCALE, INT8) for g in model.graphs):
                shots = Shots(folder=args.calibrate, degrade=degrade)
                at_any_cost(trial, SCALE, shots, folder)
            return psnr(trial, INT8, "onnxruntime")

        exact = psnr(trial, "fp32", "onnxruntime")
        changes = [change(way, exact) for way in (bf16, fp16, int8)]
    where = "Set5" if is_frame else f"Vid4, {degrade}"
    return (f"`{model.id}`", where, f"{exact:.2f}", *changes)


def change(psnr: Callable[[], float], exact: float) -> str:
    """By how many dB it is more than in fp32; nothing where it cannot be made."""
    try:
        return f"{psnr() - exact:+.3f}"
    except VsrError:
        return ""


def line(cells: tuple[str, ...] | list[str]) -> str:
    """Of a Markdown table."""
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    run_main(main)
