"""How much memory is free for a run."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path

from vsrcli.control_groups import control_groups

_LIMITS = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""A control group's limit, its use, and what of that is given back when it is needed: files of
versions 2 and 1, and a field of memory.stat."""


def free_bytes(device: str) -> int | None:
    """Bytes that a new allocation can count on; None if unknown.

    `device` is cpu, cuda[:N] or tensorrt[:N]; what is none of these is refused where it is opened.
    """
    kind, _, index = device.partition(":")
    if kind == "cpu":
        return min(_free_here(), default=None)
    return _free_on_gpu(int(index or 0)) if (index or "0").isdecimal() else None


def peak_bytes(pid: int | None = None) -> int:
    """The most resident memory that a process, this one by default, has had; 0 if unknown.

    On Linux `getrusage` would count what its parent had when it was forked.
    """
    peak = _field(f"/proc/{pid or 'self'}/status", "VmHWM")
    if not peak and pid is None and sys.platform != "win32":
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak


class _MemoryStatus(ctypes.Structure):
    """Windows' MEMORYSTATUSEX."""

    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("length", "load")),
        *((name, ctypes.c_uint64) for name in ("total", "free", "paged", "free_paged")),
        *((name, ctypes.c_uint64) for name in ("virtual", "free_virtual", "free_extended")),
    )


def _free_here() -> Iterator[int]:
    """What the machine has left, and what the limits of this process leave; nothing on macOS."""
    if sys.platform == "win32":
        status = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus))
        if ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
            yield status.free
    if available := _field("/proc/meminfo", "MemAvailable"):
        yield available
    for group in control_groups("memory"):
        for limit, use, cache in _LIMITS:
            most, used = _number(group / limit), _number(group / use)
            if most is not None and used is not None:
                yield max(0, most - used + _field(group / "memory.stat", cache))
    if sys.platform != "win32":
        import resource

        most = resource.getrlimit(resource.RLIMIT_AS)[0]
        if most != resource.RLIM_INFINITY:
            yield max(0, most - _field("/proc/self/status", "VmSize"))


def _field(path: str | Path, name: str) -> int:
    """A number of a /proc file in bytes; 0 if it is not there."""
    try:
        for line in Path(path).read_text(encoding="utf-8").splitlines():
            words = line.replace(":", " ").split()
            if words[:1] == [name]:
                return int(words[1]) * (1024 if words[-1] == "kB" else 1)
    except (OSError, ValueError):
        pass
    return 0


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):  # "max" stands for no limit
        return None


def _free_on_gpu(index: int) -> int | None:
    """Asks CUDA's own runtime."""
    from vsrcli.runtime.engines.libraries import cuda_runtime

    runtime = cuda_runtime()
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    if runtime is None or runtime.cudaSetDevice(index):
        return None
    if runtime.cudaMemGetInfo(ctypes.byref(free), ctypes.byref(total)):
        return None
    return free.value
