"""The `frame` kind: each frame on its own. Luma through the net, chroma and alpha through bicubic.

The planes of an RGB picture are each treated as luma: grey stays exactly grey, and no matrix is
needed.
"""

from __future__ import annotations

import numpy as np

from vsrcli.errors import ModelError
from vsrcli.frames import Frame, Layout, Plane, Role, Siting
from vsrcli.runtime.engines import Engine, open_engine
from vsrcli.runtime.graphs import bicubic_graph, wrap_planes


class FrameDriver:
    """Runs a single-frame luma model on pictures of one layout. See `drivers.Driver`."""

    def __init__(
        self,
        model: bytes,
        scale: int,
        *,
        layout: Layout,
        siting: Siting,
        device: str,
        threads: int,
    ) -> None:
        self.scale = scale
        self._layout = layout
        bits, sub = layout.bits, (layout.chroma_w, layout.chroma_h)
        graphs = {
            Role.LUMA: lambda: wrap_planes(model, bits=bits),
            Role.RGB: lambda: wrap_planes(model, bits=bits),
            Role.CHROMA: lambda: bicubic_graph(scale, bits=bits, siting=siting, sub=sub),
            Role.ALPHA: lambda: bicubic_graph(scale, bits=bits),
        }
        self._engines: dict[Role, Engine] = {
            role: open_engine(graphs[role](), device=device, threads=threads)
            for role in dict.fromkeys(layout.roles)
        }
        self.device = next(iter(self._engines.values())).name

    def push(self, frame: Frame) -> list[Frame]:
        planes: dict[int, Plane] = {}
        for role, engine in self._engines.items():
            indices = self._layout.planes_of(role)
            batch = np.stack([frame.planes[i] for i in indices])[:, None]
            out = engine.run({"planes_in": batch})["planes_out"][:, 0]
            planes |= dict(zip(indices, out, strict=True))
        return [frame.scaled([self._fit(planes[i], i, frame) for i in sorted(planes)], self.scale)]

    def flush(self) -> list[Frame]:
        return []

    def reset(self) -> None:
        """A single frame leaves nothing behind."""

    def close(self) -> None:
        for engine in self._engines.values():
            engine.close()

    def _fit(self, plane: Plane, index: int, frame: Frame) -> Plane:
        """Chroma of an odd-sized picture has half a sample too many once it is scaled."""
        height, width = self._layout.size(
            index, frame.width * self.scale, frame.height * self.scale
        )
        if plane.shape[0] < height or plane.shape[1] < width:
            raise ModelError(f"the model gave {plane.shape[1]}x{plane.shape[0]}, not x{self.scale}")
        return plane[:height, :width]
