"""Sound that lies beside the picture where a container has no times, but lays both end to end.

So sound before the first picture is left out, and silence fills what is missing before the sound
and after it: FFmpeg's MXF muxer drops the pictures at the end that have no sound beside them.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from math import ceil

import av

from vsrcli.media.packet import SidePacket, time_of

log = logging.getLogger("vsr")
_NEEDED = {"mxf"}
_PLAIN = {"pcm_s16le": 2, "pcm_s24le": 3}
"""Sound of which zeros are silence: bytes a sample."""
_NOTICED_S = Fraction(1, 20)
"""Sound that is missed; less is what files begin with before the first picture."""


class Silence:
    """Lays each sound stream of a container beside the picture, which begins at `begin_s`."""

    def __init__(self, container: av.container.OutputContainer, begin_s: Fraction) -> None:
        self._container, self._begin_s = container, begin_s
        self._bytes: Counter[int] = Counter()
        self._early: dict[int, int] = {}
        """Bytes to be left out yet of each stream that has begun."""

    def beside(self, packet: SidePacket) -> Iterator[SidePacket]:
        """What is to be given to the muxer for a packet: for most it alone."""
        stream = packet.stream
        if self._is_laid(stream):
            assert isinstance(stream, av.AudioStream)
            if stream.index not in self._early:
                yield from self._begin(stream, time_of(packet))
            early = min(packet.size, self._early[stream.index])
            self._early[stream.index] -= early
            if early:
                if early == packet.size:
                    return
                packet = self._packet(stream, bytes(packet)[early:])
            self._bytes[stream.index] += packet.size
        yield packet

    def until(self, length_s: Fraction) -> Iterator[SidePacket]:
        """A packet for each sound stream that ends before a picture of this length."""
        for stream in self._container.streams.audio:
            if self._is_laid(stream):
                self._early[stream.index] = 0
                wanted = ceil(length_s * stream.codec_context.sample_rate) * _block_bytes(stream)
                if wanted > self._bytes[stream.index]:
                    yield self._packet(stream, bytes(wanted - self._bytes[stream.index]))

    def _is_laid(self, stream: av.stream.Stream) -> bool:
        is_needed = self._container.format.name in _NEEDED and isinstance(stream, av.AudioStream)
        return is_needed and stream.codec_context.name in _PLAIN

    def _begin(self, stream: av.AudioStream, at_s: Fraction | None) -> Iterator[SidePacket]:
        """Finds what lies before the picture; a packet for what is missing at its beginning."""
        late_s = (self._begin_s if at_s is None else at_s) - self._begin_s
        missing = round(late_s * stream.codec_context.sample_rate) * _block_bytes(stream)
        self._early[stream.index] = max(0, -missing)
        if -late_s >= _NOTICED_S:
            log.warning(
                "%s has no times: %.2f s of sound before the first picture are left out",
                self._container.format.name,
                -late_s,
            )
        if missing > 0:
            packet = self._packet(stream, bytes(missing))
            self._bytes[stream.index] += missing
            yield packet

    def _packet(self, stream: av.AudioStream, data: bytes) -> SidePacket:
        """The next one of a stream."""
        rate, block = stream.codec_context.sample_rate, _block_bytes(stream)
        packet = av.Packet(data)
        packet.stream, packet.time_base = stream, Fraction(1, rate)
        at = round(self._begin_s * rate) + self._bytes[stream.index] // block
        packet.pts = packet.dts = at
        packet.duration = len(data) // block
        return packet


def _block_bytes(stream: av.AudioStream) -> int:
    """Bytes of one sample of all channels."""
    context = stream.codec_context
    return context.layout.nb_channels * _PLAIN[context.name]
