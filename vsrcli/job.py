"""Everything one run needs: frozen, checked when made, independent of the command line."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, is_dataclass
from fractions import Fraction
from functools import cache
from math import isfinite
from numbers import Integral, Real
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from vsrcli.errors import InputError, OutputError, UsageError
from vsrcli.media.deinterlace import MODES
from vsrcli.media.inlet import Reading
from vsrcli.media.intake import Intake
from vsrcli.media.mapping import check_map
from vsrcli.media.settings import VideoOptions
from vsrcli.models import UNTUNED, Tuning
from vsrcli.paths import is_too_long
from vsrcli.runtime import engines

DEFAULT_MODEL = "rlsp-7-128"
DEFAULT_SCENE_THRESHOLD = 25.0
DEFAULT_SEGMENT = 250
"""As far apart as libx264's keyframes, so that segments cost next to nothing."""
AUDIO_MODES = ("copy", "aac", "none")
ON_ERROR = ("fail", "skip", "repeat")
ENGINES = ("auto", *engines.ENGINES)
PRECISIONS = ("auto", "fp32", "bf16", "fp16", "int8")


@dataclass(frozen=True, kw_only=True)
class Job:
    """One source to one target; a path may be given as a str. Raises UsageError for values that
    cannot be meant or are of another type, InputError and OutputError for paths that name no
    file."""

    source: Path
    target: Path | None = None
    """None: beside the source, named after it, the scale and the model."""
    model: str = DEFAULT_MODEL
    """An id, or the path of a model folder."""
    scale: int | None = None
    """None: 4 if the model has it, else its largest; or as width and height need."""
    width: int | None = None
    height: int | None = None
    """The output's size, px; one alone keeps the shape of the picture."""
    video: VideoOptions = field(default_factory=VideoOptions)
    """The encoder and its settings."""
    intake: Intake = field(default_factory=lambda: Intake(deinterlace="auto"))
    """What is done to decoded frames: deinterlacing, turning, a constant rate, no alpha."""
    maps: tuple[str, ...] = ()
    """Which streams come along, in the words of FFmpeg's -map; none given: all."""
    reading: Reading = field(default_factory=Reading)
    """How a source that does not say it by itself is to be read."""
    format: str | None = None
    """The target's container, where its name does not say it."""
    audio: str = "copy"
    """One of AUDIO_MODES; what the container cannot hold is converted where it is to be copied."""
    start_s: Fraction | None = None
    end_s: Fraction | None = None
    """The part that is wanted, seconds from the source's first instant; None: all."""
    overwrite: bool = False
    """Whether an older target is replaced."""
    on_error: str = "fail"
    """One of ON_ERROR: what becomes of frames that cannot be decoded."""
    scene_cut: bool = True
    """Whether a recurrent model's state starts afresh where the picture cuts."""
    scene_threshold: float | None = None
    """Score of a cut, per cent (see `cuts`); None: DEFAULT_SCENE_THRESHOLD."""
    warm_up: int | None = None
    """Frames of each shot that are run backwards first, to fill a recurrent model's state; None: as
    the model's card says."""
    tuning: Tuning = UNTUNED
    """How a model of a kind with options of its own runs."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or tensorrt."""
    engine: str = "auto"
    """One of ENGINES; auto: the one that is faster for this kind of model, as measured."""
    precision: str = "auto"
    """One of PRECISIONS; auto: the fastest that costs no quality that could be seen."""
    threads: int = 0
    """Of decoder, model and encoder together (see `thread_shares`); 0: one a core for each."""
    segment: int = DEFAULT_SEGMENT
    """Frames of a segment, after each of which a stopped run can go on; 0: it cannot."""
    resume: bool | None = None
    """Whether unfinished work is taken up; None refuses to write over any."""
    keep_work: bool = False
    """Whether the finished segments stay when the output is done."""

    def __post_init__(self) -> None:
        for name in ("source", "target"):
            if isinstance(path := getattr(self, name), str):
                object.__setattr__(self, name, Path(path))
        _check_kinds(self)
        if not self.source.name:
            raise InputError(f"{self.source} names no file; name a video file")
        if not _can_be_named(self.source):
            raise InputError(f"{_no_name(self.source)}; name a video file")
        for name, words in (("--model", self.model), ("--ffmpeg", self.video.ffmpeg or "")):
            _require(_can_be_named(words), f"{name}: {_no_name(words)}")
        if self.target is not None:
            check_name(self.target)
        check_scale(self.scale)
        sized = self.width is not None or self.height is not None
        _require(not (sized and self.scale), "give either --scale or --width/--height, not both")
        for name, side in (("--width", self.width), ("--height", self.height)):
            _require(side is None or 1 <= side <= 16384, f"{name} must be 1 to 16384")
        _require(
            self.audio in AUDIO_MODES,
            f"-c:a must be one of {', '.join(AUDIO_MODES)}; ffmpeg makes others of the output, "
            f"whose picture it copies: ffmpeg -i OUT -map 0 -c copy -c:a {self.audio} NEW",
        )
        _require(self.on_error in ON_ERROR, f"--on-error must be one of {', '.join(ON_ERROR)}")
        check_engine(self.engine)
        check_precision(self.precision)
        _require(self.threads >= 0, "--threads must be 0 or more")
        _require(0 <= self.segment <= 100_000, "--segment must be 0 to 100000")
        threshold = self.scene_threshold
        is_percent = threshold is None or 0 < threshold <= 100
        _require(is_percent, "--scene-threshold must be above 0 and at most 100")
        _require(self.scene_cut or threshold is None, "give --scene-threshold or --no-scene-cut")
        _require(self.warm_up is None or 0 <= self.warm_up <= 64, "--warm-up must be 0 to 64")
        start, end = self.start_s or 0, self.end_s
        _require(start >= 0, "-ss must not be negative")
        _require(end is None or end > start, "the end (-to, or -ss plus -t) must lie after -ss")
        check_rate(self.video)
        check_map(self.maps)
        mode, fps = self.intake.deinterlace, self.intake.rate
        _require(mode in MODES, f"--deinterlace must be one of {', '.join(MODES)}")
        _require(fps is None or 0 < fps <= 1000, "--fps must be above 0 and at most 1000")

    @property
    def shares_gpu(self) -> bool:
        """Whether this process decodes or encodes on NVIDIA's GPU, too, on threads of its own."""
        encodes = "nvenc" in (self.video.codec or "") and self.video.ffmpeg in (None, "auto")
        return encodes or self.reading.hwaccel in ("cuda", "auto")


