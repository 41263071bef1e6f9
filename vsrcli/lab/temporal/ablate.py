"""What each of RLSP's ways through time is worth (paper, table 2): four nets, equal budgets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from vsrcli.errors import UsageError
from vsrcli.lab.evaluate import Evaluation, evaluate
from vsrcli.lab.temporal.export import export_recurrent
from vsrcli.lab.temporal.feed import Sources
from vsrcli.lab.temporal.recipe import WAYS, Recipe
from vsrcli.lab.temporal.train import Report, train


@dataclass(frozen=True, kw_only=True)
class Step:
    """One of the four."""

    opened: tuple[str, ...]
    """Ways through time that it has."""
    found: Evaluation

    @property
    def name(self) -> str:
        """What was added last: still, neighbours, feedback or hidden."""
        return self.opened[-1] if self.opened else "still"


def ablate(
    recipe: Recipe,
    sources: Sources,
    out: Path,
    clips: Path,
    *,
    minutes: float,
    on_report: Callable[[Report], None],
    on_step: Callable[[Step], None] = lambda _: None,
) -> list[Step]:
    """Trains `recipe` from nothing for `minutes` with no way through time, then each time one more,
    and measures each net on `clips`. Those that are trained already are not trained again. Raises
    UsageError for a net that has no such ways.
    """
    if recipe.family != "rlsp":
        raise UsageError(f"{recipe.id} is an {recipe.family}; the ways that open are an rlsp's")
    steps = []
    for count in range(len(WAYS) + 1):
        opened, closed = WAYS[:count], WAYS[count:]
        name = f"{recipe.id}-{opened[-1] if opened else 'still'}"
        case = replace(recipe, id=name, closed=closed)
        checkpoint = out / f"{name}.pt"
        if not (out / name).exists():
            train(case, sources, out, minutes=minutes, on_report=on_report)
        export_recurrent(case, checkpoint, out)
        found = evaluate(out / name, clips, scale=recipe.scale, degrade=recipe.degrade)
        steps.append(Step(opened=opened, found=found))
        on_step(steps[-1])
    return steps
