"""How many of the machine's cores this process may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import ceil
from pathlib import Path

from vsrcli.control_groups import control_groups


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
    """Cores' worth of time, of each control group: microseconds in a period of so many."""
    for group in control_groups("cpu"):
        found = _words(group / "cpu.max")
        found += _words(group / "cpu.cfs_quota_us") + _words(group / "cpu.cfs_period_us")
        quota, period = found or ("max", "")  # which is no quota, as -1 is
        if quota.isdecimal() and int(period) > 0:
            yield ceil(int(quota) / int(period))


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").split()
    except OSError:
        return []
