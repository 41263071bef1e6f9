"""Training a RealBasicVSR: the flow first, then pixels, then a discriminator's judgement.

Budgets are in core-minutes on a CPU and plain minutes elsewhere. A run can be cut into slices; it
goes on from its checkpoint. The end of each lesson is kept as a file of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from math import log10
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vsrcli.errors import UsageError
from vsrcli.lab.budget import device_named, moments
from vsrcli.lab.checkpoints import (
    Weights,
    fitting,
    load_checkpoint,
    load_graph,
    net_weights,
    write_checkpoint,
)
from vsrcli.lab.losses import charbonnier
from vsrcli.lab.mixed import mixed
from vsrcli.lab.optim import go_on, lr_factor, make_optimiser
from vsrcli.lab.origin import Data, noted
from vsrcli.lab.restore.data import (
    Source,
    enlarged,
    flow_batch,
    open_sources,
    sharpened,
    shrunk,
)
from vsrcli.lab.restore.discriminator import Discriminator, discriminator_step
from vsrcli.lab.restore.network import SCALE, RealBasicVsr
from vsrcli.lab.restore.recipe import LEGS, Recipe, Stage
from vsrcli.lab.restore.texture import texture_distance
from vsrcli.lab.temporal.feed import check_stills, load_stills
from vsrcli.lab.temporal.motion import Stills
from vsrcli.lab.weights import channels_last, copied, follow
from vsrcli.models.model import read_model

REPORT_S = 60.0
_LUMA = (0.257, 0.504, 0.098)
_HELD = {"count": 4, "length": 8, "patch": 56}
_CROP = 8
Optimisers = dict[str, torch.optim.Optimizer]


@dataclass(frozen=True, kw_only=True)
class Report:
    """Where a training stands."""

    step: int
    minutes: float
    stage: str
    losses: dict[str, float]
    """Means since the last report."""
    figures: dict[str, float]
    """On what is held back: PSNR-Y of net and bicubic, dB, over all frames; mean error of the flow
    and of no flow at all on moving stills, LR px."""


@dataclass(kw_only=True)
class State:
    """Everything a checkpoint holds."""

    net: RealBasicVsr
    discriminator: Discriminator
    average: dict[str, Tensor]
    optimisers: Optimisers
    stage: str
    step: int = 0
    stage_step: int = 0
    spent_s: float = 0.0
    data: list[Data] = field(default_factory=list)
    losses: list[dict[str, float]] = field(default_factory=list)


def train(
    recipe: Recipe,
    folder: Path,
    out: Path,
    *,
    minutes: float,
    total_minutes: float | None = None,
    packs: Sequence[Path] = (),
    device: str = "cpu",
    begin: Path | None = None,
    on_report: Callable[[Report], None],
) -> Path:
    """Trains for `minutes` more, but not past `total_minutes`, over which lessons and schedules
    run. The checkpoint.

    `folder` holds sharp stills; `packs` degraded sequences, without which moving stills stand in.
    A run that is new starts from the weights of `begin`, if it is given (see `begin_from`).
    """
    out.mkdir(parents=True, exist_ok=True)
    where, checkpoint = device_named(device), out / f"{recipe.id}.pt"
    is_new = not checkpoint.exists()
    state = start(recipe, checkpoint, where, begin)
    state.data = noted(state.data, folder, begin=begin if is_new else None)
    stills = load_stills(folder, recipe.shrinks, where)
    check_stills(folder, *stills)
    lessons = [stage for stage in recipe.stages if stage.kind != "flow"]
    source, held = open_sources(
        stills,
        packs,
        where,
        length=max([_HELD["length"], *(stage.length for stage in lessons)]),
        patch=max([_HELD["patch"], *(stage.patch for stage in lessons)]),
    )
    generator = torch.Generator().manual_seed(state.step)
    for now in moments(
        state.spent_s,
        minutes=minutes,
        total_minutes=total_minutes,
        device=where.type,
        report_s=REPORT_S,
    ):
        state.spent_s = now.spent_s
        stage, progress = recipe.at(now.progress)
        if stage.kind != state.stage:
            _check_order(recipe, state.stage, stage)
            save(state, out / f"{recipe.id}-{state.stage}.pt")
            _begin(state, recipe, stage)
        _set_rates(state, stage, progress)
        state.losses.append(_lesson(state, stage, stills[0], source, generator))
        _follow(state, recipe)
        if now.due:
            report = _report(state, recipe, stills[1], held)
            on_report(report)
            save(state, checkpoint)
            with (out / f"{recipe.id}.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(asdict(report)) + "\n")
        if now.progress == 1:
            save(state, out / f"{recipe.id}-{state.stage}.pt")
    return checkpoint


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a checkpoint has come to."""

    net: RealBasicVsr
    """With the averaged weights."""
    lesson: str
    """The last it had."""
    minutes: float
    """Core-minutes spent on it."""
    data: Sequence[Data]
    """Of its trainings."""


