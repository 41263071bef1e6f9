"""Where the outputs of many sources go: names made from a pattern, and what is done already."""

from __future__ import annotations

from pathlib import Path

from vsrcli.errors import UsageError
from vsrcli.job import Job
from vsrcli.models import Model
from vsrcli.sizes import default_scale, kept_suffix

DEFAULT_NAME = "{stem}_{size}_{model}{suffix}"
FIELDS = ("stem", "suffix", "size", "model", "folder", "parent", "index")


def pattern_of(words: str | None) -> str:
    """What `-o` means for many sources: a pattern with {fields}, or a folder for default names.

    None: beside each source. Raises UsageError for a pattern that names unknown fields.
    """
    if words is None:
        return f"{{parent}}/{DEFAULT_NAME}"
    if not words:
        raise UsageError("-o is empty; name a folder or a pattern")
    if "{" not in words:
        return f"{words.replace('}', '}}')}/{{folder}}/{DEFAULT_NAME}"
    try:
        words.format(**dict.fromkeys(FIELDS, "1"))
    except (KeyError, ValueError, IndexError, AttributeError) as exc:
        known = ", ".join(f"{{{name}}}" for name in FIELDS)
        raise UsageError(f"-o {words!r} is no pattern: {exc}; fields are {known}") from exc
    return words


def target_of(job: Job, pattern: str, model: Model, *, folder: Path, index: int) -> Path:
    """The output of a job. `folder` is where its source lies below the folder that was named."""
    return Path(
        pattern.format(
            stem=job.source.stem,
            suffix=kept_suffix(job.source),
            size=_size(job, model),
            model=Path(model.id).name,
            folder=folder,
            parent=job.source.parent,
            index=index,
        )
    )


def is_done(job: Job) -> bool:
    """The output is there and no older than the source."""
    assert job.target is not None
    try:
        made = job.target.stat().st_mtime_ns
        return made >= job.source.stat().st_mtime_ns
    except OSError:  # one of them is not there
        return False


def _size(job: Job, model: Model) -> str:
    if job.width and job.height:
        return f"{job.width}x{job.height}"
    if job.height:
        return f"{job.height}p"
    return f"{job.width}w" if job.width else f"x{job.scale or default_scale(model)}"
