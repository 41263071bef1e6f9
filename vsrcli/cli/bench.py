"""`vsr bench`."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vsrcli.cli.options import Device, Json, Threads, model_ids
from vsrcli.cli.tables import print_json, print_lines, print_table, rounded
from vsrcli.errors import OutputError, UsageError
from vsrcli.paths import takes_files

if TYPE_CHECKING:
    from vsrcli.benchmark import Figures, Outcome

_CASES, _CLIP = "What is measured", "The clip"
_DEFAULT_SIZE = "480x270"
_SIDES = re.compile(r"([0-9]{1,5})x([0-9]{1,5})")


def bench(
    model: Annotated[
        list[str] | None,
        typer.Option(
            "-m", "--model", help="May be given again.", autocompletion=model_ids,
            rich_help_panel=_CASES,
        ),
    ] = None,
    engine: Annotated[
        list[str] | None,
        typer.Option(
            help="auto, onnxruntime or openvino. May be given again.", rich_help_panel=_CASES
        ),
    ] = None,
    precision: Annotated[
        list[str] | None,
        typer.Option(help="auto, fp32, bf16 ... May be given again.", rich_help_panel=_CASES),
    ] = None,
    size: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WxH", help="Of the source. Default 480x270. May be given again.",
            rich_help_panel=_CASES,
        ),
    ] = None,
    scale: Annotated[
        int | None,
        typer.Option("-s", "--scale", help="Default each model's largest.", rich_help_panel=_CASES),
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Pictures to judge precision on. Default: some are drawn.",
            rich_help_panel=_CASES,
        ),
    ] = None,
    compare_ffmpeg: Annotated[
        bool,
        typer.Option(
            "--compare-ffmpeg", help="ffmpeg's bicubic and lanczos too.", rich_help_panel=_CASES
        ),
    ] = False,
    frames: Annotated[
        int,
        typer.Option(
            min=0, max=100_000, help="Of the clip, 30 and more; 0: models alone.",
            rich_help_panel=_CLIP,
        ),
    ] = 100,
    rounds: Annotated[
        int, typer.Option(min=1, max=99, help="The median counts.", rich_help_panel=_CLIP)
    ] = 1,
    source: Annotated[
        Path | None,
        typer.Option("-i", help="A video to make clips of. Default: drawn.", rich_help_panel=_CLIP),
    ] = None,
    preset: Annotated[str, typer.Option(help="Of libx264.", rich_help_panel=_CLIP)] = "ultrafast",
    plot: Annotated[Path | None, typer.Option(metavar="PNG", help="Bars as a picture.")] = None,
    as_json: Json = False,
    device: Device = "auto",
    threads: Threads = 0,
) -> None:  # fmt: skip
    """Measure how fast models run here, alone and end to end, and how near to the machine's best.

    An engine or a precision that a model cannot have is a line that says why.
    """
    from vsrcli.benchmark import Plan, measure
    from vsrcli.benchmark.plot import write_plot
    from vsrcli.job import DEFAULT_MODEL

    if plot:
        _check_plot(plot)
    outcome = measure(
        Plan(
            models=_each(model, DEFAULT_MODEL),
            engines=_each(engine, "auto"),
            precisions=_each(precision, "auto"),
            sizes=tuple(_size(word) for word in _each(size, _DEFAULT_SIZE)),
            scale=scale,
            device=device,
            threads=threads,
            frames=frames,
            rounds=rounds,
            source=source,
            pictures=pictures,
            preset=preset,
            with_ffmpeg=compare_ffmpeg,
        ),
        lambda text: print(f"vsr: {text}", file=sys.stderr),  # noqa: T201
    )
    if as_json:
        print_json(_document(outcome))
    else:
        _render(outcome)
    if plot:
        write_plot(plot, outcome)


def _check_plot(path: Path) -> None:
    """Before all is measured. Raises OutputError and UsageError."""
    if os.path.isdir(path) or not takes_files(path.parent):
        raise OutputError(f"--plot {path} cannot be written; name a file in a folder that is there")
    if path.suffix.lower() != ".png":
        raise UsageError(f"--plot makes a PNG; end {path} in .png")


def _each(words: list[str] | None, default: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words or [default]))


def _size(word: str) -> tuple[int, int]:
    match = _SIDES.fullmatch(word)
    if not match:
        raise UsageError(f"--size {word!r} is not of the form 480x270")
    width, height = int(match[1]), int(match[2])
    if width % 2 or height % 2 or not width or not height:
        raise UsageError(f"--size {word}: both sides must be even, and more than 0")
    return width, height


def _render(outcome: Outcome) -> None:
    machine = outcome.machine
    versions = ", ".join(f"{name} {found}" for name, found in outcome.versions.items())
    features = ", ".join(machine.features) or "unknown features"
    print_lines(f"{machine.processor}, {machine.cores} cores, {features}", versions, "")
    headings = ("model", "runs on", "size", "ms", "GFLOP", "GFLOP/s", "of peak", "PSNR", "change",
                "fps", "MiB")  # fmt: skip
    rows = [_row(row) for row in outcome.figures if not row.reason]
    rows += [
        (f"ffmpeg {s.kernel} x{s.scale}", "libswscale", _sides(s.size), *[""] * 6,
         f"{s.fps:.1f}", _number(s.peak_mib, 0))
        for s in outcome.scalers
    ]  # fmt: skip
    print_table(headings, rows, right=headings[3:])
    for row in outcome.figures:
        if row.reason:
            print_lines(f"{row.case.label}: {row.reason}")
    staged = [row for row in outcome.figures if row.stages]
    if staged:
        print_lines("")
        _render_stages(staged)
    peaks = ", ".join(f"{name} {rate:.0f} GFLOP/s" for name, rate in outcome.peaks.items())
    print_lines(
        "",
        f"Peak, the most that convolutions reach here: {peaks or 'not measured'}. ms: a frame in "
        "the model, conversions included. PSNR, change: dB against fp32 in onnxruntime. fps, MiB: "
        "a whole run with its start.",
    )


def _row(row: Figures) -> tuple[str, ...]:
    share = None if row.peak_share is None else row.peak_share * 100
    return (
        f"{row.case.model} x{row.case.scale}",
        row.device,
        _sides(row.case.size),
        _number(row.model_ms, 1),
        _number(row.gflop, 2),
        _number(row.gflops, 0),
        _number(share, 0, "%"),
        _number(row.psnr_db, 2),
        _number(row.psnr_change_db, 3),
        _number(row.fps, 1),
        _number(row.peak_mib, 0),
    )


def _render_stages(rows: list[Figures]) -> None:
    headings = ("ms a frame", "runs on", "decode", "infer", "encode", "together", "of slowest",
                "cores busy", "first frame s")  # fmt: skip
    found = []
    for row in rows:
        s = row.stages
        assert s is not None
        times = (s.decode_ms, s.infer_ms, s.encode_ms, s.together_ms)
        name = f"{row.case.model} x{row.case.scale} {_sides(row.case.size)}"
        found.append(
            (
                name,
                row.device,
                *(f"{t:.1f}" for t in times),
                f"{s.overlap:.2f}",
                f"{s.busy * 100:.0f}%",
                f"{s.first_s:.2f}",
            )
        )
    print_table(headings, found, right=headings[2:])


def _sides(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _number(value: float | None, digits: int, unit: str = "") -> str:
    return "" if value is None else rounded(value, digits) + unit


def _document(outcome: Outcome) -> dict[str, Any]:
    return {
        "machine": asdict(outcome.machine),
        "versions": dict(outcome.versions),
        "peak_gflops": dict(outcome.peaks),
        "encoder": {"name": "libx264", "preset": outcome.plan.preset},
        "frames": outcome.plan.frames,
        "rounds": outcome.plan.rounds,
        "cases": [_case(row) for row in outcome.figures],
        "ffmpeg": [
            {"kernel": s.kernel, "scale": s.scale, "width": s.size[0], "height": s.size[1],
             "fps": s.fps, "peak_mib": s.peak_mib}
            for s in outcome.scalers
        ],
    }  # fmt: skip


def _case(row: Figures) -> dict[str, Any]:
    case, stages = row.case, row.stages
    return {
        "model": case.model,
        "scale": case.scale,
        "engine": case.engine,
        "precision": case.precision,
        "width": case.size[0],
        "height": case.size[1],
        "reason": row.reason or None,
        "device": row.device or None,
        "model_ms": row.model_ms,
        "gflop": row.gflop,
        "gflops": row.gflops,
        "peak_share": row.peak_share,
        "psnr_db": row.psnr_db,
        "psnr_change_db": row.psnr_change_db,
        "fps": row.fps,
        "peak_mib": row.peak_mib,
        "stages": {**asdict(stages), "overlap": stages.overlap} if stages else None,
    }
