"""Runs the stage before it on a thread of its own, a bounded number of items ahead."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Generic, TypeVar

from vsrcli import stops

T = TypeVar("T")
DECODED_AHEAD, UPSCALED_AHEAD = 8, 4
"""Frames that wait before the model and before the encoder of a run."""


class prefetch(Generic[T]):  # noqa: N801  # reads as the verb it is
    """A context manager that gives the items of an iterator, produced up to `depth` ahead.

    An exception of the producer surfaces at the consumer, once, in its place. Leaving the context
    stops the producer at its next item and waits for it, so nothing it uses is freed under it.
    """

    def __init__(self, items: Iterator[T], depth: int) -> None:
        self._items = items
        # Not one queue.Queue(depth): its lock is Python's, and Ctrl-C inside would leave it taken.
        self._ready: queue.SimpleQueue[tuple[bool, T | BaseException | None]] = queue.SimpleQueue()
        self._room: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(depth):
            self._room.put(None)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._produce, name="vsr-prefetch", daemon=True)

    def __enter__(self) -> Iterator[T]:
        self._thread.start()
        return self._given()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _given(self) -> Iterator[T]:
        while True:
            ended, value = self._take()
            if isinstance(value, BaseException):
                raise value
            if ended:
                return
            yield value  # type: ignore[misc]  # only the end carries None

    def _take(self) -> tuple[bool, T | BaseException | None]:
        while True:
            stops.check()
            try:
                entry = self._ready.get(timeout=stops.POLL_S)
            except queue.Empty:
                continue
            self._room.put(None)
            return entry

    def _produce(self) -> None:
        last: BaseException | None = None
        try:
            for item in self._items:
                if not self._put((False, item)):
                    break
        except BaseException as exc:  # handed to the consumer
            last = exc
        finally:
            close = getattr(self._items, "close", None)
            if close:
                close()
        self._put((True, last))

    def _put(self, entry: tuple[bool, T | BaseException | None]) -> bool:
        while not self._stop.is_set():
            try:
                self._room.get(timeout=stops.POLL_S)
            except queue.Empty:
                continue
            self._ready.put(entry)
            return True
        return False
