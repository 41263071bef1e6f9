"""Why CUDA or TensorRT does not load: the dynamic linker names the library that is missing."""

from __future__ import annotations

import ctypes
import sys
from importlib.util import find_spec
from pathlib import Path


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
    try:
        from onnxruntime.capi import build_and_package_info as built

        return f"CUDA {built.cuda_version} and its cuDNN"
    except (ImportError, AttributeError):  # the module is onnxruntime's own business
        return "other CUDA libraries"


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
