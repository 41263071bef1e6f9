"""Runs the stage before it on a thread of its own, a bounded number of items ahead."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")
DECODED_AHEAD, UPSCALED_AHEAD = 8, 4
"""Frames that wait before the model and before the encoder of a run."""
_POLL_S = 0.1


class prefetch(Generic[T]):  # noqa: N801  # reads as the verb it is
    """The items of an iterator, produced up to `depth` ahead. A context manager.

    An exception of the producer surfaces at the consumer, once, in its place. Leaving the context
    stops the producer at its next item and waits for it, so nothing it uses is freed under it.
    """

    def __init__(self, items: Iterator[T], depth: int) -> None:
        self._items = items
        self._queue: queue.Queue[tuple[bool, T | BaseException | None]] = queue.Queue(depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._produce, name="vsr-prefetch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def __iter__(self) -> Iterator[T]:
        while True:
            ended, value = self._queue.get()
            if isinstance(value, BaseException):
                raise value
            if ended:
                return
            yield value  # type: ignore[misc]  # only the end carries None

    def __next__(self) -> T:
        return next(iter(self))

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
                self._queue.put(entry, timeout=_POLL_S)
            except queue.Full:
                continue
            return True
        return False
