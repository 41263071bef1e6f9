"""What a run is: everything its output depends on, in words, so that a difference can be named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass

from vsrcli import __version__
from vsrcli.job import Job
from vsrcli.media.encoders import wheel_version
from vsrcli.models import Model, graph_precision
from vsrcli.resume import Identity, identity_of_file
from vsrcli.sizes import Size

_NO_MATTER = {"source", "target", "overwrite", "resume", "keep_work"}
"""Fields of a Job that change no frame."""
_SAID_OTHERWISE = {"model", "scale", "width", "height", "device", "engine", "precision"}
"""Fields that leave something open; what became of them is said instead."""


def identity(job: Job, model: Model, size: Size, device: str) -> Identity:
    """The identity of a run. `device` is what the model really runs on."""
    precision = graph_precision(job.precision)
    options = {
        name: word for name, word in _options(job) if name.split(".")[0] not in _SAID_OTHERWISE
    }
    if job.on_error == "fail":  # nothing is left out so far: another choice may go on from here
        del options["on_error"]
    return {
        **identity_of_file(job.source),
        "the model": f"{model.id} x{size.scale} {precision}",
        "its weights": model.graph(size.scale, precision).sha256[:16],
        "the size": f"{size.width}x{size.height}",
        "the device": device,
        **options,
        "vsr": __version__,
        "FFmpeg's wheel": wheel_version(),
    }


def _options(part: object, prefix: str = "") -> Iterator[tuple[str, str]]:
    """(name, value) of each option; those of nested parts as part.name."""
    assert is_dataclass(part)
    for field in fields(part):
        value = getattr(part, field.name)
        if field.name in _NO_MATTER:
            continue
        if is_dataclass(value):
            yield from _options(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", _word(value)


def _word(value: object) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{key}={entry}" for key, entry in sorted(value.items()))
    return "" if value is None else str(value)
