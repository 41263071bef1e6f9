"""`vsr models`: list, show, verify, import."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vsrcli.cli.options import Json, model_ids
from vsrcli.cli.process import say
from vsrcli.cli.tables import columns, print_json, print_lines, print_table, rounded
from vsrcli.errors import OutputError, UsageError, WeightsError
from vsrcli.extras import lab_needed

if TYPE_CHECKING:
    from vsrcli.models import Graph, Model
    from vsrcli.runtime.check import ModelCheck

app = typer.Typer(help="List, show, verify and import models.")
_NARROW = 120
"""Below this width the list leaves out what `show` tells too."""


@app.callback(invoke_without_command=True)
def _default(context: typer.Context, as_json: Json = False) -> None:
    if context.invoked_subcommand is None:
        list_(as_json=as_json)
    elif as_json:
        name = context.invoked_subcommand
        raise UsageError(f"--json stands behind the command: vsr models {name} --json")


@app.command("list", short_help="List the models.")
def list_(as_json: Json = False) -> None:
    """List the models, with their gain over bicubic on Set5 x4."""
    from vsrcli.models import list_models

    models = list_models(lambda exc: say(f"warning: {exc}", 0))
    if as_json:
        print_json({"models": [_document(model) for model in models]})
        return
    if not models:
        print_lines("There are no models. Install vsr again, or name a folder in VSR_MODELS.")
        return
    wide = ("family", "kind") if columns() >= _NARROW else ()
    headings = ("id", *wide, "scales", "params", "dB x4", "gain", "licence", "summary")
    rows = [_row(model) for model in models]
    print_table(
        headings,
        ([row[heading] for heading in headings] for row in rows),
        right=("params", "dB x4", "gain"),
    )
    print_lines("", "dB and gain over bicubic: PSNR-Y on Set5, x4. More: vsr models show ID")


@app.command("show", short_help="Show the card of a model.")
def show(
    id_: Annotated[
        str,
        typer.Argument(metavar="ID", help="An id, or a model folder.", autocompletion=model_ids),
    ],
    as_json: Json = False,
) -> None:
    """Show a model's card: where it comes from, its graphs, its measured figures."""
    from vsrcli.models import find_model

    model = find_model(id_)
    if as_json:
        print_json(_document(model))
        return
    facts = {
        "family": model.family,
        "kind": f"{model.temporal.value}, {model.color}",
        "licence": model.licence,
        "trained on": model.trained_on,
        "recipe": model.recipe,
        "folder": model.folder,
    }
    print_lines(f"{model.id}: {model.summary}", "")
    print_table((), ((key, value) for key, value in facts.items() if value))
    print_lines("")
    part = ("part",) if any(g.part for g in model.graphs) else ()
    headings = ("scale", "precision", *part, "shape", "params", "training", "file")
    rows = ([_graph_row(g)[heading] for heading in headings] for g in model.graphs)
    print_table(headings, rows, right=("params", "training"))
    print_lines("")
    _print_measured(model)


@app.command("verify", short_help="Check cards, checksums and graphs.")
def verify(
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]...", help="Default: every model.", autocompletion=model_ids),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check cards and checksums, and run every graph on a tiny picture; exit code 6 if wrong."""
    from vsrcli.models import find_folder, model_folders
    from vsrcli.runtime.check import check_model

    folders = [find_folder(id_) for id_ in ids] if ids else list(model_folders())
    checks = [check_model(folder) for folder in folders]
    if as_json:
        print_json({"ok": all(c.is_ok for c in checks), "models": [_finding(c) for c in checks]})
    else:
        rows = ((c.id, c.graphs, "\n".join(c.problems) or "ok") for c in checks)
        print_table(("id", "graphs", "finding"), rows, right=("graphs",))
    broken = [c.id for c in checks if not c.is_ok]
    if broken:
        raise WeightsError(
            f"{len(broken)} of {len(checks)} models broken: {', '.join(broken)}; "
            "restore the files or install vsr again"
        )


