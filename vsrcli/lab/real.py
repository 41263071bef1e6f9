"""Real-world degradation: blur, scaling, noise and lossy coding as steps over the frames of a shot.

A step takes frames and gives as many; steps chain like the stages of the pipeline, so a clip of any
length streams through. What varies within a shot does so as a random walk (the stochastic
degradation scheme of RealBasicVSR, arXiv 2111.12704 §3.3), and all of it follows from one seed.
Every step keeps the grid centred: the truth of a degraded frame is the frame it was made of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from vsrcli.lab.degrade import ImageU8, cubic, to_u8
from vsrcli.media.recode import Coding, recode

Image = NDArray[np.float32]  # (H, W, 3), 0..255
Rng = np.random.Generator
Size = tuple[int, int]


class Step(Protocol):
    """Frames to as many degraded ones. `small` is (height, width) of the LR frame in the end."""

    def __call__(self, frames: Iterator[Image], small: Size, rng: Rng) -> Iterator[Image]: ...


@dataclass(frozen=True, kw_only=True)
class Walk:
    """A value that starts anywhere between two ends and wanders from frame to frame."""

    low: float
    high: float
    pace: float = 0.03
    """Standard deviation of a frame's step, as a share of the range."""

    def values(self, rng: Rng) -> Iterator[float]:
        """One for each frame, for ever; the ends reflect."""
        at = rng.random()
        while True:
            yield self.low + (self.high - self.low) * at
            at = abs(at + self.pace * rng.standard_normal())
            at = 1 - abs(1 - at)


@dataclass(frozen=True, kw_only=True)
class Blur:
    """Gaussian blur, longer in one direction than in the other; sigma in px of the frame."""

    sigma: Walk
    uneven: float = 0.5
    """Sigma across is from this share of sigma along, up to all of it."""

    def __call__(self, frames: Iterator[Image], small: Size, rng: Rng) -> Iterator[Image]:
        share = rng.uniform(self.uneven, 1)
        angles = Walk(low=0, high=np.pi).values(rng)
        for frame, sigma, angle in zip(frames, self.sigma.values(rng), angles, strict=False):
            yield convolved(frame, gaussian(sigma, share * sigma, angle))


