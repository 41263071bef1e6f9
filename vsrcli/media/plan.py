"""What becomes of each stream of the source in the target container."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from typing import cast

import av

from vsrcli.errors import EncodeError
from vsrcli.media.convert import usual_layout
from vsrcli.media.covers import is_attached
from vsrcli.media.describe import stream_info
from vsrcli.media.mapping import is_cover
from vsrcli.media.settings import MATROSKA, TS_PICTURES, refusal

_TEXT = {"subrip", "srt", "ass", "ssa", "mov_text", "webvtt", "text"}
_TEXT_ENCODER = {"mp4": "mov_text", "mov": "mov_text", "matroska": "srt", "webm": "webvtt"}
_TS_SOUND = {
    *("aac", "aac_latm", "mp2", "mp3", "ac3", "eac3", "dts", "truehd", "opus"),
}
_TS_DATA = {
    *("dvb_subtitle", "dvbsub", "dvb_teletext"),
    *("klv", "timed_id3", "scte_35", "epg", "smpte_2038"),
}
_NO_DATA = {"avi", "asf"}
"""Containers whose muxer accepts data tracks but writes them as video or as unknown tracks."""
_START_CODED = {"avi", "wtv"}
"""Containers whose muxer takes H.264 and H.265 with start codes (Annex B) only, and says so packet
by packet."""
_TIMECODE_KEEPERS = {"mp4", "mov", "matroska", "webm"}
"""Containers that write the timecode of the picture's tags: as a track, or as a tag."""
COVERED = {"mp4", "ipod", "matroska"}
"""Containers that hold a cover picture."""
_KEEPERS = {".mkv": "matroska", ".mp4": "mp4", ".nut": "nut"}
"""Where pictures beside the one that is upscaled are kept, if anywhere."""
_SOUND = ("aac", "libopus")
"""Encoders for sound that a container cannot hold as it is, in this order, before its usual one."""
_EXACT = {"u8", "u8p", "s16", "s16p"}
"""Decoded samples that FLAC keeps as they are."""
_USUAL_RATE = 48000
_PICTURE_FIRST = {"mxf"}
"""Containers that take sound only after a picture."""


class Action(Enum):
    """What is done with a stream."""

    UPSCALE = "upscale"
    COPY = "copy"
    CONVERT = "convert"
    """Re-encoded: text subtitles to the container's own kind, audio on request."""
    DROP = "drop"


@dataclass(frozen=True, kw_only=True)
class StreamPlan:
    """One source stream's fate, and why where it is not simply copied."""

    index: int
    kind: str
    codec: str
    action: Action
    encoder: str = ""
    reason: str = ""
    expected: bool = False
    """The drop loses nothing (a chapter track rebuilt from the chapters) or was asked for."""


