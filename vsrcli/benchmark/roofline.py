"""What an engine can do here at best: convolutions and matrix products that nothing holds up."""

from __future__ import annotations

import time

import numpy as np

from vsrcli.runtime.engines import Setup
from vsrcli.runtime.wire import FLOAT, INPUT, OUTPUT, Builder, field, model_of, port

_LAYERS = 6
_SHAPES = ((64, 180, 320), (128, 90, 160), (192, 64, 64))
"""(channels, height, width) of the 3x3 convolutions: those that fit into caches, and others."""
_PRODUCT = 1024
_ENOUGH_S, _LEAST_RUNS, _MOST_RUNS = 1.0, 2, 6
Probe = tuple[bytes, dict[str, tuple[int, ...]], float]
"""A graph, the shapes of its inputs, and its floating-point operations."""


def peak_gflops(setup: Setup) -> float:
    """The most that any of the probes reaches, 10^9 floating-point operations a second."""
    probes = [_convolutions(*shape) for shape in _SHAPES]
    return max(_rate(setup, probe) for probe in (*probes, _products(_PRODUCT)))


def _rate(setup: Setup, probe: Probe) -> float:
    graph, shapes, operations = probe
    engine = setup.open(graph)
    rng = np.random.default_rng(0)
    feeds = {name: rng.random(shape, np.float32) for name, shape in shapes.items()}
    engine.run(feeds)
    times: list[float] = []
    while len(times) < _LEAST_RUNS or (sum(times) < _ENOUGH_S and len(times) < _MOST_RUNS):
        began = time.perf_counter()
        engine.run(feeds)
        times.append(time.perf_counter() - began)
    engine.close()
    return operations / min(times) / 1e9


def _convolutions(channels: int, height: int, width: int) -> Probe:
    graph, shape = Builder("peak"), (1, channels, height, width)
    rng = np.random.default_rng(0)
    values = "x"
    for _ in range(_LAYERS):
        weight = rng.normal(0, (2 / (9 * channels)) ** 0.5, (channels, channels, 3, 3))
        values = graph.node("Conv", [values, weight.astype(np.float32)], pads=(1, 1, 1, 1))
        values = graph.node("Relu", [values])
    # What is read back is small, so that the arithmetic alone counts.
    graph.node("GlobalAveragePool", [values], "y")
    ports = field(INPUT, port("x", FLOAT, shape))
    ports += field(OUTPUT, port("y", FLOAT, (1, channels, 1, 1)))
    operations = 2.0 * 9 * channels**2 * height * width * _LAYERS
    return model_of(graph.take() + ports), {"x": shape}, operations


def _products(side: int) -> Probe:
    """A matrix product as a 1x1 convolution, which every engine has in every precision."""
    graph, shape = Builder("peak"), (1, side, 32, side // 32)
    weight = np.random.default_rng(0).normal(0, side**-0.5, (side, side, 1, 1))
    values = "x"
    for _ in range(_LAYERS):
        values = graph.node("Conv", [values, weight.astype(np.float32)])
    graph.node("GlobalAveragePool", [values], "y")
    ports = field(INPUT, port("x", FLOAT, shape)) + field(OUTPUT, port("y", FLOAT, (1, side, 1, 1)))
    return model_of(graph.take() + ports), {"x": shape}, 2.0 * side**3 * _LAYERS
