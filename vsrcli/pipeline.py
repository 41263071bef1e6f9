"""A run, stage by stage. Read this first.

    source ──► prefetch ──► in_segments ──► run_model ──► prefetch ──► repeated ──► sink
    decode     (thread)     cuts, and       one frame     (thread)     only at a     encode, mux,
    + packets               borders to      in, one out                constant      verify, rename
                            resume at                                  rate

Stages are iterators over frames, side packets, cuts and borders; none calls another. `_stages` puts
them together, `upscale` pulls at their end. What is not a frame passes through in its place, so
audio and subtitles reach the muxer in the order of the file.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from math import ceil
from pathlib import Path
from typing import TypeVar

from vsrcli import stops
from vsrcli.errors import UsageError
from vsrcli.frames import Frame
from vsrcli.identity import identity
from vsrcli.job import DEFAULT_SCENE_THRESHOLD, Job
from vsrcli.media.info import VideoInfo
from vsrcli.media.outlet import container_of, in_pieces
from vsrcli.media.packet import SidePacket
from vsrcli.media.rate import repeated
from vsrcli.media.resume_entry import find_entry
from vsrcli.media.sink import Sink
from vsrcli.media.source import Source, Span
from vsrcli.models import Model, Temporal
from vsrcli.paths import is_pipe, is_plain
from vsrcli.prefetch import DECODED_AHEAD, UPSCALED_AHEAD, prefetch
from vsrcli.progress import Finishing, Meter, Progress, Report, Stage, Started, Task
from vsrcli.resume import NoWork, ResumePoint, Work, open_work, sweep
from vsrcli.runtime.bare_onnx import resolve_model
from vsrcli.runtime.cleaning import ShotCleaning
from vsrcli.runtime.drivers import Driver, open_driver
from vsrcli.segments import Checkpoint, checkpoint, in_segments, reach
from vsrcli.sequences import Border, Cut, split_shots
from vsrcli.sizes import Size, choose_size
from vsrcli.targets import check_target, default_target, kept_suffix
from vsrcli.thread_shares import shares

log = logging.getLogger("vsr")
T = TypeVar("T")


@stops.orderly()
def upscale(
    job: Job,
    on_event: Callable[[Progress], None] = lambda _: None,
    *,
    on_stage: Callable[[Stage], None] = lambda _: None,
) -> Report:
    """Runs a job from source to finished file. Raises VsrError; then there is no output, and what
    finished segments there are stay in a work folder, which a note on the exception says.

    `on_event` is called after each frame, `on_stage` before the first and after the last.
    """
    began = time.perf_counter()
    with ExitStack() as stack:
        run = _open_run(job, stack)
        _log_start(run)
        if run.work.place:
            _resume(run, run.work.place)
        resumed = run.work.frames
        upscaled = _stages(run, stack)
        on_stage(Started(**vars(_task(run)), frames=run.expected))
        meter = Meter(run.expected, resumed, run.sink.shift)
        if run.segment_frames:
            run.sink.keep_segment(run.work.next_file())
        for item in upscaled:
            if isinstance(item, Checkpoint):
                _keep_segment(item, run)
                continue
            run.sink.write(item)
            if isinstance(item, Frame):
                on_event(meter.step(item, run.sink.bytes))
        on_stage(Finishing(frames=run.sink.frames))
        run.sink.finish(run.source.frames, before_placing=run.work.seal)
        run.work.finish()
    return _report(run, resumed=resumed, seconds=time.perf_counter() - began)


@dataclass(frozen=True, kw_only=True)
class _Run:
    """All that is open while a job runs."""

    job: Job
    model: Model
    source: Source
    size: Size
    driver: Driver
    work: Work | NoWork
    sink: Sink
    cleaned: list[ShotCleaning]
    """Grows with every shot."""
    over: list[ShotCleaning] = field(default_factory=list)
    """The shots that have ended since the last segment was kept."""

    @property
    def expected(self) -> int:
        """Frames in all; 0 if unknown."""
        return expected_frames(self.job, self.source.info.video)

    @property
    def segment_frames(self) -> int:
        """Frames between two places to go on from; 0 where nothing can be kept."""
        can_be_kept = isinstance(self.work, Work) and in_pieces(self.sink.format)
        return self.job.segment if can_be_kept else 0


def _stages(run: _Run, stack: ExitStack) -> Iterator[Frame | Checkpoint | SidePacket]:
    """Decoder, shots, segments and model, one after the other; the first and the last each in a
    thread of their own."""
    decoded = stack.enter_context(prefetch(run.source.items(), DECODED_AHEAD))
    parts: Iterator[Frame | Cut | Border | SidePacket] = in_segments(
        decoded,
        partial(split_shots, threshold=_cut_threshold(run.job, run.model)),
        length=run.segment_frames,
        driver=run.driver,
        place=run.work.place,
        state=run.work.state(),
    )
    upscaled = stack.enter_context(prefetch(run_model(parts, run.driver), UPSCALED_AHEAD))
    stack.callback(run.source.stop)  # first of all on the way out: a pipe may wait for ever
    return repeated(upscaled)


def run_model(
    items: Iterator[Frame | Cut | Border | T], driver: Driver
) -> Iterator[Frame | Checkpoint | T]:
    """Every frame upscaled, state reset at cuts and told at borders, the rest passed through."""
    for item in items:
        stops.check()
        if isinstance(item, Frame):
            yield from driver.push(item)
        elif isinstance(item, Cut):
            yield from driver.flush()
            driver.reset()
        elif isinstance(item, Border):
            yield checkpoint(item, driver)
        else:
            yield item
    yield from driver.flush()


def _keep_segment(checkpoint: Checkpoint, run: _Run) -> None:
    """Counts the segment that ends here as done, unless it is empty."""
    run.over.extend(checkpoint.place.cleaned)
    frames = run.sink.cut()
    if frames:
        place = replace(checkpoint.place, damaged=run.source.damaged, cleaned=tuple(run.over))
        run.over.clear()
        run.work.add(place=place, frames=frames, state=checkpoint.state)
        run.sink.keep_segment(run.work.next_file())


def _open_run(job: Job, stack: ExitStack) -> _Run:
    """Source, model, work folder and sink, in this order; the first that cannot be had raises."""
    model = resolve_model(job.model)
    threads = shares(job.threads, light=model.temporal is Temporal.FRAME)
    if job.target:
        _check_target(job.target, job)
    elif is_pipe(job.source):
        raise UsageError("name the output: -o FILE, or -o - -f nut for the standard output")
    source = stack.enter_context(open_source(job, threads=threads.decode))
    source.check_length()
    video = source.info.video
    size = choose_size(job, model, video)
    target = job.target or default_target(job.source, model.id, size)
    if not job.target:
        _check_target(target, job)
    cleaned: list[ShotCleaning] = []
    driver = stack.enter_context(closing(driver_of(job, model, size, video, cleaned.append)))
    work: Work | NoWork = NoWork()
    if is_plain(job.source) and is_plain(target):
        this = identity(job, model, size, driver.device)
        work = stack.enter_context(open_work(target, this, resume=job.resume, keep=job.keep_work))
    sink = stack.enter_context(
        Sink(
            target,
            source,
            video=job.video,
            size=(size.width, size.height),
            audio=job.audio,
            threads=threads.encode,
            part=work.part,
            format_=job.format,
            overwrite=job.overwrite,
        )
    )
    return _Run(
        job=job,
        model=model,
        source=source,
        size=size,
        driver=driver,
        work=work,
        sink=sink,
        cleaned=cleaned,
    )


def driver_of(
    job: Job,
    model: Model,
    size: Size,
    video: VideoInfo,
    on_shot: Callable[[ShotCleaning], None] = lambda _: None,
) -> Driver:
    """The driver of a job. Raises UsageError, ModelError, WeightsError, DeviceError."""
    return open_driver(
        model,
        size.scale,
        picture=video.picture,
        device=job.device,
        engine=job.engine,
        precision=job.precision,
        threads=shares(job.threads, light=model.temporal is Temporal.FRAME).infer,
        gpu_is_shared=job.shares_gpu,
        warm_up=model.warm_up if job.warm_up is None else job.warm_up,
        tuning=job.tuning,
        on_shot=on_shot,
    )


def open_source(job: Job, *, threads: int = 0) -> Source:
    """The source of a job, prepared for its target; `threads` decode it. Raises InputError,
    OutputError."""
    like = job.target or job.source.with_suffix(kept_suffix(job.source))
    return Source(
        job.source,
        span=Span(start_s=job.start_s, end_s=job.end_s),
        on_error=job.on_error,
        intake=job.intake.into(container_of(like, job.format), job.video.codec),
        maps=job.maps,
        reading=job.reading,
        threads=threads,
    )


def _check_target(target: Path, job: Job) -> None:
    """Raises OutputError where the target must not be written; tidies up after a killed run."""
    if is_plain(target):
        sweep(target)
    check_target(target, job.source, overwrite=job.overwrite)


def _resume(run: _Run, place: ResumePoint) -> None:
    """Starts with the finished segments of an earlier run, and spares their decoding where that is
    safe."""
    run.sink.replay(run.work.files, run.work.frames)
    run.cleaned.extend(run.work.cleaned)
    source = run.source
    if place.damaged or not source.span.whole:
        return
    entry = find_entry(
        lambda: Source(
            run.job.source,
            on_error="skip",
            intake=source.intake,
            maps=run.job.maps,
            reading=run.job.reading,
        ),
        number=place.frame - 1,
        time_s=place.time_s,
        digest=place.digest,
        frames=reach(place),
    )
    if entry:
        source.skip(entry.packets, entry.frames)


def _cut_threshold(job: Job, model: Model) -> float | None:
    """Without memory there is nothing to reset, so a frame model's cuts are not looked for."""
    if model.temporal is Temporal.FRAME or not job.scene_cut:
        return None
    return DEFAULT_SCENE_THRESHOLD if job.scene_threshold is None else job.scene_threshold


