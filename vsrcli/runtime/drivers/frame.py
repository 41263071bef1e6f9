"""The `frame` kind: each frame on its own. Luma through the net, chroma and alpha through bicubic.

The planes of an RGB picture are each treated as luma: grey stays exactly grey, and no matrix is
needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

from vsrcli.frames import Arriving, Frame, Picture, Plane, Role
from vsrcli.runtime.bands import Bands
from vsrcli.runtime.drivers import Carried
from vsrcli.runtime.engines import Array, Setup
from vsrcli.runtime.graphs import bicubic_graph, wrap_planes
from vsrcli.runtime.resample import REACH


class FrameDriver:
    """Runs a single-frame luma model on pictures of one layout and size. See `drivers.Driver`.

    `border` is how far the model sees, LR px; 0 if its card does not say.
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
        self.scale = scale
        self._layout = picture.layout
        self._bands: dict[Role, Bands] = {}
        for role in dict.fromkeys(picture.layout.roles):
            is_net = role in (Role.LUMA, Role.RGB)
            self._bands[role] = Bands(
                _grapher(role, model, scale, picture, studio),
                scale,
                shape=_shape(role, picture),
                halo=border if is_net else REACH,
                setup=setup,
            )
        self.device = next(iter(self._bands.values())).device
        workers = max(bands.workers for bands in self._bands.values())
        self._pool = ThreadPoolExecutor(workers, "vsr-band") if workers > 1 else None
        self._in_flight = setup.is_gpu

    def push(self, frame: Frame) -> list[Frame]:
        planes = self._start(frame) if self._in_flight else self._in_bands(frame)
        return [frame.scaled(planes, self.scale)]

    def _start(self, frame: Frame) -> Arriving:
        """The large planes, which a GPU has computed but may not have given yet."""
        arriving = {
            role: bands.start([frame.planes[i] for i in self._layout.planes_of(role)])
            for role, bands in self._bands.items()
        }

        def collect() -> list[Plane]:
            return self._in_order({role: large() for role, large in arriving.items()}, frame)

        return Arriving(collect)

    def _in_bands(self, frame: Frame) -> list[Plane]:
        large: dict[Role, Array] = {}
        jobs: list[Callable[[], None]] = []
        for role, bands in self._bands.items():
            indices = self._layout.planes_of(role)
            large[role], more = bands.jobs([frame.planes[i] for i in indices])
            jobs += more
        self._do(jobs)
        return self._in_order(large, frame)

    def _in_order(self, large: Mapping[Role, Array], frame: Frame) -> list[Plane]:
        """The planes of every role (N, rH, rW) in the layout's order, none too large."""
        planes = {
            index: plane
            for role, stack in large.items()
            for index, plane in zip(self._layout.planes_of(role), stack, strict=True)
        }
        return [self._fit(planes[i], i, frame) for i in sorted(planes)]

    def _do(self, jobs: Sequence[Callable[[], None]]) -> None:
        """All of them, side by side where that is of use; the first error of any."""
        if self._pool is None:
            for job in jobs:
                job()
            return
        futures: list[Future[None]] = [self._pool.submit(job) for job in jobs]
        wait(futures)  # all, even if one fails: they share memory
        for future in futures:
            future.result()

    def flush(self) -> list[Frame]:
        return []

    def reset(self) -> None:
        """A single frame leaves nothing behind."""

    def save(self) -> Carried:
        return Carried()

    def load(self, arrays: Mapping[str, Array], held: Sequence[Frame]) -> None:
        """A single frame leaves nothing behind."""

    def close(self) -> None:
        if self._pool:
            self._pool.shutdown()
        for bands in self._bands.values():
            bands.close()

    def _fit(self, plane: Plane, index: int, frame: Frame) -> Plane:
        """Chroma of an odd-sized picture has half a sample too many once it is scaled."""
        height, width = self._layout.size(
            index, frame.width * self.scale, frame.height * self.scale
        )
        return plane[:height, :width]


def _shape(role: Role, picture: Picture) -> tuple[int, int, int]:
    """(planes, height, width) of a role."""
    indices = picture.layout.planes_of(role)
    return (len(indices), *picture.layout.size(indices[0], picture.width, picture.height))


def _grapher(
    role: Role, model: bytes, scale: int, picture: Picture, studio: bool
) -> Callable[[int], bytes]:
    """What makes the graph of a role for bands of so many rows."""
    layout = picture.layout
    count, _, width = _shape(role, picture)
    if role in (Role.LUMA, Role.RGB):
        full = role is Role.RGB or bool(picture.color.full_range)
        return lambda rows: wrap_planes(
            model,
            scale,
            bits=layout.bits,
            shape=(count, rows, width),
            studio=studio,
            full_range=full,
        )
    sub = (layout.chroma_w, layout.chroma_h) if role is Role.CHROMA else (1, 1)
    siting = picture.color.siting
    return lambda rows: bicubic_graph(
        scale, bits=layout.bits, shape=(count, rows, width), siting=siting, sub=sub
    )
