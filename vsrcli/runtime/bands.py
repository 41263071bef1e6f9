"""Planes of one kind through one graph: on a CPU in bands, several at a time; on a GPU whole.

A graph takes one plane at a time: a net that was exported for one cannot take more, and together
they are no faster. A graph of a small net is a chain of passes over large tensors. A band's tensors
stay in the cache, and bands side by side need no barrier after each operator, as threads inside an
engine do. Nor is there one after each frame: a thread that finds no band of it left begins with the
next frame's. On a GPU the planes of one frame cross to the host while those of the next are
computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from queue import SimpleQueue

import numpy as np

from vsrcli.errors import DeviceError
from vsrcli.frames import Plane
from vsrcli.runtime.engines import Array, Engine, Setup
from vsrcli.runtime.graphs import PHASES, SOURCE, TARGET, shuffle
from vsrcli.runtime.tiles import Span, spans_of

_HALOS, _FEW_HALOS = 32, 12
"""Halos that a band is high at least, so that no more than a sixteenth is computed twice; and a
sixth where a thread would have no band else: threads that share one wait for each other after every
operator, the longer the more others work on the machine."""
_LEAST = 64
"""Rows that a band has at least; fewer would not repay the call."""


@dataclass(frozen=True)
class _Net:
    """An engine between two arrays that stay: memory of the engine's own would be copied out, and
    to bind others for every band takes a small net 4 to 8 % of its time."""

    given: Array
    made: Array
    run: Callable[[], None]

    @classmethod
    def of(cls, engine: Engine, target: str) -> _Net:
        ports = engine.inputs[SOURCE], engine.outputs[target]
        given, made = (np.empty(port.sides, port.dtype) for port in ports)
        return cls(given, made, engine.bind({SOURCE: given}, {target: made}))


class Bands:
    """Upscales planes of one size (height, width). `graph` gives the graph for so many rows of one.

    `halo` is how many rows around it a row depends on, 0 if that is not known: then planes stay
    whole. Raises what `Setup.open` raises.
    """

    def __init__(
        self,
        graph: Callable[[int], bytes],
        scale: int,
        *,
        size: tuple[int, int],
        halo: int,
        setup: Setup,
    ) -> None:
        self._scale = scale
        height, self._width = size
        threads = setup.workers
        most = _most_bands(height, halo, threads) if halo and not setup.is_gpu else 1
        self.workers = min(threads, most)
        rows = -(-height // (most // self.workers * self.workers))
        self._spans = spans_of(height, rows, halo=halo, step=1)
        self._height = height
        data = graph(self._spans[0].size)
        share = setup.with_threads(threads // self.workers)
        with ThreadPoolExecutor(self.workers) as pool:  # an engine takes a while to plan a graph
            opened = [
                pool.submit(share.open, data, frugal=True, steady=setup.is_gpu)
                for _ in range(self.workers)
            ]
        engines = [future.result() for future in opened]
        self.device = engines[0].name
        self._engines = engines
        self._target = next(iter(engines[0].outputs))
        self._idle: SimpleQueue[_Net] = SimpleQueue()
        if not setup.is_gpu:
            for engine in engines:
                self._idle.put(_Net.of(engine, self._target))
        self._pool = ThreadPoolExecutor(self.workers, "vsr-band")

    def start(self, planes: Sequence[Plane]) -> Callable[[], list[Plane]]:
        """Enlarges whole planes; the function waits for them. Raises DeviceError."""
        with self._naming(self._height):
            landed = [self._engines[0].start({SOURCE: plane[None, None]}) for plane in planes]
        return lambda: [each()[TARGET][0, 0] for each in landed]

    def enlarge(self, planes: Sequence[Plane], large: Sequence[Plane]) -> None:
        """Fills the large planes, which may be less than a sample smaller at their ends. Raises
        DeviceError, the first of any band."""
        self.begin(planes, large)()

    def begin(self, planes: Sequence[Plane], large: Sequence[Plane]) -> Callable[[], None]:
        """Begins what `enlarge` does. The function waits for its end, and raises what it raises."""
        pairs = zip(planes, large, strict=True)
        todo = product(list(pairs), self._spans)  # one step of which is atomic

        def work() -> None:
            for (plane, target), span in todo:
                self._run(plane, span, target)

        futures = [self._pool.submit(work) for _ in range(self.workers)]

        def end() -> None:
            wait(futures)  # all, even if one fails: they share memory
            for future in futures:
                future.result()

        return end

    def _run(self, plane: Plane, span: Span, large: Plane) -> None:
        """One band."""
        rows = slice(span.start, span.start + span.size)
        net = self._idle.get()
        try:
            net.given[0, 0] = plane[rows]
            with self._naming(span.size):
                net.run()
            self._settle(net.made[0], span, large[span.core(scale=self._scale)])
        finally:
            self._idle.put(net)

    def _settle(self, made: Array, span: Span, lines: Plane) -> None:
        """The core of what an engine made in its place."""
        if self._target == PHASES:
            shuffle(made[span.inside()], lines)
        else:
            lines[:] = made[0, span.inside(scale=self._scale)][: lines.shape[0], : lines.shape[1]]

    @contextmanager
    def _naming(self, rows: int) -> Iterator[None]:
        """Says in an error how large the planes were."""
        try:
            yield
        except DeviceError as exc:
            size = f"a {self._width}x{rows} plane, x{self._scale}"
            raise type(exc)(f"{exc} ({size})") from exc

    def close(self) -> None:
        """Frees the engines."""
        self._pool.shutdown()
        while not self._idle.empty():
            self._idle.get()
        for engine in self._engines:
            engine.close()


def _most_bands(height: int, halo: int, threads: int) -> int:
    """How many bands a plane is cut into at most."""
    cheap = height // max(_HALOS * halo, _LEAST)
    one_each = min(threads, height // max(_FEW_HALOS * halo, _LEAST))
    return max(1, cheap, one_each)
