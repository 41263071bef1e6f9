"""Real clips as training sequences: decoded once, scaled down, kept as small windows on disk.

Clips are compressed; scaled down by `SHRINK` and more, their frames are clean. A segment never
crosses a cut and is dropped if hardly anything in it moves.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vsrcli.errors import InputError
from vsrcli.frames import Frame, RgbU8, frame_of
from vsrcli.lab.clips import find_clips
from vsrcli.lab.files import whole
from vsrcli.lab.temporal.motion import crop, draw, turned
from vsrcli.media.downscaled import small_frames
from vsrcli.media.pixels import layout_of
from vsrcli.sequences import Cut, split_shots

SHRINK = 1.5
TALLEST = 480
"""Largest short side after scaling, px."""
SHORTEST = 256
"""Scaling stops here, even above 1/SHRINK: a training patch has to fit."""
THRESHOLD = 20.0
"""Cut score in per cent; lower than in the product: a missed cut costs more than a lost frame."""
STILL = 0.6
"""Mean difference of neighbouring frames below which a segment is dropped, code values."""


@dataclass(frozen=True, kw_only=True)
class Cutting:
    """What is kept of each clip."""

    segments: int = 3
    length: int = 13
    side: int = 384
    """Largest side of a window, px."""
    frames: int = 240
    """Only so many of a clip are read."""


def cache_clips(
    folder: Path,
    cache: Path,
    cutting: Cutting = Cutting(),
    on_clip: Callable[[str, int], None] = lambda name, segments: None,
) -> list[Path]:
    """Segments (T, H, W, 3) uint8 of all clips in `folder`, as .npy files below `cache`.

    They are made once for each folder listing and cutting. `on_clip` hears of each clip and how
    many segments it gave. Raises InputError if there are no clips, or none that gives one.
    """
    sources = find_clips(folder)
    if not sources:
        raise InputError(f"{folder} holds no clips")
    settings = [[(p.name, p.stat().st_size) for p in sources], asdict(cutting)]
    key = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:12]
    kept = cache / f"clips-{key}"
    done = kept / "done.json"
    if not done.exists():
        kept.mkdir(parents=True, exist_ok=True)
        found: dict[str, int] = {}
        for index, path in enumerate(sources):
            made = _segments(path, cutting, np.random.default_rng(index))
            for number, segment in enumerate(made):
                with whole(kept / f"{index:03d}-{number}.npy") as file:
                    np.save(file, segment)
            found[path.name] = len(made)
            on_clip(path.name, len(made))
        with whole(done) as file:
            file.write(json.dumps(found, indent=1).encode())
    found_there = sorted(kept.glob("*.npy"))
    if not found_there:
        reason = f"none of {cutting.length} frames that move, without a cut"
        raise InputError(f"the clips of {folder} are of no use: {reason}; give others")
    return found_there


class Clips:
    """A bank of cached segments; they stay on disk and are read as they are needed."""

    def __init__(self, paths: Sequence[Path], device: torch.device) -> None:
        self._segments = [np.load(path, mmap_mode="r") for path in paths]
        self._device = device

    def __len__(self) -> int:
        return len(self._segments)

    def sequences(self, count: int, length: int, side: int, generator: torch.Generator) -> Tensor:
        """(count, length, 3, side, side) in 0..1 at random places and times, mirrored, turned and
        run backwards; a segment that is too short goes back and forth."""
        made = torch.stack([self._one(length, side, generator) for _ in range(count)])
        return made.to(self._device).float() / 255

    def stills(self) -> list[Tensor]:
        """The middle frame of each segment, (3, H, W) uint8."""
        middles = (segment[len(segment) // 2] for segment in self._segments)
        return [torch.from_numpy(np.array(frame)).permute(2, 0, 1) for frame in middles]

    def _one(self, length: int, side: int, generator: torch.Generator) -> Tensor:
        segment = self._segments[draw(len(self._segments), generator)]
        start = draw(max(1, len(segment) - length + 1), generator)
        order = _back_and_forth(len(segment), length, start)
        if draw(2, generator):
            order = order[::-1]
        low, high = min(order), max(order) + 1
        frames = torch.from_numpy(np.array(segment[low:high])).permute(0, 3, 1, 2)
        whole = frames[[i - low for i in order]]
        flat = crop(whole.flatten(0, 1), side, generator)
        return turned(flat, draw(8, generator)).reshape(length, 3, side, side)


def _back_and_forth(frames: int, length: int, start: int) -> list[int]:
    period = max(1, 2 * (frames - 1))
    around = [(start + i) % period for i in range(length)]
    return [i if i < frames else period - i for i in around]


def _segments(path: Path, cutting: Cutting, rng: np.random.Generator) -> list[RgbU8]:
    frames = list(small_frames(path, _size, limit=cutting.frames))
    starts = [
        start
        for shot in _shots(frames)
        for start in range(shot.start, shot.stop - cutting.length + 1, cutting.length)
        if _motion(frames[start : start + cutting.length]) >= STILL
    ]
    if len(starts) > cutting.segments:
        spread = np.linspace(0, len(starts) - 1, cutting.segments).round().astype(int)
        starts = [starts[i] for i in spread]
    return [_window(frames[s : s + cutting.length], cutting.side, rng) for s in starts]


def _size(height: int, width: int) -> tuple[int, int]:
    """Even sides, scaled by 1/SHRINK and more."""
    short = min(height, width)
    factor = min(1 / SHRINK, TALLEST / short) if short > TALLEST * SHRINK else 1 / SHRINK
    factor = min(1.0, max(factor, SHORTEST / short))
    return round(height * factor / 2) * 2, round(width * factor / 2) * 2


def _shots(frames: Sequence[RgbU8]) -> Iterator[range]:
    """Runs of frames without a cut; the last frame before a cut may be a blend and is left out."""
    start = index = 0
    for item in split_shots(map(_green, frames, range(len(frames))), threshold=THRESHOLD):
        if isinstance(item, Cut):
            yield range(start, index - 1)
            start = index
        else:
            index += 1
    yield range(start, len(frames))


def _green(frame: RgbU8, index: int) -> Frame:
    return frame_of((frame[..., 1],), layout_of("gray"), index)


def _motion(frames: Sequence[RgbU8]) -> float:
    thumbnails = np.stack([frame[::4, ::4, 1] for frame in frames]).astype(np.int16)
    return float(np.abs(np.diff(thumbnails, axis=0)).mean())


def _window(frames: Sequence[RgbU8], side: int, rng: np.random.Generator) -> RgbU8:
    """The part with the most detail of a few random ones."""
    height, width = frames[0].shape[:2]
    sides = (min(side, height), min(side, width))
    best: tuple[float, slice, slice] = (-1.0, slice(0), slice(0))
    for _ in range(6):
        top, left = (
            int(rng.integers(n - s + 1)) for n, s in zip((height, width), sides, strict=True)
        )
        rows, columns = slice(top, top + sides[0]), slice(left, left + sides[1])
        part = frames[0][rows, columns, 1].astype(np.int16)
        detail = float(np.abs(np.diff(part, axis=0)).mean() + np.abs(np.diff(part, axis=1)).mean())
        best = max(best, (detail, rows, columns), key=lambda entry: entry[0])
    return np.stack([frame[best[1], best[2]] for frame in frames])
