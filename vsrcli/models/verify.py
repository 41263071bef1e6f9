"""What can be wrong with a model folder without running it."""

from __future__ import annotations

from collections import Counter

from vsrcli.models.model import PARTS, Model, Temporal


def card_problems(model: Model) -> list[str]:
    """What the card of a model gets wrong about itself; empty if nothing."""
    problems = []
    if not model.graphs:
        problems.append("the card names no graph")
    if model.id != model.folder.resolve().name:
        problems.append(f"the card says id = {model.id!r} but the folder is {model.folder.name}")
    counts = Counter((g.scale, g.precision, g.part) for g in model.graphs)
    problems += [
        f"the card names {' '.join(filter(None, (f'x{scale}', precision, part)))} {count} times"
        for (scale, precision, part), count in counts.items()
        if count > 1
    ]
    return problems + [
        f"the card names no part {part} of x{scale}"
        for scale in model.scales
        if model.temporal is Temporal.BIDIRECTIONAL
        for part in PARTS
        if part not in {g.part for g in model.graphs if g.scale == scale}
    ]
