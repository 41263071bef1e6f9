"""Plain bicubic for whatever no net upscales: by libswscale where that is exact, else by graphs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

import numpy as np

from vsrcli.frames import Picture, Plane, Role
from vsrcli.media.enlarge import Enlarger
from vsrcli.runtime.bands import Bands
from vsrcli.runtime.engines import Setup
from vsrcli.runtime.graphs import bicubic_graph
from vsrcli.runtime.onnx_wire import constants, graph_of, nodes, single_ports
from vsrcli.runtime.resample import REACH, phases

_NO_PADS = (0, 0, 0, 0)


class Bicubic(Protocol):
    """Enlarges the planes of pictures of one layout and size, on the CPU."""

    device: str
    """Who computes it, and on what."""

    def enlarge(self, planes: Sequence[Plane]) -> Sequence[Plane]:
        """New large planes, in the layout's order."""
        ...

    def close(self) -> None:
        """Frees what it holds."""
        ...


def is_bicubic(graph: bytes, scale: int) -> bool:
    """Whether a model file is this kernel and nothing else, by what it computes."""
    inner, ends = graph_of(graph), single_ports(graph)
    found = list(nodes(inner))
    if [node.op for node in found] != ["Pad", "Conv", "DepthToSpace"]:
        return False
    pad, convolution, _ = found
    way = [ends[0], *(node.outputs[0] for node in found)]
    names = [*pad.inputs[1:], *convolution.inputs[1:]]
    known = constants(inner, names)
    if (
        [*(node.inputs[0] for node in found), ends[1]] != way
        or pad.attributes.get("mode") != "edge"
        or convolution.attributes.get("pads", _NO_PADS) != _NO_PADS
        or len(names) != 2
        or len(known) != 2
    ):
        return False
    edges, weights = (known[name] for name in names)
    axis = phases(scale)
    wanted = np.einsum("yi,xj->yxij", axis, axis).reshape(scale**2, 1, *axis.shape[1:] * 2)
    return np.array_equal(edges, [0, 0, REACH, REACH] * 2) and np.array_equal(
        weights, wanted.astype(np.float32)
    )


def open_bicubic(
    picture: Picture, scale: int, *, but: Collection[int] = (), threads: int = 0
) -> Bicubic:
    """A bicubic for pictures like this. What comes in the planes `but` is undefined: somebody else
    fills them. Samples keep their place on the luma grid."""
    if Enlarger.is_exact(picture, scale):
        return Enlarger(picture, scale, threads=threads)
    return _Graphs(picture, scale, but=but, threads=threads)


class _Graphs:
    """Each role's planes through a graph made for their siting."""

    def __init__(self, picture: Picture, scale: int, *, but: Collection[int], threads: int) -> None:
        layout = self._layout = picture.layout
        self._large = picture.scaled(scale)
        self._setup, self._bands = Setup(threads=threads), dict[Role, Bands]()
        self.device = f"{self._setup.engine} cpu"
        for role in dict.fromkeys(layout.roles):
            if not set(layout.planes_of(role)) <= set(but):
                self._bands[role] = self._open(picture, role, scale)

    def _open(self, picture: Picture, role: Role, scale: int) -> Bands:
        layout, siting = picture.layout, picture.color.siting
        index = layout.planes_of(role)[0]
        size = picture.size(index)
        down, across = layout.subsampling(index)

        def graph(rows: int) -> bytes:
            shape = (1, rows, size[1])
            return bicubic_graph(
                scale, bits=layout.bits, shape=shape, siting=siting, sub=(across, down)
            )

        return Bands(graph, scale, size=size, halo=REACH, setup=self._setup)

    def enlarge(self, planes: Sequence[Plane]) -> Sequence[Plane]:
        layout = self._layout
        large = [np.empty(self._large.size(i), layout.dtype) for i in range(len(planes))]
        for role, bands in self._bands.items():
            indices = layout.planes_of(role)
            bands.enlarge([planes[i] for i in indices], [large[i] for i in indices])
        return large

    def close(self) -> None:
        for bands in self._bands.values():
            bands.close()
