"""Upscalers of whole clips for measuring: luma nets frame by frame, others by their driver.

The drivers are the product's own. They are given 16-bit RGB planes, so that their rounding is
far below what PSNR shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from vsrcli.frames import IDENTITY, Color, Frame, Picture, RgbU8, frame_of
from vsrcli.job import check_engine, check_precision
from vsrcli.lab.luma import WEIGHTS, Luma, luma
from vsrcli.media.pixels import layout_of
from vsrcli.models import UNTUNED, Model, Tuning, graph_precision
from vsrcli.runtime.devices import choose_setup
from vsrcli.runtime.drivers import open_driver
from vsrcli.runtime.engines import Setup

ClipUpscale = Callable[[Iterable[RgbU8]], Iterator[Luma]]
"""LR frames of one shot to the luma of the HR frames, studio code values, one for each."""
Tensor = NDArray[np.float32]
"""What a net takes or gives, (1, C, H, W)."""
_LAYOUT = layout_of("gbrp16le")
_TO_16_BIT = 257
ABLATIONS = ("state", "neighbours")


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """What a model is run with: as in a run of the product, but on the CPU and in fp32 unless
    something else is said."""

    device: str = "cpu"
    engine: str = "auto"
    precision: str = "fp32"
    threads: int = 0
    tuning: Tuning = UNTUNED
    """Of a bidirectional model."""

    def __post_init__(self) -> None:
        """Raises UsageError for an engine or a precision that there is not."""
        check_engine(self.engine)
        check_precision(self.precision)

    def setup(self, model: Model | None, scale: int = 0) -> Setup:
        """Who runs a graph of a model, and where; see `choose_setup`. Raises DeviceError."""
        return choose_setup(
            model,
            scale=scale,
            device=self.device,
            engine=self.engine,
            precision=self.precision,
            threads=self.threads,
        )


DEFAULTS = EngineOptions()


def framewise(upscale: Callable[[Luma], Luma]) -> ClipUpscale:
    """A luma upscaler as one of clips."""

    def run(frames: Iterable[RgbU8]) -> Iterator[Luma]:
        for frame in frames:
            yield upscale(luma(frame))

    return run


def recurrent(model: Model, scale: int, options: EngineOptions) -> ClipUpscale:
    """A recurrent or bidirectional model as an upscaler of clips."""
    upscale = driven(model, scale, options)
    return lambda frames: map(_luma, upscale(frames))


def driven(
    model: Model, scale: int, options: EngineOptions
) -> Callable[[Iterable[RgbU8]], Iterator[Frame]]:
    """A model of any kind as an upscaler of clips, by its driver, in 16-bit RGB."""

    def run(frames: Iterable[RgbU8]) -> Iterator[Frame]:
        source = iter(frames)
        first = next(source, None)
        if first is None:
            return
        picture = Picture(
            layout=_LAYOUT,
            color=Color(matrix=IDENTITY, full_range=True),
            width=first.shape[1],
            height=first.shape[0],
        )
        driver = open_driver(
            model,
            scale,
            picture=picture,
            device=options.device,
            engine=options.engine,
            precision=options.precision,
            threads=options.threads,
            tuning=options.tuning,
        )
        with closing(driver):
            for frame in _frames(chain([first], source)):
                yield from driver.push(frame)
            yield from driver.flush()

    return run


def ablated(model: Model, scale: int, without: str, options: EngineOptions) -> ClipUpscale:
    """A recurrent model without its "state", zeroed before each frame, or its "neighbours", for
    which each frame itself stands in."""
    setup = options.setup(model, scale)
    graph = model.graph(scale, graph_precision(setup.precision)).load()

    def run(frames: Iterable[RgbU8]) -> Iterator[Luma]:
        engine = setup.open(graph)
        shot = [net_input(frame, model) for frame in frames]
        states: dict[str, Tensor] = {}
        for t, now in enumerate(shot):
            window = window_at(shot, t, model)
            if without == "neighbours":
                window = [now] * len(window)
            if without == "state" or not states:
                states = zero_states(model, scale, now)
            made = engine.run({"frames": np.concatenate(window, 1), **states})
            # A copy: an engine may write over what it gave.
            states = {name: np.array(made[f"{name}_next"]) for name in states}
            yield _cell_luma(np.asarray(made["y"], np.float32) / np.float32(model.peak))
        engine.close()

    return run


def net_input(frame: RgbU8, model: Model) -> Tensor:
    """A frame as an RGB model takes it: (1, 3, H, W) in 0..`peak`."""
    planes = frame.transpose(2, 0, 1)[None].astype(np.float32)
    return np.ascontiguousarray(planes * np.float32(model.peak / 255))


def window_at(shot: Sequence[Tensor], t: int, model: Model) -> list[Tensor]:
    """What a recurrent cell sees of a shot to upscale its frame `t`; the ends repeat."""
    before, after = model.window
    last = len(shot) - 1
    return [shot[min(max(i, 0), last)] for i in range(t - before, t + after + 1)]


def zero_states(model: Model, scale: int, like: Tensor) -> dict[str, Tensor]:
    """What a cell of this scale takes for states before the first frame of a shot, (1, 3, H, W)."""
    height, width = like.shape[2:]
    return {
        s.name: np.zeros((1, s.channels, height * s.scale, width * s.scale), np.float32)
        for s in model.states_of(scale)
    }


def _cell_luma(y: Tensor) -> Luma:
    """Studio codes of what a cell gives in 0..1: RGB (1, 3, H, W), or such luma already."""
    if y.shape[1] == 1:
        return np.asarray(y[0, 0] * 255, np.float32)
    rgb = np.clip(y[0], 0, 1) * 255
    return np.asarray(np.tensordot(WEIGHTS, rgb, axes=(0, 0)) + 16, np.float32)


def _frames(images: Iterable[RgbU8]) -> Iterator[Frame]:
    for index, image in enumerate(images):
        planes = (image[..., c].astype(np.uint16) * _TO_16_BIT for c in (1, 2, 0))
        yield frame_of(tuple(planes), _LAYOUT, index)


def _luma(frame: Frame) -> Luma:
    green, blue, red = (plane.astype(np.float32) / _TO_16_BIT for plane in frame.planes)
    y = red * WEIGHTS[0] + green * WEIGHTS[1] + blue * WEIGHTS[2] + 16
    return np.asarray(y, np.float32)
