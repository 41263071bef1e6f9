"""Prints the README's table of models from their cards, or puts it there.

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
HEAD = ("model", "x2 dB (gain)", "x3 dB (gain)", "x4 dB (gain)", "x4 parameters", "licence")


def rows() -> list[tuple[str, ...]]:
    """One row a model, the best at x4 first."""
    models = [m for m in list_models() if any("set5_psnr_y" in g.measured for g in m.graphs)]
    models.sort(key=lambda m: (-_gain(m), m.id))
    return [
        (f"`{m.id}`", *(_figure(m, s) for s in SCALES), _parameters(m), m.licence) for m in models
    ]


def table() -> str:
    """The rows as Markdown."""
    lines = [HEAD, ("---",) * len(HEAD), *rows()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


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
