"""What an engine can do here at best: convolutions and matrix products that nothing holds up."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vsrcli.runtime.engines import Setup
from vsrcli.runtime.wire import FLOAT, INPUT, OUTPUT, Builder, field, model_of, port

_LAYERS = 6
_SHAPES = ((64, 180, 320), (128, 90, 160), (192, 64, 64))
"""(channels, height, width) of the 3x3 convolutions: those that fit into caches, and others."""
_PRODUCT = 1024
_ENOUGH_S, _LEAST_RUNS, _MOST_RUNS = 1.0, 2, 6
Probe = tuple[bytes, dict[str, tuple[int, ...]], float]
"""A graph, the shapes of its inputs, and its floating-point operations."""
Layer = Callable[[Builder, str, NDArray[np.float32], bool], str]
"""Adds a convolution that keeps the size, and whether a ReLU follows; gives its output's name."""


def peak_gflops(setup: Setup) -> float:
    """The most that any of the probes reaches, 10^9 floating-point operations a second."""
    layer = _quantised if setup.precision == "int8" else _plain
    probes = [_convolutions(*shape, layer) for shape in _SHAPES]
    return max(_rate(setup, probe) for probe in (*probes, _products(_PRODUCT, layer)))


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


def _convolutions(channels: int, height: int, width: int, layer: Layer) -> Probe:
    graph, shape = Builder("peak"), (1, channels, height, width)
    rng = np.random.default_rng(0)
    values = "x"
    for _ in range(_LAYERS):
        weight = rng.normal(0, (2 / (9 * channels)) ** 0.5, (channels, channels, 3, 3))
        values = layer(graph, values, weight.astype(np.float32), True)
    # What is read back is small, so that the arithmetic alone counts.
    graph.node("GlobalAveragePool", [values], "y")
    ports = field(INPUT, port("x", FLOAT, shape))
    ports += field(OUTPUT, port("y", FLOAT, (1, channels, 1, 1)))
    operations = 2.0 * 9 * channels**2 * height * width * _LAYERS
    return model_of(graph.take() + ports), {"x": shape}, operations


def _products(side: int, layer: Layer) -> Probe:
    """A matrix product as a 1x1 convolution, which every engine has in every precision."""
    graph, shape = Builder("peak"), (1, side, 32, side // 32)
    weight = np.random.default_rng(0).normal(0, side**-0.5, (side, side, 1, 1))
    values = "x"
    for _ in range(_LAYERS):
        values = layer(graph, values, weight.astype(np.float32), False)
    graph.node("GlobalAveragePool", [values], "y")
    ports = field(INPUT, port("x", FLOAT, shape)) + field(OUTPUT, port("y", FLOAT, (1, side, 1, 1)))
    return model_of(graph.take() + ports), {"x": shape}, 2.0 * side**3 * _LAYERS


def _plain(graph: Builder, values: str, weight: NDArray[np.float32], bends: bool) -> str:
    pad = weight.shape[2] // 2
    made = graph.node("Conv", [values, weight], pads=[pad] * 4)
    return graph.node("Relu", [made]) if bends else made


def _quantised(graph: Builder, values: str, weight: NDArray[np.float32], bends: bool) -> str:
    """As `vsr-lab quantise` writes it: activations of 8 bits without a sign, weights with one."""
    step = np.float32(np.abs(weight).max() / 127)
    codes = (weight / step).round().astype(np.int8)
    taken = _rounded(graph, values)
    scaled = graph.node("DequantizeLinear", [codes, step, np.int8(0)])
    pad = weight.shape[2] // 2
    made = graph.node("Conv", [taken, scaled], pads=[pad] * 4)
    return _rounded(graph, graph.node("Relu", [made]) if bends else made)


def _rounded(graph: Builder, values: str) -> str:
    ends = np.float32(1 / 64), np.uint8(128)
    return graph.node("DequantizeLinear", [graph.node("QuantizeLinear", [values, *ends]), *ends])
