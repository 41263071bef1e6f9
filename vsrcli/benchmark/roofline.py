"""What an engine can do here at best: convolutions and matrix products that nothing holds up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from vsrcli.runtime.engines import Setup
from vsrcli.runtime.onnx_wire import FLOAT, INPUT, OUTPUT, Builder, field, model_of, port

_LAYERS = 6
_SHAPES = ((64, 180, 320), (128, 90, 160), (192, 64, 64))
"""(channels, height, width) of the 3x3 convolutions: those that fit into caches, and others."""
_PRODUCT = (1024, 32, 32)
"""The same of the 1x1 ones, which are matrix products."""
_GPU_LAYERS = 16
_GPU_SHAPES = ((64, 540, 960), (128, 540, 960), (256, 270, 480))
"""Of a GPU: it takes 10 us to begin with an operator, and a while to raise its clock."""
_GPU_PRODUCT, _GPU_PRODUCTS = (4096, 64, 128), 3
_ENOUGH_S, _LEAST_RUNS, _MOST_RUNS, _MOST_GPU_RUNS = 1.0, 2, 6, 300
Probe = tuple[bytes, dict[str, tuple[int, ...]], float]
"""A graph, the shapes of its inputs, and its floating-point operations."""
Layer = Callable[[Builder, str, NDArray[np.float32], bool], str]
"""Adds a convolution that keeps the size, and whether a ReLU follows; gives its output's name."""


def peak_gflops(setup: Setup) -> float:
    """The most that any of the probes reaches, 10^9 floating-point operations a second."""
    return max(_rate(setup, probe) for probe in _probes(setup))


def _probes(setup: Setup) -> Iterator[Probe]:
    """One at a time: their weights are large."""
    layer = _quantised if setup.precision == "int8" else _plain
    if setup.is_gpu:
        for shape in _GPU_SHAPES:
            yield _stack(shape, 3, _GPU_LAYERS, layer, _corner)
        yield _stack(_GPU_PRODUCT, 1, _GPU_PRODUCTS, layer, _corner)
        return
    for shape in _SHAPES:
        yield _stack(shape, 3, _LAYERS, layer, _mean)
    yield _stack(_PRODUCT, 1, _LAYERS, layer, _mean)


def _rate(setup: Setup, probe: Probe) -> float:
    graph, shapes, operations = probe
    engine = setup.open(graph)
    rng = np.random.default_rng(0)
    feeds = {  # in the engine's memory: a GPU would wait for them longer than it computes
        name: engine.put(rng.random(shape, np.float32).astype(engine.inputs[name].dtype))
        for name, shape in shapes.items()
    }
    engine.run(feeds)
    times: list[float] = []
    most = _MOST_GPU_RUNS if setup.is_gpu else _MOST_RUNS
    while len(times) < _LEAST_RUNS or (sum(times) < _ENOUGH_S and len(times) < most):
        began = time.perf_counter()
        engine.run(feeds)  # what it gives comes to the host, so it is over
        times.append(time.perf_counter() - began)
    engine.close()
    return operations / min(times) / 1e9


def _stack(
    shape: tuple[int, int, int],
    side: int,
    layers: int,
    layer: Layer,
    end: Callable[[Builder, str], None],
) -> Probe:
    """Square convolutions, one after the other; wider ones than 1 with a ReLU."""
    channels, height, width = shape
    graph, rng, values = Builder("peak"), np.random.default_rng(0), "x"
    gain = ((2 if side > 1 else 1) / (side**2 * channels)) ** 0.5
    for _ in range(layers):
        weight = gain * rng.standard_normal((channels, channels, side, side), np.float32)
        values = layer(graph, values, weight, side > 1)
    end(graph, values)
    ports = field(INPUT, port("x", FLOAT, (1, *shape)))
    ports += field(OUTPUT, port("y", FLOAT, (1, channels, 1, 1)))
    operations = 2.0 * side**2 * channels**2 * height * width * layers
    return model_of(graph.take() + ports), {"x": (1, *shape)}, operations


def _mean(graph: Builder, values: str) -> None:
    """What is read back is small, so that the arithmetic alone counts."""
    graph.node("GlobalAveragePool", [values], "y")


def _corner(graph: Builder, values: str) -> None:
    """The same where a mean would be one more pass over memory, and in fp32."""
    graph.slice(values, [0, 0], [1, 1], [2, 3], "y")


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
