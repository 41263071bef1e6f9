"""Streams that the target container cannot hold as they are: text subtitles and audio."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Protocol, cast

import av
from av.subtitles.stream import SubtitleStream

from vsrcli.errors import EncodeError
from vsrcli.media.packet import SidePacket

_MS = Fraction(1, 1000)
_OPUS_RATE = 48000
_USUAL = {"1 channels": "mono", "2 channels": "stereo", "6 channels": "5.1", "8 channels": "7.1"}


class Converter(Protocol):
    """Takes a source packet, gives packets for the output stream."""

    @property
    def stream(self) -> av.stream.Stream:
        """The output stream."""
        ...

    def feed(self, packet: SidePacket) -> Iterator[SidePacket]:
        """Packets that are ready."""
        ...

    def flush(self) -> Iterator[SidePacket]:
        """What is left at the end."""
        ...


def open_converter(
    source: av.stream.Stream, container: av.container.OutputContainer, encoder: str
) -> Converter:
    """A converter of an audio or text subtitle stream; adds its stream to the container."""
    if isinstance(source, av.AudioStream):
        return Audio(source, container, encoder)
    return TextSubtitles(cast(SubtitleStream, source), container, encoder)


class TextSubtitles:
    """Re-encodes text subtitles: words and times are kept, styling where the target has it."""

    def __init__(
        self, source: SubtitleStream, container: av.container.OutputContainer, encoder: str
    ) -> None:
        self._source = source
        self.stream = cast(SubtitleStream, container.add_stream(encoder))
        context = source.codec_context
        context.open(strict=False)
        target = self.stream.codec_context
        target.subtitle_header = context.subtitle_header
        target.time_base = self.stream.time_base = _MS

    def feed(self, packet: SidePacket) -> Iterator[SidePacket]:
        subtitle = self._source.codec_context.decode2(packet)
        if subtitle is None:  # mov_text fills gaps with empty packets
            return
        out = self.stream.codec_context.encode_subtitle(subtitle)
        out.stream = self.stream
        out.time_base, out.pts, out.dts = packet.time_base, packet.pts, packet.pts
        out.duration = packet.duration
        yield out

    def flush(self) -> Iterator[SidePacket]:
        yield from ()


def _layout(layout: av.AudioLayout) -> str:
    """The layout's name; where the source says only how many channels, the usual one of so many."""
    return _USUAL.get(layout.name, layout.name)


class Audio:
    """Re-encodes audio at the source's rate and layout (48 kHz for Opus)."""

    def __init__(
        self, source: av.AudioStream, container: av.container.OutputContainer, encoder: str
    ) -> None:
        self._source = source
        rate = _OPUS_RATE if encoder == "libopus" else source.codec_context.sample_rate
        self.stream = cast(av.AudioStream, container.add_stream(encoder, rate=rate))
        layout = _layout(source.codec_context.layout)
        self.stream.codec_context.layout = layout
        try:
            self.stream.codec_context.open()
        except (av.FFmpegError, ValueError) as exc:
            raise self._refused(exc) from exc
        self._resampler = av.AudioResampler(
            format=self.stream.codec_context.format, layout=layout, rate=rate
        )

    def feed(self, packet: SidePacket) -> Iterator[SidePacket]:
        for frame in packet.decode():
            if frame.pts is None:  # WMA and others without a parser
                frame.pts, frame.time_base = packet.pts, packet.time_base
            yield from self._encode(cast(av.AudioFrame, frame))

    def flush(self) -> Iterator[SidePacket]:
        for frame in self._source.codec_context.decode(None):
            yield from self._encode(frame)
        yield from self._encode(None)
        yield from self.stream.encode(None)

    def _encode(self, frame: av.AudioFrame | None) -> Iterator[SidePacket]:
        try:
            for part in self._resampler.resample(frame):
                yield from self.stream.encode(part)
        except (av.FFmpegError, ValueError) as exc:
            raise self._refused(exc) from exc

    def _refused(self, exc: Exception) -> EncodeError:
        name, reason = self.stream.codec_context.codec.name, getattr(exc, "strerror", None) or exc
        return EncodeError(
            f"the audio cannot be encoded by {name} ({reason}); use -c:a none or write .mkv"
        )
