"""Prints the README's tables of models from their cards, or puts them there.

python examples/model_table.py [--write]
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from vsrcli.models import Graph, Model, list_models

README = Path(__file__).resolve().parents[1] / "README.md"
BETWEEN = re.compile(r"(?<=<!-- models -->\n).*?(?=<!-- /models -->)", re.DOTALL)
SCALES = (2, 3, 4)
CLIPS = ("calendar", "city", "mean")
"""Of Vid4, as the names of figures on the cards of recurrent models begin."""
RECURRENT_HEAD = ("model", "calendar dB", "city dB", "mean dB (gain)", "parameters", "licence")
HEAD = ("model", "x2 dB (gain)", "x3 dB (gain)", "x4 dB (gain)", "x4 parameters", "licence")


def rows() -> list[tuple[str, ...]]:
    """One row a model, the best at x4 first."""
    models = [m for m in list_models() if any("set5_psnr_y" in g.measured for g in m.graphs)]
    models.sort(key=lambda m: (-_gain(m), m.id))
    return [
        (f"`{m.id}`", *(_figure(m, s) for s in SCALES), _parameters(m), m.licence) for m in models
    ]


def recurrent_rows() -> list[tuple[str, ...]]:
    """One row a recurrent model with figures on Vid4 at x4, the best first."""
    measured = [(m, graph) for m in list_models() if (graph := _graph(m, SCALES[-1]))]
    found = [(m, g) for m, g in measured if all(f"{c}_psnr_y" in g.measured for c in CLIPS)]
    found.sort(key=lambda entry: (-entry[1].measured["mean_psnr_y"], entry[0].id))
    return [(f"`{m.id}`", *_clip_figures(g), _parameters(m), m.licence) for m, g in found]


def table() -> str:
    """The rows as Markdown; a second table where there are recurrent models."""
    tables = [_markdown(HEAD, rows())]
    if recurrent := recurrent_rows():
        tables.append(_markdown(RECURRENT_HEAD, recurrent))
    return "\n\n".join(tables)


def _markdown(head: tuple[str, ...], lines: list[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ("---",) * len(head), *lines])


def _clip_figures(graph: Graph) -> list[str]:
    figures = [f"{graph.measured[f'{clip}_psnr_y']:.2f}" for clip in CLIPS]
    gains = [graph.measured.get(f"{clip}_gain_db") for clip in CLIPS[:2]]
    known = [gain for gain in gains if gain is not None]
    if known:
        figures[-1] += f" ({sum(known) / len(known):+.2f})"
    return figures


def _graph(model: Model, scale: int) -> Graph | None:
    return next((g for g in model.graphs if g.scale == scale), None)


def _gain(model: Model) -> float:
    graph = _graph(model, SCALES[-1])
    return graph.measured.get("set5_gain_db", 0.0) if graph else 0.0


def _figure(model: Model, scale: int) -> str:
    graph = _graph(model, scale)
    if graph is None or "set5_psnr_y" not in graph.measured:
        return ""
    gain = graph.measured.get("set5_gain_db", 0.0)
    return f"{graph.measured['set5_psnr_y']:.2f}" + (f" ({gain:+.2f})" if gain else "")


def _parameters(model: Model) -> str:
    graph = _graph(model, SCALES[-1])
    return f"{graph.params:,}" if graph and graph.params else ""


if __name__ == "__main__":
    if "--write" in sys.argv:
        README.write_text(BETWEEN.sub(table() + "\n", README.read_text("utf-8"), count=1), "utf-8")
    print(table())
