"""A RealBasicVSR recipe: the net's shape and its three lessons, read from a small TOML file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vsrcli.errors import InputError
from vsrcli.lab.optim import OPTIMISERS
from vsrcli.lab.recipe import read_table, require
from vsrcli.lab.restore.network import SCALE, Shape
from vsrcli.lab.tables import made

FAMILY = "realbasicvsr"
KINDS = ("flow", "pixel", "texture", "gan")
LEGS = 3


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A share of the run with a lesson of its own.

    `flow` teaches SPyNet alone, on moving stills of known flow. `pixel` is the paper's stage 1:
    output and cleaning loss. `texture` adds how much detail there is where (see `texture`), and
    `gan`, the paper's stage 2, a discriminator's judgement.
    """

    kind: str
    share: float
    batch: int
    length: int
    patch: int
    """Side of a low-resolution patch, px."""
    lr: float
    flow_rate: float = 0.1
    """Of `lr`, for SPyNet, in lessons that are not about flow."""
    cleaning: float = 0.5
    """Weight of the cleaning loss."""
    adversarial: float = 0.05
    feature: float = 0.05
    """Weight of the L1 distance of the discriminator's features."""
    texture: float = 0.0
    """Weight of the distance in texture, in `texture` and `gan`."""
    sharpen: float = 0.5
    """Amount of unsharp masking of the truth in `texture` and `gan`."""
    judged: int = 4
    """Frames of a batch that the discriminator sees."""
    long: float = 0.25
    """Share of steps in which one sequence runs on and back, LEGS times as long: features that
    grow from frame to frame show only then."""
    warmup: float = 0.03


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that decides how one net is trained."""

    id: str
    family: str
    summary: str
    shape: Shape
    stages: tuple[Stage, ...]
    threshold: float = 5.0
    """Of dynamic cleaning, mean |residue| in 255ths, after the last lesson."""
    plain_threshold: float = 1.5
    """The same for a net that no discriminator has judged."""
    judge: int = 32
    """Features of the discriminator's first layer."""
    judge_lr: float = 5e-4
    judge_detail: float = 4.0
    """See `discriminator.Discriminator`."""
    optimiser: str = "muon"
    ema: float = 0.998
    shrinks: tuple[float, ...] = (1.0, 0.7, 0.5)
    """Of the stills, before they move."""

    @property
    def scale(self) -> int:
        """How many times as long the output's sides are."""
        return SCALE

    def threshold_after(self, kind: str) -> float:
        """The threshold of cleaning for a net whose last lesson was of this kind, 255ths."""
        return self.threshold if kind == "gan" else self.plain_threshold

    def at(self, progress: float) -> tuple[Stage, float]:
        """The lesson at 0..1 of the run, and how far it has come, 0..1."""
        start = 0.0
        for stage in self.stages:
            if progress < start + stage.share or stage is self.stages[-1]:
                return stage, min(1.0, (progress - start) / stage.share)
            start += stage.share
        raise AssertionError


def shipped(path: Path) -> Path:
    """`path`, or the shipped recipe of that name (with or without .toml)."""
    inside = Path(__file__).parent / "recipes" / f"{path.stem}.toml"
    return inside if not path.exists() and inside.exists() else path


def is_restoring(path: Path) -> bool:
    """Whether a recipe file is one of these."""
    return path.exists() and read_table(path).get("family") == FAMILY


def load_recipe(path: Path) -> Recipe:
    """The recipe in `path`. Raises InputError for unknown keys and values that cannot be meant."""
    table = read_table(path)
    try:
        table["stages"] = table.pop("stage", [])
        recipe: Recipe = made(Recipe, {"shape": {}} | table)
        require("optimiser", recipe.optimiser, OPTIMISERS)
        for stage in recipe.stages:
            require("stage", stage.kind, KINDS)
            if stage.kind == "flow" and stage.patch % recipe.shape.flow_multiple:
                step = recipe.shape.flow_multiple
                raise ValueError(f"patch of the flow's lesson must be a multiple of {step}")
    except (TypeError, ValueError) as exc:
        raise InputError(f"recipe {path}: {exc}") from exc
    if abs(sum(s.share for s in recipe.stages) - 1) > 1e-6:
        raise InputError(f"recipe {path}: the shares of the stages must add up to 1")
    return recipe