def load_trained(recipe: Recipe, checkpoint: Path) -> Trained:
    """The outcome of a training, to look at or to export."""
    saved = load_checkpoint(checkpoint)
    net = RealBasicVsr(recipe.shape)
    with fitting(checkpoint):
        net.load_state_dict(saved["average"])
        return Trained(
            net=net.eval(),
            lesson=saved["stage"],
            minutes=saved["spent_s"] / 60,
            data=saved.get("data", []),
        )


def begin_from(source: Path, net: RealBasicVsr) -> None:
    """Gives `net` the averaged weights of a checkpoint (.pt), or those of a model folder of this
    project. Raises WeightsError if they do not fit, ModelError if it is for another scale."""
    if source.suffix == ".pt":
        weights: Weights = load_checkpoint(source)["average"]
    else:
        files = [graph.file for graph in read_model(source).parts(SCALE).values()]  # not the int8
        graphs = [load_graph(file) for file in files]
        weights = {name: value for graph in graphs for name, value in net_weights(graph).items()}
    with fitting(source):
        net.load_state_dict(weights)


def start(
    recipe: Recipe, checkpoint: Path, device: torch.device, begin: Path | None = None
) -> State:
    """A new state, from the weights of `begin` if given, or the one in `checkpoint` when there is
    one."""
    torch.manual_seed(0)
    net = RealBasicVsr(recipe.shape)
    if begin is not None and not checkpoint.exists():
        begin_from(begin, net)
    net = channels_last(net.to(device))
    state = State(
        net=net,
        discriminator=channels_last(
            Discriminator(recipe.judge, detail=recipe.judge_detail).to(device)
        ),
        average=copied(net),
        optimisers={},
        stage=recipe.stages[0].kind,
    )
    if checkpoint.exists():
        saved = load_checkpoint(checkpoint, device)
        with fitting(checkpoint):
            _take(state, saved, recipe)
    else:
        state.optimisers = _optimisers(state, recipe)
    return state


def _take(state: State, saved: dict[str, Any], recipe: Recipe) -> None:
    """Goes on from a checkpoint."""
    state.net.load_state_dict(saved["net"])
    state.average, state.stage = saved["average"], saved["stage"]
    if state.stage == "gan":  # until then it has learned nothing
        state.discriminator.load_state_dict(saved["judge"])
    state.step, state.stage_step = saved["step"], saved["stage_step"]
    state.spent_s, state.data = saved["spent_s"], saved.get("data", [])
    state.optimisers = _optimisers(state, recipe)
    for name, optimiser in state.optimisers.items():
        go_on(optimiser, saved["optimisers"][name])


def save(state: State, checkpoint: Path) -> None:
    """Writes the state."""
    kept = {
        "net": state.net.state_dict(),
        "judge": state.discriminator.state_dict(),  # as recipes call it
        "average": state.average,
        "optimisers": {name: each.state_dict() for name, each in state.optimisers.items()},
        "stage": state.stage,
        "step": state.step,
        "stage_step": state.stage_step,
        "spent_s": state.spent_s,
        "data": state.data,
    }
    write_checkpoint(kept, checkpoint)


