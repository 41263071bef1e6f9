"""What is measured, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vsrcli.doctor import Machine
from vsrcli.errors import UsageError
from vsrcli.job import DEFAULT_MODEL, check_engine, check_precision, check_scale
from vsrcli.media.settings import check_preset

CRF = 16
"""Of libx264, in vsr's runs and ffmpeg's."""
Size = tuple[int, int]
"""(width, height) px."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be measured: each model by each engine, precision and size."""

    models: tuple[str, ...] = (DEFAULT_MODEL,)
    engines: tuple[str, ...] = ("auto",)
    precisions: tuple[str, ...] = ("auto",)
    sizes: tuple[Size, ...] = ((480, 270),)
    """Of the source."""
    scale: int | None = None
    """None: each model's largest."""
    device: str = "auto"
    threads: int = 0
    """Of a stage that runs alone, and of all stages of a run together; 0: one a core, each."""
    frames: int = 100
    """Of the clip that is run end to end, more where it is too short for the stages; 0: none is."""
    rounds: int = 1
    """How often each clip is run, the median counting."""
    source: Path | None = None
    """A video to make the clips from; None: one is drawn."""
    pictures: Path | None = None
    """A folder of pictures to judge precision on; None: some are drawn."""
    preset: str = "ultrafast"
    """Of libx264."""
    with_ffmpeg: bool = False

    def __post_init__(self) -> None:
        """Raises UsageError for an engine, a precision or a scale that there is not, and for what
        goes with a clip where none is run; EncodeError for a preset that there is not."""
        check_scale(self.scale)
        for engine in self.engines:
            check_engine(engine)
        for precision in self.precisions:
            check_precision(precision)
        check_preset("libx264", self.preset)
        if not self.frames and (given := self._of_clip()):
            raise UsageError(f"{given[0]} goes with a clip, of which --frames 0 makes none")

    def _of_clip(self) -> list[str]:
        """The options that were given and say something of the clip alone."""
        given = {
            "--compare-ffmpeg": self.with_ffmpeg,
            "-i": self.source is not None,
            "--rounds": self.rounds != Plan.rounds,
            "--preset": self.preset != Plan.preset,
        }
        return [option for option, is_given in given.items() if is_given]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row of the table."""

    model: str
    scale: int
    engine: str
    precision: str
    size: Size

    @property
    def label(self) -> str:
        """The case in a few words."""
        width, height = self.size
        return f"{self.model} x{self.scale} {self.engine} {self.precision} {width}x{height}"


@dataclass(frozen=True, kw_only=True)
class Stages:
    """Milliseconds a frame in each stage alone on all cores, and in a run of all of them."""

    decode_ms: float
    infer_ms: float
    encode_ms: float
    together_ms: float
    first_s: float
    """From the call to the first frame out."""
    busy: float
    """Share of the cores' time that the run computed: near 1 nothing is left to overlap."""

    @property
    def overlap(self) -> float:
        """The run against its slowest stage: 1 where the others hide behind it."""
        return self.together_ms / max(self.decode_ms, self.infer_ms, self.encode_ms)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What was measured of a case. None is what was not, or cannot be."""

    case: Case
    reason: str = ""
    """Why it does not run; empty if it does."""
    device: str = ""
    """What it really ran on."""
    model_ms: float | None = None
    """A frame through the model and the conversions around it; the median."""
    gflop: float | None = None
    """Of a frame, 10^9 floating-point operations."""
    peak_gflops: float | None = None
    """What the same engine reaches here in the same precision."""
    psnr_db: float | None = None
    psnr_change_db: float | None = None
    """Against onnxruntime's fp32 on the same pictures."""
    fps: float | None = None
    """End to end, start-up included."""
    peak_mib: float | None = None
    """Of the process that ran end to end."""
    stages: Stages | None = None

    @property
    def gflops(self) -> float | None:
        """10^9 floating-point operations a second in the model."""
        return self.gflop / self.model_ms * 1000 if self.gflop and self.model_ms else None

    @property
    def peak_share(self) -> float | None:
        """What share of the engine's own peak that is, 0..1."""
        return self.gflops / self.peak_gflops if self.gflops and self.peak_gflops else None


@dataclass(frozen=True, kw_only=True)
class Scaler:
    """ffmpeg's own scaler, end to end."""

    kernel: str
    scale: int
    size: Size
    fps: float
    peak_mib: float | None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """All figures of a run, and what they were taken on."""

    plan: Plan
    machine: Machine
    versions: Mapping[str, str]
    peaks: Mapping[str, float]
    """10^9 floating-point operations a second by "engine precision"."""
    figures: tuple[Figures, ...]
    scalers: tuple[Scaler, ...]
