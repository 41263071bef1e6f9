"""Where outputs go: default names, names made from a pattern, and what must not be written over."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from vsrcli.errors import OutputError, UsageError
from vsrcli.job import Job, check_name
from vsrcli.models import Model
from vsrcli.paths import PICTURES, PIPE, Numbered, is_picture, numbered, takes_files
from vsrcli.sizes import Size, default_scale

DEFAULT_NAME = "{stem}_{size}_{model}{suffix}"
FIELDS = ("stem", "suffix", "size", "model", "folder", "parent", "index")
_KEPT_SUFFIXES = {".mp4", ".m4v", ".mov", ".mkv", *PICTURES}


def default_target(source: Path, model: str, size: Size) -> Path:
    """IN_x4_espcn.mp4 beside the source; Matroska where its container cannot be kept."""
    is_whole = not size.resized or size.factor < size.scale
    mark = f"x{size.factor}" if is_whole else f"{size.width}x{size.height}"
    target = source.with_name(f"{source.stem}_{mark}_{Path(model).name}{kept_suffix(source)}")
    check_name(target)
    return target


def kept_suffix(source: Path) -> str:
    """The source's suffix, or .mkv where its container cannot be written as it should; .png for a
    kind of picture that is only read."""
    if source.suffix.lower() in _KEPT_SUFFIXES:
        return source.suffix
    return ".png" if is_picture(source) else ".mkv"


def pattern_of(words: str | None) -> str:
    """What `-o` means for many sources: a pattern with {fields} or of numbered pictures, or a
    folder for default names.

    None: beside each source. Raises UsageError for a pattern that names unknown fields.
    """
    if words is None:
        return f"{{parent}}/{DEFAULT_NAME}"
    if not words:
        raise UsageError("-o is empty; name a folder or a pattern")
    if "{" not in words and not numbered(Path(words)):
        return f"{words.replace('}', '}}')}/{{folder}}/{DEFAULT_NAME}"
    _filled(words, {**dict.fromkeys(FIELDS, "1"), "index": 1})
    return words


def _filled(pattern: str, values: Mapping[str, str | int]) -> str:
    """The pattern with these in place of its fields. Raises UsageError where they do not fit: the
    name of one may make the width of another, {index:{stem}}."""
    try:
        return pattern.format(**values)
    except (KeyError, ValueError, IndexError, AttributeError, TypeError, OverflowError) as exc:
        known = ", ".join(f"{{{name}}}" for name in FIELDS)
        raise UsageError(f"-o {pattern!r} is no pattern: {exc}; fields are {known}") from exc


def target_of(job: Job, pattern: str, model: Model, *, folder: Path, index: int) -> Path:
    """The output of a job. `folder` is where its source lies below the folder that was named."""
    values: dict[str, str | int] = {
        "stem": job.source.stem,
        "suffix": kept_suffix(job.source),
        "size": _size(job, model),
        "model": Path(model.id).name,
        "folder": str(folder),
        "parent": str(job.source.parent),
        "index": index,
    }
    return Path(_filled(pattern, values))


def _size(job: Job, model: Model) -> str:
    if job.width and job.height:
        return f"{job.width}x{job.height}"
    if job.height:
        return f"{job.height}p"
    return f"{job.width}w" if job.width else f"x{job.scale or default_scale(model)}"


def is_done(job: Job) -> bool:
    """The output is there and no older than the source."""
    assert job.target is not None
    try:
        made, given = _times(job.target), _times(job.source)
    except OSError:  # one of them is not there
        return False
    return bool(made and given) and min(made) >= max(given)


def _times(path: Path) -> list[int]:
    """When a file was written, or each of numbered pictures, ns."""
    pictures = numbered(path)
    files = [pictures.file(number) for number in pictures.numbers()] if pictures else [path]
    return [file.stat().st_mtime_ns for file in files if file.is_file()]


def check_target(target: Path, source: Path, *, overwrite: bool) -> None:
    """Raises OutputError where the target must not or cannot be written."""
    if target == PIPE:
        return
    pictures = numbered(target)
    if pictures:
        _check_pictures(pictures, source, overwrite=overwrite)
        return
    check_name(target)
    if not target.parent.is_dir():
        raise OutputError(
            f"the folder {target.parent} does not exist; create it or choose another -o"
        )
    refuse_source(target, source)
    if target.exists() and not target.is_file():
        raise OutputError(
            f"{target} is not a regular file; choose another -o, or -o - for the standard output"
        )
    if os.path.lexists(target) and not overwrite:  # a link to nothing, too
        raise OutputError(f"{target} exists; use -y to replace it or choose another -o")
    if not os.access(target.parent, os.W_OK):
        raise OutputError(f"{target.parent} may not be written to; choose another -o")


def check_folder(folder: Path) -> None:
    """Raises OutputError where a folder cannot be made."""
    place = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    if not takes_files(place):
        reason = "may not be written to" if place.is_dir() else "is no folder"
        raise OutputError(f"the folder {folder} cannot be made: {place} {reason}")


def _check_pictures(pictures: Numbered, source: Path, *, overwrite: bool) -> None:
    """The folder is made where it is not there; the one it is to lie in has to be."""
    folder = pictures.path.parent
    where = folder if folder.exists() else folder.parent
    if not takes_files(where):
        raise OutputError(f"{folder} cannot be made or written to; choose another -o")
    refuse_source(pictures.path, source)
    numbers = pictures.numbers()
    if numbers and not overwrite:
        first = pictures.file(numbers[0])
        raise OutputError(f"{first} exists; use -y to replace the pictures or choose another -o")


def refuse_source(target: Path, source: Path) -> None:
    """Raises OutputError where the target is the source, or has a picture of it among its own."""
    if files_at(target) & files_at(source):
        raise OutputError(f"{target} is the input itself; choose another -o")


def files_at(path: Path) -> set[tuple[int, int]]:
    """What is there under this name, whichever path leads to it: device and number of each file."""
    pictures = numbered(path)
    paths = [pictures.file(n) for n in pictures.numbers()] if pictures else [path]
    found = (p.stat() for p in paths if os.path.exists(p))
    return {(facts.st_dev, facts.st_ino) for facts in found}