@dataclass(frozen=True, kw_only=True)
class _Case:
    """What the fate of a stream depends on."""

    stream: av.stream.Stream
    container: str
    audio: str
    chapters: bool
    piped: bool
    plan: StreamPlan

    def copy(self, reason: str = "") -> StreamPlan:
        return replace(self.plan, action=Action.COPY, reason=reason)

    def convert(self, encoder: str, reason: str = "") -> StreamPlan:
        return replace(self.plan, action=Action.CONVERT, encoder=encoder, reason=reason)

    def drop(self, reason: str, *, expected: bool = False) -> StreamPlan:
        return replace(self.plan, action=Action.DROP, reason=reason, expected=expected)

    @cached_property
    def usual(self) -> str:
        """The codec of sound that the container is made for; none where it holds pictures alone."""
        with av.open(os.devnull, "w", format=self.container) as probe:
            return str(probe.default_audio_codec or "none")

    @property
    def headless(self) -> bool:
        """AAC without extradata, as in a transport stream: a pipe's header is written before any of
        its packets, which have it, were read."""
        return (
            self.piped
            and self.plan.codec == "aac"
            and self.container not in ("mpegts", "nut")
            and not self.stream.codec_context.extradata
        )

    @property
    def formless(self) -> bool:
        """Sound of unknown rate or channels: no packet of it came while FFmpeg looked."""
        if not isinstance(self.stream, av.AudioStream) or self.stream.codec_context is None:
            return False
        context = self.stream.codec_context
        return not (context.sample_rate and context.layout.nb_channels)

    @property
    def is_surround(self) -> bool:
        """Sound of more channels than two."""
        context = self.stream.codec_context
        return isinstance(context, av.AudioCodecContext) and context.layout.nb_channels > 2

    def accepted(self) -> bool:
        """Whether the muxer takes this codec; asked of a muxer that writes nowhere."""
        if self.container == "mpegts":
            return self.plan.codec in TS_PICTURES | _TS_SOUND | _TS_DATA
        if self.container in _START_CODED and self.plan.codec in ("h264", "hevc"):
            head = self.stream.codec_context.extradata or b""
            return not head.startswith(b"\1")
        if self.container == "flv" and self.plan.codec.startswith("pcm_") and self.is_surround:
            return False  # its muxer aborts the process
        return _takes(self.container, lambda probe: add_copy(probe, self.stream))

    @property
    def is_cover(self) -> bool:
        """Whether it is a cover picture."""
        return is_cover(self.stream)

    def takes_picture(self) -> bool:
        """Whether the container takes a picture beside the one that is upscaled."""
        if is_attached(self.stream, self.container):
            return True
        return (self.container in COVERED or not self.is_cover) and self.accepted()

    def takes(self, encoder: str) -> bool:
        """Whether the muxer takes what an encoder of sound makes."""

        def add(probe: av.container.OutputContainer) -> None:
            stream = cast(av.AudioStream, probe.add_stream(encoder, rate=_USUAL_RATE))
            stream.codec_context.layout = "stereo"

        return _takes(self.container, add)


def _takes(container: str, add: Callable[[av.container.OutputContainer], object]) -> bool:
    """Whether a muxer takes the stream that `add` adds; asked of one that writes nowhere."""
    takes = False
    # A muxer may refuse to end without a packet, too.
    with suppress(ValueError, av.FFmpegError), av.open(os.devnull, "w", format=container) as probe:
        if container in _PICTURE_FIRST:
            picture = probe.add_stream("mpeg2video", rate=25)
            picture.width, picture.height, picture.pix_fmt = 64, 64, "yuv420p"
        add(probe)
        probe.start_encoding()  # mov takes Opus until it writes the header
        takes = True
    return takes


def add_copy(container: av.container.OutputContainer, source: av.stream.Stream) -> av.stream.Stream:
    """A stream for copied packets. Sound of so many channels gets their usual places: mp4 and mov
    refuse PCM without, and only when the file ends, and flv's muxer aborts the process."""
    target = container.add_stream_from_template(source)
    context = target.codec_context
    if isinstance(context, av.AudioCodecContext):
        name = usual_layout(context.layout)
        if name != context.layout.name:
            context.layout = name
    return target


def plan_streams(
    source: av.container.InputContainer,
    *,
    video: int,
    container: str,
    audio: str,
    wanted: Sequence[int] | None = None,
    piped: bool = False,
) -> list[StreamPlan]:
    """A plan for every stream, in the order of the output; those left out come last.

    `container` is FFmpeg's muxer name, `audio` copy, aac or none, `wanted` the indices that were
    selected in their order; None: all. The picture is there in any case. `piped`: the header has
    to be whole before the first packet.
    """
    chapters = bool(source.chapters()) and container in ("mp4", "mov", "matroska", "webm")
    plans = []
    kept = list(range(len(source.streams))) if wanted is None else list(wanted)
    kept = kept if video in kept else [video, *kept]
    for stream in _ordered(list(source.streams), kept):
        base = StreamPlan(
            index=stream.index,
            kind=stream.type,
            codec=stream_info(stream).codec,
            action=Action.UPSCALE,
        )
        case = _Case(
            stream=stream,
            container=container,
            audio=audio,
            chapters=chapters,
            piped=piped,
            plan=base,
        )
        if stream.index == video:
            plans.append(base)
        elif stream.index in kept:
            plans.append(_FATES.get(stream.type, _data)(case))
        else:
            plans.append(case.drop("not mapped", expected=True))
    return plans


