"""Measured quality: PSNR-Y and SSIM of a model on folders of pictures and clips.

The rule (the papers'): the true picture is cut to sides divisible by r, degraded in 8-bit RGB, its
BT.601 studio luma goes through the model, and r pixels are cropped on each side (8 on clips). The
low-resolution RGB is rounded to 8 bit; luma is not rounded, going in or coming out (that costs
every model up to 0.1 dB at x2). A frame has at most 100 dB, and in a mean of NIQE none that is too
flat counts. Gains are over Keys bicubic on the grid of the degradation.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from math import isnan, nan
from pathlib import Path
from statistics import fmean

import numpy as np

from vsrcli.errors import InputError, ModelError, UsageError
from vsrcli.frames import RgbU8
from vsrcli.lab import bicubic
from vsrcli.lab.clips import CLIPS, read_frames
from vsrcli.lab.data import PICTURES, modcrop
from vsrcli.lab.degradations import Degrade, degradation
from vsrcli.lab.degrade import shrink
from vsrcli.lab.luma import Luma, luma
from vsrcli.lab.measures import BASIC, Measures, make_measures
from vsrcli.lab.metrics import Plane, psnr, ssim
from vsrcli.lab.sequence import (
    ABLATIONS,
    DEFAULTS,
    ClipUpscale,
    EngineOptions,
    ablated,
    framewise,
    recurrent,
)
from vsrcli.media.images import read_rgb
from vsrcli.models import UNTUNED, graph_precision
from vsrcli.models.model import Temporal, read_model
from vsrcli.runtime.engines import Engine

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
    more: Mapping[str, float] = field(default_factory=dict)
    """What was asked for besides (see `Measures`); NaN where a picture has no such figure."""

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
    without: str = ""
    """What the model was run without: "", "state" or "neighbours"."""


def evaluate(
    model: Path,
    folder: Path,
    *,
    scale: int = DEFAULT_SCALE,
    degrade: str = DEFAULT_DEGRADE,
    crop: int | None = None,
    frames: int = 0,
    metrics: Collection[str] = BASIC,
    niqe_params: Path | None = None,
    short_side: int = 0,
    without: str = "",
    options: EngineOptions = DEFAULTS,
    on_row: Callable[[Row], None] | None = None,
) -> Evaluation:
    """Figures of every picture and clip in `folder`, and their mean.

    `model` is a model folder or an ONNX file of a luma model. `frames` > 0 limits each clip.
    `degrade` is a name that `degradation` knows. `metrics` besides PSNR and SSIM are tof, niqe and
    shift; `niqe_params` are others than ours. `short_side` > 0 scales larger truths down to it
    first. `without` runs a recurrent model with its state zeroed before each frame ("state") or
    with each frame in place of its neighbours ("neighbours"): what it is worth without time.
    `on_row` hears of each row as it is done. Raises InputError, ModelError, UsageError,
    WeightsError.
    """
    ways = degradation(degrade, scale)
    measures = make_measures(metrics, niqe_params)
    items = sources(folder)
    upscale = clip_upscaler(model, scale, options, without=without)
    rows = []
    for item in items:
        edge = crop if crop is not None else (scale if is_picture(item) else CLIP_CROP)
        shot = Shot(path=item, scale=scale, frames=frames, short_side=short_side, crop=edge)
        rows.append(_row(shot, upscale, ways, measures, from_zero=degrade == "bd"))
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
        without=without,
    )


def clip_upscaler(
    model: Path, scale: int, options: EngineOptions, *, without: str = ""
) -> ClipUpscale:
    """Frames to luma, by whatever kind of model is in this folder or file."""
    card = None if model.is_file() else read_model(model)
    if card:
        options.tuning.check(card)
    elif options.tuning != UNTUNED:
        raise UsageError("options of bidirectional models need a model folder, not an ONNX file")
    if without:
        if without not in ABLATIONS:
            raise UsageError(f"--without takes {' or '.join(ABLATIONS)}, not {without!r}")
        if card is None or card.temporal is not Temporal.RECURRENT:
            raise ModelError(f"only a recurrent model can be measured without {without}")
        return ablated(card, scale, without, options)
    if card is None or (card.color == "y" and card.temporal is Temporal.FRAME):
        setup = options.setup(card)
        kind = graph_precision(options.precision)
        if card is None and kind != "fp32":
            raise UsageError(f"--precision {kind} needs a model folder, not an ONNX file")
        graph = model if card is None else card.graph(scale, kind).load()
        return framewise(luma_upscaler(setup.open(graph), scale))
    if card.temporal is not Temporal.FRAME:
        return recurrent(card, scale, options)
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


@dataclass(frozen=True, kw_only=True)
class Shot:
    """A picture or clip, and how it is looked at."""

    path: Path
    scale: int
    frames: int
    short_side: int
    crop: int

    def truths(self) -> Iterator[RgbU8]:
        """Its frames, sides divisible by the scale. Raises InputError if they are too small."""
        path = self.path
        source = iter([read_rgb(path)]) if is_picture(path) else read_frames(path)
        for image in islice(source, self.frames or None):
            factor = self.short_side / min(image.shape[:2])
            large = shrink(image, factor) if 0 < factor < 1 else image
            true = modcrop(large, self.scale)
            if min(true.shape[:2]) < 2 * self.crop + 11:
                size = f"{image.shape[1]}x{image.shape[0]}"
                raise InputError(f"{path.stem} is too small to measure: {size}")
            yield true


def _row(
    shot: Shot, upscale: ClipUpscale, degrade: Degrade, measures: Measures, *, from_zero: bool
) -> Row:
    truths: deque[RgbU8] = deque()
    smalls: deque[RgbU8] = deque()
    name, crop = shot.path.stem, shot.crop

    def tapped() -> Iterator[RgbU8]:
        for true in shot.truths():
            truths.append(true)
            yield true

    def small() -> Iterator[RgbU8]:
        for lr in degrade(tapped(), name):
            smalls.append(lr)
            yield lr

    inner = (slice(crop, -crop or None),) * 2
    measured = measures.begin()
    rows = []
    for made in upscale(small()):
        plain = bicubic.upscale(luma(smalls.popleft()), shot.scale, from_zero=from_zero)
        true, ours, base = (
            np.asarray(np.clip(plane, 0, 255)[inner], np.float64)
            for plane in (luma(truths.popleft()), made, plain)
        )
        rows.append(_figures(name, true, ours, base, measured(true, ours, base)))
    if not rows:
        raise InputError(f"{shot.path} has no frames")
    return _mean(name, rows, len(rows))


def _figures(name: str, true: Plane, ours: Plane, base: Plane, more: Mapping[str, float]) -> Row:
    return Row(
        name=name,
        frames=1,
        psnr_y=psnr(true, ours),
        ssim=ssim(true, ours),
        bicubic_psnr_y=psnr(true, base),
        bicubic_ssim=ssim(true, base),
        more=more,
    )


def _mean(name: str, rows: list[Row], frames: int) -> Row:
    keys = dict.fromkeys(key for row in rows for key in row.more)
    return Row(
        name=name,
        frames=frames,
        psnr_y=fmean(row.psnr_y for row in rows),
        ssim=fmean(row.ssim for row in rows),
        bicubic_psnr_y=fmean(row.bicubic_psnr_y for row in rows),
        bicubic_ssim=fmean(row.bicubic_ssim for row in rows),
        more={key: _known_mean([row.more.get(key, nan) for row in rows]) for key in keys},
    )


def _known_mean(values: list[float]) -> float:
    """The mean of those that are numbers; NaN if none is."""
    return fmean([value for value in values if not isnan(value)] or [nan])
