"""What a run would do and take, found by doing a little of it. Nothing is written."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from vsrcli.errors import UsageError
from vsrcli.estimate import SAMPLE_SIZE, SAMPLES, ModelSpeed, measure_speeds, trial_tuning
from vsrcli.frames import Frame, Picture
from vsrcli.identity import identity
from vsrcli.job import Job
from vsrcli.media.external import codec_of
from vsrcli.media.frame_count import centre
from vsrcli.media.info import SourceInfo
from vsrcli.media.sink import Sink
from vsrcli.media.source import Source
from vsrcli.memory_needs import peak_bytes
from vsrcli.models import Model, Temporal
from vsrcli.paths import is_pipe, is_plain
from vsrcli.pipeline import driver_of, expected_frames, open_source, warn_of_job
from vsrcli.probe import Outcome, collected_warnings, encoded_format, trial_sink
from vsrcli.resume import check_work, unfinished
from vsrcli.runtime.bare_onnx import resolve_model
from vsrcli.runtime.devices import choose_device
from vsrcli.runtime.drivers import Driver, open_driver
from vsrcli.runtime.memory import free_bytes
from vsrcli.sizes import Size, choose_size
from vsrcli.targets import check_folder, check_target, default_target
from vsrcli.thread_shares import shares


@dataclass(frozen=True, kw_only=True)
class Prospect:
    """A run that could begin now."""

    info: SourceInfo
    outcome: Outcome
    model: str
    frames: int
    """Expected in all; 0 if unknown."""
    done: int
    """Frames of unfinished work that lies beside the target."""
    resumes: bool
    """Whether the run goes on with that."""
    speed: ModelSpeed
    peak_bytes: int
    """Resident memory at most, encoder included; on a GPU the model's share of it lies there."""
    free_bytes: int | None
    """None where the system does not say."""
    warnings: tuple[str, ...]

    @property
    def seconds(self) -> float | None:
        """Expected length of the run; None if the number of frames is unknown."""
        left = self.frames - (self.done if self.resumes else 0)
        return max(0, left) * self.speed.frame_s if self.frames else None


def rehearse(job: Job, *, makes_folder: bool = False) -> Prospect:
    """The prospect of a job, in about two seconds. `makes_folder`: the run makes the target's.

    Raises the VsrError that the run would begin with, and UsageError for a pipe, which can be read
    but once.
    """
    if is_pipe(job.source):
        raise UsageError("--dry-run cannot look into a pipe; name a file")
    model = resolve_model(job.model)
    if job.target and makes_folder and not job.target.parent.is_dir():
        check_folder(job.target.parent)
    elif job.target:
        check_target(job.target, job.source, overwrite=job.overwrite)
    with collected_warnings() as warnings, open_source(job, threads=job.threads) as source:
        source.check_length()
        video = source.info.video
        size = choose_size(job, model, video)
        target = job.target or default_target(job.source, model.id, size)
        if not job.target:
            check_target(target, job.source, overwrite=job.overwrite)
        with closing(driver_of(job, model, size, video)) as driver:
            device = driver.device
        done = unfinished(target) if is_plain(target) else 0
        if done:
            check_work(target, identity(job, model, size, device), resume=job.resume)
        with trial_sink(job, source, size, target) as sink:
            settled = replace(job, video=sink.video)
            warn_of_job(job, model, video)
            samples, decode_s = _samples(source)
            sink.check_room(len(samples))
            outcome = _outcome(settled, sink, size, samples[0])
        with collected_warnings():  # a trial's repeat those of the run
            speed = _speed(settled, outcome, model, source, samples, decode_s)
    return Prospect(
        info=source.info,
        outcome=outcome,
        model=model.id,
        frames=expected_frames(job, video),
        done=done,
        resumes=bool(done and job.resume),
        speed=speed,
        peak_bytes=peak_bytes(video.picture, model, scale=size.scale, tuning=job.tuning),
        free_bytes=free_bytes(choose_device(job.device)),
        warnings=tuple(warnings),
    )


def _samples(source: Source) -> tuple[list[Frame], float]:
    """The middle of the first frames, and seconds that each took to be read and decoded."""
    samples: list[Frame] = []
    began = time.perf_counter()
    for item in source.items():
        if isinstance(item, Frame):
            samples.append(centre(item, *SAMPLE_SIZE))
        if len(samples) == SAMPLES:
            break
    return samples, (time.perf_counter() - began) / len(samples)


def _outcome(job: Job, sink: Sink, size: Size, first: Frame) -> Outcome:
    codec = codec_of(job.video, sink.format)
    return Outcome(
        target=sink.target,
        container=sink.format,
        encoder=codec.name,
        pix_fmt=encoded_format(codec, first, job.video.pix_fmt),
        size=size,
        streams=tuple(sorted(sink.plans, key=lambda plan: plan.index)),
    )


def _speed(
    job: Job,
    outcome: Outcome,
    model: Model,
    source: Source,
    samples: Sequence[Frame],
    decode_s: float,
) -> ModelSpeed:
    def opened(model: Model, scale: int, picture: Picture) -> Driver:
        return open_driver(
            model,
            scale,
            picture=picture,
            device=job.device,
            engine=job.engine,
            precision=job.precision,
            threads=shares(job.threads, light=model.temporal is Temporal.FRAME).infer,
            tuning=trial_tuning(model),
        )

    (speed,) = measure_speeds(
        samples,
        source.info.video,
        [model],
        scale=outcome.size.scale,
        options=replace(job.video, codec=outcome.encoder),
        decode_s=decode_s,
        opener=opened,
    ).models
    return speed
