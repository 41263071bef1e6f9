"""Batches for recurrent training, from up to three sources: stills, real clips, packs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vsrcli.errors import InputError, UsageError
from vsrcli.lab.data import pictures
from vsrcli.lab.degrade import bd_taps, shrink, shrink_matrix
from vsrcli.lab.temporal.clips import Clips, cache_clips
from vsrcli.lab.temporal.motion import LEAST_SIDE, Motion, Stills, sequences
from vsrcli.lab.temporal.pack import Packs
from vsrcli.lab.temporal.recipe import Recipe
from vsrcli.lab.train import HELD_BACK
from vsrcli.media.images import read_rgb

HELD_MOTION = Motion(speed=(0.3, 2.5), zoom=0.003, turn=0.003)
GRIDS = {"bd": 0.0, "bd-centred": 1.0}
HELD_SEED, HELD_COUNT, HELD_LENGTH = 7, 8, 12


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where training data lies."""

    stills: Path
    """Folder of sharp pictures."""
    clips: Path | None = None
    """Folder of video files."""
    packs: tuple[Path, ...] = ()
    """Folders that `vsr-lab degrade` made."""
    cache: Path | None = None
    """Where decoded clips are kept."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Sequences twice, in 0..1."""

    lr: Tensor
    """(B, T, 3, H, W)."""
    hr: Tensor
    """(B, T, 3, rH, rW)."""
    flow: Tensor | None
    """(B, T, 2, rH, rW) from each frame to the one before, HR px; None where nobody knows it."""
    is_clean: bool = True
    """Whether nothing but a scaler went over it."""


class Degrade:
    """HR frames (N, 3, rH, rW) in 0..1 to LR, rounded to 8 bit, on the training device.

    `grid` is that of a bd (see `bd_taps`); None for antialiased bicubic.
    """

    def __init__(self, grid: float | None, scale: int, device: torch.device) -> None:
        self._scale = scale
        if grid is not None:
            weights, self._before = bd_taps(scale, grid)
            taps = torch.from_numpy(weights).float()
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


