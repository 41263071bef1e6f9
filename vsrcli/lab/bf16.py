"""What bf16 arithmetic costs a single-frame model on planes of 8 bits, as a processor runs it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from statistics import fmean

import numpy as np

from vsrcli.errors import ModelError
from vsrcli.frames import Color, Picture, frame_of
from vsrcli.lab.degrade import ImageU8, bicubic, to_u8
from vsrcli.lab.evaluate import Shot, sources
from vsrcli.lab.luma import luma
from vsrcli.lab.metrics import Plane, psnr
from vsrcli.media.pixels import layout_of
from vsrcli.models import Model, Temporal
from vsrcli.models.model import read_model
from vsrcli.runtime.drivers import open_driver


def bf16_change(folder: Path, scale: int, pictures: Path) -> float:
    """By how many dB the PSNR-Y of a folder's pictures changes from onnxruntime's float32 on.

    Other than in `evaluate`, luma is rounded to codes, as video has it. Raises ModelError if the
    model is of another kind, DeviceError if bf16 cannot be had here, and what `sources` raises.
    """
    model = read_model(folder)
    if model.temporal is not Temporal.FRAME:
        raise ModelError(f"{model.id} uses time; such models run in bf16 wherever it can be had")
    changes = []
    for path in sources(pictures):
        shot = Shot(path=path, scale=scale, frames=1, short_side=0, crop=scale)
        for image in shot.truths():
            truth, small = luma(image), to_u8(luma(bicubic(image, scale)))
            inner = (slice(scale, -scale),) * 2
            exact, narrow = (
                psnr(truth[inner], _upscaled(model, scale, small, engine, precision)[inner])
                for engine, precision in (("onnxruntime", "fp32"), ("openvino", "bf16"))
            )
            changes.append(narrow - exact)
    return fmean(changes)


def _upscaled(model: Model, scale: int, plane: ImageU8, engine: str, precision: str) -> Plane:
    height, width = plane.shape
    layout = layout_of("gray")
    picture = Picture(layout=layout, color=Color(), width=width, height=height)
    with closing(
        open_driver(model, scale, picture=picture, device="cpu", engine=engine, precision=precision)
    ) as driver:
        (made,) = driver.push(frame_of((plane,), layout))
        return made.planes[0].astype(np.float64)
