"""What works on this machine: versions, engines, encoders, models, memory, processor."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version

from vsrcli import __version__
from vsrcli.cores import usable_cores
from vsrcli.errors import VsrError
from vsrcli.media.encoders import EncoderCheck, check_encoders, check_external, ffmpeg_versions
from vsrcli.media.hwaccel import check_accelerators
from vsrcli.models import model_folders
from vsrcli.runtime.check import ModelCheck, check_model
from vsrcli.runtime.cpu import colon_file, cpu_features
from vsrcli.runtime.engines import Setup
from vsrcli.runtime.engines.libraries import missing_cuda_library, missing_tensorrt_library
from vsrcli.runtime.trial import is_right

_PACKAGES = (
    *("av", "numpy", "onnxruntime", "onnxruntime-gpu", "openvino"),
    *("imageio-ffmpeg", "rich", "typer", "torch", "onnx"),
)
_SETUPS = (
    Setup(device="cpu"),
    Setup(device="cuda:0"),
    Setup(device="tensorrt:0"),
    Setup(engine="openvino", device="cpu"),
)


@dataclass(frozen=True, kw_only=True)
class EngineCheck:
    """Whether a graph really ran on one device."""

    engine: str
    device: str
    reason: str = ""
    """Why it did not; empty if it did."""

    @property
    def is_unproven(self) -> bool:
        """What runs there follows documentation: no release of vsr was run on a GPU yet."""
        return self.device != "cpu"

    @property
    def works(self) -> bool:
        """A graph was loaded, run, and its result is right."""
        return not self.reason


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Processor and memory. Sizes in MiB; None where the system does not say."""

    system: str
    processor: str
    cores: int
    """That this process may use."""
    features: tuple[str, ...]
    """Of the instruction sets that matter to a model's speed."""
    memory_mib: int | None
    available_mib: int | None


@dataclass(frozen=True, kw_only=True)
class Health:
    """All that `examine` found."""

    versions: Mapping[str, str]
    """By package; "" where it is not installed."""
    ffmpeg: Mapping[str, str]
    engines: tuple[EngineCheck, ...]
    encoders: tuple[EncoderCheck, ...]
    decoders: Mapping[str, str]
    """By the device's kind for --hwaccel: why it does not decode, "" where it does."""
    models: tuple[ModelCheck, ...]
    machine: Machine


def examine() -> Health:
    """Everything, by trying it. Takes a few seconds and raises nothing for what does not work."""
    return Health(
        versions={
            "vsr": __version__,
            "python": platform.python_version(),
            **package_versions(_PACKAGES),
        },
        ffmpeg=ffmpeg_versions(),
        engines=examine_engines(),
        encoders=(*check_encoders(), *check_external()),
        decoders=check_accelerators(),
        models=tuple(check_model(folder) for folder in model_folders()),
        machine=describe_machine(),
    )


def examine_engines() -> tuple[EngineCheck, ...]:
    """Each engine on each kind of device."""
    return tuple(check_engine(setup) for setup in _SETUPS)


def check_engine(setup: Setup) -> EngineCheck:
    """Whether a grey picture comes out of a tiny graph as it should."""
    check = partial(EngineCheck, engine=setup.engine, device=setup.device)
    try:
        computes = is_right(replace(setup, threads=1))
    except VsrError as exc:
        return check(reason=_missing_library(setup.device) or str(exc))
    return check(reason="" if computes else "it computes wrong values")


def _missing_library(device: str) -> str:
    find = {"cuda": missing_cuda_library, "tensorrt": missing_tensorrt_library}
    kind = device.partition(":")[0]
    return find[kind]() if kind in find else ""


def describe_machine() -> Machine:
    """The processor, its useful instruction sets and the memory."""
    facts, memory = colon_file("/proc/cpuinfo"), colon_file("/proc/meminfo")
    return Machine(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        processor=facts.get("model name") or platform.processor() or platform.machine(),
        cores=usable_cores(),
        features=cpu_features(),
        memory_mib=_kib_as_mib(memory.get("MemTotal")) or _physical_mib(),
        available_mib=_kib_as_mib(memory.get("MemAvailable")),
    )


def package_versions(names: Iterable[str]) -> dict[str, str]:
    """By package; "" where it is not installed."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


def _kib_as_mib(text: str | None) -> int | None:
    return int(text.split()[0]) // 1024 if text else None


def _physical_mib() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    except (AttributeError, ValueError, OSError):  # not on this system
        return None
