"""Why CUDA does not load: the dynamic linker names the library that is missing."""

from __future__ import annotations

import ctypes
import sys
from importlib.util import find_spec
from pathlib import Path


def missing_cuda_library() -> str:
    """What keeps onnxruntime's CUDA provider from loading; empty if nothing does.

    The providers are loaded as onnxruntime does it, after CUDA's own wheels were; so call it once
    a session was tried.
    """
    driver = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    problem = _load(driver)
    if problem:
        return f"no NVIDIA driver ({problem})"
    spec = find_spec("onnxruntime")
    if spec is None or spec.origin is None:
        return "onnxruntime is not installed"
    folder = Path(spec.origin).parent / "capi"
    provider = folder / _file("onnxruntime_providers_cuda")
    if not provider.exists():
        return "this onnxruntime was built without CUDA; install vsrcli[cuda]"
    _load(str(folder / _file("onnxruntime_providers_shared")))  # the provider's symbols are in it
    problem = _load(str(provider))
    return f"{problem}; this onnxruntime wants {_wanted()}: install vsrcli[cuda]" if problem else ""


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
