"""What a media file holds, read back without vsr: the tests compare sources and outputs by this."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

Instant = tuple[Fraction, Fraction]
"""When a packet or frame is shown and for how long, seconds."""


@dataclass(frozen=True, kw_only=True)
class Other:
    """A stream that is not the picture."""

    kind: str
    codec: str
    language: str
    title: str
    disposition: int
    packets: tuple[str, ...]
    """SHA-256 of each packet's bytes, in order."""
    times: tuple[Instant, ...]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A file's picture and its other streams."""

    size: tuple[int, int]
    pix_fmt: str
    times: tuple[Instant, ...]
    """Of each decoded frame."""
    pictures: tuple[str, ...]
    """SHA-256 of each decoded frame's planes."""
    color: tuple[int, int, int, int]
    """primaries, transfer, matrix, range."""
    sar: Fraction
    rotation: int
    rate: Fraction
    interlaced: bool
    others: tuple[Other, ...]
    chapters: tuple[tuple[Fraction, Fraction, str], ...]
    metadata: dict[str, str]

    @property
    def pts(self) -> list[Fraction]:
        """When each frame is shown, seconds."""
        return [at for at, _ in self.times]

    def of(self, kind: str) -> list[Other]:
        """The other streams of a kind."""
        return [other for other in self.others if other.kind == kind]


def facts(path: Path) -> Facts:
    """Everything that the tests compare. Decodes the whole first video stream, strictly."""
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        packets: dict[int, list[av.Packet]] = {s.index: [] for s in file.streams}
        frames: list[av.VideoFrame] = []
        for packet in file.demux():
            if packet.stream.index == stream.index:
                frames += packet.decode()
            elif packet.size:
                packets[packet.stream.index].append(packet)
        first = frames[0]
        return Facts(
            size=(first.width, first.height),
            pix_fmt=first.format.name,
            times=tuple(
                (Fraction(f.pts * f.time_base), Fraction((f.duration or 0) * f.time_base))
                for f in frames
            ),
            pictures=tuple(map(_digest, frames)),
            color=(
                int(first.color_primaries),
                int(first.color_trc),
                int(first.colorspace),
                int(first.color_range),
            ),
            sar=Fraction(stream.sample_aspect_ratio or 1),
            rotation=first.rotation,
            rate=Fraction(stream.average_rate or 0),
            interlaced=first.interlaced_frame,
            others=tuple(_other(s, packets[s.index]) for s in file.streams if s is not stream),
            chapters=tuple(map(_chapter, file.chapters())),
            metadata=dict(file.metadata),
        )


def _digest(frame: av.VideoFrame) -> str:
    """Of the visible part: lines are padded to different lengths."""
    fmt = frame.format
    sample = 2 if max(c.bits for c in fmt.components) > 8 else 1
    step = sample if len(frame.planes) > 1 else fmt.padded_bits_per_pixel // 8
    digest = hashlib.sha256()
    for plane in frame.planes:
        rows = memoryview(plane)
        for at in range(0, plane.line_size * plane.height, plane.line_size):
            digest.update(rows[at : at + plane.width * step])
    return digest.hexdigest()


def _other(stream: av.stream.Stream, packets: list[av.Packet]) -> Other:
    codec = stream.codec_context
    return Other(
        kind=stream.type,
        codec=codec.codec.canonical_name if codec else str(stream.name),
        language=stream.metadata.get("language", ""),
        title=stream.metadata.get("title") or stream.metadata.get("filename", ""),
        disposition=int(stream.disposition),
        packets=tuple(hashlib.sha256(bytes(p)).hexdigest() for p in packets),
        times=tuple(
            (Fraction((p.pts or 0) * p.time_base), Fraction((p.duration or 0) * p.time_base))
            for p in packets
        ),
    )


def _chapter(chapter: av.container.Chapter) -> tuple[Fraction, Fraction, str]:
    base = chapter["time_base"] or Fraction(1)
    return (
        Fraction(chapter["start"] * base),
        Fraction(chapter["end"] * base),
        chapter["metadata"].get("title", ""),
    )
