"""Training of recurrent nets, with what they gain from time watched in every report.

A plain loop stops at a single-picture net: what differs between frames is small, so its gradient
is, and an optimiser that moves all directions at one pace (Muon) finds the differences last or
never. RLSP therefore trains on amplified differences (`contrast`, folded away at export) and
EGVSR's FNet learns the known flow of synthetic motion first. Every report says what the net is
worth without its state and without its neighbours: no gap, no recurrence.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from math import log10
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vsrcli.lab.budget import device_named, moments
from vsrcli.lab.checkpoints import fitting, load_checkpoint, write_checkpoint
from vsrcli.lab.mixed import mixed
from vsrcli.lab.optim import go_on, lr_factor, make_optimiser
from vsrcli.lab.origin import Data, noted
from vsrcli.lab.temporal.adversarial import AdversarialLoss
from vsrcli.lab.temporal.carry import Carried, backwards
from vsrcli.lab.temporal.egvsr import Egvsr
from vsrcli.lab.temporal.feed import Batch, Feed, Sources
from vsrcli.lab.temporal.grow import begin_from
from vsrcli.lab.temporal.recipe import WAYS, Recipe
from vsrcli.lab.temporal.revive import revive
from vsrcli.lab.temporal.rlsp import Ablation, Rlsp
from vsrcli.lab.weights import channels_last, copied, follow

REPORT_S = 60.0
LESSON_BATCH, LESSON_PATCH = 32, 32
"""Pairs of frames, and their side in LR px, in a step that teaches the flow alone."""
PSNR_UNIT, PSNR_FLOOR = 2e-3, 1e-5
"""A usual mean square error, by which the logarithm's gradient is as large as that of the error
itself; and what is added to one before the logarithm (50 dB)."""
REVIVE_UNTIL, REVIVE_BATCHES = 0.7, 3
"""Share of the run after which no filter is drawn anew, and batches in which one must not fire."""
Net = Rlsp | Egvsr


@dataclass(frozen=True, kw_only=True)
class Report:
    """Where a training stands; PSNR over all frames but the first three, dB."""

    step: int
    minutes: float
    loss: float
    recurrent: float
    stateless: float
    static: float
    revived: int = 0
    """Filters since the report before."""


@dataclass(kw_only=True)
class State:
    """Where a training is, for a checkpoint."""

    net: Net
    average: dict[str, Tensor]
    optimiser: torch.optim.Optimizer
    carried: Carried
    """Not in the checkpoint: a run that goes on begins anew with these."""
    step: int = 0
    spent_s: float = 0.0
    losses: list[float] = field(default_factory=list)
    revived: int = 0
    """Filters since the last report."""
    data: list[Data] = field(default_factory=list)
    adversarial: AdversarialLoss | None = None
    """Of an adversarial training."""


def train(
    recipe: Recipe,
    sources: Sources,
    out: Path,
    *,
    minutes: float,
    total_minutes: float | None = None,
    device: str = "cpu",
    begin: Path | None = None,
    on_report: Callable[[Report], None],
) -> Path:
    """Trains for `minutes` more, but not past `total_minutes`, over which schedules run. The
    checkpoint's path.

    Minutes are core-minutes on a CPU, so a busy machine shortens nothing, and real ones elsewhere.

    Goes on where it stopped, so a long run can be cut into slices. A run that is new starts from
    the weights of `begin`, if it is given: a checkpoint, or a model folder (see `grow`).
    """
    out.mkdir(parents=True, exist_ok=True)
    where, checkpoint = device_named(device), out / f"{recipe.id}.pt"
    is_new = not checkpoint.exists()
    state = _start(recipe, checkpoint, where, begin)
    state.data = noted(state.data, sources.stills, sources.clips, begin if is_new else None)
    feed = Feed(recipe, sources, where)
    generator = torch.Generator().manual_seed(state.step)
    for now in moments(
        state.spent_s,
        minutes=minutes,
        total_minutes=total_minutes,
        device=where.type,
        report_s=REPORT_S,
    ):
        state.spent_s = now.spent_s
        if _is_revival(recipe, state.step, now.progress):
            _revive(state, feed, generator, now.progress)
        _step(state, recipe, feed, generator, now.progress)
        if now.due:
            report = _report(state, recipe, feed.held())
            on_report(report)
            _save(state, checkpoint)
            with (out / f"{recipe.id}.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(asdict(report)) + "\n")
    return checkpoint


def _step(
    state: State, recipe: Recipe, feed: Feed, generator: torch.Generator, progress: float
) -> None:
    for group in state.optimiser.param_groups:
        group["lr"] = recipe.lr * lr_factor(progress, recipe.warmup)
    if isinstance(state.net, Egvsr) and _is_lesson(recipe, state.step, progress):
        pairs = feed.moving(LESSON_BATCH, 2, LESSON_PATCH, progress, generator)
        loss = _flow_loss(state.net, pairs, recipe)
    else:
        carried = state.carried.draw(generator)
        batch, begin = carried or (feed.batch(progress, generator), None)
        loss = _loss(state, batch, begin, recipe)
    state.optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(state.net.parameters(), 1.0)
    state.optimiser.step()
    state.step += 1
    state.losses.append(loss.item())
    follow(state.average, state.net, ema=recipe.ema, step=state.step)


def _is_revival(recipe: Recipe, step: int, progress: float) -> bool:
    return bool(recipe.revive) and step % recipe.revive == 0 and progress < REVIVE_UNTIL


def _revive(state: State, feed: Feed, generator: torch.Generator, progress: float) -> None:
    if isinstance(state.net, Rlsp):
        batches = [feed.batch(progress, generator).lr for _ in range(REVIVE_BATCHES)]
        state.revived += revive(state.net, batches, state.average, state.optimiser)


def _is_lesson(recipe: Recipe, step: int, progress: float) -> bool:
    """Whether this step teaches the flow alone: all do at first, some do ever after."""
    later = recipe.flow_every and step % recipe.flow_every == 0
    return progress < recipe.flow_share or bool(later)


def _loss(state: State, batch: Batch, begin: Tensor | None, recipe: Recipe) -> Tensor:
    """The loss of the picture, from a state; a net with a flow of its own is shown the true one,
    too, where it is known. What is left is kept to go on from."""
    net = state.net
    is_judged = recipe.judges_clean or not batch.is_clean
    if isinstance(net, Egvsr) and state.adversarial and is_judged:
        loss, end = state.adversarial.loss(net, batch, recipe, begin)
        state.carried.put(batch, end)
        return loss
    with mixed(batch.lr.device):
        run = net.run(batch.lr, begin)
    state.carried.put(backwards(batch), run.state)
    target = functional.pixel_unshuffle(batch.hr, recipe.scale)
    loss = picture_loss(run.phases.float() - target, recipe.loss)
    if run.flow is None or batch.flow is None or not recipe.flow_weight:
        return loss
    error = (run.flow - _small(batch.flow, recipe.scale))[:, 1:].abs().mean()
    return loss + recipe.flow_weight * error


def picture_loss(error: Tensor, kind: str) -> Tensor:
    """The loss of a batch's error (B, T, …), by one of recipe.LOSSES."""
    each = error.square().flatten(1).mean(1)
    return (PSNR_UNIT * (each + PSNR_FLOOR).log() if kind == "psnr" else each).mean()


