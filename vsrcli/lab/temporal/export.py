"""From a recurrent checkpoint to `weights/<id>`: cell, parity check, card, measured figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor

from vsrcli.errors import WeightsError
from vsrcli.lab.card import Card, note_measured, read_card
from vsrcli.lab.checkpoints import fitting, load_checkpoint
from vsrcli.lab.evaluate import evaluate
from vsrcli.lab.export import Exported, checked, store
from vsrcli.lab.origin import OUR_STILLS, UNSAID, Origin, origin_of
from vsrcli.lab.temporal.cells import STATE, egvsr_cell, rlsp_cell
from vsrcli.lab.temporal.egvsr import FLOW_ALIGN, FLOW_SIGHT
from vsrcli.lab.temporal.recipe import Recipe
from vsrcli.lab.temporal.rlsp import Rlsp
from vsrcli.lab.temporal.train import Net, build, load_weights
from vsrcli.models.model import CARD
from vsrcli.runtime.engines import open_engine

STILLS = (
    f"synthetic camera motion over sharp stills: {OUR_STILLS}; frames of 43 permissively licensed "
    "clips; one in twelve held back to validate"
)
CLIPS = "the clips themselves"
PACK = "sequences of both blurred, made noisy, and compressed by H.264, H.265 and MPEG-4"
BD = "bd"
_STEPS, _SIDE = 4, 16


def export_recurrent(
    recipe: Recipe, checkpoint: Path, weights: Path, *, said: Origin = UNSAID
) -> Exported:
    """The averaged weights of a checkpoint as `weights`/<id>, or as one more scale of the model
    that the recipe joins; proved equal to torch over time."""
    if not checkpoint.exists():
        raise WeightsError(f"no checkpoint {checkpoint}; train {recipe.id} first")
    saved = load_checkpoint(checkpoint)
    net = build(recipe)
    with fitting(checkpoint):
        load_weights(net, saved, "average")
        minutes = saved["spent_s"] / 60
    net.eval()
    model = rlsp_cell(net.folded()) if isinstance(net, Rlsp) else egvsr_cell(net)
    error = checked(_parity(model, net), checkpoint.name)
    form = _form(net, recipe)
    origin = origin_of(saved.get("data", []), _trained_on(recipe), said, with_clips=True)
    folder = weights / (recipe.model or recipe.id)
    graph = store(
        model,
        _card(recipe, form, origin, folder),
        folder,
        scale=recipe.scale,
        config=form.config,
        params=sum(p.numel() for p in net.parameters()),
        border=form.border,
        align=form.align,
        train_minutes=minutes,
    )
    return Exported(file=folder / graph.file, graph=graph, error=error)


@dataclass(frozen=True, kw_only=True)
class _Form:
    """What a card says of a cell."""

    window: tuple[int, int]
    """Frames before and after the current one."""
    state: Mapping[str, str | int]
    config: str
    """The shape in the paper's letters."""
    border: int
    """Receptive border of one step, LR px."""
    align: int = 1


def _form(net: Net, recipe: Recipe) -> _Form:
    if isinstance(net, Rlsp):
        return _Form(
            window=(1, 1),
            state={"name": STATE, "channels": net.state_channels},
            config=f"{recipe.layers}-{recipe.features}",
            border=recipe.layers,
        )
    return _Form(
        window=(1, 0),
        state={"name": "last", "channels": 3, "scale": recipe.scale},
        config=f"B{recipe.layers} F{recipe.features}",
        border=2 * recipe.layers + 2 + FLOW_SIGHT,
        align=FLOW_ALIGN,
    )


def _card(recipe: Recipe, form: _Form, origin: Origin, folder: Path) -> Card:
    """The card of a new model, or that of the folder with the states of one more scale. Raises
    WeightsError where the model that the recipe joins is not there."""
    card = Card(
        id=recipe.id,
        family=recipe.family,
        summary=recipe.summary,
        licence=origin.licence,
        trained_on=origin.trained_on,
        recipe=f"{recipe.id}.toml",
        graphs=(),
        color="rgb",
        temporal="recurrent",
        before=form.window[0],
        after=form.window[1],
        state=(form.state,),
    )
    if not (folder / CARD).exists():
        if recipe.model:
            raise WeightsError(f"{recipe.id} joins {recipe.model}; export that first")
        return card
    there = read_card(folder)
    own = replace(there, state=card.state) if recipe.model else card
    if origin.trained_on != _trained_on(recipe):
        own = replace(own, trained_on=origin.trained_on, licence=origin.licence)
    return own.with_states_of(there, recipe.scale)


def _trained_on(recipe: Recipe) -> str:
    parts = [STILLS]
    if recipe.clips:
        parts.append(CLIPS)
    if recipe.degrade == "real":
        parts.append(PACK)
    return "; ".join(parts)


def measure_clips(folder: Path, clips: Path, scale: int, degrade: str) -> dict[str, float]:
    """Figures of the clips in `clips`, put on the card in `folder`. Their names begin with what
    degraded the clips, if not BD."""
    found = evaluate(folder, clips, scale=scale, degrade=degrade)
    before = "" if degrade == BD else f"{degrade}_"
    figures = {f"{before}{row.name}_psnr_y": round(row.psnr_y, 2) for row in found.rows}
    figures |= {f"{before}{row.name}_gain_db": round(row.gain_db, 2) for row in found.rows}
    figures[f"{before}mean_psnr_y"] = round(found.mean.psnr_y, 2)
    figures[f"{before}mean_ssim"] = round(found.mean.ssim, 4)
    note_measured(folder, scale, figures, digits=4)
    return figures


def _parity(model: onnx.ModelProto, net: Net) -> float:
    """Largest difference from torch over a few frames."""
    engine = open_engine(model.SerializeToString(), device="cpu", threads=1)
    torch.manual_seed(0)
    frames = torch.rand(1, _STEPS, 3, _SIDE, _SIDE)
    with torch.no_grad():
        wanted = torch.nn.functional.pixel_shuffle(net(frames)[0], net.scale).numpy()
    names = [n for n in engine.inputs if n != "frames"]
    large = _SIDE * net.scale
    shapes = {
        STATE: (1, getattr(net, "state_channels", 0), _SIDE, _SIDE),
        "last": (1, 3, large, large),
    }
    states = {n: np.zeros(shapes[n], np.float32) for n in names}
    errors = []
    for t in range(_STEPS):
        made = engine.run({"frames": _window(net, frames, t).numpy(), **states})
        errors.append(float(np.abs(made["y"][0] - wanted[t]).max()))
        states = {n: made[f"{n}_next"] for n in names}
    engine.close()
    return max(errors)


def _window(net: Net, frames: Tensor, t: int) -> Tensor:
    around = (t - 1, t, t + 1) if isinstance(net, Rlsp) else (t - 1, t)
    return torch.cat([frames[:, min(max(i, 0), _STEPS - 1)] for i in around], 1)
