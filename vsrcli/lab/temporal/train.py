"""Training of recurrent nets, with what they gain from time watched in every report.

A plain loop stops at a single-picture net: what differs between frames is small, so its gradient
is, and an optimiser that moves all directions at one pace (Muon) finds the differences last or
never. RLSP therefore trains on amplified differences (`contrast`, folded away at export) and
EGVSR's FNet learns the known flow of synthetic motion first. Every report says what the net is
worth without its state and without its neighbours: no gap, no recurrence.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from math import log10
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vsrcli.lab.data import pictures
from vsrcli.lab.degrade import BD_RADIUS, BD_SIGMA, shrink, shrink_matrix
from vsrcli.lab.optim import make_optimiser
from vsrcli.lab.temporal.egvsr import Egvsr
from vsrcli.lab.temporal.motion import Motion, Stills, sequences
from vsrcli.lab.temporal.recipe import Recipe
from vsrcli.lab.temporal.rlsp import Rlsp
from vsrcli.lab.train import HELD_BACK, rate
from vsrcli.media.images import read_rgb

REPORT_S = 60.0
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


@dataclass(kw_only=True)
class State:
    """Everything a checkpoint holds."""

    net: Net
    average: dict[str, Tensor]
    optimiser: torch.optim.Optimizer
    step: int = 0
    spent_s: float = 0.0
    losses: list[float] = field(default_factory=list)


class Degrade:
    """HR frames (N, 3, rH, rW) in 0..1 to LR, rounded to 8 bit, on the training device."""

    def __init__(self, name: str, scale: int, device: torch.device) -> None:
        self._scale = scale
        if name == "bd":
            offsets = torch.arange(-BD_RADIUS, BD_RADIUS + 1, dtype=torch.float32)
            taps, self._before = torch.exp(-(offsets**2) / (2 * BD_SIGMA**2)), BD_RADIUS
        else:
            row = shrink_matrix(16 * scale, 16, 1 / scale)[8]
            inside = np.flatnonzero(row)
            taps = torch.from_numpy(row[inside[0] : inside[-1] + 1]).float()
            self._before = 8 * scale - int(inside[0])
        self._taps = (taps / taps.sum()).to(device)

    def __call__(self, frames: Tensor) -> Tensor:
        size, before = len(self._taps), self._before
        after = size - before - self._scale
        pads = (before, max(after, 0)) * 2
        planes = functional.pad(frames.flatten(0, 1)[:, None], pads, mode="replicate")
        rows = functional.conv2d(planes, self._taps.view(1, 1, -1, 1), stride=(self._scale, 1))
        both = functional.conv2d(rows, self._taps.view(1, 1, 1, -1), stride=(1, self._scale))
        small = both.view(*frames.shape[:2], *both.shape[2:])
        return (small * 255).round().clamp(0, 255) / 255


def train(
    recipe: Recipe,
    folder: Path,
    out: Path,
    *,
    minutes: float,
    total_minutes: float | None = None,
    device: str = "cpu",
    on_report: Callable[[Report], None],
) -> Path:
    """Trains for `minutes` more; schedules run over `total_minutes`. The checkpoint's path.

    Minutes are core-minutes on a CPU, so a busy machine shortens nothing, and real ones elsewhere.

    Goes on where it stopped, so a long run can be cut into slices.
    """
    out.mkdir(parents=True, exist_ok=True)
    where, checkpoint = torch.device(device), out / f"{recipe.id}.pt"
    state = _start(recipe, checkpoint, where)
    degrade = Degrade(recipe.degrade, recipe.scale, where)
    trained, held = _load(folder, recipe, where)
    generator = torch.Generator().manual_seed(state.step)
    budget_s = 60 * (total_minutes or minutes)
    clock = time.process_time if where.type == "cpu" else time.perf_counter
    began = clock() - state.spent_s
    stop_s, reported = state.spent_s + 60 * minutes, state.spent_s
    while True:
        state.spent_s = clock() - began
        _step(state, recipe, trained, degrade, generator, min(1.0, state.spent_s / budget_s))
        done = state.spent_s >= stop_s
        if done or state.spent_s - reported >= REPORT_S:
            report = _report(state, recipe, held, degrade)
            on_report(report)
            _save(state, checkpoint)
            with (out / f"{recipe.id}.jsonl").open("a") as log:
                log.write(json.dumps(asdict(report)) + "\n")
            reported = state.spent_s
        if done:
            return checkpoint


def _step(
    state: State,
    recipe: Recipe,
    stills: Stills,
    degrade: Degrade,
    generator: torch.Generator,
    progress: float,
) -> None:
    for group in state.optimiser.param_groups:
        group["lr"] = recipe.lr * rate(progress, recipe.warmup)
    motion = _motion(recipe, progress, generator)
    lesson = isinstance(state.net, Egvsr) and progress < recipe.flow_share
    batch, length = (12, 2) if lesson else (recipe.batch, recipe.length)
    side = recipe.patch * recipe.scale
    hr, flow = sequences(stills, motion, batch, length, side, generator)
    lr = degrade(hr.flatten(0, 1)).view(batch, length, 3, recipe.patch, recipe.patch)
    target = functional.pixel_unshuffle(hr, recipe.scale)
    if lesson:
        loss = _flow_loss(state.net, lr, flow, recipe)
    else:
        loss = _loss(state.net, lr, target, flow, recipe)
    state.optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(state.net.parameters(), 1.0)
    state.optimiser.step()
    state.step += 1
    state.losses.append(loss.item())
    keep = min(recipe.ema, state.step / (state.step + 10))
    with torch.no_grad():
        for key, value in state.net.state_dict().items():
            state.average[key].lerp_(value, 1 - keep)


def _loss(net: Net, seen: Tensor, target: Tensor, flow: Tensor, recipe: Recipe) -> Tensor:
    """Mean square error of the picture; a net with a flow of its own is shown the true one too."""
    with torch.autocast(seen.device.type, torch.bfloat16):
        phases, guessed = (net(seen), None) if isinstance(net, Rlsp) else net.run(seen)
    loss: Tensor = (phases.float() - target).square().mean()
    if guessed is None or not recipe.flow_weight:
        return loss
    error = (guessed - _small(flow, recipe.scale))[:, 1:].abs().mean()
    return loss + recipe.flow_weight * error


def _flow_loss(net: Net, seen: Tensor, flow: Tensor, recipe: Recipe) -> Tensor:
    """Of the flow alone, on pairs of frames, LR px."""
    assert isinstance(net, Egvsr)
    with torch.autocast(seen.device.type, torch.bfloat16):
        guessed = net.fnet(torch.cat([seen[:, 1], seen[:, 0]], 1))
    error: Tensor = (guessed.float() - _small(flow, recipe.scale)[:, 1]).abs().mean()
    return error


def _small(flow: Tensor, scale: int) -> Tensor:
    """HR flow (B, T, 2, rH, rW) in HR px as LR flow in LR px."""
    small = functional.avg_pool2d(flow.flatten(0, 1), scale) / scale
    return small.view(*flow.shape[:2], *small.shape[1:])


def _motion(recipe: Recipe, progress: float, generator: torch.Generator) -> Motion:
    """This stage's motion, or in a third of the steps that of an earlier one."""
    reached, total = 0, 0.0
    for index, stage in enumerate(recipe.stages):
        reached = index
        total += stage.share
        if progress < total:
            break
    if reached and torch.rand(1, generator=generator) < 1 / 3:
        reached = int(torch.randint(reached, (1,), generator=generator))
    return recipe.stages[reached].motion


