"""Encoders take no place before others on the machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_TASKS = Path("/proc/self/task")


@contextmanager
def usual_scheduling() -> Iterator[None]:
    """At its end all threads of this process are scheduled as this one was at its beginning.

    Where it may, as root, SVT-AV1 makes its own threads and the one that opens it real-time ones,
    before everything else on the machine. What is started later inherits that, and where one of
    libvpx's threads spins until another is done, that one never gets its turn.
    """
    if sys.platform != "linux":
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        for thread in _threads():
            with suppress(OSError):  # it has ended
                if os.sched_getscheduler(thread) != policy:
                    os.sched_setscheduler(thread, policy, parameters)


def _threads() -> list[int]:
    """Of this process; without /proc that which asks alone."""
    try:
        return [int(name) for name in os.listdir(_TASKS)]
    except OSError:
        return [0]
