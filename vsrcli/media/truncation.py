"""Whether a file ends before it says it does: a cut is no error to a demuxer."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

import av
from av.container import InputContainer

AV_TIME_BASE = 1_000_000
"""FFmpeg's units of a container's times, a second."""
FEWER_BYTES = "is truncated: it has fewer bytes than it says"
HEAD_BYTES = 128
"""Of a file's beginning, enough to be told its length."""
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_RIFF_HEAD, _RIFF_UNKNOWN = 8, (0, 0xFFFFFFFF)
_BOX_HEAD = 8
_BOXES = {b"moov", b"moof", b"mdat"}
_FIRST_BOXES = {b"ftyp", b"styp", b"wide", b"free", b"skip", b"pnot", *_BOXES}
ENDING = {"matroska,webm", "asf", "nut", "ogg"}
"""Containers whose duration FFmpeg writes, or at least reads, as the instant of their end."""
_LEEWAY_S = Fraction(1, 5)
"""Less than this may be the rounding of the container or of the length of its last packets."""
_SHORTFALL_S = Fraction(1)
"""A source whose packets end this much before its declared duration is called truncated."""


def declared_bytes(head: bytes) -> int | None:
    """How long a file must be that begins like this; None if it does not say so.

    Matroska and WebM give the length of their one segment, AVI that of its first chunk.
    """
    if head[:4] == b"RIFF" and len(head) >= _RIFF_HEAD:
        length = int.from_bytes(head[4:_RIFF_HEAD], "little")
        return None if length in _RIFF_UNKNOWN else _RIFF_HEAD + length
    if head[:4] != _EBML:
        return None
    size, at = _ebml_size(head, 4)
    at += size or 0
    if head[at : at + 4] != _SEGMENT:
        return None
    whole, at = _ebml_size(head, at + 4)
    return None if whole is None else at + whole


def breaks_off_in_box(file: BinaryIO, length: int) -> bool:
    """Whether an mp4 or mov file of this length ends within one of the boxes that matter."""
    at = 0
    while at + _BOX_HEAD <= length:
        file.seek(at)
        head = file.read(2 * _BOX_HEAD)
        size, kind = int.from_bytes(head[:4], "big"), head[4:_BOX_HEAD]
        if size == 1:
            size = int.from_bytes(head[_BOX_HEAD:], "big")
        if size < _BOX_HEAD or (at == 0 and kind not in _FIRST_BOXES):
            return False  # to the end of the file, or no box at all
        at += size
        if at > length:
            return kind in _BOXES
    return False


def _ebml_size(data: bytes, at: int) -> tuple[int | None, int]:
    """A variable-length size at an offset, and the offset after it; None: not known."""
    first = data[at] if at < len(data) else 0
    if not first:
        return None, at
    width = 9 - first.bit_length()
    value = int.from_bytes(data[at : at + width], "big") & ((1 << 7 * width) - 1)
    is_unknown = value == (1 << 7 * width) - 1 or at + width > len(data)
    return None if is_unknown else value, at + width


def declared_s(container: InputContainer) -> Fraction:
    """How long a container says it is from its first instant on, seconds; 0 if it does not."""
    length, start = container.duration or 0, container.start_time or 0
    if container.format.name in ENDING and 0 < start <= length:
        length -= start
    return Fraction(length, AV_TIME_BASE)


def declared_frames(container: InputContainer, video: av.VideoStream) -> int:
    """How many packets a container says the video has; 0 if it does not. In mp4 those that an edit
    list cuts away are counted, too, but FFmpeg leaves them out of its index."""
    is_edited = "mp4" in container.format.name
    return min(video.frames, len(video.index_entries)) if is_edited else video.frames


def unindexed_frames(file: str, container: InputContainer) -> int:
    """How many frames FFmpeg's index of an mp4 or mov lacks, as it ends at a damaged entry, and not
    as an edit list cuts them away. Raises FFmpegError."""
    if "mp4" not in container.format.name or not _unindexed(container):
        return 0
    with av.open(file, options={"ignore_editlist": "1"}) as unedited:
        return _unindexed(unedited)


def _unindexed(container: InputContainer) -> int:
    return sum(max(0, v.frames - len(v.index_entries)) for v in container.streams.video)


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a source ended."""

    is_cut: bool = False
    """Surely before its time."""
    problem: str = ""
    """What is wrong, or may be; empty if nothing is."""


def ending_of(
    container: InputContainer,
    video: av.VideoStream,
    *,
    packets: int,
    end_s: Fraction,
    is_whole: bool,
    lack: str,
) -> Ending:
    """Compares what came, so many packets of the video up to a time, with what was declared.

    `is_whole`: nothing was left out on purpose. `lack`: what the file has not, though it says so.
    """
    begin_s, declared = Fraction(container.start_time or 0, AV_TIME_BASE), declared_s(container)
    missing = begin_s + declared - end_s
    early = declared > 0 and missing > max(_SHORTFALL_S, declared / 20)
    counted = is_whole and "mp4" in container.format.name  # AVI counts ticks, not frames
    fewer = counted and 0 < packets < declared_frames(container, video)
    ends = f"it ends at {float(end_s):.2f} s"
    if declared:
        ends += f" of {float(begin_s + declared):.2f} s"
    if early or fewer or (lack == FEWER_BYTES and missing > 0):
        return Ending(is_cut=True, problem=f"is truncated: {ends}")
    if lack:
        return Ending(is_cut=True, problem=lack)
    if declared and missing > _LEEWAY_S:
        return Ending(problem=f"may be truncated: {ends}")
    if _breaks_off(container):
        return Ending(problem="may be truncated: it ends within a packet")
    return Ending()


def _breaks_off(container: InputContainer) -> bool:
    """A transport stream says no length, but has packets of 188 bytes (m2ts 192)."""
    size = container.size if container.format.name == "mpegts" else 0
    return size > 0 and size % 188 != 0 and size % 192 != 0
