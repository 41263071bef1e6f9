"""All there is to know before a run: the source, the fate of each stream, and how long it takes.

Nothing is written. What `vsr upscale` would warn of or refuse is said here first.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vsrcli.errors import EncodeError, OutputError, UsageError
from vsrcli.estimate import SAMPLE_SIZE, SAMPLES, Speeds, measure_speeds
from vsrcli.frames import Frame
from vsrcli.job import DEFAULT_MODEL, Job
from vsrcli.media.frame_count import Census, take_census
from vsrcli.media.info import SourceInfo, VideoInfo
from vsrcli.media.outlet import open_outlet
from vsrcli.media.plan import StreamPlan, plan_streams
from vsrcli.media.settings import (
    Offer,
    VideoOptions,
    check_opaque,
    choose_format,
    default_codec,
    encoder_named,
    loses_alpha,
)
from vsrcli.media.sink import Sink
from vsrcli.media.source import Source
from vsrcli.memory_needs import Need, memory_needs
from vsrcli.models import Model, Temporal, find_model, list_models
from vsrcli.paths import is_pipe
from vsrcli.runtime.devices import choose_device
from vsrcli.runtime.memory import free_bytes
from vsrcli.runtime.tile_plan import Tiling, plan_tiling
from vsrcli.sizes import Size, choose_size, running_scale
from vsrcli.targets import default_target

log = logging.getLogger("vsr")
_DECODE_LIMIT_S = 20.0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run would write."""

    target: Path
    container: str
    encoder: str
    pix_fmt: str
    size: Size
    streams: tuple[StreamPlan, ...]


@dataclass(frozen=True, kw_only=True)
class ProbeReport:
    """A source and its prospects."""

    info: SourceInfo
    census: Census
    outcome: Outcome
    sizes: Mapping[int, tuple[int, int]]
    """(width, height) of the output by scale."""
    speeds: Speeds | None
    """None if not asked for."""
    needs: tuple[Need, ...]
    """Memory that bidirectional models would take."""
    tilings: Mapping[str, Tiling]
    """How the other models would cut the picture, by model."""
    warnings: tuple[str, ...]
    """What a run would warn of, and what should be known before one."""


def probe_source(
    path: Path, *, scale: int | None = None, measure: bool = True, exact: bool = False
) -> ProbeReport:
    """Reads the whole source and tries the models. Raises InputError if it is not a video,
    UsageError for a pipe, which can be read but once.

    Decoding stops after 20 s unless `exact`; the rest is then counted by packets.
    """
    if is_pipe(path):
        raise UsageError("vsr probe cannot look into a pipe; name a file")
    models = list_models()
    with collected_warnings() as warnings, Source(path, on_error="skip") as source:
        info = source.info
        model = find_model(DEFAULT_MODEL)
        job = Job(source=path, model=model.id, scale=scale)
        size = choose_size(job, model, info.video)
        target = default_target(path, model.id, size)
        _try_output(job, source, size, target)
        census = take_census(
            source,
            limit_s=None if exact else _DECODE_LIMIT_S,
            samples=SAMPLES,
            sample_size=SAMPLE_SIZE,
        )
        outcome = _outcome(source, size, target, census)
        needs = tuple(memory_needs(info.video.picture, models, scale=size.factor))
        tilings = _tilings(info.video, models, size.factor)
        speeds = None
        if measure:
            with collected_warnings():  # a trial's repeat those of the run
                speeds = measure_speeds(
                    census.samples,
                    info.video,
                    models,
                    scale=size.factor,
                    options=VideoOptions(codec=outcome.encoder),
                    decode_s=census.decode_s,
                )
    scales = sorted({s for m in models for s in m.scales} | {size.factor})
    return ProbeReport(
        info=info,
        census=census,
        outcome=outcome,
        sizes={s: (info.video.width * s, info.video.height * s) for s in scales},
        speeds=speeds,
        needs=needs,
        tilings=tilings,
        warnings=(*warnings, *_remarks(info.video, census)),
    )


def _tilings(video: VideoInfo, models: Sequence[Model], factor: int) -> dict[str, Tiling]:
    free = free_bytes(choose_device("auto"))
    found = {}
    for model in models:
        if model.temporal is not Temporal.BIDIRECTIONAL:
            graph = model.graph(running_scale(model, factor))
            found[model.id] = plan_tiling(model, graph, video.picture, wanted=None, free=free)
    return found


def _try_output(job: Job, source: Source, size: Size, target: Path) -> None:
    """Warns of what a run would, as it opens its output, or of why it cannot."""
    try:
        with trial_sink(job, source, size, target):
            pass
    except (EncodeError, OutputError) as exc:
        log.warning("vsr upscale will refuse this: %s", exc)


def _outcome(source: Source, size: Size, target: Path, census: Census) -> Outcome:
    video = source.info.video
    outlet = open_outlet(target)
    container = outlet.format
    codec = encoder_named(outlet.settings(VideoOptions()).codec or default_codec(container))
    try:
        pix_fmt = encoded_format(codec, census.samples[0])
    except EncodeError as exc:
        pix_fmt = video.layout.name
        log.warning("vsr upscale will refuse this: %s", exc)
    plans = plan_streams(source.container, video=video.index, container=container, audio="copy")
    return Outcome(
        target=target,
        container=container,
        encoder=codec.name,
        pix_fmt=pix_fmt,
        size=size,
        streams=tuple(plans),
    )


def trial_sink(job: Job, source: Source, size: Size, target: Path) -> Sink:
    """The sink of a run, which writes nothing. To be had before the source's first frame is taken.
    Raises EncodeError, OutputError where the run would."""
    return Sink(
        target,
        source,
        video=job.video,
        size=(size.width, size.height),
        audio=job.audio,
        format_=job.format,
        writes=False,
    )


def encoded_format(codec: Offer, first: Frame, wanted: str | None = None) -> str:
    """The pixel format of a run's output. Raises EncodeError where the run would, by its first
    frame; warns of what may end it later."""
    pix_fmt = choose_format(codec, first.layout, wanted)
    if not wanted and loses_alpha(first.layout, pix_fmt):
        check_opaque(first, codec.name)
        log.warning("vsr upscale will stop at a frame that is transparent, which %s cannot hold, "
                    "without --alpha drop", codec.name)  # fmt: skip
    return pix_fmt


def _remarks(video: VideoInfo, census: Census) -> Iterator[str]:
    if census.damaged:
        count = "1 packet" if census.damaged == 1 else f"{census.damaged} packets"
        yield f"{count} cannot be decoded: `vsr upscale` stops there without --on-error skip"
    if video.interlaced:
        yield "the picture is interlaced: it would be deinterlaced first (see --deinterlace)"


class _Collector(logging.Handler):
    """Keeps the messages of warnings, each once."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message not in self._messages:
            self._messages.append(message)


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """What the stages warn of goes into this list instead of to the terminal."""
    messages: list[str] = []
    before, propagates = log.handlers, log.propagate
    log.handlers, log.propagate = [_Collector(messages)], False
    try:
        yield messages
    finally:
        log.handlers, log.propagate = before, propagates
