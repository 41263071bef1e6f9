"""vsr: video super-resolution that treats media as FFmpeg does.

`upscale(Job(...))` does what the command line does; the other names are what a Job is made of and
what comes of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vsrcli.errors import VsrError
    from vsrcli.job import Job
    from vsrcli.media.inlet import Reading
    from vsrcli.media.intake import Intake
    from vsrcli.media.settings import VideoOptions
    from vsrcli.models import Tuning
    from vsrcli.pipeline import upscale
    from vsrcli.progress import Finishing, Progress, Report, Stage, Started

__all__ = [
    "Finishing",
    "Intake",
    "Job",
    "Progress",
    "Reading",
    "Report",
    "Stage",
    "Started",
    "Tuning",
    "VideoOptions",
    "VsrError",
    "upscale",
]
__version__ = "0.1.0"
_HOMES = {
    "Job": "job",
    "VideoOptions": "media.settings",
    "Intake": "media.intake",
    "Reading": "media.inlet",
    "Tuning": "models",
    "VsrError": "errors",
    "upscale": "pipeline",
    **dict.fromkeys(("Finishing", "Progress", "Report", "Stage", "Started"), "progress"),
}


def __getattr__(name: str) -> Any:  # noqa: ANN401  # the module's public names, loaded when used
    if name in _HOMES:
        return getattr(import_module(f"vsrcli.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'vsrcli' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
