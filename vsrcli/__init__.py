"""vsr: video super-resolution that treats media as FFmpeg does.

`upscale(Job(...))` does what the command line does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vsrcli.job import Job
    from vsrcli.pipeline import Progress, Report, upscale

__all__ = ["Job", "Progress", "Report", "upscale"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:  # noqa: ANN401  # the module's public names, loaded when used
    if name == "Job":
        from vsrcli.job import Job

        return Job
    if name in __all__:
        from vsrcli import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module 'vsrcli' has no attribute {name!r}")
