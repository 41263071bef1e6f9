"""Upscalers of whole clips for measuring: luma nets frame by frame, recurrent ones by their driver.

The recurrent driver is the product's own. It is given 16-bit RGB planes, so that its rounding is
far below what PSNR shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction

import numpy as np

from vsrcli.frames import Color, Frame, Picture
from vsrcli.lab.luma import WEIGHTS, Luma, RgbU8, luma
from vsrcli.media.pixels import layout_of
from vsrcli.models import Model
from vsrcli.runtime.drivers import open_driver

ClipUpscale = Callable[[Iterable[RgbU8]], Iterator[Luma]]
"""LR frames of one shot to the luma of the HR frames, studio code values, one for each."""
_LAYOUT = layout_of("gbrp16le")
_TO_16_BIT = 257


def framewise(upscale: Callable[[Luma], Luma]) -> ClipUpscale:
    """A luma upscaler as one of clips."""

    def run(frames: Iterable[RgbU8]) -> Iterator[Luma]:
        for frame in frames:
            yield upscale(luma(frame))

    return run


def recurrent(model: Model, scale: int, *, device: str, threads: int) -> ClipUpscale:
    """A recurrent model as an upscaler of clips."""

    def run(frames: Iterable[RgbU8]) -> Iterator[Luma]:
        source = iter(frames)
        first = next(source, None)
        if first is None:
            return
        picture = Picture(
            layout=_LAYOUT,
            color=Color(matrix=0, full_range=True),
            width=first.shape[1],
            height=first.shape[0],
        )
        driver = open_driver(model, scale, picture=picture, device=device, threads=threads)
        try:
            for frame in _frames(first, source):
                yield from map(_luma, driver.push(frame))
            yield from map(_luma, driver.flush())
        finally:
            driver.close()

    return run


def _frames(first: RgbU8, rest: Iterator[RgbU8]) -> Iterator[Frame]:
    index = 0
    image: RgbU8 | None = first
    while image is not None:
        planes = (image[..., c].astype(np.uint16) * _TO_16_BIT for c in (1, 2, 0))
        yield Frame(
            planes=tuple(planes),
            layout=_LAYOUT,
            width=image.shape[1],
            height=image.shape[0],
            pts=index,
            time_base=Fraction(1, 25),
            index=index,
        )
        image, index = next(rest, None), index + 1


def _luma(frame: Frame) -> Luma:
    green, blue, red = (plane.astype(np.float32) / _TO_16_BIT for plane in frame.planes)
    y = red * WEIGHTS[0] + green * WEIGHTS[1] + blue * WEIGHTS[2] + 16
    return np.asarray(y, np.float32)
