"""Files of the lab that come to their place whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from vsrcli.errors import OutputError


@contextmanager
def whole(file: Path) -> Iterator[BinaryIO]:
    """What is written goes to a hidden name beside `file`, and takes its place at the end; where
    that fails, what was there stays and nothing else is left. Raises OutputError."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as stream:
            yield stream
        part.replace(file)
    except OSError as exc:
        raise OutputError(f"{file} cannot be written ({exc.strerror or exc})") from exc
    finally:
        part.unlink(missing_ok=True)
