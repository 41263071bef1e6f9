"""Why a source cannot be opened, and what its name was meant to be."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from vsrcli.paths import is_picture

_ADDRESS = re.compile(r"[a-z][a-z0-9+]+:/", re.IGNORECASE)
"""http://, of which a path keeps one slash; a drive has one letter."""
_NUMBER = re.compile(r"(.*?)(\d+)(\D*)")
"""What stands before a picture's number, the number, and what stands after it."""

_ANIMATION = 2
"""A flag of a WebP's extended header."""


def why_not_opened(path: Path, exc: Exception) -> str:
    """A line for what the system or FFmpeg said of a source, with what to do."""
    if isinstance(exc, FileNotFoundError):
        return f"{path} does not exist{_meant_by(str(path))}"
    if isinstance(exc, IsADirectoryError) or os.path.isdir(path):
        pattern = _pictures_in(path)
        instead = f"its pictures as {pattern}" if pattern else "a video file"
        return f"{path} is a folder; name {instead}, or use vsr batch for the videos in it"
    if isinstance(exc, PermissionError):
        return f"{path} may not be read: permission denied"
    reason = getattr(exc, "strerror", None) or str(exc)
    return f"{path} cannot be opened as video ({reason}); is it complete and a media file?"


def moves(webp: Path) -> bool:
    """Whether a WebP file holds more than one picture, which its header says."""
    with webp.open("rb") as file:
        head = file.read(21)
    return head[12:16] == b"VP8X" and len(head) > 20 and bool(head[20] & _ANIMATION)


def _meant_by(words: str) -> str:
    if _ADDRESS.match(words):
        return "; vsr reads files and pipes: ffmpeg -i ADDRESS -c copy -f nut - | vsr upscale -"
    if "*" in words or "?" in words:
        return "; patterns are for vsr batch, and pictures of a video are numbered: %05d.png"
    return ""


def _pictures_in(folder: Path) -> str:
    """The name of the numbered pictures in a folder; empty if there are none."""
    names: list[str] = []
    with suppress(OSError):
        names = sorted(os.listdir(folder))
    for name in names:
        found = _NUMBER.fullmatch(Path(name).stem)
        if found and is_picture(Path(name)):
            before, digits, after = found.groups()
            width = f"0{len(digits)}" if digits.startswith("0") else ""
            suffix = Path(name).suffix
            return str(folder / f"{before.replace('%', '%%')}%{width}d{after}{suffix}")
    return ""
