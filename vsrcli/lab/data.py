"""Training pairs in memory: stills → low- and high-resolution luma → a bank of patches.

A bank holds patches of the low-resolution picture with `border` px of context on each side and the
high-resolution patch as r² phases, so a batch is one gather and training needs no shuffle. It is
cut again now and then on a shifted grid, from pictures shrunk by another factor.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor

from vsrcli.errors import InputError
from vsrcli.frames import RgbU8
from vsrcli.lab.degrade import bicubic, shrink
from vsrcli.lab.files import whole
from vsrcli.lab.luma import Luma, luma
from vsrcli.media.images import read_rgb

PICTURES = (".png", ".jpg", ".jpeg", ".bmp")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One picture twice, in 0..1."""

    lr: Luma
    """(h + 2·border, w + 2·border), edges replicated."""
    hr: Luma
    """(r·h, r·w)."""


@dataclass(frozen=True, kw_only=True)
class Bank:
    """Patches ready for a batch, in 0..1."""

    lr: Tensor
    """(P, 1, p + 2·border, p + 2·border)."""
    hr: Tensor
    """(P, 1, r·p, r·p)."""


def pictures(folder: Path) -> list[Path]:
    """Every still below `folder`, in name order. Raises InputError if there is none."""
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURES)
    if not found:
        raise InputError(f"{folder} holds no pictures; name a folder of sharp stills")
    return found


def is_jpeg(path: Path) -> bool:
    """Whether a picture's details are a lossy coder's."""
    return path.suffix.lower() in (".jpg", ".jpeg")


def modcrop(image: RgbU8, scale: int) -> RgbU8:
    """`image` cut at the right and bottom to sides divisible by `scale`."""
    height, width = (side - side % scale for side in image.shape[:2])
    return image[:height, :width]


def pair(image: RgbU8, scale: int) -> Pair:
    """`image` degraded by antialiased bicubic; no border yet."""
    hr = modcrop(image, scale)
    lr = luma(bicubic(hr, scale)) / np.float32(255)
    return Pair(lr=lr, hr=luma(hr) / np.float32(255))


def load_pairs(
    sources: Sequence[tuple[Path, float]], scale: int, border: int, cache: Path
) -> list[Pair]:
    """Pairs of pictures, each shrunk by its factor first (1 = as it is).

    They are kept in the folder `cache`: degrading them takes longer than a small net's training.
    A file of another path, size or time is another picture.
    """
    key = json.dumps([(*_identity(path), factor) for path, factor in sources]).encode()
    file = cache / f"pairs-x{scale}-{hashlib.sha256(key).hexdigest()[:12]}.npz"
    if not file.exists():
        _save(_made(sources, scale), file)
    with np.load(file) as saved:
        planes = [saved[f"arr_{i}"] for i in range(len(saved.files))]
    padded = [np.pad(lr, border, mode="edge") for lr in planes[::2]]
    return [Pair(lr=lr, hr=hr) for lr, hr in zip(padded, planes[1::2], strict=True)]


def _identity(path: Path) -> tuple[str, int, int]:
    found = path.stat()
    return str(path.resolve()), found.st_size, found.st_mtime_ns


def _made(sources: Sequence[tuple[Path, float]], scale: int) -> Iterator[Pair]:
    for path, factor in sources:
        image = read_rgb(path)
        yield pair(shrink(image, factor) if factor < 1 else image, scale)


def _save(pairs: Iterable[Pair], file: Path) -> None:
    planes = [plane for each in pairs for plane in (each.lr, each.hr)]
    with whole(file) as stream:
        np.savez(stream, *planes)


def _cut(plane: Luma, side: int, start: tuple[int, int], step: int) -> NDArray[np.float32]:
    windows = sliding_window_view(plane, (side, side))[start[0] :: step, start[1] :: step]
    return windows.reshape(-1, side, side)


def cut_bank(
    pairs: list[Pair], scale: int, border: int, patch: int, rng: np.random.Generator
) -> Bank:
    """Non-overlapping patches of `patch` px (low resolution) of all pairs, on a random grid.

    Raises InputError if no pair is so large.
    """
    lr, hr = [], []
    for each in pairs:
        height, width = (side - 2 * border for side in each.lr.shape)
        if min(height, width) < patch:
            continue
        start = (
            int(rng.integers(min(patch, height - patch + 1))),
            int(rng.integers(min(patch, width - patch + 1))),
        )
        lr.append(_cut(each.lr, patch + 2 * border, start, patch))
        high = (start[0] * scale, start[1] * scale)
        hr.append(_cut(each.hr, patch * scale, high, patch * scale))
    if not lr:
        raise InputError(f"no picture to train on is {patch * scale} px a side, as a patch is")
    return Bank(
        lr=torch.from_numpy(np.concatenate(lr))[:, None],
        hr=torch.from_numpy(np.concatenate(hr))[:, None],
    )


def turned(x: Tensor, turn: int) -> Tensor:
    """(N, 1, s, s) under one of the 8 symmetries of the square."""
    x = x.rot90(turn % 4, (2, 3))
    return x.flip(3) if turn >= 4 else x


def batches(
    bank: Bank, size: int, scale: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """One pass in random order: (size, 1, s, s) and (size, r², p, p); a batch has one symmetry."""
    order = torch.randperm(len(bank.lr), generator=generator)
    for index in order[: len(order) // size * size].view(-1, size):
        turn = int(torch.randint(8, (1,), generator=generator))
        hr = torch.nn.functional.pixel_unshuffle(turned(bank.hr[index], turn), scale)
        yield turned(bank.lr[index], turn).contiguous(), hr
