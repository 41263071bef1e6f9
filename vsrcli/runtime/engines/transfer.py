"""Copies between the host and a CUDA device that hold nobody up.

onnxruntime's own keep Python's lock to their end, so that neither the decoder nor the next frame
gets on meanwhile, and go through memory that the system may move, at a fraction of the bus's speed.
These are CUDA's, through memory that stays where it is.
"""

from __future__ import annotations

import ctypes
import math
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime as ort

from vsrcli.runtime.engines.base import Array, Port
from vsrcli.runtime.engines.libraries import cuda_runtime

_TO_DEVICE, _TO_HOST = 1, 2
_OWN_PACE = 1
"""Of a stream: it does not wait for the one that all others share."""
_SPARE: dict[int, list[int]] = {}
"""Addresses of host memory that nobody uses, by size: of the whole process, since to free it while
a GPU's kernels are recorded would break that, and an array may be let go at any time."""
_TYPES: dict[str, tuple[Any, ...]] = {
    "cudaSetDevice": (ctypes.c_int,),
    "cudaStreamCreateWithFlags": (ctypes.POINTER(ctypes.c_void_p), ctypes.c_uint),
    "cudaStreamSynchronize": (ctypes.c_void_p,),
    "cudaStreamDestroy": (ctypes.c_void_p,),
    "cudaMallocHost": (ctypes.POINTER(ctypes.c_void_p), ctypes.c_size_t),
    "cudaFreeHost": (ctypes.c_void_p,),
    "cudaMemcpyAsync": (
        *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t),
        *(ctypes.c_int, ctypes.c_void_p),
    ),
}


class Crossing:
    """The way to one device and back, for one thread each at a time."""

    def __init__(self, cuda: ctypes.CDLL, index: int) -> None:
        for name, types in _TYPES.items():
            getattr(cuda, name).argtypes = types
        cuda.cudaGetErrorString.restype = ctypes.c_char_p
        self._cuda, self._index = cuda, index
        self._call("cudaSetDevice", index)
        self._there, self._back = self._stream(), self._stream()

    @classmethod
    def to(cls, memory: tuple[str, int]) -> Crossing | None:
        """To a device; None if it is not CUDA's, or CUDA's runtime cannot be called."""
        kind, index = memory
        cuda = cuda_runtime() if kind == "cuda" else None
        return cls(cuda, index) if cuda else None

    def array(self, port: Port) -> Array:
        """Host memory for a port's values; it is used again when nobody looks at it any more."""
        size = math.prod(port.sides) * port.dtype.itemsize
        spare = _SPARE.setdefault(size, [])
        try:
            address = spare.pop()
        except IndexError:  # asked for beforehand, another thread could take the last one
            address = self._allocate(size)
        memory = (ctypes.c_char * size).from_address(address)
        weakref.finalize(memory, spare.append, address).atexit = False
        return np.frombuffer(memoryview(memory), port.dtype).reshape(port.sides)

    def send(self, arrays: Mapping[str, Array], values: Mapping[str, ort.OrtValue]) -> None:
        """Arrays of `array` to the device; they are there when this returns."""
        self._cross({values[name].data_ptr(): array for name, array in arrays.items()}, _TO_DEVICE)

    def bring(
        self, values: Mapping[str, ort.OrtValue], ports: Mapping[str, Port]
    ) -> dict[str, Array]:
        """Copies on the host of what the device has computed."""
        arrays = {name: self.array(ports[name]) for name in values}
        self._cross({values[name].data_ptr(): array for name, array in arrays.items()}, _TO_HOST)
        return arrays

    def close(self) -> None:
        """Frees the host memory that nobody uses now, and the streams."""
        for addresses in _SPARE.values():
            while addresses:
                self._cuda.cudaFreeHost(addresses.pop())
        for stream in (self._there, self._back):
            self._cuda.cudaStreamDestroy(stream)

    def _cross(self, arrays: Mapping[int, Array], way: int) -> None:
        """By the addresses on the device."""
        stream = self._there if way == _TO_DEVICE else self._back
        self._call("cudaSetDevice", self._index)  # the thread may serve several
        for address, array in arrays.items():
            ends = array.ctypes.data, address
            to, from_ = ends if way == _TO_HOST else ends[::-1]
            self._call("cudaMemcpyAsync", to, from_, array.nbytes, way, stream)
        self._call("cudaStreamSynchronize", stream)

    def _stream(self) -> ctypes.c_void_p:
        made = ctypes.c_void_p()
        self._call("cudaStreamCreateWithFlags", ctypes.byref(made), _OWN_PACE)
        return made

    def _allocate(self, size: int) -> int:
        made = ctypes.c_void_p()
        self._call("cudaSetDevice", self._index)  # else the thread would open the first one, too
        self._call("cudaMallocHost", ctypes.byref(made), size)
        return made.value or 0

    def _call(self, name: str, *given: object) -> None:
        """Raises RuntimeError in onnxruntime's words, for `failures.run_error`."""
        if code := getattr(self._cuda, name)(*given):
            said = self._cuda.cudaGetErrorString(code).decode()
            raise RuntimeError(f"CUDA failure {code}: {said} ({name})")