class Feed:
    """Batches by a recipe. Raises UsageError if the recipe needs a source that is not given."""

    def __init__(self, recipe: Recipe, sources: Sources, device: torch.device) -> None:
        self._recipe, self._device = recipe, device
        self._degrade = Degrade(GRIDS.get(recipe.degrade), recipe.scale, device)
        self._clips = self._packs = self._held_packs = None
        if recipe.degrade == "real":
            if not sources.packs:
                raise UsageError(
                    f"{recipe.id} trains on a pack: `vsr-lab degrade` makes one for --pack"
                )
            self._packs = Packs(sources.packs, device)
            self._packs.check(scale=recipe.scale, length=recipe.length, patch=recipe.patch)
            self._held_packs = Packs(sources.packs, device, held=True)
        elif sources.packs:
            raise UsageError(f"{recipe.id} trains on no pack, by its degrade; leave --pack out")
        if sources.clips is not None:
            cache = sources.cache or sources.clips.parent
            self._clips = Clips(cache_clips(sources.clips, cache), device)
        elif recipe.clips:
            raise UsageError(f"{recipe.id} trains on clips: give a folder of them as --clips")
        self._stills, self._held = load_stills(sources.stills, recipe.shrinks, device, self._clips)
        check_stills(sources.stills, self._stills)
        if not self._held_packs:
            check_stills(sources.stills, self._held)

    def batch(self, progress: float, generator: torch.Generator) -> Batch:
        """One batch of the kind that chance picks by the recipe's shares."""
        recipe = self._recipe
        if progress < recipe.slide:
            return self._clean(self._soft(progress / recipe.slide), progress, generator)
        if self._packs and torch.rand(1, generator=generator).item() < recipe.real:
            lr, hr = self._packs.batch(recipe.batch, recipe.length, recipe.patch, generator)
            return Batch(lr=lr, hr=self._scaled(hr, recipe.patch), flow=None, is_clean=False)
        soft = recipe.soft and torch.rand(1, generator=generator).item() < recipe.soft
        return self._clean(self._soft(1.0) if soft else self._degrade, progress, generator)

    def _soft(self, grid: float) -> Degrade:
        return Degrade(grid, self._recipe.scale, self._device)

    def _clean(self, degrade: Degrade, progress: float, generator: torch.Generator) -> Batch:
        """A batch of stills or clips."""
        recipe = self._recipe
        if self._clips and torch.rand(1, generator=generator).item() < recipe.clips:
            side = recipe.patch * recipe.scale
            hr = self._clips.sequences(recipe.batch, recipe.length, side, generator)
            return _seen(hr, None, degrade)
        return self._moving(degrade, recipe.batch, recipe.length, recipe.patch, progress, generator)

    def moving(
        self, count: int, length: int, patch: int, progress: float, generator: torch.Generator
    ) -> Batch:
        """Stills under the recipe's motion, of known flow, `patch` LR px wide and high."""
        return self._moving(self._degrade, count, length, patch, progress, generator)

    def _moving(
        self,
        degrade: Degrade,
        count: int,
        length: int,
        patch: int,
        progress: float,
        generator: torch.Generator,
    ) -> Batch:
        motion = _motion(self._recipe, progress, generator)
        side = patch * self._recipe.scale
        return _seen(*sequences(self._stills, motion, count, length, side, generator), degrade)

    def held(self) -> Batch:
        """What is held back to validate; always the same."""
        recipe, generator = self._recipe, torch.Generator().manual_seed(HELD_SEED)
        if self._held_packs:
            length = min(HELD_LENGTH, self._held_packs.length)
            lr, hr = self._held_packs.batch(HELD_COUNT, length, recipe.patch, generator)
            return Batch(lr=lr, hr=self._scaled(hr, recipe.patch), flow=None)
        side = recipe.patch * recipe.scale
        pairs = sequences(self._held, HELD_MOTION, HELD_COUNT, HELD_LENGTH, side, generator)
        return _seen(*pairs, self._degrade)

    def _scaled(self, hr: Tensor, patch: int) -> Tensor:
        """The truth of a pack for this scale, where the pack was made for a larger one."""
        side = patch * self._recipe.scale
        if hr.shape[-1] == side:
            return hr
        flat = functional.interpolate(hr.flatten(0, 1), side, mode="bicubic", antialias=True)
        return flat.clamp(0, 1).view(*hr.shape[:3], side, side)


def _seen(hr: Tensor, flow: Tensor | None, degrade: Degrade) -> Batch:
    small = degrade(hr.flatten(0, 1))
    return Batch(lr=small.view(*hr.shape[:3], *small.shape[2:]), hr=hr, flow=flow)


def load_stills(
    folder: Path, shrinks: tuple[float, ...], device: torch.device, clips: Clips | None = None
) -> tuple[Stills, Stills]:
    """Pictures to train on, each shrunk by each factor, with one frame of every segment of `clips`;
    and those held back."""
    banks: tuple[list[Tensor], list[Tensor]] = ([], [])
    for index, path in enumerate(pictures(folder)):
        image = read_rgb(path)
        for factor in shrinks:
            small = shrink(image, factor) if factor < 1 else image
            tensor = torch.from_numpy(np.ascontiguousarray(small)).permute(2, 0, 1)
            banks[index % HELD_BACK == 0].append(tensor)
    banks[0].extend(clips.stills() if clips else ())
    return Stills(banks[0], device), Stills(banks[1], device)


def check_stills(folder: Path, *banks: Stills) -> None:
    """Raises InputError if a bank is empty."""
    if not all(map(len, banks)):
        raise InputError(
            f"{folder} holds too few pictures of {LEAST_SIDE} px a side and more: the first and "
            f"every {HELD_BACK}th after it is held back to validate"
        )


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
