"""Large planes of a cell that ends in a shuffle, straight from its last features.

What comes after the shuffle is linear: colours are mixed, chroma is filtered. So it moves into the
weights of the convolution before the shuffle, which then gives the phases of Y, Cb and Cr. Nothing
is computed in a large RGB picture, and what is shuffled are code values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsrcli.frames import Picture, Plane, Role
from vsrcli.runtime.code_values import kind_of, to_codes
from vsrcli.runtime.colour import plane_mix, plane_taps
from vsrcli.runtime.graphs import LAST, shuffle
from vsrcli.runtime.onnx_wire import OUTPUT, Builder, constants, field, graph_of, nodes, port
from vsrcli.runtime.resample import reshape

Array = NDArray[Any]
_PLANE = "out_"
"""Before a plane's number in the name of its output."""
_PHASES = "phases_"
"""Before the number of the first plane of those whose phases an output holds."""
_PLAIN = {
    "kernel_shape": (3, 3),
    "pads": (1, 1, 1, 1),
    "strides": (1, 1),
    "dilations": (1, 1),
    "group": 1,
}
"""Of a convolution that gives as many pixels as it takes."""
_NARROWEST = 2
"""Columns of a picture from which on its first can be made apart."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a cell makes its phases (1, 3r², H, W): a 3x3 convolution of its features, and to the r²
    phases of each colour that colour of the frame. And the pictures that they are for."""

    features: str
    weight: Array
    """(3r², C, 3, 3)."""
    bias: Array
    """(3r²,)."""
    frame: str
    """Its first channels are R, G and B, 0..`peak`."""
    scale: int
    peak: float
    large: Picture
    groups: tuple[tuple[int, ...], ...]
    """Its colour planes, those of one size together."""
    shuffles: bool
    """Whether the graph puts phases in their places; else the host does, faster than a CPU's
    engine."""

    def give(self, graph: Builder, *, blocked: bool) -> bytes:
        """Makes a graph give code values: the planes, or their phases (1, H, W, K) for each group.
        The ports.

        `blocked` is an engine's, see `Setup.is_blocked`.
        """
        ports, bits = b"", self.large.layout.bits
        sides = self.large.height // self.scale, self.large.width // self.scale
        whole = self.features, graph.node("Gather", [self.frame, np.arange(3)], axis=1)
        for group in self.groups:
            mix = self._mix(group)
            if mix.left.any():
                first = _sum(graph, _start(graph, whole), self._taking(mix.first), mix.offset, 0)
                others = _sum(graph, whole, self._taking(mix.own, mix.left), mix.offset)
                values = graph.node("Concat", [first, others], axis=3)
            else:
                values = _sum(graph, whole, self._taking(mix.own), mix.offset)
            if self.shuffles:
                self._shuffle(graph, _codes(graph, values, bits, blocked), group)
                shapes = {f"{_PLANE}{i}": (1, 1, *self._size(i)) for i in group}
            else:
                _codes(graph, values, bits, blocked, _output(group))
                shapes = {_output(group): (1, *sides, len(mix.own))}
            for name, shape in shapes.items():
                ports += field(OUTPUT, port(name, kind_of(bits), shape))
        return ports

    def planes(self, made: Mapping[str, Array]) -> dict[int, Plane]:
        """The large colour planes, of what such a graph gave."""
        if self.shuffles:
            return {i: made[f"{_PLANE}{i}"][0, 0] for group in self.groups for i in group}
        found = {}
        for group in self.groups:
            phases = made[_output(group)][0]
            for index, own in zip(group, np.split(phases, len(group), -1), strict=True):
                found[index] = np.empty(self._size(index), self.large.layout.dtype)
                shuffle(own, found[index])
        return found

    def _size(self, plane: int) -> tuple[int, int]:
        return self.large.size(plane)

    def _shuffle(self, graph: Builder, codes: str, group: tuple[int, ...]) -> None:
        """Phases to planes: bytes move, not floats."""
        height, width = (side // self.scale for side in (self.large.height, self.large.width))
        rows, columns = self._size(group[0])
        pixel = len(group), rows // height, columns // width
        pixels = reshape(graph, codes, (height, width, *pixel))
        lines = graph.node("Transpose", [pixels], perm=(2, 0, 3, 1, 4))
        planes = reshape(graph, lines, (len(group), 1, rows, columns))
        for place, index in enumerate(group):
            graph.slice(planes, [place], [place + 1], [0], f"{_PLANE}{index}")

    def _mix(self, group: tuple[int, ...]) -> _Mix:
        """Colours and the filter of chroma in one."""
        weight, offset = plane_mix(self.large)
        (rows, _), (columns, before) = plane_taps(self.large, group[0])
        down, across = self.large.layout.subsampling(group[0])
        planes, r = list(group), self.scale
        shape = (len(planes), r // down, r // across, 3, r, r)
        own, left, first = (np.zeros(shape) for _ in range(3))
        for a, b in np.ndindex(shape[1:3]):
            taps = product(enumerate(rows, a * down), enumerate(columns, b * across - before))
            for (y, row), (x, column) in taps:
                taken = row * column * weight[planes] / self.peak
                (own if x >= 0 else left)[:, a, b, :, y, x] += taken  # -1 is the last
                first[:, a, b, :, y, max(x, 0)] += taken
        return _Mix(
            own=own.reshape(-1, 3 * r**2),
            left=left.reshape(-1, 3 * r**2),
            first=first.reshape(-1, 3 * r**2),
            offset=offset[planes].repeat(shape[1] * shape[2]),
        )

    def _taking(self, own: Array, left: Array | None = None) -> tuple[Array, Array, Array]:
        """Weights of the features, a bias and weights of the frame for what is taken of a pixel's
        phases, and of those to the `left`: such kernels begin there, and have a column more."""
        weight = np.tensordot(own, self.weight, 1)
        bias = own @ self.bias
        colours = own.reshape(len(own), 3, -1).sum(2)[:, :, None, None]
        if left is None:
            return weight, bias, colours
        before = self._taking(left)
        none = np.zeros((*weight.shape[:3], 1))
        wide = np.concatenate([none, weight], 3) + np.concatenate([before[0], none], 3)
        return wide, bias + before[1], np.concatenate([before[2], colours], 3)


@dataclass(frozen=True, kw_only=True)
class _Mix:
    """What the phases of planes of one size, K in all, take of the RGB phases of a pixel."""

    own: Array
    """(K, 3r²)."""
    left: Array
    """Of the pixel to the left."""
    first: Array
    """In the first column, where there is none."""
    offset: Array
    """(K,)."""


def ending_of(
    cell: bytes, scale: int, large: Picture, *, peak: float = 1.0, shuffles: bool = False
) -> Ending | None:
    """How a cell makes its output `y`; None if in another way, or if a pixel does not hold whole
    phases of all colour planes of such large pictures."""
    graph = graph_of(cell)
    groups = _groups(large, scale)
    made_by = {name: node for node in nodes(graph) for name in node.outputs}
    shuffled = made_by.get("y")
    total = shuffled and made_by.get(shuffled.inputs[0])
    if not groups or not shuffled or not total or total.op != "Add":
        return None
    convolution, repeated = (made_by.get(name) for name in total.inputs)
    if not convolution or not repeated or (convolution.op, repeated.op) != ("Conv", "Gather"):
        return None
    features, *names = convolution.inputs
    frame, index = repeated.inputs
    found = constants(graph, {*names, index})
    if len(found) != len(names) + 1:  # quantised weights are computed
        return None
    weight, *biases = (found[name] for name in names)
    if (
        (shuffled.op, shuffled.attributes.get("mode")) != ("DepthToSpace", "CRD")
        or not convolution.attributes.items() <= _PLAIN.items()
        or (weight.shape[2:], convolution.attributes.get("pads")) != ((3, 3), _PLAIN["pads"])
        or not np.array_equal(found[index], np.arange(3).repeat(scale**2))
    ):
        return None
    return Ending(
        features=features,
        weight=weight,
        bias=biases[0] if biases else np.zeros(len(weight)),
        frame=frame,
        scale=scale,
        peak=peak,
        large=large,
        groups=groups,
        shuffles=shuffles,
    )


def _groups(large: Picture, scale: int) -> tuple[tuple[int, ...], ...]:
    """See `Ending.groups`; none if chroma lies across the pixels."""
    layout = large.layout
    sizes = {i: layout.subsampling(i) for i, r in enumerate(layout.roles) if r is not Role.ALPHA}
    is_whole = all(scale % side == 0 for size in sizes.values() for side in size)
    takes_above = any(plane_taps(large, i)[0][1] for i in sizes)
    if not is_whole or takes_above or large.width < _NARROWEST * scale:
        return ()
    each = dict.fromkeys(sizes.values())
    return tuple(tuple(i for i in sizes if sizes[i] == size) for size in each)


def _output(group: tuple[int, ...]) -> str:
    return f"{_PHASES}{group[0]}"


def _start(graph: Builder, whole: tuple[str, str]) -> tuple[str, str]:
    """What the first column of features and frame depends on."""
    features, frame = whole
    return graph.slice(features, [0], [2], [3]), graph.slice(frame, [0], [1], [3])


def _sum(
    graph: Builder,
    inputs: tuple[str, str],
    weights: tuple[Array, Array, Array],
    offset: Array,
    right: int = 1,
) -> str:
    """Code values, not rounded: the detail, which an engine may compute less exactly, and what the
    pixels are without it."""
    weight, bias, colours = (part.astype(np.float32) for part in weights)
    detail = graph.node("Conv", [inputs[0], weight, bias], pads=(1, 1, 1, right))
    pixels = graph.node("Conv", [inputs[1], colours, offset.astype(np.float32)])
    return graph.node("Add", [detail, pixels])


def _codes(graph: Builder, values: str, bits: int, blocked: bool, output: str = "") -> str:
    """Floats as code values, channels last."""
    if blocked:
        return to_codes(graph, graph.node("Transpose", [values], perm=LAST), bits, output=output)
    codes = to_codes(graph, values, bits, at_once=False)
    return graph.node("Transpose", [codes], output, perm=LAST)
