"""Which engine runs a model, on which device and in what precision; and why."""

from __future__ import annotations

import logging
import sys
from functools import cache
from pathlib import Path

from vsrcli.errors import DeviceError, VsrError
from vsrcli.models import Model, Temporal
from vsrcli.runtime.cpu import has_avx2, has_bf16
from vsrcli.runtime.engines import Setup, is_installed
from vsrcli.runtime.engines.libraries import missing_driver

log = logging.getLogger("vsr")
MOST_LOSS_DB = 0.03
"""Of PSNR-Y that bf16 may cost a single-frame model that was not asked to run in it."""
_DRIVERS = ("/dev/nvidiactl", "/usr/lib/wsl/lib/libcuda.so.1")
"""What there is where NVIDIA's driver is: on Linux, and on Linux in Windows."""
_HALF_BITS = 10
"""Of planes whose codes fp16 still tells apart."""


@cache
def choose_device(wanted: str) -> str:
    """`wanted`, or for `auto`: CUDA if it really computes, else the CPU."""
    if wanted != "auto":
        return wanted
    reason = _why_not_cuda()
    device = "cpu" if reason else "cuda:0"
    log.info("device %s chosen: %s", device, reason or "CUDA computes")
    return device


def _why_not_cuda() -> str:
    """Empty if CUDA works here; the reason otherwise. Cheap where there is no GPU at all."""
    if not _has_driver():
        return "there is no NVIDIA GPU"
    from vsrcli.runtime.engines.libraries import missing_cuda_library
    from vsrcli.runtime.trial import is_right

    try:
        reason = "" if is_right(Setup(device="cuda:0")) else "it computes wrong values"
    except VsrError as exc:
        reason = missing_cuda_library() or str(exc)
    if reason:
        log.warning("the GPU is not used: %s", reason)
    return reason


def _has_driver() -> bool:
    if sys.platform == "win32":
        return not missing_driver()
    return any(Path(path).exists() for path in _DRIVERS)


def choose_setup(
    model: Model | None,
    *,
    scale: int = 0,
    bits: int = 8,
    device: str = "auto",
    engine: str = "auto",
    precision: str = "auto",
    threads: int = 0,
) -> Setup:
    """Who runs a model, at a scale and on planes of so many bits, where and in what. None is a bare
    single-frame graph.

    `engine` auto is OpenVINO, where it is installed, on a processor with AVX2 for recurrent and
    bidirectional models, and on one with bf16 arithmetic for single-frame ones whose card knows
    what that costs. `precision` auto is bf16 then, but without such arithmetic, and for a
    single-frame model that it costs anything to be seen: more than `MOST_LOSS_DB`, or whose planes
    have more than 8 bits. int8 graphs run there with AVX2, too, those of single-frame models on
    planes of 8 bits. On CUDA it is fp16 for models that use time, on planes of at most 10 bits.

    Raises DeviceError if the engine cannot do what is asked for.
    """
    uses_time = model is not None and model.temporal is not Temporal.FRAME
    known = model.graph(scale).bf16_change if model and scale and not uses_time else None
    is_free = known is not None and known >= -MOST_LOSS_DB
    is_narrow = uses_time or (is_free and bits <= 8)
    takes_int8 = has_avx2() and (uses_time or bits <= 8)
    if engine == "auto" and device in ("auto", "cpu") and is_installed("openvino"):
        is_faster = has_avx2() if uses_time else has_bf16() and known is not None
        own = {"auto": is_faster, "bf16": has_bf16(), "int8": takes_int8}
        if own.get(precision) and choose_device(device) == "cpu":
            engine = "openvino"
    if engine == "openvino":
        device = "cpu" if device == "auto" else device
        if precision == "auto":
            precision = "bf16" if has_bf16() and is_narrow else "fp32"
    device = choose_device(device)
    if precision == "auto":
        is_half = device.startswith("cuda") and uses_time and bits <= _HALF_BITS
        precision = "fp16" if is_half else "fp32"
    setup = Setup(
        engine="onnxruntime" if engine == "auto" else engine,
        device=device,
        precision=precision,
        threads=threads,
    )
    _check(setup)
    log.info("%s on %s in %s", setup.engine, setup.device, setup.precision)
    would_help = uses_time and has_avx2() and not is_installed("openvino")
    if would_help and (setup.device, setup.precision) == ("cpu", "fp32"):
        time = "half the" if has_bf16() else "less"
        log.info("OpenVINO takes %s time on this processor: pip install 'vsrcli[openvino]'", time)
    return setup


def _check(setup: Setup) -> None:
    if setup.precision == "fp16" and setup.engine != "onnxruntime":
        raise DeviceError("OpenVINO does not compute in fp16 here; use --precision bf16 or fp32")
    if setup.precision != "bf16":
        return
    if setup.engine != "openvino":
        raise DeviceError("bf16 needs OpenVINO (--engine openvino) on the CPU: vsrcli[openvino]")
    if not has_bf16():
        raise DeviceError("this processor has no bf16 arithmetic; use --precision fp32")
