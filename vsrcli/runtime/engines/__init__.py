"""Engines: the only place that knows who runs a graph."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from vsrcli.cores import usable_cores
from vsrcli.errors import DeviceError
from vsrcli.runtime.engines.base import Array, Engine, Port, Tensor

__all__ = ["ENGINES", "Array", "Engine", "Port", "Setup", "Tensor", "is_installed", "open_engine"]
ENGINES = ("onnxruntime", "openvino")


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Who runs graphs, where and how."""

    engine: str = "onnxruntime"
    device: str = "cpu"
    """cpu, cuda[:N], tensorrt[:N]."""
    precision: str = "fp32"
    """What the engine computes in: that of the graph, or "bf16" or "fp16" for one of "fp32"."""
    threads: int = 0
    """0 is one a core."""
    records: bool = True
    """A GPU may record kernels: no other thread of this process uses it, which would break that."""

    @property
    def is_gpu(self) -> bool:
        """Graphs run beside the processor: planes have to go there and come back."""
        return self.device != "cpu"

    @property
    def is_blocked(self) -> bool:
        """The engine's convolutions leave channels in blocks, which others would have to undo."""
        return self.engine == "onnxruntime"

    @property
    def workers(self) -> int:
        """Threads that a driver may keep busy at once: those of the engine, or one for a GPU."""
        return 1 if self.is_gpu else self.threads or usable_cores()

    def with_threads(self, threads: int) -> Setup:
        """The same with so many threads an engine."""
        return replace(self, threads=threads)

    def open(
        self,
        graph: Path | bytes,
        *,
        frugal: bool = False,
        held: Mapping[str, str] | None = None,
        hidden: Collection[str] = (),
        steady: bool = False,
    ) -> Engine:
        """The graph (a file or its bytes), loaded and ready.

        `frugal` keeps less memory between runs. Each input named in `held` takes, from run to run,
        what the output it names gave; neither is a port of the engine. Outputs in `hidden` are not
        seen: they may be no more exact than what lies inside. `steady` engines are run by `start`:
        a GPU then records the graph's kernels once and launches them in one piece.

        Raises DeviceError if the device or the engine is not usable, WeightsError if the graph is
        not.
        """
        threads = self.threads or usable_cores()
        if self.engine == "openvino":
            if not is_installed("openvino"):
                raise DeviceError(
                    "OpenVINO is not installed; install vsrcli[openvino] or use "
                    "--engine onnxruntime --precision fp32"
                )
            if self.is_gpu:
                raise DeviceError(f"OpenVINO runs on the CPU here, not {self.device}")
            from vsrcli.runtime.engines.openvino import OpenVinoEngine  # 60 ms to import

            return OpenVinoEngine(
                graph, threads=threads, precision=self.precision, held=held, hidden=hidden
            )
        from vsrcli.runtime.engines.onnx import OnnxEngine  # 80 ms to import

        return OnnxEngine(
            graph,
            device=self.device,
            threads=threads,
            frugal=frugal,
            held=held,
            steady=steady and self.records,
            precision=self.precision,
        )


def open_engine(
    graph: Path | bytes, *, device: str = "cpu", threads: int = 0, frugal: bool = False
) -> Engine:
    """The graph in onnxruntime and its own precision. See `Setup.open`."""
    return Setup(device=device, threads=threads).open(graph, frugal=frugal)


def is_installed(engine: str) -> bool:
    """Whether an engine's package is there; not whether it works."""
    return find_spec(engine) is not None
