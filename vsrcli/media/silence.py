"""Silence after sound that ends before the picture.

FFmpeg's MXF muxer drops the pictures at the end that have no sound beside them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from math import ceil

import av

from vsrcli.media.packet import SidePacket

_NEEDED = {"mxf"}
_PLAIN = {"pcm_s16le": 2, "pcm_s24le": 3}
"""Sound of which zeros are silence: bytes a sample."""


class Silence:
    """Counts the samples of each sound stream of a container, and gives those that are missing."""

    def __init__(self, container: av.container.OutputContainer) -> None:
        self._container = container
        self._bytes: Counter[int] = Counter()

    def count(self, packet: SidePacket) -> None:
        """Notes a packet that goes to the muxer."""
        self._bytes[packet.stream.index] += packet.size

    def until(self, end_s: Fraction) -> Iterator[SidePacket]:
        """A packet for each sound stream that ends before this, where the container needs it.

        MXF's sound is PCM, laid end to end whatever its timestamps say, in which zeros are silent.
        """
        if self._container.format.name not in _NEEDED:
            return
        plain = (s for s in self._container.streams.audio if s.codec_context.name in _PLAIN)
        for stream in plain:
            rate, block = stream.codec_context.sample_rate, _block_bytes(stream)
            there = self._bytes[stream.index] // block
            missing = ceil(end_s * rate) - there
            if missing > 0:
                packet = av.Packet(bytes(missing * block))
                packet.stream, packet.time_base = stream, Fraction(1, rate)
                packet.pts = packet.dts = there
                packet.duration = missing
                yield packet


def _block_bytes(stream: av.AudioStream) -> int:
    """Bytes of one sample of all channels."""
    context = stream.codec_context
    return context.layout.nb_channels * _PLAIN[context.name]
