"""From what a graph computes to the code values of planes."""

from __future__ import annotations

import numpy as np

from vsrcli.runtime.wire import UINT8, UINT16, Builder


def kind_of(bits: int) -> int:
    """The element type of a plane's samples."""
    return UINT8 if bits <= 8 else UINT16


def to_codes(
    graph: Builder, values: str, bits: int, *, gain: np.float32 | None = None, output: str = ""
) -> str:
    """Floats as code values: times `gain`, rounded to nearest, clipped to what the bits hold."""
    gain = np.float32(1) if gain is None else gain
    if bits == 8:
        return graph.node("QuantizeLinear", [values, 1 / gain, np.uint8(0)], output)
    scaled = values if gain == 1 else graph.node("Mul", [values, gain])
    clipped = graph.node("Clip", [scaled, np.float32(0), np.float32((1 << bits) - 1)])
    return graph.node("Cast", [graph.node("Round", [clipped])], output, to=kind_of(bits))