def _check_order(recipe: Recipe, had: str, stage: Stage) -> None:
    """Raises UsageError if the lesson it had last comes only after this one."""
    kinds = [each.kind for each in recipe.stages]
    place = recipe.stages.index(stage)
    if had in kinds[place:] and had not in kinds[:place]:
        reason = f"with so many minutes the lesson {stage.kind!r} comes again after {had!r}"
        raise UsageError(f"{reason}; give the --minutes it began with, or another --out")


def _begin(state: State, recipe: Recipe, stage: Stage) -> None:
    """The next lesson starts from the average of the last, with fresh optimisers."""
    state.net.load_state_dict(state.average)
    state.stage, state.stage_step = stage.kind, 0
    state.optimisers = _optimisers(state, recipe)


def _optimisers(state: State, recipe: Recipe) -> Optimisers:
    flow = list(state.net.basicvsr.spynet.parameters())
    known = {id(p) for p in flow}
    rest = [p for p in state.net.parameters() if id(p) not in known]
    made = {"flow": make_optimiser(recipe.optimiser, flow, 1.0, 1.0)}
    if state.stage != "flow":
        made["net"] = make_optimiser(recipe.optimiser, rest, 1.0, 1.0)
    if state.stage == "gan":
        made["judge"] = torch.optim.Adam(
            state.discriminator.parameters(), recipe.judge_lr, betas=(0.9, 0.99)
        )
    return made


def _set_rates(state: State, stage: Stage, progress: float) -> None:
    now = stage.lr * lr_factor(progress, stage.warmup)
    rates = {"flow": now if stage.kind == "flow" else now * stage.flow_rate, "net": now}
    for name, optimiser in state.optimisers.items():
        for group in optimiser.param_groups:
            group["lr"] = rates.get(name, group["lr"])


def _lesson(
    state: State, stage: Stage, stills: Stills, source: Source, generator: torch.Generator
) -> dict[str, float]:
    """One step; the parts of its loss."""
    if stage.kind == "flow":
        now, other, flow = flow_batch(stills, stage.batch, stage.patch, generator)
        losses = {"flow": _flow_loss(state.net, now, other, flow)}
    else:
        is_long = torch.rand(1, generator=generator).item() < stage.long
        count = 1 if is_long else stage.batch
        lr, hr = source.batch(count, stage.length, stage.patch, generator)
        if is_long:
            lr, hr = (_on_and_back(frames) for frames in (lr, hr))
        losses = _picture_losses(state, stage, lr, hr)
    total = torch.stack([part for part in losses.values() if part.requires_grad]).sum()
    for name in ("flow", "net"):
        if name in state.optimisers:
            state.optimisers[name].zero_grad(set_to_none=True)
    total.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(state.net.parameters(), 1.0)
    for name in ("flow", "net"):
        if name in state.optimisers:
            state.optimisers[name].step()
    return {name: value.item() for name, value in losses.items()}


def _flow_loss(net: RealBasicVsr, now: Tensor, other: Tensor, flow: Tensor) -> Tensor:
    """Mean error of all levels' flows, px of the frame."""
    spynet = net.basicvsr.spynet
    with mixed(now.device):
        guesses = spynet.pyramid(now, other)
    errors = []
    for guess in guesses:
        step = flow.shape[3] // guess.shape[3]
        error = step * guess.float() - functional.avg_pool2d(flow, step)
        errors.append((error.square().sum(1) + 1e-4).sqrt().mean())
    return torch.stack(errors).mean()