def _flow_loss(net: Egvsr, batch: Batch, recipe: Recipe) -> Tensor:
    """The loss of the flow alone, on pairs of frames of known flow, LR px."""
    assert batch.flow is not None
    with mixed(batch.lr.device):
        guessed = net.fnet(torch.cat([batch.lr[:, 1], batch.lr[:, 0]], 1))
    error: Tensor = (guessed.float() - _small(batch.flow, recipe.scale)[:, 1]).abs().mean()
    return error


def _small(flow: Tensor, scale: int) -> Tensor:
    """HR flow (B, T, 2, rH, rW) in HR px as LR flow in LR px."""
    small = functional.avg_pool2d(flow.flatten(0, 1), scale) / scale
    return small.view(*flow.shape[:2], *small.shape[1:])


@torch.no_grad()
def _report(state: State, recipe: Recipe, held: Batch) -> Report:
    net = build(recipe)
    net.load_state_dict(state.average)
    device = next(state.net.parameters()).device
    net = channels_last(net.to(device)).eval()
    target = functional.pixel_unshuffle(held.hr, recipe.scale)

    settled = min(3, held.lr.shape[1] - 1)

    def psnr(**how: bool) -> float:
        with mixed(device):
            phases = net(held.lr, **how)
        error = (phases.float().clamp(0, 1) - target)[:, settled:, :, 4:-4, 4:-4]
        return float(np.mean([-10 * log10(max(float(e.square().mean()), 1e-10)) for e in error]))

    recent, state.losses = float(np.mean(state.losses)), []
    revived, state.revived = state.revived, 0
    return Report(
        step=state.step,
        minutes=state.spent_s / 60,
        loss=recent,
        recurrent=psnr(),
        stateless=psnr(stateless=True),
        static=psnr(static=True),
        revived=revived,
    )


def _start(recipe: Recipe, checkpoint: Path, device: torch.device, begin: Path | None) -> State:
    torch.manual_seed(0)
    net = build(recipe)
    if begin is not None and not checkpoint.exists():
        begin_from(begin, net)
    net = channels_last(net.to(device))
    state = State(
        net=net,
        average=copied(net),
        optimiser=make_optimiser(recipe.optimiser, net.parameters(), recipe.lr, 1.0),
        carried=Carried(recipe.carry),
    )
    if recipe.judge:
        state.adversarial = AdversarialLoss(recipe.judge, device)
    if checkpoint.exists():
        saved = load_checkpoint(checkpoint, device)
        with fitting(checkpoint):
            load_weights(net, saved, "net")
            go_on(state.optimiser, saved["optimiser"])
            state.average = saved["average"]
            state.step, state.spent_s = saved["step"], saved["spent_s"]
            state.data = saved.get("data", [])
            if state.adversarial:
                state.adversarial.load_state_dict(saved["court"])
    return state


def load_weights(net: Net, saved: dict[str, Any], kind: str) -> None:
    """Gives a net the weights of a checkpoint, its "net" or "average". Raises ValueError if they
    mean something else there."""
    contrast = getattr(net, "contrast", 0.0)
    if saved.get("contrast", contrast) != contrast:
        raise ValueError(f"it was trained with a contrast of {saved['contrast']}, not {contrast}")
    net.load_state_dict(saved[kind])


def build(recipe: Recipe) -> Net:
    """A new net of the recipe's family and shape."""
    if recipe.family == "egvsr":
        return Egvsr(blocks=recipe.layers, features=recipe.features, scale=recipe.scale)
    return Rlsp(
        layers=recipe.layers,
        features=recipe.features,
        scale=recipe.scale,
        contrast=recipe.contrast,
        ablation=Ablation(**{way: way not in recipe.closed for way in WAYS}),
    )


def _save(state: State, checkpoint: Path) -> None:
    kept = {
        "net": state.net.state_dict(),
        "average": state.average,
        "optimiser": state.optimiser.state_dict(),
        "step": state.step,
        "spent_s": state.spent_s,
        "data": state.data,
        "contrast": getattr(state.net, "contrast", 0.0),
        "court": state.adversarial.state_dict() if state.adversarial else {},
    }
    write_checkpoint(kept, checkpoint)
