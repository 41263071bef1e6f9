"""What onnxruntime says when it fails, in our errors: it raises a bare class for each status."""

from __future__ import annotations

from vsrcli.errors import DeviceError, OutOfMemoryError

FATAL = 4
"""onnxruntime's severity: its own lines would land on the user's terminal beside ours."""
_MEMORY = (
    *("failed to allocate", "bad_alloc", "out of memory"),
    *("available memory of", "status_alloc_failed"),  # a limit of ours; cuDNN and cuBLAS
)


def run_error(exc: Exception) -> DeviceError:
    """For a run, or a tensor, that failed."""
    if isinstance(exc, DeviceError):  # it has been through here
        return exc
    text = first_line(exc)
    if any(sign in str(exc).lower() for sign in _MEMORY):
        return OutOfMemoryError(f"out of memory in the model: {text}; try a smaller input")
    return DeviceError(f"the engine failed: {text}")


def first_line(exc: Exception) -> str:
    """Of what it says; its name if that is nothing."""
    return (str(exc).splitlines() or [type(exc).__name__])[0]
