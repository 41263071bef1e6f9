"""The packets of all streams on their way into the muxer, which puts them beside each other."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av

from vsrcli import stops
from vsrcli.errors import OutputError, output_error
from vsrcli.media.packet import SidePacket
from vsrcli.media.silence import Silence
from vsrcli.media.timeline import Timeline


class Interleaver:
    """Gives packets to a muxer whose header is written. Methods raise OutputError."""

    def __init__(
        self,
        container: av.container.OutputContainer,
        picture: av.VideoStream,
        timeline: Timeline,
        *,
        begin_s: Fraction,
        source: Path,
        target: Path,
        after_each: Callable[[], None],
    ) -> None:
        """`picture` is the stream that is upscaled, which begins at `begin_s` of the output. The
        paths are those of messages. `after_each` is called when a packet was taken."""
        self._container, self._picture, self._timeline = container, picture, timeline
        self._source, self._target, self._after_each = source, target, after_each
        self._silence = Silence(container, begin_s)
        self._held: list[SidePacket] = []
        self.frames = 0
        """Packets of the picture so far."""

    def add_picture(self, packets: Sequence[SidePacket]) -> None:
        """Packets of the picture, whichever encoder they come from."""
        for packet in packets:
            packet.stream = self._picture
        self._mux(packets)
        if packets:
            self.add_beside([])

    def add_beside(self, packets: Sequence[SidePacket]) -> None:
        """Packets of other streams, after the first of the picture: it may have to be decoded
        before all others, and FFmpeg does not wait for it beyond a gap of 10 s in their times."""
        self._held += packets
        if self.frames:
            held, self._held = self._held, []
            self._mux(held)

    def finish(self, length_s: Fraction) -> None:
        """What a picture of this length needs beside its end."""
        self._mux(self._silence.until(length_s))

    def _mux(self, packets: Iterable[SidePacket]) -> None:
        for packet in chain.from_iterable(map(self._silence.beside, packets)):
            stops.check()
            is_picture = packet.stream.index == self._picture.index
            self._timeline.keep_order(packet, beside=not is_picture)
            try:
                self.frames += is_picture
                self._container.mux(packet)
                self._after_each()
            except (av.FFmpegError, ValueError, OSError) as exc:
                if getattr(exc, "errno", None) != errno.EINVAL:
                    raise output_error(self._target, exc) from exc
                raise OutputError(
                    f"{self._container.format.name} cannot hold a stream of {self._source} "
                    "as it is; use -c:a aac or another container"
                ) from exc