@app.command("import", short_help="Import a published checkpoint.")
def import_(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT",
            help="Of eSR, ESPCN, FSRCNN, RLSP, EGVSR, FRVSR, TecoGAN or RealBasicVSR.",
        ),
    ],
    family: Annotated[
        str | None,
        typer.Option(
            "--as", help="egvsr, frvsr, tecogan, realbasicvsr, rlsp; others by the file's name."
        ),
    ] = None,
    id_: Annotated[
        str | None, typer.Option("--id", help="The new model's id; default: family and shape.")
    ] = None,
    degradation: Annotated[
        str | None,
        typer.Option(help="EGVSR, FRVSR, TecoGAN: bd (default) or bi, what it was trained on."),
    ] = None,
    licence: Annotated[str, typer.Option(help="Of the checkpoint, for the card.")] = "unknown",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Default: your own models folder.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a model folder of a published checkpoint, proven equal to it. Needs the lab extra."""
    with lab_needed("vsr models import"):
        from vsrcli.lab.importers import import_checkpoint

    from vsrcli.models.find import search_path, user_models

    target = output or user_models()
    try:
        found = import_checkpoint(
            checkpoint, target, family, model_id=id_, licence=licence, degradation=degradation
        )
    except OSError as exc:
        raise OutputError(f"{exc.filename or target} cannot be written ({exc.strerror})") from exc
    name = found.id if target in search_path() else str(found.folder)
    if as_json:
        facts = asdict(found) | {"folder": str(found.folder), "file": str(found.file)}
        print_json(facts | {"model": name})
        return
    print_lines(
        f"{found.id}: {found.family} {found.config} x{found.scale}, {found.params} parameters",
        f"in {found.folder}",
        f"largest difference from the published network: {found.error:.1e}",
        f"use it: vsr upscale IN --model {name} --scale {found.scale}",
    )


def _row(model: Model) -> dict[str, object]:
    best = [g for g in model.graphs if (g.scale, g.precision) == (4, "fp32")]
    measured = best[0].measured if best else {}
    return {
        "id": model.id,
        "family": model.family,
        "kind": model.temporal.value,
        "scales": " ".join(str(s) for s in model.scales),
        "params": _count(sum(g.params for g in best)) if best else None,
        "dB x4": _decibel(measured.get("set5_psnr_y")),
        "gain": _decibel(measured.get("set5_gain_db"), sign="+"),
        "licence": model.licence,
        "summary": model.summary,
    }


def _count(params: int) -> str | None:
    if not params:
        return None
    return f"{params / 1e6:.2f} M" if params >= 1e6 else f"{params / 1e3:.1f} k"


def _decibel(value: float | None, sign: str = "") -> str | None:
    return None if value is None else rounded(value, 2, sign)


def _graph_row(graph: Graph) -> dict[str, object]:
    return {
        "scale": f"x{graph.scale}",
        "precision": graph.precision,
        "part": graph.part,
        "shape": graph.config,
        "params": graph.params or None,
        "training": f"{graph.train_minutes:g} min" if graph.train_minutes else None,
        "file": graph.file.name,
    }


def _print_measured(model: Model) -> None:
    names = list(dict.fromkeys(name for g in model.graphs for name in g.measured))
    if not names:
        print_lines("Nothing measured is on the card.")
        return
    figures: dict[str, dict[str, float]] = {}  # the parts of a model share a column
    for g in model.graphs:
        figures.setdefault(f"x{g.scale} {g.precision}", {}).update(g.measured)
    rows = ((n, *(_figure(n, column.get(n)) for column in figures.values())) for n in names)
    print_table(("measured", *figures), rows, right=tuple(figures))


def _figure(name: str, value: float | None) -> str | None:
    return None if value is None else rounded(value, 4 if "ssim" in name else 2)


def _document(model: Model) -> dict[str, Any]:
    return {
        "id": model.id,
        "family": model.family,
        "summary": model.summary,
        "kind": model.temporal.value,
        "color": model.color,
        "licence": model.licence,
        "trained_on": model.trained_on,
        "recipe": model.recipe,
        "folder": str(model.folder),
        "scales": list(model.scales),
        "graphs": [_graph_document(graph) for graph in model.graphs],
    }


def _graph_document(graph: Graph) -> dict[str, Any]:
    return {
        "scale": graph.scale,
        "precision": graph.precision,
        "part": graph.part or None,
        "file": graph.file.name,
        "sha256": graph.sha256,
        "config": graph.config,
        "params": graph.params,
        "border": graph.border,
        "train_minutes": graph.train_minutes,
        "measured": dict(graph.measured),
    }


def _finding(check: ModelCheck) -> dict[str, Any]:
    return {
        "id": check.id,
        "folder": str(check.folder),
        "ok": check.is_ok,
        "graphs": check.graphs,
        "problems": list(check.problems),
    }