def _ordered(streams: list[av.stream.Stream], kept: list[int]) -> list[av.stream.Stream]:
    return [streams[i] for i in kept] + [s for s in streams if s.index not in kept]


def _audio(case: _Case) -> StreamPlan:
    if case.audio == "none":
        return case.drop("-c:a none", expected=True)
    if case.usual == "none":
        return case.drop(f"{case.container} holds no sound", expected=True)
    if case.formless:
        return case.drop(
            "its sound was not found near the beginning; --input-option analyzeduration=20M may "
            "find it"
        )
    is_unknown = case.stream.codec_context is None
    if is_unknown and (case.audio == "aac" or not case.accepted()):
        return case.drop("nothing here can decode it")
    if case.audio == "aac":
        if not case.takes("aac"):
            raise EncodeError(
                f"a {case.container} file cannot hold AAC; leave -c:a out, and what it cannot hold "
                "is converted to what it can"
            )
        return case.convert("aac")
    if case.headless and case.takes("aac"):
        return case.convert("aac", f"its header comes too late for a pipe of {case.container}")
    if case.accepted():
        return case.copy()
    # Little of what matroska does not take here is worth more than 16 bits: that is kept exactly.
    exact = ("flac",) if case.container == MATROSKA and _format(case) in _EXACT else ()
    encoder = next((e for e in (*exact, *_SOUND, case.usual) if case.takes(e)), None)
    if encoder is None:
        return case.drop(f"{case.container} cannot hold it; write .mkv to keep it")
    kind = case.plan.codec
    if encoder == kind:
        kind += f" of {cast(av.AudioStream, case.stream).rate} Hz"
    return case.convert(encoder, refusal(case.container, kind))


def _format(case: _Case) -> str:
    """How the samples of the sound are when they are decoded."""
    kind = cast(av.AudioStream, case.stream).codec_context.format
    return kind.name if kind else ""


def _subtitle(case: _Case) -> StreamPlan:
    if case.accepted():
        return case.copy()
    encoder = _TEXT_ENCODER.get(case.container)
    if case.plan.codec in _TEXT and encoder:
        return case.convert(encoder)
    return case.drop(f"{case.container} cannot hold them; write .mkv to keep them")


def _video(case: _Case) -> StreamPlan:
    if not getattr(case.stream.codec_context, "pix_fmt", None):
        return case.drop("it holds no picture")
    if case.takes_picture():
        return case.copy("" if case.is_cover else "copied at its own size")
    keepers = (s for s, name in _KEEPERS.items() if replace(case, container=name).takes_picture())
    keeper = next(keepers, None)
    hint = f"; write {keeper} to keep it" if keeper else ""
    if case.container == MATROSKA and not case.is_cover:
        return case.drop(f"{refusal(MATROSKA, case.plan.codec)}{hint}")
    return case.drop(f"{case.container} cannot hold it{hint}")


def _attachment(case: _Case) -> StreamPlan:
    if case.container == MATROSKA:
        return case.copy()
    return case.drop(f"{case.container} holds no attachments; write .mkv to keep it")


def _data(case: _Case) -> StreamPlan:
    if "timecode" in case.stream.metadata and case.container in _TIMECODE_KEEPERS:
        return case.drop("the timecode is written anew", expected=True)
    if case.stream.type == "data" and case.container not in _NO_DATA and case.accepted():
        return case.copy()
    if case.chapters and case.plan.codec == "bin_data":
        return case.drop("chapters are written anew", expected=True)
    return case.drop(f"{case.container} cannot hold it")


_FATES = {"audio": _audio, "subtitle": _subtitle, "video": _video, "attachment": _attachment}
