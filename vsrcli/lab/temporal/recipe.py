"""A recurrent net's recipe: its shape, its data, its curriculum, read from a small TOML file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsrcli.errors import InputError
from vsrcli.lab.optim import OPTIMISERS
from vsrcli.lab.recipe import read_table, require
from vsrcli.lab.tables import made
from vsrcli.lab.temporal.motion import Motion

FAMILIES = ("rlsp", "egvsr")
SCALES = (2, 3, 4)
DEGRADATIONS = ("bd", "bicubic", "real")
LOSSES = ("mse", "psnr")
WAYS = ("neighbours", "feedback", "hidden")
"""RLSP's three through time, in the order of the paper's table."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A share of the run with its own motion; earlier motions stay in the mix."""

    share: float
    motion: Motion


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that decides how one recurrent net is trained."""

    id: str
    model: str = ""
    """The model that the graph joins as one more scale, where it is not one of its own."""
    summary: str = ""
    family: str = "rlsp"
    layers: int = 7
    """Convolutions of RLSP, residual blocks of EGVSR."""
    features: int = 64
    scale: int = 4
    degrade: str = "bd"
    """bd, bicubic (the centred grid that every model for real video is trained on), or real: a pack
    of blurred, noisy, compressed sequences, with bicubic between."""
    real: float = 0.8
    """Share of batches from the pack, of a recipe that is degraded so."""
    clips: float = 0.0
    """Share of the other batches that comes from real clips; the rest is stills under synthetic
    motion."""
    soft: float = 0.0
    """Share of the batches without a pack that bd-centred degrades: softer than bicubic, so that
    other frames are worth more."""
    slide: float = 0.0
    """Share of the run, its first, in which no pack is used and bd's grid moves from its own to the
    centre, step by step: a net begun from a -bd one keeps what it knows of time, which it loses if
    the grid jumps."""
    contrast: float = 0.0
    """RLSP: gain on differences in time while training; folded away at export."""
    revive: int = 0
    """RLSP: every so many-th step, filters that never fire are drawn anew (see `revive`)."""
    closed: tuple[str, ...] = ()
    """RLSP: ways through time that stay shut (neighbours, feedback, hidden), for ablations."""
    flow_weight: float = 0.0
    """Of the error of a net's own flow against the true one, LR px."""
    flow_share: float = 0.0
    """Share of the run that is spent on the flow first."""
    flow_every: int = 0
    """After that, every so many-th step goes on teaching the flow; 0 for none."""
    judge: int = 0
    """Features of the discriminator; 0: pixels and flow alone teach (see `adversarial`)."""
    judges_clean: bool = True
    """Whether it sees clean batches, too. Else pixels alone teach there, and texture is invented
    only where something took it away."""
    adversarial: float = 3e-4
    feature: float = 2e-3
    pingpong: float = 0.5
    warping: float = 0.5
    texture: float = 0.0
    """Weights of the adversarial lesson's losses, beside 1 for the mean square error."""
    loss: str = "mse"
    """Of the picture: mse over the batch, or psnr, the mean over sequences of the logarithm of each
    one's own mse, in which a smooth sequence counts as much as one full of detail."""
    optimiser: str = "muon"
    lr: float = 3e-3
    batch: int = 4
    length: int = 10
    carry: float = 0.0
    """Share of the steps that go on with an earlier batch from the state it left (see `carry`)."""
    patch: int = 64
    """Side of a low-resolution patch, px; a multiple of 8."""
    ema: float = 0.998
    warmup: float = 0.02
    shrinks: tuple[float, ...] = (1.0, 0.7, 0.5)
    stages: tuple[Stage, ...] = (Stage(share=1.0, motion=Motion()),)


def shipped(path: Path) -> Path:
    """`path`, or the shipped recipe of that name (with or without .toml)."""
    inside = Path(__file__).parent / "recipes" / f"{path.stem}.toml"
    return inside if not path.exists() and inside.exists() else path


def is_recurrent(path: Path) -> bool:
    """Whether a recipe file is one of these."""
    return read_table(path).get("family") in FAMILIES


def load_recipe(path: Path) -> Recipe:
    """The recipe in `path`. Raises InputError for unknown keys and values that cannot be meant."""
    table = read_table(path)
    try:
        if "stage" in table:
            table["stages"] = [_stage(entry) for entry in table.pop("stage")]
        recipe: Recipe = made(Recipe, table)
        require("scale", recipe.scale, SCALES)
        require("degradation", recipe.degrade, DEGRADATIONS)
        require("loss", recipe.loss, LOSSES)
        require("optimiser", recipe.optimiser, OPTIMISERS)
    except (TypeError, ValueError) as exc:
        raise InputError(f"recipe {path}: {exc}") from exc
    if not set(recipe.closed) <= set(WAYS):
        raise InputError(f"recipe {path}: closed takes {', '.join(WAYS)}")
    if recipe.judge and recipe.family != "egvsr":
        raise InputError(f"recipe {path}: a judge needs the flow of an egvsr")
    if recipe.revive and recipe.family != "rlsp":
        raise InputError(f"recipe {path}: revive is for an rlsp, whose filters fall silent")
    if not 0 <= recipe.carry < 1:
        raise InputError(f"recipe {path}: carry is a share below 1, or nothing new would come")
    if recipe.patch % 8 or recipe.patch == 8:
        raise InputError(f"recipe {path}: patch must be a multiple of 8 from 16 on")
    return recipe


def _stage(entry: dict[str, Any]) -> dict[str, Any]:
    """A stage's share and motion lie side by side in the file."""
    motion = dict(entry)
    return {"share": motion.pop("share", None), "motion": motion}
