"""The onnxruntime engine: CPU, CUDA and TensorRT behind one small interface.

`vsr doctor` says what loads on a given machine. `get_available_providers()` lists what the wheel
was built with, not what works, so the session is asked which provider it really got.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from vsrcli.errors import DeviceError, OutOfMemoryError, WeightsError
from vsrcli.runtime.engines.base import Array, Port, Tensor
from vsrcli.runtime.engines.providers import Provider, place_of

_DTYPES: dict[str, type] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
    "tensor(uint16)": np.uint16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}
_ORT_FATAL = 4
"""onnxruntime's severity: its own lines would land on the user's terminal beside ours."""


class OnnxEngine:
    """A graph loaded by onnxruntime. See `base.Engine`."""

    def __init__(
        self,
        graph: Path | bytes,
        *,
        device: str,
        threads: int,
        frugal: bool = False,
        held: Mapping[str, str] | None = None,
        is_half: bool = False,
    ) -> None:
        place = place_of(device, graph, is_half=is_half)
        self._session = _open_session(graph, place.providers, threads, frugal=frugal)
        self._require(place.providers[0][0], device)
        self.name = f"onnxruntime {device}"
        self._memory = place.memory
        self.inputs = {p.name: p for p in map(_port, self._session.get_inputs())}
        self.outputs = {p.name: p for p in map(_port, self._session.get_outputs())}
        self._given = tuple(self.outputs)
        self._next = dict(held or {})
        self._zeros = {name: _zeros(self.inputs.pop(name)) for name in self._next}
        for output in self._next.values():
            del self.outputs[output]
        # Each in two buffers that swap roles, so that nothing is copied between runs.
        self._held = {n: [self.put(zeros), self.put(zeros)] for n, zeros in self._zeros.items()}

    def run(
        self, feeds: Mapping[str, Array | Tensor], into: Mapping[str, Array | Tensor] | None = None
    ) -> dict[str, Array]:
        binding = self._session.io_binding()
        into = dict(into or {})
        into |= {output: self._held[name][1] for name, output in self._next.items()}
        # The binding borrows the arrays' memory: `kept` holds them until the run is over.
        kept = {name: _contiguous(value) for name, value in feeds.items()}
        kept |= {name: now for name, (now, _) in self._held.items()}
        for name, value in kept.items():
            if isinstance(value, ort.OrtValue):
                binding.bind_ortvalue_input(name, value)
            else:
                binding.bind_cpu_input(name, value)
        for name in self._given:
            self._bind_output(binding, name, into.get(name))
        try:
            self._session.run_with_iobinding(binding)
        except Exception as exc:  # onnxruntime raises a bare class of its own for each status
            raise _run_error(exc) from exc
        for buffers in self._held.values():
            buffers.reverse()
        made = zip(self._given, binding.get_outputs(), strict=True)
        return {name: value.numpy() for name, value in made if name not in into}

    def put(self, array: Array) -> Tensor:
        try:
            return ort.OrtValue.ortvalue_from_numpy(array.copy(), *self._memory)
        except Exception as exc:  # as above
            raise _run_error(exc) from exc

    def get(self, tensor: Tensor) -> Array:
        return np.array(tensor.numpy())

    def held(self) -> dict[str, Array]:
        return {name: self.get(now) for name, (now, _) in self._held.items()}

    def hold(self, arrays: Mapping[str, Array]) -> None:
        for name, buffers in self._held.items():
            buffers[0] = self.put(arrays.get(name, self._zeros[name]))

    def _bind_output(self, binding: ort.IOBinding, name: str, target: Array | Tensor) -> None:
        if target is None:
            binding.bind_output(name, "cpu")
        elif isinstance(target, ort.OrtValue):
            binding.bind_ortvalue_output(name, target)
        else:
            kind = self.outputs[name].dtype.type
            binding.bind_output(name, "cpu", 0, kind, target.shape, target.ctypes.data)

    def close(self) -> None:
        self._held.clear()
        vars(self).pop("_session", None)

    def _require(self, provider: str, device: str) -> None:
        got = self._session.get_providers()[0]
        if got != provider:
            raise DeviceError(
                f"{device} was asked for but onnxruntime fell back to {got}; "
                "see `vsr doctor` for the missing library, or use --device cpu"
            )


def _open_session(
    graph: Path | bytes,
    providers: list[Provider],
    threads: int,
    *,
    frugal: bool = False,
) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    # With a pattern of its allocations a session holds one block for all of them: twice as much.
    options.enable_mem_pattern = not frugal
    options.log_severity_level = _ORT_FATAL
    # Spinning workers would steal the cores from the decoder and the encoder.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    source: Any = graph if isinstance(graph, bytes) else str(graph)
    try:
        # Its own fallback prints on stdout; `_require` and the error below say it in one line.
        return ort.InferenceSession(source, options, providers=providers, enable_fallback=0)
    except Exception as exc:  # onnxruntime raises a bare class of its own for each status
        if len(providers) > 1 and any(
            sign in str(exc) for sign in ("CUDA", "TensorRT", "Tensorrt")
        ):
            name = "CUDA" if "CUDA" in providers[0][0] else "TensorRT"
            raise DeviceError(
                f"{name} does not start: {_first_line(exc)}; see `vsr doctor`, or use --device cpu"
            ) from exc
        where = "graph" if isinstance(graph, bytes) else str(graph)
        raise WeightsError(f"{where} cannot be loaded: {_first_line(exc)}") from exc


def _port(arg: ort.NodeArg) -> Port:
    dtype = _DTYPES.get(arg.type)
    if dtype is None:
        raise WeightsError(f"graph port {arg.name} has the unsupported type {arg.type}")
    shape = tuple(side if isinstance(side, int) else None for side in arg.shape)
    return Port(name=arg.name, dtype=np.dtype(dtype), shape=shape)


def _zeros(port: Port) -> Array:
    """What a port takes, empty; its size must be fixed."""
    return np.zeros([side or 0 for side in port.shape], port.dtype)


def _contiguous(value: Array | Tensor) -> Array | Tensor:
    return np.ascontiguousarray(value) if isinstance(value, np.ndarray) else value


def _run_error(exc: Exception) -> DeviceError:
    text = _first_line(exc)
    if any(sign in text.lower() for sign in ("failed to allocate", "bad_alloc", "out of memory")):
        return OutOfMemoryError(f"out of memory in the model: {text}; try a smaller input")
    return DeviceError(f"the engine failed: {text}")


def _first_line(exc: Exception) -> str:
    return (str(exc).splitlines() or [type(exc).__name__])[0]
