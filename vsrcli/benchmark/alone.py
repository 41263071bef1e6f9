"""A model by itself: how long a frame takes, how much it computes, what a precision costs."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import cache
from statistics import median

import numpy as np

from vsrcli.benchmark.cases import Case, Plan
from vsrcli.benchmark.pictures import Luma, clip_of, made_pictures, psnr
from vsrcli.frames import Color, Frame, Picture, frame_of, landed
from vsrcli.media.pixels import layout_of
from vsrcli.models import Model, Temporal
from vsrcli.runtime.drivers import Driver, open_driver
from vsrcli.runtime.engines.flops import work_of
from vsrcli.runtime.onnx_wire import single_ports

_LEAST_RUNS, _MOST_RUNS, _ENOUGH_S = 5, 50, 3.0
_MOST_GPU_RUNS, _WARM_S = 3000, 1.0
"""Of a GPU, on which frames are short and whose clock rises with the work."""
CHUNK, _SHOTS = 10, 3
"""Frames of a shot for models that take them in chunks, and how many such shots are timed."""
_COUNTED_SIDE = 192
"""A picture of at most these sides is enough to count operations on; they go by area."""


def open_case(case: Case, model: Model, plan: Plan, picture: Picture) -> Driver:
    """The case's driver for pictures like this."""
    return open_driver(
        model,
        case.scale,
        picture=picture,
        device=plan.device,
        engine=case.engine,
        precision=case.precision,
        threads=plan.threads,
    )


def time_model(case: Case, model: Model, plan: Plan) -> tuple[str, float]:
    """(device, milliseconds a frame), the conversions of the planes included."""
    frames = made_frames(case.size, CHUNK)
    with closing(open_case(case, model, plan, picture_of(case.size))) as driver:
        if model.temporal is Temporal.BIDIRECTIONAL:
            return driver.device, median(_time_shots(driver, frames)) * 1000
        return driver.device, median(_time_frames(driver, frames)) * 1000


def _time_frames(driver: Driver, frames: Sequence[Frame]) -> list[float]:
    """Seconds of each frame; those that open a shot and fill the caches do not count."""
    if "cpu" not in driver.device.split():
        return _time_flight(driver, itertools.cycle(frames))
    for frame in frames[:3]:
        driver.push(frame)
    times: list[float] = []
    while len(times) < _LEAST_RUNS or (sum(times) < _ENOUGH_S and len(times) < _MOST_RUNS):
        began = time.perf_counter()
        landed(driver.push(frames[len(times) % len(frames)]))
        times.append(time.perf_counter() - began)
    return times


def _time_flight(driver: Driver, frames: Iterator[Frame]) -> list[float]:
    """The same on a GPU, from one frame on the host to the next: as in a run, one is computed
    while the one before it lands."""
    times: list[float] = []
    flying: list[Frame] = []
    before = began = time.perf_counter()
    while len(times) < _LEAST_RUNS or (
        before - began < _WARM_S + _ENOUGH_S and len(times) < _MOST_GPU_RUNS
    ):
        made = driver.push(next(frames))
        landed(flying)
        flying, now = made, time.perf_counter()
        if now - began > _WARM_S:
            times.append(now - before)
        before = now
    return times


def _time_shots(driver: Driver, frames: Sequence[Frame]) -> list[float]:
    """Seconds a frame of each shot but the first, in which the engines are opened."""
    times: list[float] = []
    for _ in range(1 + _SHOTS):
        began = time.perf_counter()
        for frame in frames:
            landed(driver.push(frame))
        landed(driver.flush())
        times.append((time.perf_counter() - began) / len(frames))
        driver.reset()
    return times[1:]


def gflop_of(case: Case, model: Model) -> float | None:
    """10^9 operations of the net on one frame; None for models of several graphs."""
    if model.temporal is Temporal.BIDIRECTIONAL:
        return None
    width, height = (min(side, _COUNTED_SIDE) for side in case.size)
    feeds: dict[str, np.ndarray] = {}
    graph = model.graph(case.scale).load()
    if model.temporal is Temporal.FRAME:
        feeds[single_ports(graph)[0]] = np.zeros((1, 1, height, width), np.float32)
    else:
        frames = 3 * (sum(model.window) + 1)
        feeds["frames"] = np.zeros((1, frames, height, width), np.float32)
        for state in model.states_of(case.scale):
            shape = (1, state.channels, height * state.scale, width * state.scale)
            feeds[state.name] = np.zeros(shape, np.float32)
    share = case.size[0] * case.size[1] / (width * height)
    return work_of(graph, feeds) * share / 1e9


def psnr_of(case: Case, model: Model, plan: Plan, pictures: Sequence[Luma]) -> float:
    """Mean luma PSNR of the clips that the pictures become, dB."""
    found: list[float] = []
    for picture in pictures:
        pairs = list(clip_of(picture, case.scale))
        small = [frame for _, frame in pairs]
        like = Picture(
            layout=small[0].layout, color=Color(), width=small[0].width, height=small[0].height
        )
        with closing(open_case(case, model, plan, like)) as driver:
            made = [out for frame in small for out in driver.push(frame)] + driver.flush()
        border = case.scale + 4
        found += [
            psnr(out.planes[0], truth, border) for out, (truth, _) in zip(made, pairs, strict=True)
        ]
    return float(np.mean(found))


def picture_of(size: tuple[int, int]) -> Picture:
    """8-bit 4:2:0 of (width, height)."""
    return Picture(layout=layout_of("yuv420p"), color=Color(), width=size[0], height=size[1])


@cache
def made_frames(size: tuple[int, int], count: int) -> tuple[Frame, ...]:
    """A drawing that moves along, in soft colours."""
    width, height = size
    drawing = made_pictures(1)[0]
    layout = layout_of("yuv420p")
    rows, columns = np.arange(height)[:, None], np.arange(width)
    tall, wide = layout.size(1, width, height)
    blue, red = (
        np.broadcast_to(ramp, (tall, wide)).astype(np.uint8)
        for ramp in (np.linspace(100, 160, wide), np.linspace(150, 110, tall)[:, None])
    )
    found = []
    for index in range(count):
        y, x = rows % drawing.shape[0], (columns + 2 * index) % drawing.shape[1]
        luma = np.ascontiguousarray(drawing[y, x])
        found.append(frame_of((luma, blue.copy(), red.copy()), layout, index))
    return tuple(found)
