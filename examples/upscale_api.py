"""Upscales a video from Python, with progress.

python examples/upscale_api.py IN OUT [MODEL]
"""

from __future__ import annotations

import sys
from pathlib import Path

from vsrcli import Job, Progress, VsrError, upscale
from vsrcli.job import DEFAULT_MODEL


def show(progress: Progress) -> None:
    print(f"\r{progress.frame}/{progress.frames} frames, {progress.fps:.1f} fps", end="")


if len(sys.argv) not in (3, 4):
    sys.exit("usage: python examples/upscale_api.py IN OUT [MODEL]")
source, target, *model = sys.argv[1:]
name = model[0] if model else DEFAULT_MODEL
job = Job(source=Path(source), target=Path(target), model=name, overwrite=True)
try:
    report = upscale(job, show)
except VsrError as exc:
    sys.exit(f"not upscaled: {exc}")
print(
    f"\n{report.target}: {report.width}x{report.height}, {report.frames} frames on {report.device}"
)
