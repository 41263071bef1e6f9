"""Facts about an open container, read once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import av

from vsrcli.frames import IDENTITY, Color, Siting
from vsrcli.media.hdr import dynamic_kinds, read_mastering
from vsrcli.media.info import SourceInfo, StreamInfo, VideoInfo
from vsrcli.media.pixels import is_full_range, layout_of
from vsrcli.media.rotation import read_turn
from vsrcli.media.truncation import ENDING, declared_frames, declared_s

_PQ, _HLG, _BT2020_NCL = 16, 18, 9
"""TransferCharacteristics and MatrixCoefficients of H.273."""
_END_TAG = re.compile(r"(\d+):(\d\d):(\d\d\.\d+)")
_CENTRED_CODECS = {"mjpeg", "mpeg1video", "mjpegb", "jpegls", "webp"}


def describe(
    path: Path,
    container: av.container.InputContainer,
    stream: av.VideoStream,
    first: av.VideoFrame,
    attached: Mapping[str, bytes],
) -> SourceInfo:
    """The facts of a source whose first frame is decoded, and what is attached to it."""
    return SourceInfo(
        path=path,
        container=container.format.name,
        duration_s=float(declared_s(container)),
        video=_video(container, stream, first, attached),
        streams=tuple(stream_info(s) for s in container.streams),
        chapters=len(container.chapters()),
    )


def stream_info(stream: av.stream.Stream) -> StreamInfo:
    """One stream's card."""
    codec = stream.codec_context
    return StreamInfo(
        index=stream.index,
        kind=stream.type,
        codec=codec.codec.canonical_name if codec else getattr(stream, "name", None) or "unknown",
        language=stream.metadata.get("language", ""),
        title=stream.metadata.get("title", "") or stream.metadata.get("filename", ""),
        details=_details(stream),
    )


def _details(stream: av.stream.Stream) -> str:
    if isinstance(stream, av.VideoStream) and stream.codec_context:
        return f"{stream.codec_context.width}x{stream.codec_context.height}"
    if isinstance(stream, av.AudioStream) and stream.codec_context:
        return f"{stream.codec_context.sample_rate} Hz {stream.codec_context.layout.name}"
    return ""


def _video(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    first: av.VideoFrame,
    attached: Mapping[str, bytes],
) -> VideoInfo:
    rate = stream.guessed_rate or stream.average_rate or Fraction(25)
    duration = _duration(container, stream)
    turn = read_turn(attached)
    return VideoInfo(
        index=stream.index,
        codec=stream.codec_context.codec.canonical_name,
        width=first.width,
        height=first.height,
        pix_fmt=first.format.name,
        layout=layout_of(first.format.name),
        color=color_of(first, stream.codec_context.codec.canonical_name),
        time_base=first.time_base or Fraction(1, 90_000),
        rate=rate,
        frames=declared_frames(container, stream) or round(duration * rate),
        duration_s=float(duration),
        sample_aspect=stream.sample_aspect_ratio or Fraction(1),
        rotation=turn.degrees if turn else 0,
        turn=turn,
        interlaced=first.interlaced_frame,
        hdr=first.color_trc in (_PQ, _HLG),
        mastering=read_mastering(attached),
        dynamic=dynamic_kinds(attached),
    )


def _duration(container: av.container.InputContainer, stream: av.VideoStream) -> Fraction:
    if stream.duration and stream.time_base and container.format.name not in ENDING:
        return Fraction(stream.duration * stream.time_base)
    return _tagged_s(stream) or declared_s(container)


def _tagged_s(stream: av.VideoStream) -> Fraction:
    """How long a stream of Matroska is by its tag of the instant of its end; 0 without one."""
    match = _END_TAG.fullmatch(stream.metadata.get("DURATION", ""))
    if not match:
        return Fraction(0)
    hours, minutes, seconds = map(Fraction, match.groups())
    start = Fraction((stream.start_time or 0) * (stream.time_base or 0))
    return max(Fraction(0), hours * 3600 + minutes * 60 + seconds - start)


def color_of(frame: av.VideoFrame, codec: str = "") -> Color:
    """The frame's colour tags. FFmpeg names no chroma siting here, so the codec's rule is used."""
    matrix, layout = _matrix(frame), layout_of(frame.format.name)
    siting = Siting.LEFT
    if codec in _CENTRED_CODECS:
        siting = Siting.CENTER
    elif matrix == _BT2020_NCL and (layout.chroma_w, layout.chroma_h) == (2, 2):
        siting = Siting.TOPLEFT
    return Color(
        matrix=matrix,
        full_range=is_full_range(frame),
        primaries=int(frame.color_primaries),
        transfer=int(frame.color_trc),
        siting=siting,
    )


def _matrix(frame: av.VideoFrame) -> int:
    return IDENTITY if frame.format.is_rgb else int(frame.colorspace)
