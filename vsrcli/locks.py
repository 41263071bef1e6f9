"""A file that one process at a time holds; the system takes it back when the process ends."""

from __future__ import annotations

import errno
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO

_HELD = (errno.EAGAIN, errno.EACCES)
"""What the systems say of a file that another one holds; all else is of drives without locks."""


def hold(file: IO[bytes]) -> bool:
    """False where another one holds the file; else it is ours until it is closed, as far as its
    drive knows of locks."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        return exc.errno not in _HELD
    return True


def remove(file: IO[bytes], path: Path) -> None:
    """Removes a file that is held. Windows does so only once it is closed, and not if another one
    has opened it by then."""
    if sys.platform == "win32":
        file.close()
    with suppress(OSError):
        path.unlink()
    file.close()
