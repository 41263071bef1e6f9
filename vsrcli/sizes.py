"""How large the output is, which scale that takes, and where it may be written."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from vsrcli.errors import OutputError, UsageError
from vsrcli.job import Job, check_name
from vsrcli.media.info import VideoInfo
from vsrcli.models import Model
from vsrcli.places import PICTURES, PIPE, Numbered, is_pipe, numbered, takes_files

log = logging.getLogger("vsr")
_DEFAULT_SCALE = 4
_KEPT_SUFFIXES = {".mp4", ".m4v", ".mov", ".mkv", *PICTURES}


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


def kept_suffix(source: Path) -> str:
    """The source's suffix, or .mkv where its container cannot be written as it should."""
    return source.suffix if source.suffix.lower() in _KEPT_SUFFIXES else ".mkv"


def default_target(source: Path, model: str, size: Size) -> Path:
    """IN_x4_espcn.mp4 beside the source; Matroska where its container cannot be kept."""
    is_whole = not size.resized or size.factor < size.scale
    if is_pipe(source):
        raise UsageError("name the output: -o FILE, or -o - -f nut for the standard output")
    mark = f"x{size.factor}" if is_whole else f"{size.width}x{size.height}"
    target = source.with_name(f"{source.stem}_{mark}_{Path(model).name}{kept_suffix(source)}")
    check_name(target)
    return target


def check_target(target: Path, source: Path, *, overwrite: bool) -> None:
    """Raises OutputError where the target must not or cannot be written."""
    if target == PIPE:
        return
    pictures = numbered(target)
    if pictures:
        _check_pictures(pictures, source, overwrite=overwrite)
        return
    check_name(target)
    if not target.parent.is_dir():
        raise OutputError(
            f"the folder {target.parent} does not exist; create it or choose another -o"
        )
    refuse_source(target, source)
    if target.exists() and not target.is_file():
        raise OutputError(f"{target} is not a regular file; choose another -o")
    if os.path.lexists(target) and not overwrite:  # a link to nothing, too
        raise OutputError(f"{target} exists; use -y to replace it or choose another -o")
    if not os.access(target.parent, os.W_OK):
        raise OutputError(f"{target.parent} may not be written to; choose another -o")


def refuse_source(target: Path, source: Path) -> None:
    """Raises OutputError where the target is the source."""
    if os.path.exists(target) and os.path.exists(source) and target.samefile(source):
        raise OutputError(f"{target} is the input itself; choose another -o")


def _check_pictures(pictures: Numbered, source: Path, *, overwrite: bool) -> None:
    """The folder is made where it is not there; the one it is to lie in has to be."""
    folder = pictures.path.parent
    where = folder if folder.exists() else folder.parent
    if not takes_files(where):
        raise OutputError(f"{folder} cannot be made or written to; choose another -o")
    if pictures.path.absolute() == source.absolute():
        raise OutputError(f"{pictures.path} is the input itself; choose another -o")
    numbers = pictures.numbers()
    if numbers and not overwrite:
        first = pictures.file(numbers[0])
        raise OutputError(f"{first} exists; use -y to replace the pictures or choose another -o")


def _even(side: float) -> int:
    return max(2, round(side / 2) * 2)
