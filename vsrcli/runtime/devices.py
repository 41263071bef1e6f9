"""Which device runs a model, and why."""

from __future__ import annotations

import logging
import os
from functools import cache
from pathlib import Path

log = logging.getLogger("vsr")


@cache
def choose_device(wanted: str) -> str:
    """`wanted`, or for `auto`: CUDA if a session really opens on it, else the CPU."""
    if wanted != "auto":
        return wanted
    reason = _why_not_cuda()
    device = "cpu" if reason else "cuda:0"
    log.info("device %s chosen: %s", device, reason or "a CUDA session opened")
    return device


def _why_not_cuda() -> str:
    """Empty if CUDA works here; the reason otherwise. Cheap where there is no GPU at all."""
    if os.name == "posix" and not Path("/dev/nvidiactl").exists():
        return "there is no NVIDIA GPU"
    from vsrcli.errors import VsrError
    from vsrcli.runtime.engines import open_engine
    from vsrcli.runtime.graphs import bicubic_graph

    try:
        open_engine(bicubic_graph(2, bits=8, shape=(1, 8, 8)), device="cuda:0").close()
    except VsrError as exc:
        log.warning("the GPU is not used: %s", exc)
        return str(exc)
    return ""