def _load(folder: Path, recipe: Recipe, device: torch.device) -> tuple[Stills, Stills]:
    paths = pictures(folder)
    banks: tuple[list[Tensor], list[Tensor]] = ([], [])
    for index, path in enumerate(paths):
        image = read_rgb(path)
        for factor in recipe.shrinks:
            small = shrink(image, factor) if factor < 1 else image
            tensor = torch.from_numpy(np.ascontiguousarray(small)).permute(2, 0, 1)
            banks[index % HELD_BACK == 0].append(tensor)
    return Stills(banks[0], device), Stills(banks[1], device)


@torch.no_grad()
def _report(state: State, recipe: Recipe, held: Stills, degrade: Degrade) -> Report:
    net = build(recipe)
    net.load_state_dict(state.average)
    device = next(state.net.parameters()).device
    net = channels_last(net.to(device)).eval()
    generator = torch.Generator().manual_seed(7)
    motion = Motion(speed=(0.3, 2.5), zoom=0.003, turn=0.003)
    side = recipe.patch * recipe.scale
    hr, _ = sequences(held, motion, 8, 12, side, generator)
    lr = degrade(hr.flatten(0, 1)).view(8, 12, 3, recipe.patch, recipe.patch)
    target = functional.pixel_unshuffle(hr, recipe.scale)

    def psnr(**how: bool) -> float:
        with torch.autocast(device.type, torch.bfloat16):
            phases = net(lr, **how)
        error = (phases.float().clamp(0, 1) - target)[:, 3:, :, 4:-4, 4:-4]
        return float(np.mean([-10 * log10(float(e.square().mean())) for e in error]))

    recent, state.losses = float(np.mean(state.losses)), []
    return Report(
        step=state.step,
        minutes=state.spent_s / 60,
        loss=recent,
        recurrent=psnr(),
        stateless=psnr(stateless=True),
        static=psnr(static=True),
    )


def _start(recipe: Recipe, checkpoint: Path, device: torch.device) -> State:
    torch.manual_seed(0)
    net = build(recipe)
    net = channels_last(net.to(device))
    state = State(
        net=net,
        average={k: v.clone() for k, v in net.state_dict().items()},
        optimiser=make_optimiser(recipe.optimiser, net.parameters(), recipe.lr, 1.0),
    )
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True, map_location=device)
        net.load_state_dict(saved["net"])
        state.optimiser.load_state_dict(saved["optimiser"])
        state.average = saved["average"]
        state.step, state.spent_s = saved["step"], saved["spent_s"]
    return state


def build(recipe: Recipe) -> Net:
    """A new net of the recipe's family and shape."""
    if recipe.family == "egvsr":
        return Egvsr(blocks=recipe.layers, features=recipe.features, scale=recipe.scale)
    return Rlsp(
        layers=recipe.layers,
        features=recipe.features,
        scale=recipe.scale,
        contrast=recipe.contrast,
    )


def channels_last(net: Net) -> Net:
    """The net with its kernels in the layout that bf16 convolutions are fastest in."""
    for parameter in net.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return net


def _save(state: State, checkpoint: Path) -> None:
    part = checkpoint.with_suffix(".part")
    kept = {
        "net": state.net.state_dict(),
        "average": state.average,
        "optimiser": state.optimiser.state_dict(),
        "step": state.step,
        "spent_s": state.spent_s,
    }
    torch.save(kept, part)
    part.replace(checkpoint)
