"""Streams that the target container cannot hold as they are: text subtitles and audio."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from typing import Protocol, cast

import av
from av.subtitles.stream import SubtitleStream

from vsrcli.errors import EncodeError, InputError
from vsrcli.media.packet import SidePacket, said_time, time_of

log = logging.getLogger("vsr")
_MS = Fraction(1, 1000)
_STUDIO_RATE = 48000
_OF_ONE_RATE = ("libopus", "mxf", "mxf_opatom", "mxf_d10")
"""Encoders and containers of sound at that rate alone."""
_SINGLE = {"mov_text"}
"""Encoders of subtitles of which one is shown at a time."""
_OF_COUNT = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
"""The layout that FFmpeg takes so many channels for."""
_USUAL = {f"{count} channels": name for count, name in _OF_COUNT.items()}
_OPUS = {3: "3.0", 4: "quad"}
"""Those of Opus where they are others."""


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
    source: av.stream.Stream,
    container: av.container.OutputContainer,
    encoder: str,
    *,
    on_error: str,
) -> Converter:
    """A converter of an audio or text subtitle stream; adds its stream to the container. What
    cannot be decoded raises InputError where `on_error` is fail, else it is left out."""
    if isinstance(source, av.AudioStream):
        return Audio(source, container, encoder, on_error=on_error)
    return TextSubtitles(cast(SubtitleStream, source), container, encoder, on_error=on_error)


class TextSubtitles:
    """Re-encodes text subtitles: words and times are kept, styling where the target has it.

    Where one has to end before the next begins (mov_text) it does; else the next would be late.
    """

    def __init__(
        self,
        source: SubtitleStream,
        container: av.container.OutputContainer,
        encoder: str,
        *,
        on_error: str,
    ) -> None:
        self._source, self._on_error = source, on_error
        self.stream = cast(SubtitleStream, container.add_stream(encoder))
        context = source.codec_context
        context.open(strict=False)
        target = self.stream.codec_context
        target.subtitle_header = context.subtitle_header
        target.time_base = self.stream.time_base = _MS
        self._is_single = encoder in _SINGLE
        self._held: SidePacket | None = None

    def feed(self, packet: SidePacket) -> Iterator[SidePacket]:
        try:
            subtitle = self._source.codec_context.decode2(packet)
            if subtitle is None:  # mov_text fills gaps with empty packets
                return
            out = self.stream.codec_context.encode_subtitle(subtitle)
        except (av.FFmpegError, ValueError) as exc:  # letters that are not UTF-8
            _leave_out("subtitle", self._source, said_time(packet), self._on_error, exc)
            return
        out.stream = self.stream
        out.time_base, out.pts, out.dts = packet.time_base, packet.pts, packet.pts
        out.duration = packet.duration
        if not self._is_single:
            yield out
            return
        if self._held is not None:
            yield _ended(self._held, out)
        self._held = out

    def flush(self) -> Iterator[SidePacket]:
        if self._held is not None:
            yield self._held


def _ended(packet: SidePacket, after: SidePacket) -> SidePacket:
    """A subtitle that ends where the one after it begins, if it would not before."""
    if packet.pts is not None and after.pts is not None and packet.duration:
        packet.duration = max(0, min(packet.duration, after.pts - packet.pts))
    return packet


def _leave_out(what: str, source: av.stream.Stream, at: str, on_error: str, exc: Exception) -> None:
    """Says that it could not be decoded. Raises InputError where that is not to be passed over."""
    line = f"the {what} of stream #{source.index} at {at} cannot be decoded"
    if on_error == "fail":
        raise InputError(f"{line}; use --on-error skip to go on without it") from exc
    log.warning("%s: left out", line)


def usual_layout(layout: av.AudioLayout) -> str:
    """The layout's name; where the source says only how many channels, the usual one of so many."""
    return _USUAL.get(layout.name, layout.name)


def _fitting_rate(encoder: str, rate: int) -> int:
    """The nearest rate that an encoder takes; some take all."""
    return min(av.Codec(encoder, "w").audio_rates or [rate], key=lambda r: abs(r - rate))


def _fitting_layout(encoder: str, rate: int, layout: av.AudioLayout) -> str:
    """The layout as far as an encoder takes it: other places for as many channels, or stereo."""
    usual, count = usual_layout(layout), layout.nb_channels
    names = dict.fromkeys((usual, _OF_COUNT.get(count), _OPUS.get(count), "stereo"))
    found = next((name for name in names if name and _opens(encoder, rate, name)), usual)
    if found == "stereo" != usual:
        log.warning("%s cannot hold sound of %d channels: mixed to stereo", encoder, count)
    return found


