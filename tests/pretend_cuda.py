"""onnxruntime's CUDA provider without a GPU: libraries in place of CUDA's that compute nothing.

`build` makes them for the onnxruntime that is installed, of `pretend_cuda.c` and of whatever else
its provider asks for. A process that finds them first (`environment`) opens real sessions on it:
only the pixels that come back mean nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import onnxruntime

SOURCE = Path(__file__).with_suffix(".c")
PROVIDER = Path(onnxruntime.__file__).parent / "capi" / "libonnxruntime_providers_cuda.so"
_MAKERS = re.compile(r"cudnnCreate\w*|cublas\w*Create\w*")
"""Functions that give a handle."""
_DRIVEN = 13
"""The release of CUDA whose structures `pretend_cuda.c` knows."""
_HIDES_WHEELS = """
import onnxruntime
onnxruntime.preload_dlls = lambda: None
"""
"""Keeps the true libraries out, which come with PyTorch: their wheels would be loaded first."""


def why_not() -> str:
    """Why nothing can be pretended here; empty if it can."""
    if missing := [tool for tool in ("cc", "nm", "readelf") if not shutil.which(tool)]:
        return f"no {missing[0]}"
    if not PROVIDER.exists():
        return "this onnxruntime has no CUDA provider"
    if f"libcudart.so.{_DRIVEN}" not in _needed():
        return f"the CUDA provider is not for CUDA {_DRIVEN}"
    return ""


def build(folder: Path) -> Path:
    """The libraries, in a folder."""
    wanted = set(re.findall(r"\bcudnn[A-Z]\w+", _strings())) | set(
        re.findall(
            r"\b_*cu\w+(?=@|$)", _run("nm", "-D", "--undefined-only", PROVIDER), re.MULTILINE
        )
    )
    object_ = folder / "pretend_cuda.o"
    _run("cc", "-w", "-O1", "-fPIC", "-c", SOURCE, "-o", object_)
    there = set(_run("nm", "--defined-only", "--format=just-symbols", object_).split())
    lines = []
    for name in sorted(wanted - there):
        if _MAKERS.fullmatch(name):
            lines.append(f"int {name}(void **h) {{ static char c[64]; *h = c; return 0; }}")
        else:
            lines.append(f"long {name}(void) {{ return 0; }}")
    rest = folder / "rest.c"
    rest.write_text("\n".join(lines), encoding="utf-8")
    for library in (*_needed(), "libcudnn.so.9"):
        versions = folder / "versions"
        versions.write_text(f"{library} {{ global: *; }};", encoding="utf-8")
        options = [f"-Wl,-soname,{library}", f"-Wl,--version-script={versions}"]
        _run("cc", "-w", "-shared", "-fPIC", rest, object_, "-o", folder / library, *options)
    hide_wheels(folder)
    return folder


def hide_wheels(folder: Path) -> None:
    """Lets processes in its `environment` look for the libraries there only."""
    (folder / "sitecustomize.py").write_text(_HIDES_WHEELS, encoding="utf-8")


def environment(folder: Path) -> dict[str, str]:
    """Of a process that finds them first."""
    modules = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "LD_LIBRARY_PATH": str(folder), "PYTHONPATH": modules}


def _needed() -> list[str]:
    """The provider's libraries that are CUDA's."""
    found = re.findall(r"\[(libcu\w+\.so\.\d+)\]", _run("readelf", "-d", PROVIDER))
    return sorted(set(found))


def _strings() -> str:
    data = PROVIDER.read_bytes()
    return "\n".join(m.decode() for m in re.findall(rb"cudnn[A-Z]\w+", data))


def _run(*command: str | Path) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout
