"""Measured quality: PSNR-Y and SSIM of a model on folders of pictures and clips.

The rule (the papers'): the true picture is cut to sides divisible by r, degraded in 8-bit RGB, its
BT.601 studio luma goes through the model, and r pixels are cropped on each side (8 on clips). The
low-resolution RGB is rounded to 8 bit; luma is not rounded, going in or coming out (that costs
every model up to 0.1 dB at x2). Gains are over Keys bicubic on the grid of the degradation.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from vsrcli.errors import InputError, ModelError
from vsrcli.lab import bicubic
from vsrcli.lab.clips import CLIPS, read_frames
from vsrcli.lab.data import PICTURES, modcrop
from vsrcli.lab.degrade import DEGRADATIONS
from vsrcli.lab.luma import Luma, RgbU8, luma
from vsrcli.lab.metrics import psnr, ssim
from vsrcli.lab.sequence import ClipUpscale, framewise, recurrent
from vsrcli.media.images import read_rgb
from vsrcli.models.model import Temporal, read_model
from vsrcli.runtime.engines import Engine, open_engine

DEFAULT_DEGRADE = "bicubic"
DEFAULT_SCALE = 4
CLIP_CROP = 8
"""px cut on each side of a clip's frames, as in the Vid4 convention."""

Upscale = Callable[[Luma], Luma]
"""(H, W) code values → (rH, rW) code values."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """Figures of one picture, of one clip (means over its frames), or of a folder."""

    name: str
    frames: int
    psnr_y: float
    """dB."""
    ssim: float
    bicubic_psnr_y: float
    bicubic_ssim: float

    @property
    def gain_db(self) -> float:
        """PSNR-Y over bicubic, dB."""
        return self.psnr_y - self.bicubic_psnr_y


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One model on one folder."""

    model: str
    folder: str
    scale: int
    degrade: str
    crop: int
    rows: tuple[Row, ...]
    mean: Row


def evaluate(
    model: Path,
    folder: Path,
    *,
    scale: int = DEFAULT_SCALE,
    degrade: str = DEFAULT_DEGRADE,
    crop: int | None = None,
    frames: int = 0,
    device: str = "cpu",
    threads: int = 0,
    on_row: Callable[[Row], None] | None = None,
) -> Evaluation:
    """Figures of every picture and clip in `folder`, and their mean.

    `model` is a model folder or an ONNX file of a luma model. `frames` > 0 limits each clip.
    `on_row` hears of each row as it is done. Raises InputError, ModelError, WeightsError.
    """
    if degrade not in DEGRADATIONS:
        raise InputError(f"no degradation {degrade!r}; there is {', '.join(DEGRADATIONS)}")
    items = sources(folder)
    upscale = clip_upscaler(model, scale, device=device, threads=threads)
    rows = []
    for item in items:
        edge = crop if crop is not None else (scale if is_picture(item) else CLIP_CROP)
        rows.append(_row(item, upscale, scale, degrade, edge, frames))
        if on_row:
            on_row(rows[-1])
    return Evaluation(
        model=model.stem if model.is_file() else model.name,
        folder=str(folder),
        scale=scale,
        degrade=degrade,
        crop=crop if crop is not None else scale,
        rows=tuple(rows),
        mean=_mean("mean", rows, sum(row.frames for row in rows)),
    )


def clip_upscaler(model: Path, scale: int, *, device: str, threads: int) -> ClipUpscale:
    """Frames to luma, by whatever kind of model is in this folder or file."""
    card = None if model.is_file() else read_model(model)
    if card is None or (card.color == "y" and card.temporal is Temporal.FRAME):
        graph = model if card is None else card.graph(scale).load()
        engine = open_engine(graph, device=device, threads=threads)
        return framewise(luma_upscaler(engine, scale))
    if card.temporal is Temporal.RECURRENT:
        return recurrent(card, scale, device=device, threads=threads)
    raise ModelError(f"{card.id} is a {card.temporal.value} model; this cannot measure it yet")


def luma_upscaler(engine: Engine, scale: int) -> Upscale:
    """An engine over (1, 1, H, W) in 0..1 as a function of code values."""
    source, target = next(iter(engine.inputs)), next(iter(engine.outputs))

    def run(plane: Luma) -> Luma:
        x = np.ascontiguousarray(plane[None, None] / np.float32(255), np.float32)
        y = engine.run({source: x})[target]
        expected = tuple(side * scale for side in plane.shape)
        if y.shape[2:] != expected:
            raise ModelError(f"the graph made {y.shape[2:]} of {plane.shape}; not an x{scale}")
        return np.asarray(y[0, 0] * np.float32(255))

    return run


def is_picture(path: Path) -> bool:
    """Whether a file is measured as one picture."""
    return path.suffix.lower() in PICTURES


def sources(folder: Path) -> list[Path]:
    """Pictures and clips of a folder; of `*_HR` and `*_LR` pairs only the HR pictures."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder of pictures or clips")
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() in (*PICTURES, *CLIPS))
    truths = [p for p in found if not p.stem.endswith("_LR")]
    if not truths:
        raise InputError(f"{folder} holds no pictures or clips")
    return truths


def _images(path: Path, frames: int) -> Iterator[RgbU8]:
    if is_picture(path):
        yield read_rgb(path)
    else:
        yield from islice(read_frames(path), frames or None)


def _row(path: Path, upscale: ClipUpscale, scale: int, degrade: str, crop: int, frames: int) -> Row:
    waiting: deque[tuple[RgbU8, RgbU8]] = deque()

    def small() -> Iterator[RgbU8]:
        for image in _images(path, frames):
            true = modcrop(image, scale)
            if min(true.shape[:2]) < 2 * crop + 11:
                size = f"{image.shape[1]}x{image.shape[0]}"
                raise InputError(f"{path.stem} is too small to measure: {size}")
            waiting.append((true, DEGRADATIONS[degrade](true, scale)))
            yield waiting[-1][1]

    rows = [
        _figures(path.stem, *waiting.popleft(), ours, scale, degrade, crop)
        for ours in upscale(small())
    ]
    if not rows:
        raise InputError(f"{path} has no frames")
    return _mean(path.stem, rows, len(rows))


def _figures(
    name: str,
    true: RgbU8,
    small: RgbU8,
    ours: NDArray[np.floating],
    scale: int,
    degrade: str,
    crop: int,
) -> Row:
    inner = (slice(crop, -crop or None),) * 2
    reference = luma(true)[inner]
    plain = bicubic.upscale(luma(small), scale, from_zero=degrade == "bd")
    ours, base = (np.clip(plane, 0, 255)[inner] for plane in (ours, plain))
    return Row(
        name=name,
        frames=1,
        psnr_y=psnr(reference, ours),
        ssim=ssim(reference, ours),
        bicubic_psnr_y=psnr(reference, base),
        bicubic_ssim=ssim(reference, base),
    )


def _mean(name: str, rows: list[Row], frames: int) -> Row:
    return Row(
        name=name,
        frames=frames,
        psnr_y=fmean(row.psnr_y for row in rows),
        ssim=fmean(row.ssim for row in rows),
        bicubic_psnr_y=fmean(row.bicubic_psnr_y for row in rows),
        bicubic_ssim=fmean(row.bicubic_ssim for row in rows),
    )