def _opens(encoder: str, rate: int, layout: str) -> bool:
    """Whether an encoder takes such sound."""
    context = cast(av.AudioCodecContext, av.CodecContext.create(encoder, "w"))
    formats = context.codec.audio_formats
    context.sample_rate, context.layout = rate, layout
    if formats:
        context.format = formats[0]
    try:
        context.open()
    except (av.FFmpegError, ValueError):
        return False
    return True


class Audio:
    """Re-encodes audio at the rate (Opus, MXF: 48 kHz) and layout that the source begins with, or
    at the nearest that the encoder takes."""

    def __init__(
        self,
        source: av.AudioStream,
        container: av.container.OutputContainer,
        encoder: str,
        *,
        on_error: str,
    ) -> None:
        self._source, self._on_error = source, on_error
        is_fixed = not {encoder, container.format.name}.isdisjoint(_OF_ONE_RATE)
        begun = source.codec_context
        rate = _STUDIO_RATE if is_fixed else _fitting_rate(encoder, begun.sample_rate)
        self.stream = cast(av.AudioStream, container.add_stream(encoder, rate=rate))
        self._layout, self._rate = _fitting_layout(encoder, rate, begun.layout), rate
        self.stream.codec_context.layout = self._layout
        try:
            self.stream.codec_context.open()
        except (av.FFmpegError, ValueError) as exc:
            raise self._refused(exc) from exc
        self._resampler = self._new_resampler()
        self._kind: tuple[str, str, int] | None = None
        """Format, layout and rate of the frames so far."""

    def feed(self, packet: SidePacket) -> Iterator[SidePacket]:
        next_s = time_of(packet)
        for frame in self._decoded(packet):
            rate = frame.sample_rate
            if frame.pts is None and next_s is not None:  # WMA, and what follows in a packet
                frame.pts, frame.time_base = round(next_s * rate), Fraction(1, rate)
            if frame.pts is not None and frame.time_base:
                next_s = frame.pts * frame.time_base + Fraction(frame.samples, rate)
            kind = frame.format.name, frame.layout.name, frame.sample_rate
            if self._kind not in (None, kind):  # as broadcasts change from stereo to 5.1
                yield from self._encode(None)
                self._resampler = self._new_resampler()
            self._kind = kind
            yield from self._encode(frame)

    def _decoded(self, packet: SidePacket | None) -> list[av.AudioFrame]:
        """The frames of a packet; None: those that the decoder still holds."""
        try:
            if packet is None:
                return self._source.codec_context.decode(None)
            return cast(list[av.AudioFrame], packet.decode())
        except av.FFmpegError as exc:
            at = "its end" if packet is None else said_time(packet)
            _leave_out("sound", self._source, at, self._on_error, exc)
            return []

    def _new_resampler(self) -> av.AudioResampler:
        context = self.stream.codec_context
        return av.AudioResampler(format=context.format, layout=self._layout, rate=self._rate)

    def flush(self) -> Iterator[SidePacket]:
        for frame in self._decoded(None):
            yield from self._encode(frame)
        yield from self._encode(None, is_last=True)

    def _encode(
        self, frame: av.AudioFrame | None, *, is_last: bool = False
    ) -> Iterator[SidePacket]:
        """Packets that are ready; None takes out what the resampler still holds, and where it
        `is_last`, the encoder. Raises EncodeError."""
        try:
            for part in self._resampler.resample(frame):
                # What needs no resampling comes back in the source's ticks; PyAV's encoder takes
                # all that follow for those of the first.
                if part.pts is not None and part.time_base:
                    part.pts = round(part.pts * part.time_base * self._rate)
                    part.time_base = Fraction(1, self._rate)
                yield from self.stream.encode(part)
            if is_last:
                yield from self.stream.encode(None)
        except (av.FFmpegError, ValueError) as exc:
            raise self._refused(exc) from exc

    def _refused(self, exc: Exception) -> EncodeError:
        name, reason = self.stream.codec_context.codec.name, getattr(exc, "strerror", None) or exc
        return EncodeError(
            f"the audio cannot be encoded by {name} ({reason}); use -c:a none or write .mkv"
        )
