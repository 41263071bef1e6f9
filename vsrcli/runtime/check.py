"""Whether a model folder is what its card says: checksums, ports, scale. Runs every graph once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vsrcli.errors import VsrError
from vsrcli.models import Graph, Model, Temporal
from vsrcli.models.model import read_model
from vsrcli.models.verify import card_problems
from vsrcli.runtime.bare_onnx import luma_scale
from vsrcli.runtime.engines import open_engine


@dataclass(frozen=True, kw_only=True)
class ModelCheck:
    """What was found in one model folder."""

    id: str
    """The folder's name, which is what `--model` takes."""
    folder: Path
    scales: tuple[int, ...] = ()
    graphs: int = 0
    """How many were loaded and looked at."""
    problems: tuple[str, ...] = ()

    @property
    def is_ok(self) -> bool:
        """Nothing was found to be wrong."""
        return not self.problems


def check_model(folder: Path) -> ModelCheck:
    """The findings about a folder. Never raises for a broken model: that is a finding."""
    try:
        model = read_model(folder)
    except VsrError as exc:
        return ModelCheck(id=folder.resolve().name, folder=folder, problems=(str(exc),))
    found = [_graph_problem(model, graph) for graph in model.graphs]
    return ModelCheck(
        id=folder.resolve().name,
        folder=folder,
        scales=model.scales,
        graphs=len(model.graphs),
        problems=(*card_problems(model), *filter(None, found)),
    )


def _graph_problem(model: Model, graph: Graph) -> str:
    """Empty if the graph loads and does what the card says."""
    name = " ".join(filter(None, (f"x{graph.scale}", graph.precision, graph.part)))
    try:
        data = graph.load()
        if model.temporal is Temporal.FRAME and model.color == "y":
            scale = luma_scale(data)
        else:  # other kinds have ports of their own; their driver checks them
            open_engine(data, device="cpu", threads=1).close()
            scale = graph.scale
    except VsrError as exc:
        return f"{name}: {exc}"
    return "" if scale == graph.scale else f"{name}: the graph upscales by {scale}"