def expected_frames(job: Job, video: VideoInfo) -> int:
    """How many of the source's frames a job will decode; 0 if that is not known."""
    if job.start_s is None and job.end_s is None:
        return video.frames
    end = video.frames if job.end_s is None else min(video.frames, ceil(job.end_s * video.rate))
    return max(0, end - ceil((job.start_s or 0) * video.rate))


def _log_start(run: _Run) -> None:
    """Says what runs on what."""
    video, size = run.source.info.video, run.size
    log.info("%s x%d on %s: %dx%d to %dx%d", run.model.id, size.scale, run.driver.device,
             video.width, video.height, size.width, size.height)  # fmt: skip
    warn_of_job(run.job, run.model, video)


def warn_of_job(job: Job, model: Model, video: VideoInfo) -> None:
    """Warns of what is unusual or has no effect."""
    if video.interlaced:
        log.warning("the picture is interlaced: it is upscaled as it is, field lines and all")
    given = {
        "--scene-threshold": job.scene_threshold is not None,
        "--no-scene-cut": not job.scene_cut,
        "--warm-up": job.warm_up is not None,
    }
    unused = [option for option, is_given in given.items() if is_given]
    if unused and model.temporal is Temporal.FRAME:
        log.warning(
            "%s has no effect: %s upscales each frame on its own", " and ".join(unused), model.id
        )


def _task(run: _Run) -> Task:
    return Task(
        source=run.job.source,
        target=run.sink.target,
        model=run.model.id,
        device=run.driver.device,
        scale=run.size.scale,
        width=run.size.width,
        height=run.size.height,
    )


def _report(run: _Run, *, resumed: int, seconds: float) -> Report:
    source, grid = run.source, run.source.grid
    if source.damaged:
        log.warning("frames that could not be decoded, or only in part: %d; replaced: %d",
                    source.damaged, source.replaced)  # fmt: skip
    if grid:
        log.info("%s frames a second: left out %d, repeated %d",
                 grid.rate, grid.dropped, grid.repeated)  # fmt: skip
    return Report(
        **vars(_task(run)),
        frames=run.sink.frames,
        damaged=source.damaged,
        replaced=source.replaced,
        resumed=resumed,
        dropped=grid.dropped if grid else 0,
        repeated=grid.repeated if grid else 0,
        cleaned=tuple(run.cleaned),
        seconds=seconds,
    )
