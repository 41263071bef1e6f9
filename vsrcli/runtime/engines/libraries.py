"""The libraries of CUDA and TensorRT: loaded from where they lie, and if they do not load, why. The
dynamic linker names the one that is missing."""

from __future__ import annotations

import contextlib
import ctypes
import io
import logging
import sys
from importlib.util import find_spec
from pathlib import Path

from vsrcli.runtime.engines.failures import FATAL

log = logging.getLogger("vsr")


def preload_libraries() -> None:
    """Loads CUDA and cuDNN from their wheels; what onnxruntime prints of it goes to the log."""
    import onnxruntime as ort  # 80 ms

    ort.set_default_logger_severity(FATAL)  # the reason is in the error that follows
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        ort.preload_dlls()
    for line in said.getvalue().splitlines():
        log.debug("%s", line)


def cuda_runtime() -> ctypes.CDLL | None:
    """CUDA's own runtime, the one that onnxruntime uses; None if it does not load."""
    preload_libraries()
    major = _built_for().partition(".")[0]
    name = f"cudart64_{major}.dll" if sys.platform == "win32" else f"libcudart.so.{major}"
    try:
        return ctypes.CDLL(name)
    except OSError:
        return None


def missing_driver() -> str:
    """Why no GPU can be reached; empty if one can."""
    problem = _load("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    return f"no NVIDIA driver ({problem})" if problem else ""


def missing_cuda_library() -> str:
    """What keeps onnxruntime's CUDA provider from loading; empty if nothing does.

    The providers are loaded as onnxruntime does it, after CUDA's own wheels were; so call it once
    a session was tried.
    """
    if problem := missing_driver():
        return problem
    problem = _provider_problem("cuda", "CUDA")
    if "install" in problem:
        return problem
    # onnxruntime looks for cuDNN when the first convolution runs.
    problem = problem or _load("cudnn64_9.dll" if sys.platform == "win32" else "libcudnn.so.9")
    return f"{problem}; this onnxruntime wants {_wanted()}: install vsrcli[cuda]" if problem else ""


def missing_tensorrt_library() -> str:
    """The same of its TensorRT provider, which needs CUDA too."""
    return missing_cuda_library() or _provider_problem("tensorrt", "TensorRT")


def _provider_problem(name: str, title: str) -> str:
    """Why one of onnxruntime's own libraries does not load; empty if it does."""
    spec = find_spec("onnxruntime")
    if spec is None or spec.origin is None:
        return "onnxruntime is not there; install vsrcli"
    folder = Path(spec.origin).parent / "capi"
    provider = folder / _file(f"onnxruntime_providers_{name}")
    if not provider.exists():
        return f"this onnxruntime was built without {title}; install vsrcli[cuda]"
    _load(str(folder / _file("onnxruntime_providers_shared")))  # the provider's symbols are in it
    return _load(str(provider))


def _wanted() -> str:
    release = _built_for()
    return f"CUDA {release} and its cuDNN" if release else "other CUDA libraries"


def _built_for() -> str:
    """The release of CUDA that onnxruntime wants; empty if it does not say."""
    try:
        from onnxruntime.capi import build_and_package_info as built

        return str(built.cuda_version)
    except (ImportError, AttributeError):  # the module is onnxruntime's own business
        return ""


def _file(library: str) -> str:
    return f"{library}.dll" if sys.platform == "win32" else f"lib{library}.so"


def _load(library: str) -> str:
    """The linker's complaint about a library, in a few words; empty if it loads."""
    try:
        ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
    except OSError as exc:
        reason = str(exc).partition(": No such file")[0]
        return reason.replace(": cannot open shared object file", " is missing")
    return ""
