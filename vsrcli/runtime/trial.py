"""Whether an engine computes. One that loads may still lack cuDNN, which is only looked for when it
is needed, or code for the GPU that is there."""

from __future__ import annotations

import numpy as np

from vsrcli.runtime.code_values import to_codes
from vsrcli.runtime.engines import Setup
from vsrcli.runtime.graphs import SOURCE, TARGET
from vsrcli.runtime.onnx_wire import FLOAT, INPUT, OUTPUT, UINT8, Builder, field, model_of, port
from vsrcli.runtime.resample import enlarge, settle

_SHAPE, _FACTOR, _CHANNELS, _GREY = (1, 9, 11), 2, 8, 99


def is_right(setup: Setup) -> bool:
    """Whether a grey picture comes out of convolutions and matrix products as it should.

    Raises DeviceError if they cannot be run.
    """
    engine = setup.open(_graph())
    try:
        made = engine.run({SOURCE: np.full((1, *_SHAPE), _GREY, np.uint8)})[TARGET]
    finally:
        engine.close()
    return made.shape == _large() and bool((made == _GREY).all())


def _graph() -> bytes:
    graph, factors = Builder(), (_FACTOR, _FACTOR)
    values = graph.node("Cast", [SOURCE], to=FLOAT)
    spread = graph.node("Conv", [values, np.ones((_CHANNELS, 1, 1, 1), np.float32)])
    mean = graph.node("Conv", [spread, np.full((1, _CHANNELS, 1, 1), 1 / _CHANNELS, np.float32)])
    codes = to_codes(graph, enlarge(graph, mean, _SHAPE, factors, (0.0, 0.0)), 8)
    settle(graph, codes, _SHAPE, factors, TARGET)
    ports = field(INPUT, port(SOURCE, UINT8, (1, *_SHAPE)))
    return model_of(graph.take() + ports + field(OUTPUT, port(TARGET, UINT8, _large())))


def _large() -> tuple[int, int, int, int]:
    count, height, width = _SHAPE
    return count, 1, height * _FACTOR, width * _FACTOR
