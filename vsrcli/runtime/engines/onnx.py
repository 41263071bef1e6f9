"""The onnxruntime engine: CPU, CUDA and TensorRT behind one small interface.

`vsr doctor` says what loads on a given machine. `get_available_providers()` lists what the wheel
was built with, not what works, so the session is asked which provider it really got.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from vsrcli.errors import DeviceError, OutOfMemoryError, WeightsError
from vsrcli.runtime.cpu import has_avx512
from vsrcli.runtime.engines import in_flight
from vsrcli.runtime.engines.base import Array, Landed, Port, Tensor
from vsrcli.runtime.engines.channel_blocks import blocked
from vsrcli.runtime.engines.failures import FATAL, first_line, run_error
from vsrcli.runtime.engines.fp16 import halved
from vsrcli.runtime.engines.in_flight import Lane, run_options
from vsrcli.runtime.engines.providers import Provider, place_of
from vsrcli.runtime.engines.transfer import Crossing

ort.disable_telemetry_events()  # of Windows; elsewhere there are none
log = logging.getLogger("vsr")
_DTYPES: dict[str, type] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
    "tensor(uint16)": np.uint16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}
_BLOCK, _WIDE_BLOCK = 8, 16
"""Channels that onnxruntime's CPU convolves together, and with AVX-512."""
_BROKEN = (LookupError, StopIteration, ValueError, struct.error)
"""What reading a file that is not ONNX may raise."""


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
        steady: bool = False,
        precision: str = "fp32",
    ) -> None:
        self.name = f"onnxruntime {device}" + (f" {precision}" if precision != "fp32" else "")
        self._plain = run_options(None)
        is_half = precision == "fp16"
        with suppress(*_BROKEN):  # onnxruntime says what is wrong with such a graph
            if is_half:
                graph = halved(_bytes(graph), held)
            elif device == "cpu":
                graph = blocked(_bytes(graph), _WIDE_BLOCK if has_avx512() else _BLOCK)
        self._load = partial(self._open, graph, device, threads, frugal=frugal, is_half=is_half)
        self._load(records=steady)
        self.inputs = {p.name: p for p in map(_port, self._session.get_inputs())}
        self.outputs = {p.name: p for p in map(_port, self._session.get_outputs())}
        self._given = tuple(self.outputs)
        self._next = dict(held or {})
        ports = {name: self.inputs.pop(name) for name in self._next}
        self._zeros = {name: np.zeros(p.sides, p.dtype) for name, p in ports.items()}
        for output in self._next.values():
            del self.outputs[output]
        # Each in two buffers that swap roles, so that nothing is copied between runs.
        self._held = {n: (self.put(array), self.put(array)) for n, array in self._zeros.items()}
        self._turn = 0  # of the buffers that the next run reads
        self._crossing: Crossing | None = None

    def _open(
        self,
        graph: Path | bytes,
        device: str,
        threads: int,
        *,
        frugal: bool,
        is_half: bool,
        records: bool,
    ) -> None:
        """The session; without recordings where onnxruntime cannot make any of this graph."""
        place = place_of(device, graph, is_half=is_half, records=records)
        try:
            session = _open_session(graph, place.providers, threads, frugal=frugal)
        except DeviceError as exc:
            if not place.records:
                raise
            self._go_without_recordings(exc)
            return
        _require(session, place.providers[0][0], device)
        self._session, self._memory, self._records = session, place.memory, place.records
        self._lanes: tuple[Lane, ...] = ()

    def _go_without_recordings(self, reason: Exception) -> None:
        log.info("%s: no CUDA graph of this model: %s", self.name, reason)
        self._load(records=False)

    def run(
        self, feeds: Mapping[str, Array | Tensor], into: Mapping[str, Array | Tensor] | None = None
    ) -> dict[str, Array]:
        binding = self._session.io_binding()
        held, changed = self._buffers(self._turn)
        into = {**(into or {}), **changed}
        # The binding borrows the arrays' memory: `kept` holds them until the run is over.
        kept = {name: _contiguous(value) for name, value in feeds.items()} | held
        try:
            for name, value in kept.items():
                if isinstance(value, ort.OrtValue):
                    binding.bind_ortvalue_input(name, value)
                else:
                    binding.bind_cpu_input(name, value)  # to a GPU it is copied here
            for name in self._given:
                self._bind_output(binding, name, into.get(name))
            self._session.run_with_iobinding(binding, self._plain)
        except Exception as exc:  # onnxruntime raises a bare class of its own for each status
            raise run_error(exc) from exc
        self._turn ^= 1
        made = zip(self._given, binding.get_outputs(), strict=True)
        return {name: value.numpy() for name, value in made if name not in into}

    def bind(self, feeds: Mapping[str, Array], into: Mapping[str, Array]) -> Callable[[], None]:
        binding = self._session.io_binding()
        for name, value in feeds.items():
            binding.bind_cpu_input(name, value)
        for name, value in into.items():
            self._bind_output(binding, name, value)

        def run() -> None:
            try:
                self._session.run_with_iobinding(binding, self._plain)
            except Exception as exc:  # as above
                raise run_error(exc) from exc

        return run

    def start(self, feeds: Mapping[str, Array]) -> Landed:
        if self._memory[0] == "cpu":
            into = {name: np.empty(p.sides, p.dtype) for name, p in self.outputs.items()}
            self.run(feeds, into)
            return lambda: into
        try:
            self._lanes = self._lanes or self._both_lanes()
            landed = self._lanes[self._turn].run(feeds)
        except Exception as exc:  # as above
            error = run_error(exc)
            if isinstance(error, OutOfMemoryError) or not self._records:
                raise error from exc
            self._go_without_recordings(error)
            return self.start(feeds)
        self._turn ^= 1
        return landed

    def put(self, array: Array) -> Tensor:
        try:
            return ort.OrtValue.ortvalue_from_numpy(array.copy(), *self._memory)
        except Exception as exc:  # as above
            raise run_error(exc) from exc

    def get(self, tensor: Tensor) -> Array:
        return np.array(tensor.numpy())

    def held(self) -> dict[str, Array]:
        return {name: self.get(buffers[self._turn]) for name, buffers in self._held.items()}

    def hold(self, arrays: Mapping[str, Array]) -> None:
        for name, buffers in self._held.items():
            array = np.ascontiguousarray(arrays.get(name, self._zeros[name]))
            buffers[self._turn].update_inplace(array)

    def _buffers(self, turn: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What a run reads of what is held, and where it writes it anew: by the ports' names."""
        read = {name: buffers[turn] for name, buffers in self._held.items()}
        return read, {self._next[name]: buffers[1 - turn] for name, buffers in self._held.items()}

    def _both_lanes(self) -> tuple[Lane, Lane]:
        self._crossing = self._crossing or Crossing.to(self._memory)
        return self._lane(0), self._lane(1)

    def _lane(self, turn: int) -> Lane:
        """For the runs that read the buffers of this turn."""
        held, changed = self._buffers(turn)
        return Lane(
            self._session,
            inputs=self.inputs,
            outputs=self.outputs,
            bound_inputs=held,
            bound_outputs=changed,
            put=self.put,
            crossing=self._crossing,
            recording=turn if self._records else None,
        )

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
        self._lanes = ()
        if self._crossing:
            in_flight.close(self._crossing)
            self._crossing = None
        vars(self).pop("_session", None)


def _bytes(graph: Path | bytes) -> bytes:
    return graph if isinstance(graph, bytes) else graph.read_bytes()


def _require(session: ort.InferenceSession, provider: str, device: str) -> None:
    got = session.get_providers()[0]
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
    options.log_severity_level = FATAL
    # Spinning workers would steal the cores from the decoder and the encoder.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    source: Any = graph if isinstance(graph, bytes) else str(graph)
    try:
        # Its own fallback prints on stdout; `_require` and the error below say it in one line.
        return ort.InferenceSession(source, options, providers=providers, enable_fallback=0)
    except Exception as exc:  # onnxruntime raises a bare class of its own for each status
        if isinstance(error := run_error(exc), OutOfMemoryError):
            raise error from exc
        if len(providers) > 1 and any(
            sign in str(exc) for sign in ("CUDA", "TensorRT", "Tensorrt")
        ):
            name = "CUDA" if "CUDA" in providers[0][0] else "TensorRT"
            raise DeviceError(
                f"{name} does not start: {first_line(exc)}; see `vsr doctor`, or use --device cpu"
            ) from exc
        where = "graph" if isinstance(graph, bytes) else str(graph)
        raise WeightsError(f"{where} cannot be loaded: {first_line(exc)}") from exc


def _port(arg: ort.NodeArg) -> Port:
    dtype = _DTYPES.get(arg.type)
    if dtype is None:
        raise WeightsError(f"graph port {arg.name} has the unsupported type {arg.type}")
    shape = tuple(side if isinstance(side, int) else None for side in arg.shape)
    return Port(name=arg.name, dtype=np.dtype(dtype), shape=shape)


def _contiguous(value: Array | Tensor) -> Array | Tensor:
    return np.ascontiguousarray(value) if isinstance(value, np.ndarray) else value