@dataclass(frozen=True, kw_only=True)
class Resize:
    """Scaling to a size that is `factor` times the final one, by a random kernel."""

    factor: tuple[float, float] = (1.0, 1.0)
    kernels: tuple[str, ...] = ("cubic", "cubic", "box", "triangle", "lanczos")

    def __call__(self, frames: Iterator[Image], small: Size, rng: Rng) -> Iterator[Image]:
        factor = np.exp(rng.uniform(*np.log(self.factor)))
        kernel = self.kernels[rng.integers(len(self.kernels))]
        size = tuple(max(8, round(side * factor)) for side in small)
        for frame in frames:
            yield resized(frame, (size[0], size[1]), kernel)


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Sensor noise: sigma in code values, of the same strength everywhere or growing with light."""

    sigma: Walk
    shot: float = 0.5
    """Chance of noise that grows with the square root of the light."""
    grey: float = 0.4
    """Chance of noise without colour."""

    def __call__(self, frames: Iterator[Image], small: Size, rng: Rng) -> Iterator[Image]:
        shot, grey = rng.random() < self.shot, rng.random() < self.grey
        for frame, sigma in zip(frames, self.sigma.values(rng), strict=False):
            shape = (*frame.shape[:2], 1) if grey else frame.shape
            gain = np.sqrt(np.clip(frame, 0, 255) / 128) if shot else 1
            noise = rng.standard_normal(shape, np.float32)
            yield (frame + sigma * gain * noise).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Jpeg:
    """Each frame a JPEG of its own; the quantiser runs from 2 (best) to 31."""

    quality: Walk

    def __call__(self, frames: Iterator[Image], small: Size, rng: Rng) -> Iterator[Image]:
        for frame, quality in zip(frames, self.quality.values(rng), strict=False):
            coding = Coding(codec="mjpeg", quality=quality)
            yield from (image.astype(np.float32) for image in recode([to_u8(frame)], coding))


@dataclass(frozen=True, kw_only=True)
class Range:
    """Qualities of one video codec."""

    codec: str
    quality: tuple[float, float]
    presets: tuple[str, ...] = ("medium",)
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Compress:
    """Video coding, of one codec and quality over the shot."""

    codings: tuple[Range, ...]
    lead: int = 8
    """At most so many frames are coded before the first, so that it need not be an I-frame."""

    def __call__(self, frames: Iterator[Image], small: Size, rng: Rng) -> Iterator[Image]:
        weights = np.array([entry.weight for entry in self.codings])
        chosen = self.codings[rng.choice(len(weights), p=weights / weights.sum())]
        coding = Coding(
            codec=chosen.codec,
            quality=round(float(rng.uniform(*chosen.quality)), 1),
            preset=chosen.presets[rng.integers(len(chosen.presets))],
        )
        head = list(islice(frames, int(rng.integers(self.lead + 1)) + 1))
        before = head[:0:-1]
        coded = recode(map(to_u8, chain(before, head, frames)), coding)
        for image in islice(coded, len(before), None):
            yield image.astype(np.float32)


@dataclass(frozen=True)
class Chain:
    """One step after another."""

    steps: tuple[Step, ...]

    def __call__(self, frames: Iterator[Image], small: Size, rng: Rng) -> Iterator[Image]:
        for step, own in zip(self.steps, rng.spawn(len(self.steps)), strict=True):
            frames = step(frames, small, own)
        return frames


@dataclass(frozen=True)
class Either:
    """`often` in a share of the shots, `other` (nothing, if it is None) in the rest."""

    share: float
    often: Step
    other: Step | None = None

    def __call__(self, frames: Iterator[Image], small: Size, rng: Rng) -> Iterator[Image]:
        step = self.often if rng.random() < self.share else self.other
        return step(frames, small, rng) if step else frames


CODECS = (
    Range(codec="libx264", quality=(18, 35), presets=("veryfast", "fast", "medium"), weight=6),
    Range(codec="libx265", quality=(20, 35), presets=("fast",), weight=1.5),
    Range(codec="mpeg4", quality=(2, 10), weight=1.5),
    Range(codec="mpeg2video", quality=(2, 8), weight=0.5),
)
CLEAN = Resize(kernels=("cubic",))
FIRST_ORDER = Chain(
    (
        Either(0.6, Blur(sigma=Walk(low=0.2, high=2.0))),
        Resize(),
        Either(0.4, Noise(sigma=Walk(low=0.0, high=5.0))),
        Either(0.1, Jpeg(quality=Walk(low=2, high=7))),
        Either(0.9, Compress(codings=CODECS)),
    )
)
"""What ordinary video has been through: some blur, one scaling, little noise, one codec."""
CODED = Chain((Resize(kernels=("cubic", "cubic", "lanczos", "box")), Compress(codings=CODECS)))
"""A clean picture, scaled and coded: what most video files are."""
HEAVY = (
    Range(codec="libx264", quality=(27, 38), presets=("veryfast", "fast", "medium"), weight=6),
    Range(codec="libx265", quality=(28, 38), presets=("fast",), weight=1.5),
    Range(codec="mpeg4", quality=(6, 16), weight=1.5),
    Range(codec="mpeg2video", quality=(5, 14), weight=0.5),
)
SQUEEZED = Chain((Resize(kernels=("cubic", "cubic", "lanczos", "box")), Compress(codings=HEAVY)))
"""The same with few bits: blocks show, and what looks sharp is mostly theirs."""
ORDINARY = Either(0.6, CODED, FIRST_ORDER)
SECOND_ORDER = Chain(
    (
        Either(0.8, Blur(sigma=Walk(low=0.2, high=3.0))),
        Resize(factor=(0.8, 4.0)),
        Either(0.7, Noise(sigma=Walk(low=1.0, high=15.0))),
        Either(0.5, Jpeg(quality=Walk(low=2, high=10))),
        Either(0.5, Compress(codings=CODECS)),
        Either(0.6, Blur(sigma=Walk(low=0.2, high=1.2))),
        Resize(factor=(0.7, 1.4)),
        Either(0.6, Noise(sigma=Walk(low=1.0, high=9.0))),
        Either(0.4, Jpeg(quality=Walk(low=2, high=8))),
        Resize(),
        Either(0.9, Compress(codings=CODECS)),
    )
)
"""Footage that was filmed badly, shared, scaled and shared again (Real-ESRGAN's order, with video
codecs)."""


def mixed(step: Step, clean: float) -> Step:
    """`step`, or in a share of the shots a plain antialiased bicubic."""
    return Either(clean, CLEAN, step)


def degraded(frames: Iterable[ImageU8], scale: int, step: Step, seed: int) -> Iterator[ImageU8]:
    """HR frames (sides divisible by `scale`) of one shot as LR frames, 1/scale the size."""
    source = iter(frames)
    first = next(source, None)
    if first is None:
        return
    small = (first.shape[0] // scale, first.shape[1] // scale)
    floats = (frame.astype(np.float32) for frame in chain([first], source))
    yield from map(to_u8, step(floats, small, np.random.default_rng(seed)))


def mirrored(frames: Sequence[ImageU8]) -> list[ImageU8]:
    """L/2 frames and the same backwards: each is seen twice and degraded differently."""
    return [*frames, *frames[::-1]]


def gaussian(along: float, across: float, angle: float) -> Image:
    """A kernel of these sigmas, (2k+1, 2k+1), that sums to 1."""
    reach = max(1, int(np.ceil(3 * along)))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    floor = 1e-3
    kernel = np.exp(-0.5 * ((u / max(along, floor)) ** 2 + (v / max(across, floor)) ** 2))
    return np.asarray(kernel / kernel.sum(), np.float32)


def convolved(frame: Image, kernel: Image) -> Image:
    """Each channel under an odd-sided kernel; edges repeat."""
    reach = kernel.shape[0] // 2
    planes = torch.from_numpy(np.ascontiguousarray(frame.transpose(2, 0, 1)))[:, None]
    padded = functional.pad(planes, (reach,) * 4, mode="replicate")
    made = functional.conv2d(padded, torch.from_numpy(kernel)[None, None])
    return np.ascontiguousarray(made[:, 0].numpy().transpose(1, 2, 0))


def resized(frame: Image, size: Size, kernel: str) -> Image:
    """(H, W, C) at another size, antialiased, centred."""
    rows = resize_matrix(frame.shape[0], size[0], kernel)
    columns = resize_matrix(frame.shape[1], size[1], kernel)
    half = np.tensordot(rows, frame, axes=(1, 0))
    return np.ascontiguousarray(np.tensordot(columns, half, axes=(1, 1)).transpose(1, 0, 2))


def _box(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.abs(x) < 0.5, 1.0, np.where(np.abs(x) == 0.5, 0.5, 0.0))


def _triangle(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.maximum(0.0, 1 - np.abs(x)))


def _lanczos(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


KERNELS: dict[str, tuple[Callable[[NDArray[np.float64]], NDArray[np.float64]], float]] = {
    "cubic": (cubic, 2.0),
    "box": (_box, 0.5),
    "triangle": (_triangle, 1.0),
    "lanczos": (_lanczos, 3.0),
}
"""Each kernel and its reach in samples."""


@lru_cache(maxsize=256)
def resize_matrix(size: int, out: int, kernel: str) -> Image:
    """(out, size): one axis scaled about its centre; kernels widen to shrink, edges repeat."""
    function, reach = KERNELS[kernel]
    stretch = max(1.0, size / out)
    centre = (np.arange(out) + 0.5) * size / out - 0.5
    span = int(np.ceil(reach * stretch)) + 1
    taps = np.floor(centre).astype(np.int64)[:, None] + np.arange(-span, span + 1)
    weights = function((taps - centre[:, None]) / stretch)
    weights /= weights.sum(axis=1, keepdims=True)
    matrix = np.zeros((out, size))
    np.add.at(matrix, (np.arange(out)[:, None], np.clip(taps, 0, size - 1)), weights)
    return matrix.astype(np.float32)
