"""Frames in flight on a GPU: while one is computed, the one before it crosses to the host.

A lane is a place for one frame on the device: tensors for the planes that go in and those that come
out, bound once and for all. So a run only copies planes in and starts, and CUDA can record the
graph's kernels in a lane's first run (a CUDA graph) and launch them in one piece from then on.
onnxruntime keeps recordings apart by the thread that runs; a lane has one, and needs no other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait

import numpy as np
import onnxruntime as ort

from vsrcli.runtime.engines.base import Array, Landed, Port
from vsrcli.runtime.engines.failures import run_error
from vsrcli.runtime.engines.transfer import Crossing

_LANDING = ThreadPoolExecutor(1, "vsr-landing")
"""Of the whole process: what has been computed crosses to the host here."""
_RECORDING = "gpu_graph_id"
"""onnxruntime's name for the recording that a run makes or launches."""
_SETTLING = 4
"""Runs before one is recorded, beside onnxruntime's own two: each may find that the memory which
the others left lies in the wrong pieces, and CUDA gives none while it records."""


class Lane:
    """Tensors for one frame on the device, and what they are bound to. Not for two threads at once.

    The tensors of the other ports, which stay on the device, are given; `put` makes one there.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        *,
        inputs: Mapping[str, Port],
        outputs: Mapping[str, Port],
        bound_inputs: Mapping[str, ort.OrtValue],
        bound_outputs: Mapping[str, ort.OrtValue],
        put: Callable[[Array], ort.OrtValue],
        crossing: Crossing | None,
        recording: int | None,
    ) -> None:
        """`recording` is the number of this lane's CUDA graph; None if none is made. Without a
        `crossing` onnxruntime copies."""
        self._session, self._binding = session, session.io_binding()
        self._crossing, self._ports = crossing, outputs
        self._sent = {n: crossing.array(port) for n, port in inputs.items()} if crossing else {}
        self._inputs = {name: put(np.zeros(p.sides, p.dtype)) for name, p in inputs.items()}
        self._outputs = {name: put(np.zeros(p.sides, p.dtype)) for name, p in outputs.items()}
        for name, value in {**self._inputs, **bound_inputs}.items():
            self._binding.bind_ortvalue_input(name, value)
        for name, value in {**self._outputs, **bound_outputs}.items():
            self._binding.bind_ortvalue_output(name, value)
        self._options = run_options(recording)
        self._will_record = recording is not None
        self._landing: Future[dict[str, Array]] | None = None

    def run(self, feeds: Mapping[str, Array]) -> Landed:
        """One run, computed when this returns; its outputs are on their way."""
        if self._landing:
            wait([self._landing])  # else they would be written over; errors are its reader's
        self._send(feeds)
        if self._will_record:
            wait([_LANDING.submit(_nothing)])  # no other use of the GPU may fall into a recording
            for _ in range(_SETTLING):
                self._session.run_with_iobinding(self._binding, run_options(None))
        self._session.run_with_iobinding(self._binding, self._options)
        self._will_record = False
        self._landing = _LANDING.submit(self._land)
        return self._landing.result

    def _send(self, feeds: Mapping[str, Array]) -> None:
        if self._crossing is None:
            for name, array in feeds.items():
                self._inputs[name].update_inplace(np.ascontiguousarray(array))
            return
        for name, array in feeds.items():
            self._sent[name][:] = array
        self._crossing.send(self._sent, self._inputs)

    def _land(self) -> dict[str, Array]:
        try:
            if self._crossing:
                return self._crossing.bring(self._outputs, self._ports)
            return {name: _on_host(value) for name, value in self._outputs.items()}
        except Exception as exc:  # onnxruntime raises a bare class of its own for each status
            raise run_error(exc) from exc


def close(crossing: Crossing) -> None:
    """When all that has been computed so far has crossed."""
    _LANDING.submit(crossing.close)


def run_options(recording: int | None) -> ort.RunOptions:
    """For a run that makes or launches a recording, or that has nothing to do with any."""
    options = ort.RunOptions()
    options.add_run_config_entry(_RECORDING, "-1" if recording is None else str(recording))
    return options


def _on_host(value: ort.OrtValue) -> Array:
    """A copy. From a device it is one already; host memory would be lent."""
    array: Array = value.numpy()
    return array if array.flags.owndata else array.copy()


def _nothing() -> None:
    """Waits for its turn."""
