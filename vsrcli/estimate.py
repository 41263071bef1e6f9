"""How long models will take here: each runs on a piece of the real picture for a moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from statistics import median

from vsrcli.errors import EncodeError
from vsrcli.frames import Frame, Picture, landed
from vsrcli.media.encoders import time_encoder
from vsrcli.media.frame_count import centre
from vsrcli.media.info import VideoInfo
from vsrcli.media.settings import VideoOptions
from vsrcli.models import UNTUNED, Model, Temporal, Tuning
from vsrcli.runtime.drivers import Driver, open_driver
from vsrcli.sizes import running_scale

SAMPLES = 12
"""Frames that are needed: enough for the encoder to find motion in."""
SAMPLE_SIZE = (480, 270)
_ENCODED_SIZE = (240, 136)
"""Source px of the piece that is encoded, which at the default preset costs the most."""
_GLANCE_SIZE = (128, 72)
_BUDGET_S, _LONGEST_S = 3.5, 0.5
"""For all models together, and for one; the encoder takes about one second more."""
_TUNINGS = {Temporal.BIDIRECTIONAL: Tuning(chunk=2, overlap=0, clean="1")}
"""What keeps a trial short; look-ahead frames would add the share of overlap / chunk."""

Opener = Callable[[Model, int, Picture], Driver]
"""Opens a model at a scale for pictures like this one."""


@dataclass(frozen=True, kw_only=True)
class ModelSpeed:
    """One model at the size of the source."""

    model: str
    device: str
    model_s: float
    """Seconds a frame in the model alone."""
    frame_s: float
    """Seconds a frame in all."""


@dataclass(frozen=True, kw_only=True)
class Speeds:
    """Measured on a piece of the picture and scaled by its area."""

    models: tuple[ModelSpeed, ...]
    """Fastest first."""
    decode_s: float
    encode_s: float
    """Seconds a frame; 0 if the encoder could not be measured."""
    width: int
    """Of the piece, source px."""
    height: int


def measure_speeds(
    samples: Sequence[Frame],
    video: VideoInfo,
    models: Sequence[Model],
    *,
    scale: int,
    options: VideoOptions,
    decode_s: float,
    opener: Opener | None = None,
) -> Speeds:
    """The speed of every model that reaches the scale, in about five seconds in all.

    `opener` opens a model for a picture; None: as it is without options.
    """
    opener = opener or _driver
    able = [model for model in models if running_scale(model, scale) >= scale]
    slot_s = min(_LONGEST_S, _BUDGET_S / max(1, len(able)))
    timed = [
        (model, *_time_model(opener, model, running_scale(model, scale), video, samples, slot_s))
        for model in able
    ]
    timed.sort(key=lambda entry: entry[2])
    fastest = timed[0][0] if timed else None
    encode_s = _time_encode(opener, fastest, scale, video, samples, options) if fastest else 0.0
    sides = samples[0].width, samples[0].height
    return Speeds(
        models=tuple(
            ModelSpeed(
                model=model.id,
                device=device,
                model_s=model_s,
                frame_s=_together(device, model_s, decode_s + encode_s),
            )
            for model, device, model_s in timed
        ),
        decode_s=decode_s,
        encode_s=encode_s,
        width=sides[0],
        height=sides[1],
    )


def _together(device: str, model_s: float, media_s: float) -> float:
    """On the CPU the stages share the cores, so their times add up; a GPU works beside them."""
    return model_s + media_s if "cpu" in device else max(model_s, media_s)


def _time_model(
    opener: Opener,
    model: Model,
    scale: int,
    video: VideoInfo,
    samples: Sequence[Frame],
    slot_s: float,
) -> tuple[str, float]:
    """(device, seconds a frame of the source's size), within about slot_s seconds.

    A glance at a small piece tells whether the larger one fits into the slot.
    """
    began = time.perf_counter()
    large, small = samples[0], centre(samples[0], *_GLANCE_SIZE)
    device, glance_s = _time_piece(opener, model, scale, video, small, 0.0)
    growth = (large.width * large.height) / (small.width * small.height)
    left_s = slot_s - (time.perf_counter() - began)
    piece = large if 3 * glance_s * growth < left_s else small
    device, seconds = _time_piece(opener, model, scale, video, piece, left_s)
    return device, seconds * _share(video, piece)


def _time_piece(
    opener: Opener, model: Model, scale: int, video: VideoInfo, piece: Frame, slot_s: float
) -> tuple[str, float]:
    """(device, median seconds a piece) of at least two runs after one that warms up."""
    end = time.perf_counter() + slot_s
    picture = replace(video.picture, width=piece.width, height=piece.height)
    with closing(opener(model, scale, picture)) as driver:
        _time_output(driver, piece)
        runs: list[float] = []
        while len(runs) < 2 or time.perf_counter() < end:
            runs.append(_time_output(driver, piece))
        return driver.device, median(runs)


def trial_tuning(model: Model) -> Tuning:
    """What a trial of a model is run with."""
    return _TUNINGS.get(model.temporal, UNTUNED)


def _driver(model: Model, scale: int, picture: Picture) -> Driver:
    return open_driver(model, scale, picture=picture, tuning=trial_tuning(model))


def _time_output(driver: Driver, piece: Frame) -> float:
    """Seconds a frame until the next output, which some models give after several frames."""
    began = time.perf_counter()
    made: list[Frame] = []
    while not made:
        made = list(landed(driver.push(piece)))
    return (time.perf_counter() - began) / len(made)


def _time_encode(
    opener: Opener,
    model: Model,
    scale: int,
    video: VideoInfo,
    samples: Sequence[Frame],
    options: VideoOptions,
) -> float:
    """Seconds a frame of the output's size; 0 if the encoder refuses the piece."""
    pieces = [centre(sample, *_ENCODED_SIZE) for sample in samples]
    picture = replace(video.picture, width=pieces[0].width, height=pieces[0].height)
    own = running_scale(model, scale)
    with closing(opener(model, own, picture)) as driver:
        frames = [frame for piece in pieces for frame in driver.push(piece)]
        frames += driver.flush()
    end, runs = time.perf_counter() + _LONGEST_S, list[float]()
    try:
        while not runs or time.perf_counter() < end:
            runs.append(time_encoder(frames, video, options))
    except EncodeError:
        return 0.0
    return median(runs) * _share(video, pieces[0]) * (scale / own) ** 2


def _share(video: VideoInfo, piece: Frame) -> float:
    """How many times the source's picture is as large as the piece."""
    return (video.width * video.height) / (piece.width * piece.height)
