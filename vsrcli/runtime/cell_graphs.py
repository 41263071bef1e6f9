"""A recurrent cell joined to the conversions: code values of the newest frame in, HR planes out.

The cell's own graph takes `frames` (1, 3·T, H, W), the window in time order in RGB, and its
states; it gives `y` and each state's `_next`. Joined, it takes the newest frame as planes and the
older ones as the RGB tensors that earlier runs gave, so nothing but planes crosses to the host.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from vsrcli.frames import Picture, Role
from vsrcli.models import Model
from vsrcli.runtime.code_values import kind_of
from vsrcli.runtime.colour import from_rgb, resolved, to_rgb
from vsrcli.runtime.ending import Ending, ending_of
from vsrcli.runtime.onnx_wire import (
    FLOAT,
    INPUT,
    OUTPUT,
    Builder,
    field,
    graph_of,
    input_kinds,
    living,
    model_of,
    port,
    with_graph,
    without_ports,
)
from vsrcli.runtime.resample import enlarge, settle

OLDER = "older_"
"""Before the number of a frame older than the newest; 0 is the oldest."""
_STUDIO_601 = np.array([65.481, 128.553, 24.966], np.float32)
"""R, G, B in 0..1 to luma code values above 16 (BT.601, as MATLAB's rgb2ycbcr has it)."""


def color_planes(picture: Picture) -> tuple[int, ...]:
    """The planes that a cell sees: all but alpha."""
    return tuple(i for i, role in enumerate(picture.layout.roles) if role is not Role.ALPHA)


def decode_graph(picture: Picture) -> bytes:
    """`in_0` … planes to `newest`, RGB (1, 3, H, W) in 0..1: for the first frame of a shot."""
    picture = resolved(picture)
    graph = Builder()
    to_rgb(graph, [f"in_{i}" for i in color_planes(picture)], picture, "newest")
    return model_of(graph.take() + plane_ports(INPUT, "in", picture) + frame_port(OUTPUT, picture))


def step_graph(
    cell: bytes,
    model: Model,
    scale: int,
    picture: Picture,
    *,
    ending: Ending | None = None,
    blocked: bool = True,
) -> bytes:
    """`in_*`, `older_*` and states to `out_*`, `newest` and the `_next` of frames and states.

    The cell's `ending`, if given, makes the planes or their phases; `blocked` is an engine's, see
    `Setup.is_blocked`.
    """
    picture = resolved(picture)
    before, after = model.window
    older = [f"{OLDER}{i}" for i in range(before + after)]
    graph = Builder()
    to_rgb(graph, [f"in_{i}" for i in color_planes(picture)], picture, "newest")
    window = graph.node("Concat", [*older, "newest"], axis=1)
    graph.node("Mul", [window, np.float32(model.peak)], "frames")
    for name, later in pairwise(older):
        graph.node("Identity", [later], f"{name}_next")
    head = graph.take()
    body = without_ports(graph_of(cell))
    if ending:
        ports = ending.give(graph, blocked=blocked)
    else:
        large = picture.scaled(scale)
        rgb = graph.node("Mul", ["y", np.float32(1 / model.peak)])
        if model.output == "y":
            current = (*older, "newest")[before]
            rgb = _luma_onto(graph, rgb, current, scale, picture)
        from_rgb(graph, rgb, large, [f"out_{i}" for i in color_planes(picture)])
        ports = plane_ports(OUTPUT, "out", large)
    ports += plane_ports(INPUT, "in", picture)
    ports += b"".join(frame_port(INPUT, picture, name) for name in older)
    ports += b"".join(frame_port(OUTPUT, picture, f"{name}_next") for name in older[:-1])
    ports += frame_port(OUTPUT, picture) + _state_ports(model, scale, picture, input_kinds(cell))
    return with_graph(cell, living(head + body + graph.take() + ports))


def carried(model: Model, scale: int) -> dict[str, str]:
    """The step graph's inputs that take what an output gave at the step before, and that output."""
    older = [f"{OLDER}{i}" for i in range(sum(model.window))]
    frames = {name: f"{name}_next" for name in older[:-1]} | dict.fromkeys(older[-1:], "newest")
    return frames | {state.name: f"{state.name}_next" for state in model.states_of(scale)}


def cell_ending(
    cell: bytes, model: Model, scale: int, picture: Picture, *, shuffles: bool = False
) -> Ending | None:
    """How a cell that gives RGB ends, for pictures like this. See `ending.ending_of`."""
    if model.output != "rgb":
        return None
    large = resolved(picture).scaled(scale)
    return ending_of(cell, scale, large, peak=model.peak, shuffles=shuffles)


def state_shape(channels: int, scale: int, picture: Picture) -> tuple[int, int, int, int]:
    """(1, channels, height, width) of a state tensor for pictures of this size."""
    return 1, channels, picture.height * scale, picture.width * scale


def _luma_onto(graph: Builder, luma: str, frame: str, scale: int, picture: Picture) -> str:
    """The bicubic picture of `frame`, moved along grey to the net's luma (studio code / 255)."""
    base = bicubic_frame(graph, frame, picture, scale)
    weight = (_STUDIO_601 / 255)[None, :, None, None]
    studio = graph.node("Conv", [base, weight, np.array([16 / 255], np.float32)])
    change = graph.node("Mul", [graph.node("Sub", [luma, studio]), np.float32(255 / 219)])
    return graph.node("Add", [base, change])


def bicubic_frame(graph: Builder, frame: str, picture: Picture, scale: int) -> str:
    """An RGB frame (1, 3, H, W) of the picture's size, enlarged by bicubic."""
    shape, factors = (3, picture.height, picture.width), (scale, scale)
    planes = graph.node("Transpose", [frame], perm=(1, 0, 2, 3))
    large = settle(graph, enlarge(graph, planes, shape, factors, (0.0, 0.0)), shape, factors)
    return graph.node("Transpose", [large], perm=(1, 0, 2, 3))


def plane_ports(number: int, name: str, picture: Picture) -> bytes:
    """Graph inputs or outputs `name`_0 … for the colour planes of a picture."""
    kind = kind_of(picture.layout.bits)
    return b"".join(
        field(number, port(f"{name}_{i}", kind, (1, 1, *picture.size(i))))
        for i in color_planes(picture)
    )


def frame_port(number: int, picture: Picture, name: str = "newest") -> bytes:
    """A graph input or output for an RGB frame of the picture's size."""
    return field(number, port(name, FLOAT, (1, 3, picture.height, picture.width)))


def _state_ports(model: Model, scale: int, picture: Picture, kinds: Mapping[str, int]) -> bytes:
    """In the cell's own type, so that a state is not converted from step to step."""
    ports = b""
    for state in model.states_of(scale):
        shape = state_shape(state.channels, state.scale, picture)
        kind = kinds.get(state.name, FLOAT)
        ports += field(INPUT, port(state.name, kind, shape))
        ports += field(OUTPUT, port(f"{state.name}_next", kind, shape))
    return ports
