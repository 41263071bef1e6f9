"""What is worth keeping between runs: a folder of the user's, bounded in size.

$VSR_CACHE names another folder, or is "off".
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

_IN_USE_S = 24 * 3600
"""A folder that was used so lately is not thrown out: a run may be reading it."""


def cache_folder(kind: str, key: str, *, limit_bytes: int) -> Path | None:
    """The folder for what depends on `key`, made if need be; None if nothing is to be kept.

    The folders of this kind that were not used for longest go when all take more than the limit.
    """
    root = _root()
    if root is None:
        return None
    folder = root / kind / key
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
        _prune(folder.parent, limit_bytes)
    except OSError:  # a full or read-only disk: runs work without
        return None
    return folder


def _root() -> Path | None:
    named = os.environ.get("VSR_CACHE", "")
    if named:
        return None if named == "off" else Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vsr"


def _prune(parent: Path, limit_bytes: int) -> None:
    by_age = sorted(parent.iterdir(), key=lambda folder: folder.stat().st_mtime)
    sizes = {folder: _size(folder.rglob("*")) for folder in by_age}
    for folder in by_age:
        if sum(sizes.values()) <= limit_bytes:
            return
        if time.time() - folder.stat().st_mtime > _IN_USE_S:
            shutil.rmtree(folder, ignore_errors=True)
            del sizes[folder]


def _size(files: Iterable[Path]) -> int:
    return sum(file.stat().st_size for file in files if file.is_file())
