"""What a run is: everything its output depends on, in words, so that a difference can be named."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path

from vsrcli import __version__
from vsrcli.job import Job
from vsrcli.media.encoders import wheel_version
from vsrcli.models import Model, graph_precision
from vsrcli.resume import Identity
from vsrcli.sizes import Size

_NO_MATTER = {"source", "target", "overwrite", "resume", "keep_work", "reading.rate"}
"""Fields of a Job that change no frame: the last is of numbered pictures, whose runs leave nothing
to go on from."""
_SAID_OTHERWISE = {"model", "scale", "width", "height", "device", "engine", "precision"}
"""Fields that leave something open; what became of them is said instead."""
_WORDS = {
    "audio": "-c:a",
    "start_s": "-ss",
    "end_s": "-to",
    "format": "-f",
    "maps": "--map",
    "video.codec": "-c:v",
    "video.extra": "--encoder-option",
    "intake.rate": "--fps",
    "reading.format": "--input-format",
    "reading.options": "--input-option",
    "scene_cut": "the search for cuts",
}
"""How the command line says what its options do not share a name with; -t is told as -to."""
_SAMPLES, _SAMPLE_BYTES = 16, 1 << 16
"""Of the source, spread over it, that its digest is taken of."""


def identity(job: Job, model: Model, size: Size, device: str) -> Identity:
    """The identity of a run. `device` is what the model really runs on."""
    precision = graph_precision(job.precision)
    options = {_option(name): word for name, word in _fields(job) if name not in _SAID_OTHERWISE}
    if job.on_error == "fail":  # nothing is left out so far: another choice may go on from here
        del options["--on-error"]
    return {
        **_of_file(job.source),
        "the model": f"{model.id} x{size.scale} {precision}",
        "its weights": model.graph(size.scale, precision).sha256[:16],
        "the size": f"{size.width}x{size.height}",
        "the device": device,
        **options,
        "vsr": __version__,
        "FFmpeg's wheel": wheel_version(),
    }


def _fields(part: object, prefix: str = "") -> Iterator[tuple[str, str]]:
    """(name, value) of each field that matters; those of nested parts as part.name."""
    assert is_dataclass(part)
    for field in fields(part):
        name, value = f"{prefix}{field.name}", getattr(part, field.name)
        if name in _NO_MATTER:
            continue
        if is_dataclass(value):
            yield from _fields(value, f"{name}.")
        else:
            yield name, _word(value)


def _option(name: str) -> str:
    """What the command line calls a field."""
    return _WORDS.get(name) or f"--{name.rpartition('.')[2].replace('_', '-')}"


def _word(value: object) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{key}={entry}" for key, entry in sorted(value.items()))
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    if isinstance(value, bool):
        return "on" if value else "off"
    return "" if value is None else str(value)


def _of_file(path: Path) -> dict[str, str]:
    """Size, time of change and a digest of parts of a file. Its name does not matter."""
    try:
        with path.open("rb") as file:
            facts = os.fstat(file.fileno())
            digest = hashlib.sha256()
            for at in _sample_places(facts.st_size):
                file.seek(at)
                digest.update(file.read(_SAMPLE_BYTES))
    except OSError:
        return {}  # not a plain file: opening it as video says more
    return {
        "the input's size": f"{facts.st_size} bytes",
        "the input's time of change": f"{facts.st_mtime_ns / 1e9:.6f}",
        "the input's content": digest.hexdigest()[:16],
    }


def _sample_places(size: int) -> Iterator[int]:
    last = max(0, size - _SAMPLE_BYTES)
    yield from sorted({last * i // (_SAMPLES - 1) for i in range(_SAMPLES)})
