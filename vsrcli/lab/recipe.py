"""A recipe: all that decides how one model is trained, read from a small TOML file."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vsrcli.errors import InputError
from vsrcli.lab.losses import LOSSES
from vsrcli.lab.networks import FAMILIES, build
from vsrcli.lab.optim import OPTIMISERS
from vsrcli.lab.tables import made


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One family's shapes by scale and how they are trained."""

    id: str
    family: str
    summary: str
    shapes: dict[int, dict[str, int]]
    """Keyword arguments of the network, by scale."""
    name: str = ""
    """File name of the recipe."""
    optimiser: str = "muon"
    """muon or adam."""
    lr: float = 2e-3
    first: float = 1.0
    """How many times as far Muon moves the first kernel."""
    batch: int = 16
    patch: dict[int, int] = field(default_factory=lambda: {2: 32, 3: 28, 4: 24})
    """Side of a low-resolution patch, px, by scale."""
    shrinks: tuple[float, ...] = (1.0, 0.7)
    """Factors the pictures are shrunk by before they are degraded; 1 = as they are."""
    jpeg_shrinks: tuple[float, ...] = (0.75, 0.5)
    """The same for JPEG pictures: shrinking hides the coder's blocks, which no net can predict."""
    flats: int = 0
    """Patches of each batch that are one flat grey: a sigmoid learns black and white late."""
    ema: float = 0.999
    loss: str = "mse"
    warmup: float = 0.02
    """Share of the time budget in which the rate rises."""


def load_recipe(path: Path) -> Recipe:
    """The recipe in `path`. Raises InputError for unknown keys and values that cannot be meant."""
    table = read_table(path)
    try:
        recipe: Recipe = made(Recipe, table | {"name": path.name})
        for scale, shape in recipe.shapes.items():
            require("family", recipe.family, FAMILIES)
            require("scale", scale, recipe.patch)
            build(recipe.family, scale, shape)
        require("loss", recipe.loss, LOSSES)
        require("optimiser", recipe.optimiser, OPTIMISERS)
        if recipe.flats > recipe.batch:
            raise ValueError(f"flats must be at most the batch, {recipe.batch}")
    except (TypeError, ValueError) as exc:
        raise InputError(f"recipe {path}: {exc}") from exc
    return recipe


def read_table(path: Path) -> dict[str, Any]:
    """A recipe's TOML as it is. Raises InputError."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise InputError(f"cannot read recipe {path}: {exc}") from exc


def require(what: str, found: object, known: Iterable[object]) -> None:
    """Raises ValueError if `found` is not one of the `known`."""
    known = list(known)
    if found not in known:
        raise ValueError(f"no {what} {found!r}; there is {', '.join(map(str, known))}")


def shipped(path: Path) -> Path:
    """`path`, or the shipped recipe of that name (with or without .toml)."""
    inside = Path(__file__).parent / "recipes" / f"{path.stem}.toml"
    return inside if not path.exists() and inside.exists() else path
