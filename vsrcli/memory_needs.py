"""How much memory a run will take, said before it.

Models that see one frame at a time take little. Bidirectional ones hold a chunk of frames, and how
long a chunk can be depends on what is free.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vsrcli.frames import Picture
from vsrcli.models import UNTUNED, Model, Temporal, Tuning
from vsrcli.prefetch import DECODED_AHEAD, UPSCALED_AHEAD
from vsrcli.runtime.chunk_memory import chunk_for, foreseen
from vsrcli.runtime.devices import choose_device
from vsrcli.runtime.drivers.bidirectional import DEFAULT_OVERLAP
from vsrcli.runtime.memory import free_bytes
from vsrcli.sizes import running_scale

PROCESS_BYTES = 110 << 20
"""The interpreter, its libraries, the decoder and the muxer."""
_IN_HAND = 12
"""Frames that the stages work on, the decoder's references included, besides those that wait."""
_SLACK_BYTES = 60 << 20
"""What allocators keep back."""
ENCODER_BYTES = 20 << 20
ENCODER_FRAMES = 128
"""Frames that libx264 keeps at its preset medium, in bytes of the frames it is given."""


@dataclass(frozen=True, kw_only=True)
class Need:
    """What one model will take on one source."""

    model: str
    chunk: int
    """Frames that would be restored together."""
    overlap: int
    peak_bytes: int
    """Resident memory of the run at most, decoder and encoder (libx264, medium) included. On a GPU
    the model's share of it lies there."""
    free_bytes: int | None
    """None where the system does not say."""


def peak_bytes(picture: Picture, model: Model, *, scale: int, tuning: Tuning = UNTUNED) -> int:
    """Resident memory of a run of one model at most; on a GPU the model's share lies there.

    Raises WeightsError, DeviceError.
    """
    if model.temporal is Temporal.BIDIRECTIONAL:
        return _need(picture, model, scale, tuning).peak_bytes
    graph = model.graph(scale)
    pixels = picture.width * picture.height
    small = _frame_bytes(picture)
    queued = (DECODED_AHEAD + _IN_HAND) * small + (UPSCALED_AHEAD + _IN_HAND) * small * scale**2
    weights = 2 * graph.file.stat().st_size
    own = weights + graph.work * pixels
    return PROCESS_BYTES + _SLACK_BYTES + own + queued + _encoding(picture, scale)


def memory_needs(
    picture: Picture, models: Sequence[Model], *, scale: int, tuning: Tuning = UNTUNED
) -> Iterator[Need]:
    """What each bidirectional model among these would take. Raises WeightsError, DeviceError."""
    for model in models:
        if model.temporal is Temporal.BIDIRECTIONAL:
            yield _need(picture, model, running_scale(model, scale), tuning)


def _need(picture: Picture, model: Model, scale: int, tuning: Tuning) -> Need:
    free = free_bytes(choose_device("auto"))
    overlap = DEFAULT_OVERLAP if tuning.overlap is None else tuning.overlap
    foot = foreseen(model, scale, picture)
    chunk = chunk_for(foot, tuning.chunk, overlap, free)
    return Need(
        model=model.id,
        chunk=chunk,
        overlap=overlap,
        peak_bytes=PROCESS_BYTES + foot.of(chunk, overlap) + _encoding(picture, scale),
        free_bytes=free,
    )


def _encoding(picture: Picture, scale: int) -> int:
    return ENCODER_BYTES + ENCODER_FRAMES * _frame_bytes(picture) * scale**2


def _frame_bytes(picture: Picture) -> int:
    return picture.samples * picture.layout.dtype.itemsize
