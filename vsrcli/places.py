"""What a path means that is more, or less, than a file: a pipe, a picture, numbered pictures."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PIPE = Path("-")
"""The standard input or output."""
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
_DIGITS = re.compile(r"%0?(\d*)d")


@dataclass(frozen=True, kw_only=True)
class Numbered:
    """Pictures named by a pattern, frames/%05d.png, in one folder."""

    path: Path

    def file(self, number: int) -> Path:
        """The picture of this number."""
        return self.path.with_name(self.path.name % number)

    def numbers(self) -> list[int]:
        """Of the pictures that are there, in order."""
        before, after = (re.escape(part) for part in _DIGITS.split(self.path.name)[::2])
        name = re.compile(rf"{before}(\d+){after}")
        folder = self.path.parent
        matches = [name.fullmatch(e.name) for e in folder.iterdir()] if folder.is_dir() else []
        found = (int(match[1]) for match in matches if match)
        return sorted(number for number in found if self.file(number).is_file())


def is_picture(path: Path) -> bool:
    """A still, or numbered ones, by its name."""
    return path.suffix.lower() in PICTURES


def is_plain(path: Path) -> bool:
    """One file that holds a video."""
    return path != PIPE and not is_picture(path)


def numbered(path: Path) -> Numbered | None:
    """The pictures that this pattern names; None where it is the name of one file."""
    if not is_picture(path) or len(_DIGITS.findall(path.name)) != 1 or path.exists():
        return None
    return Numbered(path=path)
