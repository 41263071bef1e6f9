"""vsr: video super-resolution that treats media as FFmpeg does.

`upscale(Job(...))` does what the command line does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vsrcli.job import Job
    from vsrcli.pipeline import upscale
    from vsrcli.progress import Progress, Report

__all__ = ["Job", "Progress", "Report", "upscale"]
__version__ = "0.1.0"
_HOMES = {"Job": "job", "Progress": "progress", "Report": "progress", "upscale": "pipeline"}


def __getattr__(name: str) -> Any:  # noqa: ANN401  # the module's public names, loaded when used
    if name in _HOMES:
        return getattr(import_module(f"vsrcli.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'vsrcli' has no attribute {name!r}")
