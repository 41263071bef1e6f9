"""Programs that a test runs beside itself."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def started(command: Any, **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """`subprocess.Popen` as a context that does not wait for ever: it ends with the test."""
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.kill()  # nothing, where it has ended and was waited for
