"""The training loop: a time budget, a cosine schedule, an average of the weights, checkpoints.

The budget is in core-minutes (process time), so a busy machine does not shorten a training. The
loss is taken on the r² phases: the same mean square as on the picture, without a shuffle.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import log10
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vsrcli.errors import InputError, UsageError
from vsrcli.lab.budget import moments
from vsrcli.lab.checkpoints import fitting, load_checkpoint, write_checkpoint
from vsrcli.lab.data import Pair, batches, cut_bank, is_jpeg, load_pairs, pictures
from vsrcli.lab.losses import LOSSES
from vsrcli.lab.networks import LumaNet, build
from vsrcli.lab.optim import go_on, lr_factor, make_optimiser
from vsrcli.lab.origin import Data, noted
from vsrcli.lab.recipe import Recipe
from vsrcli.lab.weights import copied, follow

HELD_BACK = 12
"""Every so many-th still validates and is never trained on."""
BANK_STEPS = 1500
"""Steps after which the patches are cut anew."""
REPORT_S = 20.0


@dataclass(frozen=True, kw_only=True)
class Report:
    """Where a training stands."""

    step: int
    minutes: float
    loss: float
    train_psnr: float
    valid_psnr: float


@dataclass(kw_only=True)
class State:
    """Everything a checkpoint holds."""

    net: LumaNet
    average: dict[str, Tensor]
    optimiser: torch.optim.Optimizer
    step: int = 0
    spent_s: float = 0.0
    losses: list[float] = field(default_factory=list)
    data: list[Data] = field(default_factory=list)


def start(recipe: Recipe, scale: int, checkpoint: Path) -> State:
    """A new state, or the one in `checkpoint` when there is one. Raises UsageError for a scale that
    the recipe lacks, WeightsError for a checkpoint of another net."""
    if scale not in recipe.shapes:
        there = ", ".join(f"x{each}" for each in sorted(recipe.shapes))
        raise UsageError(f"the recipe {recipe.id} has no shape for x{scale}; it has {there}")
    torch.manual_seed(scale)
    net = build(recipe.family, scale, recipe.shapes[scale])
    state = State(
        net=net,
        average=copied(net),
        optimiser=make_optimiser(recipe.optimiser, net.parameters(), recipe.lr, recipe.first),
    )
    if checkpoint.exists():
        saved = load_checkpoint(checkpoint)
        with fitting(checkpoint):
            net.load_state_dict(saved["net"])
            go_on(state.optimiser, saved["optimiser"])
            state.average = saved["average"]
            state.step, state.spent_s = saved["step"], saved["spent_s"]
            state.data = saved.get("data", [])
    return state


def save(state: State, checkpoint: Path) -> None:
    """Writes the state."""
    kept = {
        "net": state.net.state_dict(),
        "average": state.average,
        "optimiser": state.optimiser.state_dict(),
        "step": state.step,
        "spent_s": state.spent_s,
        "data": state.data,
    }
    write_checkpoint(kept, checkpoint)


def average_net(state: State, recipe: Recipe, scale: int) -> LumaNet:
    """The net with the averaged weights."""
    net = build(recipe.family, scale, recipe.shapes[scale])
    net.load_state_dict(state.average)
    return net.eval()


def psnr_of(net: LumaNet, pairs: list[Pair]) -> float:
    """Mean PSNR, dB, of whole pictures with `scale` px cropped; nothing is rounded."""
    values = []
    edge = net.scale
    with torch.no_grad():
        for each in pairs:
            x = torch.from_numpy(each.lr)[None, None]
            y = torch.nn.functional.pixel_shuffle(net.phases(x), net.scale)
            error = (y[0, 0].clamp(0, 1).numpy() - each.hr)[edge:-edge, edge:-edge]
            mean = float(np.mean(error.astype(np.float64) ** 2))
            values.append(-10 * log10(max(mean, 1e-10)))  # 100 dB of a black picture
    return float(np.mean(values))


def _step(state: State, recipe: Recipe, lr: Tensor, hr: Tensor, progress: float) -> None:
    for group in state.optimiser.param_groups:
        group["lr"] = recipe.lr * lr_factor(progress, recipe.warmup)
    loss = LOSSES[recipe.loss](state.net.phases(lr) - hr)
    state.optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    state.optimiser.step()
    state.step += 1
    state.losses.append(loss.item())
    follow(state.average, state.net, ema=recipe.ema, step=state.step)


def _endless(
    pairs: list[Pair], recipe: Recipe, net: LumaNet, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    while True:
        bank = cut_bank(pairs, net.scale, net.border, recipe.patch[net.scale], rng)
        if len(bank.lr) < recipe.batch:
            found = f"the pictures give {len(bank.lr)} patches, and a batch is of {recipe.batch}"
            raise InputError(f"{found}; give more pictures, or larger ones")
        for _ in range(max(1, BANK_STEPS * recipe.batch // len(bank.lr))):
            for lr, hr in batches(bank, recipe.batch, net.scale, generator):
                grey = (16 + 219 * torch.rand(recipe.flats, 1, 1, 1, generator=generator)) / 255
                lr[: recipe.flats], hr[: recipe.flats] = grey, grey
                yield lr, hr


def train(
    recipe: Recipe,
    scale: int,
    folder: Path,
    out: Path,
    *,
    minutes: float,
    on_report: Callable[[Report], None],
) -> Path:
    """Train for `minutes` core-minutes in all; the checkpoint's path. Goes on where it stopped."""
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / f"{recipe.id}-x{scale}.pt"
    state = start(recipe, scale, checkpoint)
    paths = pictures(folder)
    if len(paths) < 2:
        raise InputError(f"{folder} holds one picture, which is held back to validate; give more")
    state.data = noted(state.data, folder)
    kept, border = [p for i, p in enumerate(paths) if i % HELD_BACK], state.net.border
    shrunk = [
        (path, factor)
        for path in kept
        for factor in (recipe.jpeg_shrinks if is_jpeg(path) else recipe.shrinks)
    ]
    train_pairs = load_pairs(shrunk, scale, border, out)
    valid_pairs = load_pairs([(path, 1.0) for path in paths[::HELD_BACK]], scale, border, out)
    spending = moments(state.spent_s, minutes=minutes, total_minutes=minutes, report_s=REPORT_S)
    patches = _endless(train_pairs, recipe, state.net, state.step)
    for now, (lr, hr) in zip(spending, patches, strict=False):
        state.spent_s = now.spent_s
        _step(state, recipe, lr, hr, now.progress)
        if now.due:
            on_report(_report(state, recipe, scale, valid_pairs))
            save(state, checkpoint)
    return checkpoint


def _report(state: State, recipe: Recipe, scale: int, pairs: list[Pair]) -> Report:
    recent = [loss for loss in state.losses if loss > 0] or [1.0]
    state.losses = []
    mean = float(np.mean(recent))
    return Report(
        step=state.step,
        minutes=state.spent_s / 60,
        loss=mean,
        train_psnr=-10 * log10(mean),
        valid_psnr=psnr_of(average_net(state, recipe, scale), pairs),
    )
