"""What a path means that is more, or less, than a file: a pipe, a picture, numbered pictures."""

from __future__ import annotations

import errno
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

PIPE = Path("-")
"""The standard input or output."""
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
"""Kinds of picture that are read and written."""
_READ = (".dpx", ".exr", ".tga", ".ppm", ".pgm", ".pnm", ".jp2", ".j2k", ".sgi", ".qoi")
"""Those that are only read."""
_MARKS = re.compile(r"%%|%0?(\d*)d")


@dataclass(frozen=True, kw_only=True)
class Numbered:
    """Pictures named by a pattern, frames/%05d.png, in one folder."""

    path: Path

    @property
    def pattern(self) -> str:
        """The path as FFmpeg is to be given it: no other % in it means a number."""
        name, digits, after = _parts(self.path.name)
        before = os.path.join(self.path.absolute().parent, name)
        return "{}%0{}d{}".format(before.replace("%", "%%"), digits, after.replace("%", "%%"))

    @property
    def stem(self) -> str:
        """What the pictures are called but for their number; empty if that is all."""
        before, _, after = _parts(self.path.name)
        return f"{before}{after.removesuffix(self.path.suffix)}".strip("_-. ")

    def file(self, number: int) -> Path:
        """The picture of this number."""
        before, digits, after = _parts(self.path.name)
        return self.path.with_name(f"{before}{number:0{digits}d}{after}")

    def numbers(self) -> list[int]:
        """Those of the pictures that are there, in order."""
        before, _, after = _parts(self.path.name)
        name = re.compile(rf"{re.escape(before)}(\d+){re.escape(after)}")
        folder = self.path.parent
        matches = [name.fullmatch(e.name) for e in folder.iterdir()] if folder.is_dir() else []
        found = (int(match[1]) for match in matches if match)
        return sorted(number for number in found if self.file(number).is_file())


def is_picture(path: Path) -> bool:
    """A still, or numbered ones, by its name."""
    return path.suffix.lower() in (*PICTURES, *_READ)


def is_pipe(path: Path) -> bool:
    """What can be read but once, from its start: the standard input, a FIFO, a shell's <(...)."""
    try:
        return path == PIPE or stat.S_ISFIFO(path.stat().st_mode)
    except OSError:  # it is not there, or can be nowhere
        return False


def takes_files(folder: Path) -> bool:
    """Whether it is a folder in which files can be made."""
    return os.path.isdir(folder) and os.access(folder, os.W_OK)


def is_too_long(path: Path) -> bool:
    """Whether no file can have this name, or this path, for its length."""
    try:
        path.lstat()
    except OSError as exc:
        return exc.errno == errno.ENAMETOOLONG
    return False


def is_same(one: Path, other: Path) -> bool:
    """Whether two paths name one file, be it there or not; never of the standard streams."""
    if PIPE in (one, other):
        return False
    try:
        return one.samefile(other)
    except OSError:  # one of them is not there
        return one.absolute() == other.absolute()


def behind(path: Path) -> Path:
    """The file that a link stands for, there or not, and any other path itself. As with ffmpeg,
    what is written to a link is written there."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def local(path: Path) -> str:
    """The path as FFmpeg must be given it: "a:b.mp4" alone would name a protocol."""
    return str(path.absolute())


def is_plain(path: Path) -> bool:
    """One file that holds a video."""
    return not is_pipe(path) and not is_picture(path)


def numbered(path: Path) -> Numbered | None:
    """The pictures that this pattern names; None where it is the name of one file."""
    if not is_picture(path) or len(_numbers(path.name)) != 1 or path.exists():
        return None
    return Numbered(path=path)


def _numbers(name: str) -> list[re.Match[str]]:
    return [mark for mark in _MARKS.finditer(name) if mark[0] != "%%"]


def _parts(name: str) -> tuple[str, int, str]:
    """What stands before the number, how many digits that has at least, what stands after it."""
    (mark,) = _numbers(name)
    before, after = (part.replace("%%", "%") for part in (name[: mark.start()], name[mark.end() :]))
    return before, int(mark[1] or 1), after
