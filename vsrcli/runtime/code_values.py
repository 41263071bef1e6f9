"""From what a graph computes to the code values of planes."""

from __future__ import annotations

import numpy as np

from vsrcli.runtime.onnx_wire import UINT8, UINT16, Builder


def kind_of(bits: int) -> int:
    """The element type of a plane's samples."""
    return UINT8 if bits <= 8 else UINT16


def to_codes(
    graph: Builder,
    values: str,
    bits: int,
    *,
    gain: np.float32 | None = None,
    output: str = "",
    at_once: bool = True,
) -> str:
    """Floats as code values: times `gain`, rounded to nearest, clipped to what the bits hold.

    Eight bits `at_once`: by the one operator that onnxruntime has for it. OpenVINO takes longer
    over that than over the steps.
    """
    gain = np.float32(1) if gain is None else gain
    if bits == 8 and at_once:
        return graph.node("QuantizeLinear", [values, 1 / gain, np.uint8(0)], output)
    scaled = values if gain == 1 else graph.node("Mul", [values, gain])
    clipped = graph.node("Clip", [scaled, np.float32(0), np.float32((1 << bits) - 1)])
    return graph.node("Cast", [graph.node("Round", [clipped])], output, to=kind_of(bits))
