"""A look ahead: one instant by several models in a grid, or some seconds of them in strips.

The frames before the instant are run too, so that a model with a state shows what it would show in
the middle of a run and not as if the film began there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from fractions import Fraction
from itertools import tee
from pathlib import Path

from vsrcli import stops
from vsrcli.errors import InputError, UsageError
from vsrcli.frames import Frame
from vsrcli.job import DEFAULT_SCENE_THRESHOLD, check_engine, check_rate, check_scale
from vsrcli.media.images import rgb_of, write_png
from vsrcli.media.info import VideoInfo
from vsrcli.media.intake import Intake
from vsrcli.media.outlet import container_of
from vsrcli.media.rate import repeated
from vsrcli.media.settings import VideoOptions, told_color
from vsrcli.media.sink import Sink
from vsrcli.media.source import Source, Span
from vsrcli.models import Model
from vsrcli.montage import Piece, find_pieces, grid, strips
from vsrcli.paths import is_pipe
from vsrcli.pipeline import run_model
from vsrcli.runtime.bare_onnx import resolve_model
from vsrcli.runtime.drivers import Driver, open_driver
from vsrcli.sequences import split_shots
from vsrcli.sizes import default_scale
from vsrcli.targets import check_target

LEAD = 10
"""Frames before the instant that fill a model's state."""
_AFTER = 10
"""Frames after it that models may want to see."""
_ON_ERROR = "skip"
"""Damage does not stop what is only looked at."""
_MAPS = ("0:V?",)
_INTAKE = Intake(deinterlace="auto", autorotate=True, alpha=False)
"""As a run does it by default, but that the picture stands upright, as its names do, and is opaque,
as not every encoder keeps more."""
_REFERENCE = "bicubic"
_SHOWN = 480
"""Width of a column of the grid, px."""
_SHAPE = Fraction(9, 16)


@dataclass(frozen=True, kw_only=True)
class View:
    """What a preview shows."""

    source: Path
    target: Path
    at_s: Fraction
    models: tuple[str, ...]
    """Beside bicubic, which is always shown."""
    scale: int | None = None
    device: str = "auto"
    engine: str = "auto"
    """As `Job.engine`, for all of them."""
    threads: int = 0
    overwrite: bool = False
    zoom: int = 3
    """How many times a pixel of the output is enlarged in the pieces of a still."""
    centres: tuple[tuple[int, int], ...] = ()
    """Of the pieces, source px; none: where the most detail is."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a preview made."""

    target: Path
    names: tuple[str, ...]
    time_s: float
    """Of the frame, or the first one, from the source's first instant."""
    frames: int
    width: int
    height: int


@stops.orderly()
def make_still(view: View) -> Shown:
    """A PNG: a column each for the source, bicubic and the models. Raises VsrError."""
    models, scale = _prepare(view)
    video, frames, wanted, at_s = _frames_around(view)
    results: dict[str, Frame] = {}
    for name, model in models.items():
        with closing(_driver(model, scale, video, view)) as driver:
            shots = split_shots(iter(frames), threshold=DEFAULT_SCENE_THRESHOLD)
            made = (f for f in run_model(shots, driver) if isinstance(f, Frame))
            results[name] = next(frame for frame in made if frame.index == wanted.index)
    color = told_color(video.color, video, video.height * scale)
    source = rgb_of(wanted, color).repeat(scale, axis=0).repeat(scale, axis=1)
    pictures = {"source": source} | {n: rgb_of(f, color) for n, f in results.items()}
    pieces = _pieces(view, wanted, scale)
    wide = pieces[0].width * scale * view.zoom
    size = wide, round(wide * video.height / video.width)
    small = {n: rgb_of(f, color, size) for n, f in {"source": wanted, **results}.items()}
    image = grid(pictures, small, pieces, scale=scale, zoom=view.zoom)
    write_png(view.target, image, overwrite=view.overwrite)
    return Shown(
        target=view.target,
        names=tuple(pictures),
        time_s=at_s,
        frames=1,
        width=image.shape[1],
        height=image.shape[0],
    )


