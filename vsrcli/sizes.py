"""How large the output is, and which scale that takes."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from vsrcli.job import Job
from vsrcli.media.info import VideoInfo
from vsrcli.models import Model

log = logging.getLogger("vsr")
_DEFAULT_SCALE = 4


@dataclass(frozen=True, kw_only=True)
class Size:
    """The model's scale and the size that is encoded."""

    scale: int
    width: int
    height: int
    resized: bool
    """The model's output is scaled again to reach this size."""
    factor: int
    """What --scale asked for, which may be less than the model's; else the model's."""


def choose_size(job: Job, model: Model, video: VideoInfo) -> Size:
    """The output size of a job. Raises ModelError if the model has neither the scale nor more."""
    if job.width is None and job.height is None:
        factor = job.scale or default_scale(model)
        scale = running_scale(model, factor)
        if scale < factor:
            model.graph(factor)  # which names the scales there are
        return _sized(model, video, scale, (video.width * factor, video.height * factor), factor)
    width = job.width or _even(video.width * (job.height or 0) / video.height)
    height = job.height or _even(video.height * width / video.width)
    scale = running_scale(model, max(width / video.width, height / video.height))
    return _sized(model, video, scale, (width, height), scale)


def running_scale(model: Model, factor: float) -> int:
    """The model's own scale for an enlargement: the next that is not less, or else its largest."""
    return next((s for s in model.scales if s >= factor), model.scales[-1])


def _sized(model: Model, video: VideoInfo, scale: int, sides: tuple[int, int], factor: int) -> Size:
    """The size of an output with these sides, (width, height); says so where it is scaled again."""
    width, height = sides
    resized = (width, height) != (video.width * scale, video.height * scale)
    if resized:
        made = f"{video.width * scale}x{video.height * scale}"
        log.warning(
            "%s runs at x%d (%s), then Lanczos to %dx%d", model.id, scale, made, width, height
        )
    return Size(scale=scale, width=width, height=height, resized=resized, factor=factor)


def default_scale(model: Model) -> int:
    """4 where the model has it, else its largest."""
    return _DEFAULT_SCALE if _DEFAULT_SCALE in model.scales else model.scales[-1]


def _even(side: float) -> int:
    return max(2, round(side / 2) * 2)
