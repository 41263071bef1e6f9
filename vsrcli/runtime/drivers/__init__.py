"""Drivers: one per temporal kind. A driver feeds frames to engines and gives frames back.

Each kind's module is imported where it is opened: all of them together take 10 ms.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

from numpy.typing import NDArray

from vsrcli.errors import ModelError
from vsrcli.frames import Frame, Picture
from vsrcli.models import UNTUNED, Graph, Model, Temporal, Tuning, graph_precision
from vsrcli.runtime.cleaning import ShotCleaning
from vsrcli.runtime.devices import choose_device, choose_setup
from vsrcli.runtime.engines import Setup
from vsrcli.runtime.memory import free_bytes
from vsrcli.runtime.tile_plan import Tiling, plan_tiling

__all__ = ["Carried", "Driver", "open_driver"]
log = logging.getLogger("vsr")


@dataclass(frozen=True, kw_only=True)
class Carried:
    """What a driver carries from one frame to the next, on the host."""

    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    held: int = 0
    """Frames at the end of those pushed that have not come back yet."""
    cleaned: tuple[ShotCleaning, ...] = ()
    """The shots that are over since the one before was saved."""


class Driver(Protocol):
    """Upscales the frames of one shot after another, in order, one out for each one in."""

    scale: int
    device: str
    """What the engine really runs on."""

    def push(self, frame: Frame) -> list[Frame]:
        """Takes the next frame of the shot; gives the upscaled frames that are ready, in order."""
        ...

    def flush(self) -> list[Frame]:
        """The shot is over: the frames still held back."""
        ...

    def reset(self) -> None:
        """Forgets the shot; the next frame starts a new one."""
        ...

    def save(self) -> Carried:
        """What `load` needs to go on after the frames pushed so far as if nothing had happened."""
        ...

    def load(self, arrays: Mapping[str, NDArray[Any]], held: Sequence[Frame]) -> None:
        """Takes up what another driver of this kind saved; `held` are the frames it had not given.

        Raises KeyError or ValueError if the arrays are not such a driver's.
        """
        ...

    def close(self) -> None:
        """Frees the engines."""
        ...


class Memoryless:
    """What drivers have in common whose frames leave nothing behind."""

    def flush(self) -> list[Frame]:
        """None are held back."""
        return []

    def reset(self) -> None:
        """There is nothing to forget."""

    def save(self) -> Carried:
        """Nothing."""
        return Carried()

    def load(self, arrays: Mapping[str, NDArray[Any]], held: Sequence[Frame]) -> None:
        """There is nothing to take up."""


def open_driver(
    model: Model,
    scale: int,
    *,
    picture: Picture,
    device: str = "auto",
    engine: str = "auto",
    precision: str = "auto",
    threads: int = 0,
    gpu_is_shared: bool = False,
    warm_up: int = 0,
    tuning: Tuning = UNTUNED,
    on_shot: Callable[[ShotCleaning], None] = lambda _: None,
) -> Driver:
    """The driver for a model, ready for frames like this picture.

    `gpu_is_shared` with other threads of this process, such as a decoder's. `warm_up` frames of
    each shot are run once before its first, by models with a state. `on_shot` hears of each shot
    that was cleaned. Raises UsageError if `tuning` is of another kind of model, or asks for tiles
    that cannot be cut.

    Raises ModelError if the model lacks the scale or its kind is not supported, WeightsError if its
    files are not what the card says, DeviceError if the device cannot be used.
    """
    tuning.check(model)
    graph = model.graph(scale, graph_precision(precision))
    tiling = partial(_tiling, model, picture, graph, tuning)
    if _is_plain(model, graph, engine, precision) and choose_device(device) == "cpu":
        return _open_bicubic(scale, tiling("cpu"), threads)
    setup = choose_setup(
        model,
        scale=scale,
        bits=picture.layout.bits,
        device=device,
        engine=engine,
        precision=precision,
        threads=threads,
    )
    setup = replace(setup, records=not gpu_is_shared)
    if model.temporal is Temporal.FRAME and model.color == "y":
        return _open_frame(model, graph, tiling(setup.device), setup)
    if model.temporal is Temporal.RECURRENT and model.color == "rgb":
        return _open_recurrent(model, graph, tiling(setup.device), setup, warm_up)
    if model.temporal is Temporal.BIDIRECTIONAL and model.color == "rgb":
        from vsrcli.runtime.drivers.bidirectional import BidirectionalDriver

        return BidirectionalDriver(
            model,
            scale,
            picture=picture,
            setup=setup,
            precision=graph.precision,
            tuning=tuning,
            on_shot=on_shot,
        )
    raise ModelError(
        f"{model.id} is a {model.temporal.value} {model.color} model, which this version of "
        "vsr cannot run; `vsr models` lists those it can"
    )


def _open_bicubic(scale: int, tiling: Tiling, threads: int) -> Driver:
    from vsrcli.runtime.drivers.frame import BicubicDriver
    from vsrcli.runtime.drivers.tiled import TiledFrames

    return TiledFrames(lambda part: BicubicDriver(part, scale, threads=threads), tiling)


def _open_frame(model: Model, graph: Graph, tiling: Tiling, setup: Setup) -> Driver:
    from vsrcli.runtime.drivers.frame import FrameDriver
    from vsrcli.runtime.drivers.tiled import TiledFrames

    driver = partial(
        FrameDriver,
        graph.load(),
        graph.scale,
        studio=model.levels == "studio",
        border=graph.border,
        setup=setup,
    )
    return TiledFrames(lambda part: driver(picture=part), tiling)


def _open_recurrent(
    model: Model, graph: Graph, tiling: Tiling, setup: Setup, warm_up: int
) -> Driver:
    from vsrcli.runtime.drivers.recurrent import RecurrentDriver
    from vsrcli.runtime.drivers.warm_up import WarmUp

    driver = RecurrentDriver(graph.load(), model, graph.scale, tiling=tiling, setup=setup)
    return WarmUp(driver, warm_up) if warm_up else driver


def _is_plain(model: Model, graph: Graph, engine: str, precision: str) -> bool:
    """Whether a model is bicubic and nobody asked who computes it: then libswscale does."""
    from vsrcli.runtime.bicubic import is_bicubic

    if (model.temporal, model.color) != (Temporal.FRAME, "y") or engine != "auto":
        return False
    return precision in ("auto", "fp32") and is_bicubic(graph.load(), graph.scale)


def _tiling(model: Model, picture: Picture, graph: Graph, tuning: Tuning, device: str) -> Tiling:
    """The tiling that the user asked for, or that memory needs: then a warning says so."""
    free = free_bytes(device)
    tiling = plan_tiling(model, graph, picture, wanted=tuning.tile, free=free)
    if tiling.reason:
        log.warning("%s", tiling.reason)
    return tiling
