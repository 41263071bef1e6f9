"""What `vsr batch` is given: files, folders, patterns and job lists, as one list of entries.

A job list is TOML ([[job]] tables), JSON (a list of objects, or {"job": [...]}) or CSV with a
heading. Its keys are `input`, `output` and the options of `vsr upscale`; paths are relative to it.
"""

from __future__ import annotations

import csv
import glob
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vsrcli.cli.config import read_toml
from vsrcli.errors import UsageError
from vsrcli.models.model import CARD

LISTS = (".toml", ".json", ".csv")
VIDEO = {
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".m2ts", ".mts", ".mpg", ".mpeg"),
    *(".vob", ".wmv", ".flv", ".ogv", ".3gp", ".mxf", ".y4m", ".nut"),
}
"""What is taken from a folder; a file that is named may be called anything."""
_PATHS = ("model", "ffmpeg")
"""Options that may be paths."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One source of a batch."""

    source: Path
    folder: Path = Path()
    """Where it lies below the folder that was named."""
    target: Path | None = None
    """As a job list says."""
    words: Mapping[str, object] = field(default_factory=dict)
    """Options that a job list gives to this source alone."""
    where: str = ""
    """The place in the list, for errors."""


def entries(inputs: Sequence[str]) -> list[Entry]:
    """Everything that was named, each source with the same options once. Raises UsageError."""
    found: dict[tuple[Path, str], Entry] = {}
    for word in inputs:
        for entry in _entries(word):
            found.setdefault((entry.source.absolute(), entry.where), entry)
    if not found:
        raise UsageError(
            f"nothing to do: {', '.join(inputs)} holds no video; of pictures each is one by "
            "'FOLDER/*.png', all are a video by FOLDER/%05d.png"
        )
    return list(found.values())


def _entries(word: str) -> Iterator[Entry]:
    path = Path(word)
    if not word:
        raise UsageError("an input is empty; name a file or a folder")
    if os.path.isdir(path):
        yield from _below(path)
    elif path.suffix.lower() in LISTS:
        yield from _listed(path)
    elif not os.path.exists(path) and glob.has_magic(word):
        matches = sorted(glob.glob(word, recursive=True))
        if not matches:
            raise UsageError(f"{word} matches no file")
        for match in matches:
            yield from _entries(match)
    else:
        yield Entry(source=path)


def _below(folder: Path) -> Iterator[Entry]:
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in below.parts)
        if path.suffix.lower() in VIDEO and path.is_file() and not hidden:
            yield Entry(source=path, folder=below.parent)


def _listed(path: Path) -> Iterator[Entry]:
    rows = {".toml": _toml, ".json": _json, ".csv": _csv}[path.suffix.lower()](path)
    for number, row in enumerate(rows, 1):
        where = f"{path} job {number}"
        words = {str(key): value for key, value in row.items() if value not in (None, "")}
        source, target = words.pop("input", None), words.pop("output", None)
        if not isinstance(source, str):
            others = f", but {', '.join(words)}" if words else ""
            raise UsageError(f"{where} has no input{others}; give it one, a path beside the list")
        if target is not None and not isinstance(target, str):
            raise UsageError(f"{where}: output = {target!r} is not a path")
        yield Entry(
            source=path.parent / source,
            target=path.parent / target if target else None,
            words={key: _relative(key, value, path.parent) for key, value in words.items()},
            where=where,
        )


def _relative(key: str, value: object, folder: Path) -> object:
    """An option's value; a path to a model or a program, which an id is not, as from the list."""
    if key not in _PATHS or not isinstance(value, str):
        return value
    is_path = "/" in value or os.sep in value or value.lower().endswith(".onnx")
    return os.path.join(folder, value) if is_path or (folder / value / CARD).is_file() else value


def _toml(path: Path) -> list[dict[str, Any]]:
    return _tables(path, read_toml(path))


def _json(path: Path) -> list[dict[str, Any]]:
    try:
        return _tables(path, json.loads(_text(path), object_pairs_hook=_once))
    except ValueError as exc:
        raise UsageError(f"{path} is not JSON: {exc}") from exc


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Raises ValueError for a key that would hide another."""
    if twice := _twice([key for key, _ in pairs]):
        raise ValueError(f"{twice} is there twice")
    return dict(pairs)


def _twice(names: Sequence[str]) -> str:
    """A name that is there again; columns without one, as spreadsheets add, may be many."""
    return next((name for i, name in enumerate(names) if name and name in names[:i]), "")


def _csv(path: Path) -> list[dict[str, Any]]:
    reader = csv.DictReader(io.StringIO(_text(path)), strict=True)
    try:
        rows = list(reader)
    except csv.Error as exc:  # not the line it says: an open quote takes in all that follow
        raise UsageError(
            f"{path} is no CSV after line {reader.line_num}: {exc}; is a quote not closed?"
        ) from exc
    if twice := _twice(reader.fieldnames or ()):
        raise UsageError(f"{path} has two columns {twice}; leave one out")
    if any(None in row for row in rows):
        raise UsageError(f"{path} has a line with more cells than its heading")
    return [dict(row) for row in rows]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # spreadsheets write a mark at the start
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise UsageError(f"{path} is not UTF-8 text") from exc


def _tables(path: Path, document: object) -> list[dict[str, Any]]:
    rows = document.get("job") if isinstance(document, dict) else document
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        is_toml = path.suffix.lower() == ".toml"
        wanted = "[[job]] tables with input = ..." if is_toml else '[{"input": ...}]'
        raise UsageError(f"{path} is no job list; it needs {wanted}")
    return rows
