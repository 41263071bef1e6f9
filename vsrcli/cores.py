"""How many of the machine's cores this process may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import ceil
from pathlib import Path, PurePosixPath

_OWN = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")


def allowed_cores() -> int:
    """Those that it may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def usable_cores() -> int:
    """Those, or fewer, if its container or service is given less of their time: of `docker run
    --cpus 2` two."""
    return max(1, min([allowed_cores(), *_quotas()]))


def _quotas() -> Iterator[int]:
    """Cores' worth of time, of the process's control group and of each around it.

    Source: Linux's Documentation/admin-guide/cgroup-v2.rst, cpu.max; of version 1
    scheduler/sched-bwc.rst.
    """
    try:
        lines = _OWN.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            for folder in _upwards(_GROUPS, path):
                yield from _as_cores(*_words(folder / "cpu.max"))
        elif "cpu" in controllers.split(","):
            for folder in _upwards(_GROUPS / "cpu", path):
                quota, period = folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us"
                yield from _as_cores(*_words(quota), *_words(period))


def _upwards(root: Path, path: str) -> Iterator[Path]:
    """A control group's folder and those around it. In a container the root is its own, and the
    path may be that of the machine outside."""
    inside = PurePosixPath(path.lstrip("/"))
    for part in (inside, *inside.parents):
        yield root / part


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").split()
    except OSError:
        return []


def _as_cores(quota: str = "max", period: str = "100000") -> Iterator[int]:
    """Microseconds in so many; "max" and -1 are no quota."""
    if quota.isdecimal() and int(period) > 0:
        yield ceil(int(quota) / int(period))
