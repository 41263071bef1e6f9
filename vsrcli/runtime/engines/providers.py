"""Which of onnxruntime's providers run a session, and where its tensors lie.

The CUDA and TensorRT parts follow onnxruntime's documentation. They have never been run on a GPU:
tests put the CPU in their place, so that everything is exercised but the providers themselves.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import onnxruntime as ort

from vsrcli.errors import DeviceError
from vsrcli.runtime.cache import cache_folder
from vsrcli.runtime.engines.libraries import missing_driver, preload_libraries

log = logging.getLogger("vsr")
Provider = tuple[str, dict[str, str]]
_NAMES = {
    "cuda": ("CUDAExecutionProvider", "CUDA"),
    "tensorrt": ("TensorrtExecutionProvider", "TensorRT"),
}
"""Kind of device -> provider, and what it is called."""
_TENSORRT_BYTES = 4 << 30
"""Of all engines that are kept."""
_RECORDS_SINCE = (1, 31)
"""onnxruntime's release. Before it, what a recording copies from the host at each launch is given
to whoever runs next: the pointers of a Concat may be those of the other lane (its PR 32121)."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a graph runs."""

    providers: list[Provider]
    """First the one that was asked for, then those that take what it cannot."""
    memory: tuple[str, int] = ("cpu", 0)
    """Kind and number of the device whose memory the tensors lie in, in onnxruntime's words."""
    records: bool = False
    """Kernels are recorded once and launched in one piece: a CUDA graph."""


def place_of(
    device: str, graph: Path | bytes, *, is_half: bool = False, records: bool = False
) -> Place:
    """The place for a graph on cpu, cuda[:N] or tensorrt[:N]; `is_half` if it is in fp16.

    `records` asks for CUDA graphs, which CUDA alone has here.

    Raises DeviceError if this onnxruntime lacks it, or if it cannot run the graph as it should.
    """
    kind, _, number = device.partition(":")
    if kind == "cpu":
        return Place(providers=[_CPU])
    if kind not in _NAMES or not (number or "0").isdecimal():
        raise DeviceError(f"unknown device {device!r}; use auto, cpu, cuda[:N] or tensorrt[:N]")
    index = int(number or 0)
    _require(kind)
    preload_libraries()
    records = records and kind == "cuda" and _keeps_recordings()
    providers = [_cuda(index, is_half=is_half, records=records), _CPU]
    if kind == "tensorrt":
        providers.insert(0, _tensorrt(index, graph, is_half=is_half))
    return Place(providers=providers, memory=("cuda", index), records=records)


_CPU: Provider = ("CPUExecutionProvider", {})


def _cuda(index: int, *, is_half: bool, records: bool) -> Provider:
    options = {
        "device_id": str(index),
        "cudnn_conv_algo_search": "HEURISTIC",  # an exhaustive one takes minutes a size
        "prefer_nhwc": "1",  # what the matrix units take
        # TF32 has fp16's 11 digits: not enough for codes of 10 bits and more, nor for what is
        # called fp32; what an fp16 graph leaves in float32 needs its range alone.
        "use_tf32": str(int(is_half)),
        "arena_extend_strategy": "kSameAsRequested",  # not the next power of two
        "enable_cuda_graph": str(int(records)),
    }
    return _NAMES["cuda"][0], options


def _tensorrt(index: int, graph: Path | bytes, *, is_half: bool) -> Provider:
    if problem := missing_driver():
        raise DeviceError(f"{problem}; use --device cpu")
    data = graph if isinstance(graph, bytes) else graph.read_bytes()
    if is_half and b"GridSample" in data:
        raise DeviceError(
            "TensorRT would take this model's flow in fp16 too; use --device cuda, or "
            "--precision fp32"
        )
    options = {"device_id": str(index), "trt_fp16_enable": str(int(is_half))}
    version = f"{ort.__version__} {ort.get_build_info()}"
    key = hashlib.sha256(data + version.encode()).hexdigest()[:32]
    folder = cache_folder("tensorrt", key, limit_bytes=_TENSORRT_BYTES)
    if folder is None or not any(folder.glob("*.engine")):
        where = f"kept in {folder}" if folder else "not kept, as VSR_CACHE is off"
        log.warning(
            "TensorRT builds an engine for this model and picture size first, which takes minutes; "
            "it is %s",
            where,
        )
    if folder:
        for what in ("engine", "timing"):
            options |= {f"trt_{what}_cache_enable": "1", f"trt_{what}_cache_path": str(folder)}
    return _NAMES["tensorrt"][0], options


def _keeps_recordings() -> bool:
    return tuple(map(int, ort.__version__.split(".")[:2])) >= _RECORDS_SINCE


def _require(kind: str) -> None:
    provider, name = _NAMES[kind]
    if provider not in ort.get_available_providers():
        raise DeviceError(
            f"this onnxruntime has no {name}; install vsrcli[cuda] or use --device cpu"
        )
