"""`vsr eval`."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vsrcli.cli.options import Device, EngineName, Json, Precision, Threads, model_ids
from vsrcli.cli.tables import print_json, print_lines, print_table, rounded
from vsrcli.errors import ModelError
from vsrcli.extras import lab_needed

if TYPE_CHECKING:
    from vsrcli.lab.evaluate import Evaluation, Row

_FIGURES = ("PSNR-Y", "SSIM", "bicubic", "SSIM ", "gain dB")


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="An id, a model folder or an .onnx file.",
            autocompletion=model_ids,
        ),
    ],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Sharp pictures or clips.")],
    scale: Annotated[int, typer.Option("-s", "--scale", help="2, 3 or 4.")] = 4,
    degrade: Annotated[
        str,
        typer.Option(
            help="bicubic (antialiased), bd (blurred, every r-th pixel), real, real2, x264-28 …"
        ),
    ] = "bicubic",
    frames: Annotated[int, typer.Option(min=0, help="At most so many of a clip; 0: all.")] = 0,
    metrics: Annotated[
        str, typer.Option(help="psnr and ssim always; besides them tof, niqe, shift.")
    ] = "psnr,ssim",
    niqe_params: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Published NIQE parameters, an .npz.")
    ] = None,
    short_side: Annotated[
        int, typer.Option(min=0, help="Scale larger ground truth down to this first, px.")
    ] = 0,
    without: Annotated[
        str, typer.Option(help="Run a recurrent model without its state, or its neighbours.")
    ] = "",
    clean: Annotated[
        str | None,
        typer.Option(metavar="PASSES", help="Of a bidirectional model: 0 to 3, or auto."),
    ] = None,
    strength: Annotated[
        float | None, typer.Option(metavar="0..1", help="Its blend with bicubic; see vsr upscale.")
    ] = None,
    chunk: Annotated[
        int | None, typer.Option(metavar="FRAMES", help="It restores so many together.")
    ] = None,
    overlap: Annotated[
        int | None, typer.Option(metavar="FRAMES", help="And looks at so many of the next chunk.")
    ] = None,
    device: Device = "cpu",
    engine: EngineName = "auto",
    precision: Precision = "fp32",
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Measure a model on a folder, beside bicubic: PSNR-Y, SSIM and more. Needs the lab extra."""
    with lab_needed("vsr eval"):
        from vsrcli.lab.evaluate import evaluate as measure
        from vsrcli.lab.sequence import EngineOptions

    from vsrcli.models import Tuning, find_folder

    path = Path(model)
    if path.suffix.lower() != ".onnx":
        path = find_folder(model)
    elif not path.is_file():
        raise ModelError(f"the model {path} does not exist")
    with _status() as on_row:
        found = measure(
            path,
            folder,
            scale=scale,
            degrade=degrade,
            frames=frames,
            metrics=[name.strip() for name in metrics.split(",") if name.strip()],
            niqe_params=niqe_params,
            short_side=short_side,
            without=without,
            options=EngineOptions(
                device=device,
                engine=engine,
                precision=precision,
                threads=threads,
                tuning=Tuning(clean=clean, strength=strength, chunk=chunk, overlap=overlap),
            ),
            on_row=on_row,
        )
    if as_json:
        print_json(_document(found))
    else:
        _render(found)


@contextmanager
def _status() -> Iterator[Callable[[Row], None]]:
    """Shows the last row on a terminal while the next is being measured."""
    from rich.console import Console

    console = Console(stderr=True, quiet=not sys.stderr.isatty())
    with console.status("measuring") as status:
        yield lambda row: status.update(f"{row.name}: {row.psnr_y:.2f} dB")


def _render(found: Evaluation) -> None:
    without = f", without {found.without}" if found.without else ""
    title = f"{found.model} x{found.scale} on {found.folder}, degraded by {found.degrade}{without}"
    print_lines(title, "")
    keys = tuple(found.mean.more)
    rows = [_cells(row, keys) for row in (*found.rows, found.mean)]
    headings = ("name", "frames", *_FIGURES, *(key.replace("_", " ") for key in keys))
    print_table(headings, rows, right=headings[1:])
    print_lines(
        "",
        "Luma of BT.601; bicubic stands beside the model, gain is PSNR-Y over it. A frame has at "
        "most 100 dB.",
    )


def _cells(row: Row, keys: tuple[str, ...]) -> tuple[object, ...]:
    return (
        row.name,
        row.frames,
        f"{row.psnr_y:.3f}",
        f"{row.ssim:.4f}",
        f"{row.bicubic_psnr_y:.3f}",
        f"{row.bicubic_ssim:.4f}",
        rounded(row.gain_db, 3, "+"),
        *(_cell(row.more.get(key, math.nan)) for key in keys),
    )


def _cell(value: float) -> str:
    return rounded(value, 3) if math.isfinite(value) else ""


def _document(found: Evaluation) -> dict[str, Any]:
    return {
        "model": found.model,
        "folder": found.folder,
        "scale": found.scale,
        "degrade": found.degrade,
        "without": found.without or None,
        "mean": _figures(found.mean),
        "rows": [_figures(row) for row in found.rows],
    }


def _figures(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "frames": row.frames,
        "psnr_y": row.psnr_y,
        "ssim": row.ssim,
        "bicubic_psnr_y": row.bicubic_psnr_y,
        "bicubic_ssim": row.bicubic_ssim,
        "gain_db": row.gain_db,
        **{key: _finite(value) for key, value in row.more.items()},
    }


def _finite(value: float) -> float | None:
    """The value; None for what a picture has no figure of, which JSON has no word for."""
    return value if math.isfinite(value) else None