def _check_kinds(part: object) -> None:
    """Raises UsageError where a value is not of its field's type, here and in what is inside."""
    of: type = type(part)
    for name, kind in _kinds(of).items():
        value = getattr(part, name)
        told = f"{of.__name__}.{name} takes {of.__annotations__[name]}, not {value!r}"
        _require(isinstance(value, kind), told)
        if is_dataclass(value):
            _check_kinds(value)


@cache
def _kinds(part: type) -> Mapping[str, Any]:
    """Field -> what its value has to be an instance of."""
    return {name: _kind(hint) for name, hint in get_type_hints(part).items()}


def _kind(hint: Any) -> Any:  # noqa: ANN401  # a type, or types in a tuple
    kind = get_origin(hint) or hint
    if kind is UnionType:
        return tuple(map(_kind, get_args(hint)))
    numbers: Mapping[Any, type] = {int: Integral, float: Real, Fraction: Real}
    return numbers.get(kind, kind)


def check_scale(scale: int | None) -> None:
    """Raises UsageError for what no picture can be enlarged by; None is the model's own scale."""
    _require(scale is None or scale >= 1, "--scale must be 1 or more")


def check_rate(video: VideoOptions) -> None:
    """Raises UsageError where both a quality and a bit rate are asked for, or a quality that is no
    number."""
    is_one = video.crf is None or not video.bitrate
    _require(is_one, "give either --crf or --bitrate, not both")
    _require(isfinite(video.crf or 0), f"--crf must be a number, not {video.crf}")


def check_engine(engine: str) -> None:
    """Raises UsageError for one that is not of ENGINES."""
    _require(engine in ENGINES, f"--engine must be one of {', '.join(ENGINES)}, not {engine}")


def check_precision(precision: str) -> None:
    """Raises UsageError for one that is not of PRECISIONS."""
    known = ", ".join(PRECISIONS)
    _require(precision in PRECISIONS, f"--precision must be one of {known}, not {precision}")


def check_name(target: Path) -> None:
    """Raises OutputError for what no file can be called."""
    if not target.name:
        raise OutputError(f"{target} names no file; -o takes a file's name")
    if not _can_be_named(target):
        raise OutputError(f"{_no_name(target)}; choose another -o")
    if is_too_long(target):
        raise OutputError(f"the file name {target.name} is too long; choose another -o")


def _can_be_named(path: str | Path) -> bool:
    """Job lists and configuration files can hold what the system has no name for."""
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


def _no_name(path: str | Path) -> str:
    return f"{str(path)!r} holds what no file's name does"


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise UsageError(otherwise)
