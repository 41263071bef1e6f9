"""How many frames a source really has and when they are shown, found by reading all of it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av

from vsrcli.errors import InputError
from vsrcli.frames import Frame
from vsrcli.media.describe import stream_info
from vsrcli.media.info import StreamInfo
from vsrcli.media.source import Source, packets_of
from vsrcli.paths import local

_COARSE_TICKS = 10
"""Intervals of fewer ticks than this must be equal: a coarse clock hides no rounding."""
_INTRO = 300
"""Frames after which a film has most likely faded in from black."""
_USUAL_RATES = (
    *(Fraction(n) for n in (24, 25, 30, 48, 50, 60, 120)),
    *(Fraction(n * 1000, 1001) for n in (24, 30, 48, 60, 120)),
)


@dataclass(frozen=True, kw_only=True)
class Timing:
    """When frames are shown. Seconds; 0 where there is but one frame."""

    is_vfr: bool
    rate: Fraction
    """Frames a second, on average."""
    shortest_s: float
    longest_s: float
    start_s: float
    """Of the first frame."""


@dataclass(frozen=True, kw_only=True)
class Census:
    """What reading a source from end to end found."""

    frames: int
    is_decoded: bool
    """Every frame was decoded; otherwise packets were counted, as decoding takes too long."""
    damaged: int
    """Packets that could not be decoded."""
    timing: Timing
    decode_s: float
    """Seconds of reading and decoding a frame."""
    samples: tuple[Frame, ...]
    """Consecutive frames, cut to their middle; not the first where there are more."""


def take_census(
    source: Source, *, limit_s: float | None, samples: int, sample_size: tuple[int, int]
) -> Census:
    """Reads a source opened with on_error="skip" to its end.

    After `limit_s` seconds of decoding (None: no limit) the packets are counted instead. Up to
    `samples` frames are kept, no larger than `sample_size` (width, height).
    """
    video = source.info.video
    sampled_from = min(video.frames // 3, _INTRO)
    kept: list[Frame] = []
    stamps: list[int] = []
    began = time.perf_counter()
    is_decoded = True
    for item in source.items():
        if not isinstance(item, Frame):
            continue
        stamps.append(item.pts)
        if len(stamps) == sampled_from:
            kept.clear()
        if len(kept) < samples:
            kept.append(centre(item, *sample_size))
        if limit_s is not None and time.perf_counter() - began > limit_s:
            is_decoded = False
            break
    decode_s = (time.perf_counter() - began) / len(stamps)
    frames = len(stamps)
    if not is_decoded:
        frames, stamps = _count_packets(source.path, video.index)
    return Census(
        frames=frames,
        is_decoded=is_decoded,
        damaged=source.damaged,
        timing=timing_of(stamps, video.time_base, video.rate),
        decode_s=decode_s,
        samples=tuple(kept),
    )


def timing_of(stamps: Iterable[int], time_base: Fraction, declared: Fraction) -> Timing:
    """Constant or variable rate, from presentation times in ticks of the time base.

    Constant means that every frame is within one tick of its place on an even grid. The declared
    or a usual rate stands where the measured one only differs from it by the rounding to ticks.
    """
    ticks = sorted(stamps)
    steps = [b - a for a, b in pairwise(ticks)]
    if not steps or ticks[-1] == ticks[0]:
        start = float(ticks[0] * time_base) if ticks else 0.0
        return Timing(is_vfr=False, rate=declared, shortest_s=0, longest_s=0, start_s=start)
    mean = Fraction(ticks[-1] - ticks[0], len(steps))
    off = max(abs(tick - ticks[0] - i * mean) for i, tick in enumerate(ticks))
    even = min(steps) == max(steps) or (mean >= _COARSE_TICKS and off <= 1)
    rate = 1 / (mean * time_base)
    return Timing(
        is_vfr=not even,
        rate=_exact_rate(rate, len(steps) / time_base, declared) if even else rate,
        shortest_s=float(min(steps) * time_base),
        longest_s=float(max(steps) * time_base),
        start_s=float(ticks[0] * time_base),
    )


def _exact_rate(measured: Fraction, ticks: Fraction, declared: Fraction) -> Fraction:
    """The rate whose `ticks` (intervals in ticks of a second) ends within one tick, if one does."""
    fits = (r for r in (declared, *_USUAL_RATES) if abs(ticks / r - ticks / measured) <= 1)
    return next(fits, measured)


def centre(frame: Frame, width: int, height: int) -> Frame:
    """A copy of the middle of a frame, at most width x height, on the chroma grid."""
    layout = frame.layout
    width, height = min(width, frame.width), min(height, frame.height)
    left = (frame.width - width) // 2 // layout.chroma_w * layout.chroma_w
    top = (frame.height - height) // 2 // layout.chroma_h * layout.chroma_h
    planes = []
    for index, plane in enumerate(frame.planes):
        rows, columns = layout.size(index, width, height)
        down, across = layout.subsampling(index)
        x, y = left // across, top // down
        planes.append(plane[y : y + rows, x : x + columns].copy())
    return replace(frame, planes=tuple(planes), width=width, height=height)


def list_streams(path: Path) -> tuple[str, tuple[StreamInfo, ...]]:
    """The container's name and its streams, for a file without video. Raises InputError."""
    try:
        with av.open(local(path), metadata_errors="replace") as container:
            return container.format.name, tuple(stream_info(s) for s in container.streams)
    except (av.FFmpegError, OSError, ValueError) as exc:
        raise InputError(f"{path} cannot be opened as a media file ({exc})") from exc


def _count_packets(path: Path, index: int) -> tuple[int, list[int]]:
    """Packets that show a frame, and the times of those that say so."""
    stamps = [packet.pts for packet in packets_of(path, index) if not packet.is_discard]
    return len(stamps), [pts for pts in stamps if pts is not None]
