"""OpenVINO without its converters, for whatever here needs it.

Importing those tells their makers so over the network, from a process forked off this one, and
takes longer than all the rest. OpenVINO does without where they are not there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["ops", "ov"]


@contextmanager
def _without(module: str) -> Iterator[None]:
    """Meanwhile importing it fails; after that it is as it was."""
    there = sys.modules.get(module)
    sys.modules[module] = None  # type: ignore[assignment]  # the import system's own word for that
    try:
        yield
    finally:
        del sys.modules[module]
        if there:
            sys.modules[module] = there


with _without("openvino.tools.ovc"):
    import openvino as ov
    from openvino import opset13 as ops
