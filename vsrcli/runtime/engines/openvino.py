"""The OpenVINO engine: a processor's bf16 and int8 units behind the same small interface.

What a graph holds from run to run lies in two tensors of its own precision, one read, the other
written (OpenVINO's variables would be copied in every run); wide ones have their channels last, as
convolutions have it. bf16 is written into the graph itself (`narrow`) and not left to OpenVINO's
hint.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vsrcli.errors import DeviceError, OutOfMemoryError, WeightsError
from vsrcli.runtime.cpu import has_bf16
from vsrcli.runtime.engines.base import Array, Landed, Port, Tensor
from vsrcli.runtime.engines.bf16 import BF16, narrow, rounded, widened
from vsrcli.runtime.engines.openvino_import import ops, ov
from vsrcli.runtime.engines.winograd import is_worth_it, thin_out

_LAST, _FIRST = (0, 2, 3, 1), (0, 3, 1, 2)
"""Axes that bring channels to the end, and back."""
_WIDE = 4
"""Channels of a state from which on that order is worth it."""
_ALONE = threading.Lock()
"""Graphs are compiled side by side, but prepared one after the other: when OpenVINO first says to
which numpy type one of its own belongs, it waits for Python with a lock taken that other threads
wait for."""


class OpenVinoEngine:
    """A graph loaded by OpenVINO. See `base.Engine`."""

    def __init__(
        self,
        graph: Path | bytes,
        *,
        threads: int,
        precision: str,
        held: Mapping[str, str] | None = None,
        hidden: Collection[str] = (),
    ) -> None:
        self._held = dict(held or {})
        with _ALONE:
            model = _read(graph)
            self.inputs = {p.name: p for p in map(_port, model.inputs) if p.name not in self._held}
            self.outputs = {
                p.name: p for p in map(_port, model.outputs) if p.name not in self._held.values()
            }
            if precision == "bf16" or (precision == "int8" and has_bf16()):
                narrow(model, self._held, hidden)
            elif precision == "fp32" and is_worth_it(threads):
                thin_out(model)
            self._turned = {name for name, later in self._held.items() if _turn(model, name, later)}
        self._request = _compile(model, threads, precision).create_infer_request()
        self._states = {name: _pair(model.input(name)) for name in self._held}
        self.hold({})
        self.name = f"openvino cpu {precision}" if precision != "fp32" else "openvino cpu"

    def run(
        self, feeds: Mapping[str, Array | Tensor], into: Mapping[str, Array | Tensor] | None = None
    ) -> dict[str, Array]:
        into = into or {}
        # A request borrows the arrays' memory: `kept` holds them until the run is over.
        kept = {name: np.ascontiguousarray(value) for name, value in feeds.items()}
        for name, value in (*kept.items(), *into.items()):
            self._request.set_tensor(name, ov.Tensor(value, shared_memory=True))
        for name, (now, later) in self._states.items():
            self._request.set_tensor(name, now)
            self._request.set_tensor(self._held[name], later)
        made = {name: self._new(name) for name in self.outputs if name not in into}
        self._infer()
        self._states = {name: (later, now) for name, (now, later) in self._states.items()}
        return {name: self._taken(name) if out is None else out for name, out in made.items()}

    def bind(self, feeds: Mapping[str, Array], into: Mapping[str, Array]) -> Callable[[], None]:
        for name, value in (*feeds.items(), *into.items()):
            self._request.set_tensor(name, ov.Tensor(value, shared_memory=True))
        return self._infer

    def start(self, feeds: Mapping[str, Array]) -> Landed:
        made = self.run(feeds)
        return lambda: made

    def put(self, array: Array) -> Tensor:
        return array.copy()

    def get(self, tensor: Tensor) -> Array:
        return np.array(tensor)

    def held(self) -> dict[str, Array]:
        found = {name: _as_float(now) for name, (now, _) in self._states.items()}
        return {n: a.transpose(_FIRST) if n in self._turned else a for n, a in found.items()}

    def hold(self, arrays: Mapping[str, Array]) -> None:
        for name, (now, _) in self._states.items():
            array = arrays.get(name)
            if array is not None and name in self._turned:
                array = array.transpose(_LAST)
            _fill(now, array)

    def close(self) -> None:
        self._states.clear()
        vars(self).pop("_request", None)

    def _infer(self) -> None:
        try:
            self._request.infer(share_outputs=True)  # else each would be copied, the state too
        except RuntimeError as exc:
            raise _run_error(exc) from exc

    def _new(self, name: str) -> Array | None:
        """An array of our own for an output, where its size is known before the run."""
        port = self.outputs[name]
        if None in port.shape:
            return None
        array = np.empty(port.sides, port.dtype)
        self._request.set_tensor(name, ov.Tensor(array, shared_memory=True))
        return array

    def _taken(self, name: str) -> Array:
        return np.array(self._request.get_tensor(name).data)


def _read(graph: Path | bytes) -> ov.Model:
    core = ov.Core()
    try:
        return core.read_model(io.BytesIO(graph) if isinstance(graph, bytes) else str(graph))
    except RuntimeError as exc:
        where = "graph" if isinstance(graph, bytes) else str(graph)
        raise WeightsError(f"{where} cannot be loaded: {_reason(exc)}") from exc


def _compile(model: ov.Model, threads: int, precision: str) -> ov.CompiledModel:
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",  # of what the graph itself does not say otherwise
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        # The decoder and the encoder run on the same cores.
        "ENABLE_CPU_PINNING": False,
        # Meant for int8 graphs; it also moves the rounding of 8-bit planes before what is added.
        "LP_TRANSFORMS_MODE": precision == "int8",
    }
    try:
        return ov.Core().compile_model(model, "CPU", settings)
    except RuntimeError as exc:
        raise WeightsError(f"graph cannot be loaded: {_reason(exc)}") from exc


def _port(port: Any) -> Port:  # noqa: ANN401  # ov.Output, whose stub lacks methods
    shape = port.get_partial_shape()
    sides = tuple(None if side.is_dynamic else side.get_length() for side in shape)
    return Port(name=port.any_name, dtype=np.dtype(port.element_type.to_dtype()), shape=sides)


def _turn(model: ov.Model, name: str, later: str) -> bool:
    """Gives a wide state its channels last, at both ends; whether it is one.

    The transposes cost nothing, since convolutions have that order: OpenVINO drops them. A concat
    has to be turned itself, or it would be done in planes.
    """
    state, result = model.input(name).get_node(), model.output(later).get_node()
    shape = state.get_partial_shape()
    if len(shape) != len(_LAST) or shape[1].get_length() < _WIDE:
        return False
    readers = list(state.output(0).get_target_inputs())
    state.set_partial_shape(ov.PartialShape([shape[axis] for axis in _LAST]))
    state.validate_and_infer_types()
    for reader in readers:
        node = reader.get_node()
        if node.get_type_name() == "Concat" and node.get_attributes()["axis"] == 1:
            parts = [port.get_source_output() for port in node.inputs()]
            own = [part.get_node().get_name() == state.get_name() for part in parts]
            ends = [p if o else _transposed(p, _LAST) for p, o in zip(parts, own, strict=True)]
            node.output(0).replace(_transposed(ops.concat(ends, -1).output(0), _FIRST))
        else:
            reader.replace_source_output(_transposed(state.output(0), _FIRST))
    made = result.input(0).get_source_output()
    names = made.get_names()
    made.set_names(set())
    turned = _transposed(made, _LAST)
    turned.set_names(names)
    result.input(0).replace_source_output(turned)
    model.validate_nodes_and_infer_types()
    return True


def _transposed(values: Any, axes: tuple[int, ...]) -> Any:  # noqa: ANN401  # ov.Output, as above
    return ops.transpose(values, np.array(axes, np.int64)).output(0)


def _as_float(tensor: ov.Tensor) -> Array:
    """A copy in float32."""
    if tensor.element_type != BF16:
        return np.array(tensor.data, np.float32)
    return widened(np.array(tensor.data).view(np.uint16))


def _fill(tensor: ov.Tensor, array: Array | None) -> None:
    """Writes float32 to a tensor, exactly what `_as_float` gave, or zeros."""
    if array is None:
        tensor.data.view(np.uint8)[:] = 0
    elif tensor.element_type != BF16:
        tensor.data[:] = array
    else:
        tensor.data.view(np.uint16)[:] = rounded(array)


def _pair(port: Any) -> tuple[ov.Tensor, ov.Tensor]:  # noqa: ANN401  # as above
    """Two tensors for what this input takes."""
    return ov.Tensor(port.element_type, port.shape), ov.Tensor(port.element_type, port.shape)


def _run_error(exc: RuntimeError) -> DeviceError:
    text = _reason(exc)
    if any(sign in text.lower() for sign in ("alloc", "out of memory")):
        return OutOfMemoryError(f"out of memory in the model: {text}; try a smaller input")
    return DeviceError(f"the engine failed: {text}")


def _reason(exc: RuntimeError) -> str:
    """The last line that says something: those before it are places in OpenVINO's source."""
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    return lines[-1] if lines else type(exc).__name__
