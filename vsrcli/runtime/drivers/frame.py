"""The `frame` kind: each frame on its own. Luma through the net, chroma and alpha through bicubic.

The planes of an RGB picture are each treated as luma: grey stays exactly grey, and no matrix is
needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor

from vsrcli.frames import Arriving, Frame, Picture, Plane, Role
from vsrcli.runtime.bands import Bands
from vsrcli.runtime.bicubic import open_bicubic
from vsrcli.runtime.drivers import Memoryless
from vsrcli.runtime.engines import Setup
from vsrcli.runtime.graphs import wrap_planes


class FrameDriver(Memoryless):
    """Runs a single-frame luma model on pictures of one layout and size. See `drivers.Driver`.

    The whole picture is enlarged by bicubic, which costs a fraction of a net, and the net's planes
    take the place of those. `border` is how far the model sees, LR px; 0 if its card does not say.
    """

    def __init__(
        self,
        model: bytes,
        scale: int,
        *,
        picture: Picture,
        studio: bool,
        border: int,
        setup: Setup,
    ) -> None:
        self.scale, layout = scale, picture.layout
        self._nets = [i for i, role in enumerate(layout.roles) if role in (Role.LUMA, Role.RGB)]
        full = bool(picture.color.full_range or layout.planes_of(Role.RGB))

        def graph(rows: int) -> bytes:
            shape = (1, rows, picture.width)
            return wrap_planes(
                model,
                scale,
                bits=layout.bits,
                shape=shape,
                studio=studio,
                full_range=full,
                shuffles=setup.is_gpu,
                blocked=setup.is_blocked,
            )

        size = (picture.height, picture.width)
        self._bands = Bands(graph, scale, size=size, halo=border, setup=setup)
        self._bicubic = open_bicubic(picture, scale, but=self._nets, threads=setup.threads)
        self.device = self._bands.device
        self._aside = ThreadPoolExecutor(1, "vsr-bicubic") if setup.is_gpu else None
        """What enlarges the other planes while a GPU computes."""

    def push(self, frame: Frame) -> list[Frame]:
        planes = self._start(frame, self._aside) if self._aside else self._in_bands(frame)
        return [frame.scaled(planes, self.scale)]

    def _start(self, frame: Frame, aside: Executor) -> Arriving:
        """The large planes, which a GPU has computed but may not have given yet."""
        others = aside.submit(self._bicubic.enlarge, frame.planes)
        landed = self._bands.start([frame.planes[i] for i in self._nets])

        def collect() -> Sequence[Plane]:
            large = others.result()
            for index, plane in zip(self._nets, landed(), strict=True):
                large[index][:] = plane
            return large

        return Arriving(collect)

    def _in_bands(self, frame: Frame) -> Arriving:
        """The large planes, whose bands wait behind those of the frame before."""
        large = self._bicubic.enlarge(frame.planes)
        end = self._bands.begin(
            [frame.planes[i] for i in self._nets], [large[i] for i in self._nets]
        )

        def collect() -> Sequence[Plane]:
            end()
            return large

        return Arriving(collect)

    def close(self) -> None:
        if self._aside:
            self._aside.shutdown()
        self._bands.close()
        self._bicubic.close()


class BicubicDriver(Memoryless):
    """Runs the bicubic model on a CPU, as what no net upscales. See `drivers.Driver`."""

    def __init__(self, picture: Picture, scale: int, *, threads: int) -> None:
        self._bicubic = open_bicubic(picture, scale, threads=threads)
        self.scale, self.device = scale, self._bicubic.device

    def push(self, frame: Frame) -> list[Frame]:
        return [frame.scaled(self._bicubic.enlarge(frame.planes), self.scale)]

    def close(self) -> None:
        self._bicubic.close()