@stops.orderly()
def make_clip(view: View, length_s: Fraction, video: VideoOptions) -> Shown:
    """A video: bicubic and the models side by side in one picture. Raises VsrError."""
    check_rate(video)
    models, scale = _prepare(view)
    with ExitStack() as stack:
        intake = _INTAKE.into(container_of(view.target), video.codec)
        end_s = view.at_s + length_s
        source = stack.enter_context(_source(view, intake, view.at_s, end_s))
        info = source.info.video
        size = info.width * scale, info.height * scale
        sink = stack.enter_context(
            Sink(
                view.target,
                source,
                video=video,
                size=size,
                audio="none",
                threads=view.threads,
                overwrite=view.overwrite,
            )
        )
        frames = (item for item in source.items() if isinstance(item, Frame))
        runs: dict[str, Iterator[Frame]] = {}
        for (name, model), own in zip(models.items(), tee(frames, len(models)), strict=True):
            driver = stack.enter_context(closing(_driver(model, scale, info, view)))
            shots = split_shots(own, threshold=DEFAULT_SCENE_THRESHOLD)
            runs[name] = (f for f in run_model(shots, driver) if isinstance(f, Frame))
        first = float(source.first_time_s - source.begin_s)
        together = zip(*runs.values(), strict=True)
        for frame in repeated(strips(dict(zip(runs, each, strict=True))) for each in together):
            sink.write(frame)
        sink.finish(source.frames)
        return Shown(
            target=view.target,
            names=tuple(runs),
            time_s=first,
            frames=sink.frames,
            width=size[0],
            height=size[1],
        )


def _prepare(view: View) -> tuple[dict[str, Model], int]:
    """The models by name, bicubic first, and the scale that all of them have."""
    if is_pipe(view.source):
        raise UsageError("vsr preview cannot look into a pipe; name a file")
    if not 1 <= view.zoom <= 16:
        raise UsageError("--zoom must be 1 to 16")
    check_scale(view.scale)
    check_engine(view.engine)
    check_target(view.target, view.source, overwrite=view.overwrite)
    found = [resolve_model(name) for name in dict.fromkeys((_REFERENCE, *view.models))]
    scale = view.scale or default_scale(found[-1])
    for model in found:
        model.graph(scale)
    return {Path(model.id).name: model for model in found}, scale


def _driver(model: Model, scale: int, video: VideoInfo, view: View) -> Driver:
    return open_driver(
        model,
        scale,
        picture=video.picture,
        device=view.device,
        engine=view.engine,
        threads=view.threads,
    )


def _source(
    view: View, intake: Intake, start_s: Fraction | None = None, end_s: Fraction | None = None
) -> Source:
    span = Span(start_s=start_s, end_s=end_s)
    return Source(view.source, span=span, on_error=_ON_ERROR, intake=intake, maps=_MAPS)


def _frames_around(view: View) -> tuple[VideoInfo, Sequence[Frame], Frame, float]:
    """Frames from LEAD before the instant to some after it, the one that is shown then, and its
    time from the source's first instant."""
    with ExitStack() as stack:
        source = stack.enter_context(_source(view, _INTAKE))
        rate, duration = source.info.video.rate, source.info.duration_s
        if duration and view.at_s > duration:
            raise InputError(f"{view.source} ends at {duration:.2f} s; choose an earlier --at")
        start = view.at_s - Fraction(LEAD) / rate
        if start > 0:
            source = stack.enter_context(_source(view, _INTAKE, start))
        begin_s = float(source.begin_s)
        at_s = begin_s + float(view.at_s)
        frames: list[Frame] = []
        after = 0
        for item in source.items():
            if not isinstance(item, Frame):
                continue
            frames.append(item)
            after += item.time_s > at_s
            if after > _AFTER:
                break
        shown = [f for f in frames if f.time_s <= at_s + 1e-6] or frames[:1]
        return source.info.video, frames, shown[-1], shown[-1].time_s - begin_s


def _pieces(view: View, frame: Frame, scale: int) -> list[Piece]:
    wide = min(frame.width, max(8, _SHOWN // (scale * view.zoom)))
    high = min(frame.height, max(8, round(wide * _SHAPE)))
    if not view.centres:
        return find_pieces(frame.planes[0], wide, high, 2)
    for x, y in view.centres:
        if x >= frame.width or y >= frame.height:
            size = f"{frame.width}x{frame.height}"
            raise UsageError(f"--piece {x},{y} is outside of the picture, which is {size}")
    return [
        Piece(
            left=max(0, min(x - wide // 2, frame.width - wide)),
            top=max(0, min(y - high // 2, frame.height - high)),
            width=wide,
            height=high,
        )
        for x, y in view.centres
    ]
