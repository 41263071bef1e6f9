"""What is said where a package of an extra is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from vsrcli.errors import DeviceError

_EXTRAS = {"torch", "onnx"}


@contextmanager
def lab_needed(command: str) -> Iterator[None]:
    """Imports inside; a package of the lab extra that is missing becomes one line that says so."""
    try:
        yield
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] not in _EXTRAS:
            raise
        raise DeviceError(
            f"{command} needs {exc.name}, which is not installed; pip install 'vsrcli[lab]'"
        ) from exc
