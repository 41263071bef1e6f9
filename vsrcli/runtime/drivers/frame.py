"""The `frame` kind: each frame on its own. Luma through the net, chroma and alpha through bicubic.

The planes of an RGB picture are each treated as luma: grey stays exactly grey, and no matrix is
needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from vsrcli.errors import DeviceError
from vsrcli.frames import Frame, Picture, Plane, Role
from vsrcli.runtime.drivers import Carried
from vsrcli.runtime.engines import Array, Engine, Setup
from vsrcli.runtime.graphs import bicubic_graph, wrap_planes


class FrameDriver:
    """Runs a single-frame luma model on pictures of one layout and size. See `drivers.Driver`."""

    def __init__(
        self,
        model: bytes,
        scale: int,
        *,
        picture: Picture,
        studio: bool,
        setup: Setup,
    ) -> None:
        self.scale = scale
        self._layout = picture.layout
        self._engines: dict[Role, Engine] = {
            role: setup.open(_graph(role, model, scale, picture, studio), frugal=True)
            for role in dict.fromkeys(picture.layout.roles)
        }
        self.device = next(iter(self._engines.values())).name

    def push(self, frame: Frame) -> list[Frame]:
        planes: dict[int, Plane] = {}
        for role, engine in self._engines.items():
            indices = self._layout.planes_of(role)
            batch = np.stack([frame.planes[i] for i in indices])[:, None]
            planes |= dict(zip(indices, self._run(engine, batch), strict=True))
        return [frame.scaled([self._fit(planes[i], i, frame) for i in sorted(planes)], self.scale)]

    def _run(self, engine: Engine, batch: Array) -> Array:
        """(N, 1, H, W) code values to (N, rH, rW). The engine writes into our own array: memory of
        its own would be copied out, which costs as much as the bicubic itself."""
        count, _, height, width = batch.shape
        out = np.empty((count, 1, height * self.scale, width * self.scale), batch.dtype)
        try:
            engine.run({"planes_in": batch}, {"planes_out": out})
        except DeviceError as exc:
            raise type(exc)(f"{exc} (a {width}x{height} plane, x{self.scale})") from exc
        return out[:, 0]

    def flush(self) -> list[Frame]:
        return []

    def reset(self) -> None:
        """A single frame leaves nothing behind."""

    def save(self) -> Carried:
        return Carried()

    def load(self, arrays: Mapping[str, Array], held: Sequence[Frame]) -> None:
        """A single frame leaves nothing behind."""

    def close(self) -> None:
        for engine in self._engines.values():
            engine.close()

    def _fit(self, plane: Plane, index: int, frame: Frame) -> Plane:
        """Chroma of an odd-sized picture has half a sample too many once it is scaled."""
        height, width = self._layout.size(
            index, frame.width * self.scale, frame.height * self.scale
        )
        return plane[:height, :width]


def _graph(role: Role, model: bytes, scale: int, picture: Picture, studio: bool) -> bytes:
    layout = picture.layout
    indices = layout.planes_of(role)
    shape = (len(indices), *layout.size(indices[0], picture.width, picture.height))
    if role in (Role.LUMA, Role.RGB):
        full = role is Role.RGB or bool(picture.color.full_range)
        return wrap_planes(
            model, scale, bits=layout.bits, shape=shape, studio=studio, full_range=full
        )
    sub = (layout.chroma_w, layout.chroma_h) if role is Role.CHROMA else (1, 1)
    siting = picture.color.siting
    return bicubic_graph(scale, bits=layout.bits, shape=shape, siting=siting, sub=sub)