def _picture_losses(state: State, stage: Stage, lr: Tensor, hr: Tensor) -> dict[str, Tensor]:
    """Weighted parts of the loss of stages 1 and 2; in stage 2 the discriminator steps first."""
    with mixed(lr.device):
        made, clean = state.net(lr)
    made, clean = made.float().flatten(0, 1), clean.float().flatten(0, 1)
    plain = hr.flatten(0, 1)
    true = plain if stage.kind == "pixel" else sharpened(plain, stage.sharpen)
    losses = {
        "output": charbonnier(made - true),
        "cleaning": stage.cleaning * charbonnier(clean - shrunk(plain)),
    }
    if stage.texture:
        losses["texture"] = stage.texture * texture_distance(made, true)
    if stage.kind == "gan":
        chosen = torch.randperm(len(made), device=made.device)[: stage.judged]
        losses |= _adversarial_losses(state, stage, made[chosen], true[chosen])
    return losses


def _on_and_back(frames: Tensor) -> Tensor:
    """(B, T, …) as LEGS · (T - 1) + 1 frames that turn round at the ends."""
    last = frames.shape[1] - 1
    at = torch.arange(LEGS * last + 1, device=frames.device) % max(1, 2 * last)
    return frames[:, torch.where(at > last, 2 * last - at, at)]


def _adversarial_losses(
    state: State, stage: Stage, made: Tensor, true: Tensor
) -> dict[str, Tensor]:
    """Adversarial and feature loss, and that of the discriminator, which has taken its step."""
    real, distance, error = discriminator_step(
        state.discriminator, state.optimisers["judge"], made, true
    )
    return {
        "adversarial": stage.adversarial * real,
        "feature": stage.feature * distance,
        "judge": error,
    }


def _follow(state: State, recipe: Recipe) -> None:
    state.step += 1
    state.stage_step += 1
    follow(state.average, state.net, ema=recipe.ema, step=state.stage_step)


@torch.no_grad()
def _report(state: State, recipe: Recipe, stills: Stills, held: Source) -> Report:
    net = RealBasicVsr(recipe.shape).to(next(state.net.parameters()).device)
    net.load_state_dict(state.average)
    net = channels_last(net).eval()
    last = state.losses[-1].keys()
    recent, state.losses = [each for each in state.losses if each.keys() == last], []
    return Report(
        step=state.step,
        minutes=state.spent_s / 60,
        stage=state.stage,
        losses={name: float(np.mean([each[name] for each in recent])) for name in last},
        figures=_flow_figures(net, stills)
        | ({} if state.stage == "flow" else _picture_figures(net, held)),
    )


def _flow_figures(net: RealBasicVsr, stills: Stills) -> dict[str, float]:
    now, other, flow = flow_batch(stills, 16, 96, torch.Generator().manual_seed(7))
    guess = net.basicvsr.spynet(now, other)
    inner = (..., slice(_CROP, -_CROP), slice(_CROP, -_CROP))
    return {
        "flow_error": float((guess - flow).square().sum(1).sqrt()[inner].mean()),
        "no_flow_error": float(flow.square().sum(1).sqrt()[inner].mean()),
    }


def _picture_figures(net: RealBasicVsr, held: Source) -> dict[str, float]:
    lr, hr = held.batch(**_HELD, generator=torch.Generator().manual_seed(7))
    with mixed(lr.device):
        made, clean = net(lr)
    true = hr.flatten(0, 1)
    small = shrunk(true)
    return {
        "psnr_y": _psnr_y(made.float().flatten(0, 1), true),
        "bicubic_psnr_y": _psnr_y(enlarged(lr.flatten(0, 1)), true),
        "clean_psnr_y": _psnr_y(clean.float().flatten(0, 1), small),
        "seen_psnr_y": _psnr_y(lr.flatten(0, 1), small),
    }


def _psnr_y(made: Tensor, true: Tensor) -> float:
    """dB of all pictures at once, 8 px cropped."""
    weight = torch.tensor(_LUMA, device=made.device).view(1, 3, 1, 1)
    error = ((made.clamp(0, 1) - true) * weight).sum(1)[:, _CROP:-_CROP, _CROP:-_CROP]
    return -10 * log10(float(error.square().mean()))
