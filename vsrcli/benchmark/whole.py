"""Models end to end, beside ffmpeg's scaler on the same clip and encoder; and stage by stage."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from vsrcli.benchmark.alone import made_frames, open_case
from vsrcli.benchmark.cases import CRF, Case, Plan, Size, Stages
from vsrcli.benchmark.process import Ran, run
from vsrcli.cores import usable_cores
from vsrcli.errors import InputError, OutputError, VsrError, output_error
from vsrcli.frames import Frame, landed
from vsrcli.job import Job
from vsrcli.media.ffmpeg import clip_command, scale_command
from vsrcli.media.settings import VideoOptions
from vsrcli.media.sink import Sink
from vsrcli.media.source import Source
from vsrcli.models import Model, Temporal
from vsrcli.pipeline import upscale

STAGE_FRAMES = 30
"""Of a clip that is taken stage by stage, at least."""
_STEADY_S = 1.0
_KEPT = ("VSR_MODELS", "VSR_CACHE")
"""Of the user's settings in the environment: where things lie, not what is done."""


def make_clip(folder: Path, plan: Plan, size: Size) -> Path:
    """The clip that is upscaled: of the plan's source, or of drawn frames. Raises InputError for a
    source that is no video, and OutputError where the folder is full."""
    clip = folder / f"{size[0]}x{size[1]}.mp4"
    source = plan.source
    if source is None:
        source = folder / f"{size[0]}x{size[1]}.y4m"
        try:
            _write_y4m(source, made_frames(size, min(plan.frames, 50)))
        except OSError as exc:
            raise output_error(source, exc) from exc
    try:
        run(clip_command(source, clip, size, plan.frames))
    except OutputError:
        raise
    except VsrError as exc:
        raise InputError(f"no clip can be made of {source}: {exc}") from exc
    return clip


def run_case(case: Case, plan: Plan, clip: Path) -> Ran:
    """A `vsr upscale` in a process of its own."""
    order: list[object] = [sys.executable, "-m", "vsrcli", "upscale", clip, "-y"]
    order += ["-o", clip.with_name("out.mp4"), "--progress", "none"]
    order += ["--model", case.model, "--scale", case.scale, "--engine", case.engine]
    order += ["--precision", case.precision, "--device", plan.device, "--threads", plan.threads]
    order += ["--config", os.devnull]  # the user's own settings are not what is measured
    order += ["-c:v", "libx264", "--preset", plan.preset, "--crf", CRF]
    kept = {n: v for n, v in os.environ.items() if n in _KEPT or not n.startswith("VSR_")}
    return run(order, kept)


def run_scaler(kernel: str, scale: int, plan: Plan, clip: Path) -> Ran:
    """An `ffmpeg -vf scale` in a process of its own."""
    target = clip.with_name("out.mp4")
    return run(
        scale_command(
            clip, target, scale, kernel, preset=plan.preset, crf=CRF, threads=plan.threads
        )
    )


def time_stages(case: Case, model: Model, plan: Plan, clip: Path) -> Stages:
    """Each stage alone, then all of them."""
    frames: list[Frame] = []
    with Source(clip) as source:
        items, picture = source.items(), source.info.video.picture
        decode = _each(lambda: frames.append(next(i for i in items if isinstance(i, Frame))))
    large: list[Frame] = []
    with closing(open_case(case, model, plan, picture)) as driver:
        driver.push(frames[0])
        driver.reset()

        def shot() -> None:
            large[:] = [made for frame in frames for made in driver.push(frame)]
            large.extend(driver.flush())
            landed(large)
            driver.reset()

        infer = _steady(shot) / len(frames)
    encode = _time_encode(case, plan, clip, large)
    together, first, busy = _time_run(case, model, plan, clip)
    return Stages(
        decode_ms=decode,
        infer_ms=infer,
        encode_ms=encode,
        together_ms=together,
        first_s=first,
        busy=busy,
    )


def _time_encode(case: Case, plan: Plan, clip: Path, large: list[Frame]) -> float:
    """The frames again and again, without the end: what closing a file takes is not of a frame."""
    size = (case.size[0] * case.scale, case.size[1] * case.scale)
    video = VideoOptions(preset=plan.preset, crf=CRF)
    target = clip.with_name("stage.mp4")
    step = large[1].pts - large[0].pts
    with (
        Source(clip) as source,
        Sink(target, source, video=video, size=size, threads=plan.threads) as sink,
    ):

        def write() -> None:
            for frame in large:
                sink.write(replace(frame, pts=sink.frames * step))

        write()
        each = _steady(write) / len(large)
        sink.finish(sink.frames)
    return each


def _time_run(case: Case, model: Model, plan: Plan, clip: Path) -> tuple[float, float, float]:
    """(ms a frame, seconds until the first one is out, share of the cores' time that is computed).

    The first frame is left out of both means, as what it takes is not of every frame, but where a
    whole chunk comes with it.
    """
    times: list[tuple[float, float]] = []

    def mark(_: object = None) -> None:
        times.append((time.perf_counter(), time.process_time()))

    job = Job(
        source=clip,
        target=clip.with_name("out.mp4"),
        model=case.model,
        scale=case.scale,
        video=VideoOptions(preset=plan.preset, crf=CRF),
        device=plan.device,
        engine=case.engine,
        precision=case.precision,
        threads=plan.threads,
        overwrite=True,
        segment=0,
    )
    began = time.perf_counter()
    upscale(job, mark, on_stage=mark)  # the first time is when all is open, the last when all is in
    first = times[1][0]
    counted = times if model.temporal is Temporal.BIDIRECTIONAL else times[1:]
    (start, computed), *_, (end, computed_by_then) = counted
    busy = (computed_by_then - computed) / (end - start) / usable_cores()
    return (end - start) * 1000 / (len(counted) - 2), first - began, busy


def _steady(work: Callable[[], object]) -> float:
    """Milliseconds that it takes, the mean over a second and more."""
    began, taken, times = time.perf_counter(), 0.0, 0
    while not times or taken < _STEADY_S:
        work()
        times += 1
        taken = time.perf_counter() - began
    return taken * 1000 / times


def _each(step: Callable[[], object]) -> float:
    """Milliseconds of a step, the mean."""
    began = time.perf_counter()
    for _ in range(STAGE_FRAMES):
        step()
    return (time.perf_counter() - began) * 1000 / STAGE_FRAMES


def _write_y4m(path: Path, frames: tuple[Frame, ...]) -> None:
    first = frames[0]
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{first.width} H{first.height} F25:1 C420mpeg2\n".encode())
        for frame in frames:
            file.write(b"FRAME\n" + b"".join(plane.tobytes() for plane in frame.planes))
