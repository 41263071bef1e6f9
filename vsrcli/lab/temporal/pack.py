"""A pack: sequences and their degraded versions, made once and read as crops while training.

Lossy coding costs too much to do in the training loop. A pack is a folder of `hr.npy`
(N, T, 3, rH, rW), `lr.npy` (N, K, T', 3, H, W), both uint8 and memory-mapped, and `pack.json`. With
`mirror`, T' = 2T: the truth runs forwards and back, degraded anew on the way back.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vsrcli.errors import InputError, OutputError, UsageError
from vsrcli.lab.files import whole
from vsrcli.lab.real import (
    FIRST_ORDER,
    ORDINARY,
    SECOND_ORDER,
    SQUEEZED,
    Step,
    degraded,
    mirrored,
    mixed,
)
from vsrcli.lab.temporal.clips import Clips
from vsrcli.lab.temporal.motion import Motion, Stills, draw, sequences, turned

ORDERS: dict[str, Step] = {
    "ordinary": ORDINARY,
    "squeezed": SQUEEZED,
    "first": FIRST_ORDER,
    "second": SECOND_ORDER,
}
MOTION = Motion(speed=(0.0, 2.5), zoom=0.003, turn=0.003, layers=0.15)
CARD = "pack.json"
HELD_BACK = 13
"""One sequence in so many is for validation."""


@dataclass(frozen=True, kw_only=True)
class Packing:
    """What a pack holds."""

    sequences: int = 260
    versions: int = 2
    """Degraded ones of each sequence."""
    length: int = 12
    side: int = 80
    """Of LR frames, px."""
    scale: int = 4
    clips: float = 0.55
    """Share of sequences from real clips; the rest is synthetic motion of stills."""
    order: str = "first"
    """ordinary, squeezed, first or second: how much the frames have been through."""
    clean: float = 0.1
    """Share of versions that are only scaled."""
    mirror: bool = False
    seed: int = 0


def make_pack(
    out: Path,
    stills: Stills,
    clips: Clips | None,
    packing: Packing,
    on_sequence: Callable[[int], None] = lambda done: None,
) -> None:
    """Writes the pack to the folder `out`; the same arguments give the same pack. Raises
    UsageError, and OutputError where there is no room for it."""
    if packing.order not in ORDERS:
        raise UsageError(f"no degradation order {packing.order!r}; there is {', '.join(ORDERS)}")
    out.mkdir(parents=True, exist_ok=True)
    (out / CARD).unlink(missing_ok=True)  # of a pack that is replaced: it is no whole one now
    step = mixed(ORDERS[packing.order], packing.clean)
    count, length, side = packing.sequences, packing.length, packing.side
    large = side * packing.scale
    seen = length * (2 if packing.mirror else 1)
    hr = _created(out / "hr.npy", (count, length, 3, large, large))
    lr = _created(out / "lr.npy", (count, packing.versions, seen, 3, side, side))
    generator = torch.Generator().manual_seed(packing.seed)
    for index in range(count):
        real = torch.rand(1, generator=generator).item() < packing.clips
        if real and clips is not None:
            frames = clips.sequences(1, length, large, generator)[0]
        else:
            frames = sequences(stills, MOTION, 1, length, large, generator)[0][0]
        hr[index] = (frames * 255).round().to(torch.uint8).numpy()
        truth = [np.ascontiguousarray(image.transpose(1, 2, 0)) for image in hr[index]]
        shot = mirrored(truth) if packing.mirror else truth
        for version in range(packing.versions):
            seed = (packing.seed * count + index) * packing.versions + version
            made = degraded(shot, packing.scale, step, seed)
            lr[index, version] = np.stack([image.transpose(2, 0, 1) for image in made])
        on_sequence(index + 1)
    del hr, lr  # written to disk before the pack says that it is whole
    with whole(out / CARD) as file:
        file.write(json.dumps(asdict(packing), indent=1).encode())


def _created(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    path.unlink(missing_ok=True)
    need, free = prod(shape), shutil.disk_usage(path.parent).free
    if need > free:  # a mapped file that finds the disk full later ends the process
        raise OutputError(
            f"{path} takes {need >> 20} MiB, and {free >> 20} are free; make it smaller"
        )
    made: NDArray[np.uint8] = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
    return made


class Pack:
    """A pack's sequences for training, or those that are `held` back. Raises InputError."""

    def __init__(self, folder: Path, *, held: bool = False) -> None:
        try:
            self.packing = Packing(**json.loads((folder / CARD).read_text(encoding="utf-8")))
            self._hr = np.load(folder / "hr.npy", mmap_mode="r")
            self._lr = np.load(folder / "lr.npy", mmap_mode="r")
        except (OSError, EOFError, ValueError, TypeError) as exc:
            raise InputError(
                f"{folder} is not a whole pack ({exc}); make one with `vsr-lab degrade`"
            ) from exc
        self.folder = folder
        every = range(len(self._hr))
        self._chosen = [i for i in every if (i % HELD_BACK == 0) == held]

    @property
    def length(self) -> int:
        """Frames of a degraded sequence."""
        return int(self._lr.shape[2])

    def __len__(self) -> int:
        return len(self._chosen)

    def one(self, length: int, patch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """LR (length, 3, patch, patch) and HR (…, r·patch, r·patch), uint8, at a random place,
        mirrored and turned."""
        index = self._chosen[draw(len(self._chosen), generator)]
        seen = self._lr[index, draw(self.packing.versions, generator)]
        start = draw(self.length - length + 1, generator)
        top, left = (draw(self.packing.side - patch + 1, generator) for _ in range(2))
        times = [min(t, 2 * self.packing.length - 1 - t) for t in range(start, start + length)]
        turn, r = draw(8, generator), self.packing.scale
        lr = np.array(seen[start : start + length, :, top : top + patch, left : left + patch])
        rows, columns = (slice(at * r, (at + patch) * r) for at in (top, left))
        first = min(times)
        hr = np.array(self._hr[index, first : max(times) + 1, :, rows, columns])
        hr = hr[[t - first for t in times]]
        return _turned(lr, turn), _turned(hr, turn)


class Packs:
    """One pack or several as one, each drawn from by how many sequences it has."""

    def __init__(
        self, folders: Sequence[Path], device: torch.device, *, held: bool = False
    ) -> None:
        self._packs = [Pack(folder, held=held) for folder in folders]
        self._owners = [pack for pack in self._packs for _ in range(len(pack))]
        self._device = device

    @property
    def length(self) -> int:
        """Frames of the shortest degraded sequence."""
        return min(pack.length for pack in self._packs)

    def check(self, *, scale: int, length: int, patch: int) -> None:
        """Raises InputError if batches of this kind cannot be had. The truth of a pack may be
        larger than `scale` says, not smaller."""
        for pack in self._packs:
            made = pack.packing
            for what, found, least in (
                ("scale", made.scale, scale),
                ("length in frames", pack.length, length),
                ("side in px", made.side, patch),
            ):
                if found < least:
                    reason = f"{pack.folder} has a {what} of {found}, and {least} is needed"
                    raise InputError(f"{reason}; make a pack with `vsr-lab degrade`")
        if not self._owners:
            raise InputError(f"{self._packs[0].folder} holds one sequence, to validate; make more")

    def batch(
        self, count: int, length: int, patch: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """LR (count, length, 3, patch, patch) and HR (…, r·patch, r·patch) in 0..1, see `check`."""
        pairs = [self._one(length, patch, generator) for _ in range(count)]
        lr, hr = (
            torch.stack(part).to(self._device).float() / 255 for part in zip(*pairs, strict=True)
        )
        return lr, hr

    def _one(self, length: int, patch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        several = len(self._packs) > 1
        owner = draw(len(self._owners), generator) if several else 0
        return self._owners[owner].one(length, patch, generator)


def _turned(frames: NDArray[np.uint8], turn: int) -> Tensor:
    flat = torch.from_numpy(frames).flatten(0, 1)
    return turned(flat, turn).reshape(frames.shape)
