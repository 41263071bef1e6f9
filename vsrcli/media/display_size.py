"""The display size of a Matroska picture, put into the finished file.

FFmpeg's muxer takes the pixel aspect from a field of the stream that PyAV cannot set, so the shape
of a picture whose codec does not say it would be lost. The two elements that say it are added to
the track's header, and what lies before them moves into the empty space that the muxer leaves after
the index at the front: nothing behind them changes its place (RFC 8794, RFC 9559).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

_SEGMENT, _SEEK_HEAD, _SEEK, _POSITION = 0x18538067, 0x114D9B74, 0x4DBB, 0x53AC
_VOID, _CRC, _TRACKS, _ENTRY, _VIDEO = 0xEC, 0xBF, 0x1654AE6B, 0xAE, 0xE0
_WIDTH, _HEIGHT, _UNIT = 0xB0, 0xBA, 0x54B2
_DISPLAY = struct.Struct(">HBIHBI")
"""DisplayWidth and DisplayHeight, four bytes each."""
_HEAD_BYTES = 1 << 20
"""Within which the tracks are looked for."""


@dataclass(frozen=True)
class _Element:
    """Where an element lies in the bytes: its id, size, body and end."""

    id: int
    start: int
    size_at: int
    body: int
    end: int


def write_display_size(path: Path, size: tuple[int, int], aspect: Fraction) -> bool:
    """Adds the display size of the picture that is `size` (width, height) pixels of this aspect.

    False if the file is not laid out as FFmpeg's muxer does; then it is left as it was.
    """
    with path.open("rb+") as file:
        head = bytearray(file.read(_HEAD_BYTES))
        if not _insert(head, size, aspect):
            return False
        file.seek(0)
        file.write(head)
    return True


def _insert(head: bytearray, size: tuple[int, int], aspect: Fraction) -> bool:
    segment = _child(head, 0, len(head), _SEGMENT)
    if segment is None:
        return False
    inside = segment.body, min(segment.end, len(head))
    index, tracks = (_child(head, *inside, kind) for kind in (_SEEK_HEAD, _TRACKS))
    if index is None or tracks is None or tracks.end > len(head):
        return False
    void = next(_elements(head, index.end, len(head)))
    picture = _picture(head, tracks, size)
    if void.id != _VOID or picture is None:
        return False
    width, height = round(size[0] * aspect), size[1]
    added = _DISPLAY.pack(0x54B0, 0x84, width, 0x54BA, 0x84, height)
    unit = _child(head, picture[-1].body, picture[-1].end, _UNIT)
    if unit:
        head[unit.body : unit.end] = bytes(unit.end - unit.body)  # 0: pixels
    grown, at = len(added), picture[-1].end
    head[at:at] = added
    for element in (*reversed(picture), tracks):  # from within: what holds it is still in its place
        grown += _resize(head, element, grown)
    if not _can_shrink(void, grown):
        return False
    _resize(head, void, -grown)
    for seek in (e for e in _elements(head, index.body, index.end) if e.id == _SEEK):
        _move(head, seek, segment.body, (void.end, tracks.start), grown)
    del head[void.end - grown : void.end]
    for parent in (index, _child(head, *inside, _TRACKS)):
        assert parent is not None
        _seal(head, parent)
    return True


def _picture(
    head: bytearray, tracks: _Element, size: tuple[int, int]
) -> tuple[_Element, _Element] | None:
    """The track entry of the picture and its video settings."""
    for entry in _elements(head, tracks.body, tracks.end):
        video = _child(head, entry.body, entry.end, _VIDEO) if entry.id == _ENTRY else None
        if video is None:
            continue
        found = [_child(head, video.body, video.end, kind) for kind in (_WIDTH, _HEIGHT)]
        sides = tuple(int.from_bytes(head[e.body : e.end], "big") for e in found if e)
        if sides == size:
            return entry, video
    return None


def _elements(data: bytearray, start: int, end: int) -> Iterator[_Element]:
    while start < end and data[start]:
        size_at = start + 9 - data[start].bit_length()
        if size_at >= len(data) or not data[size_at]:
            return
        width = 9 - data[size_at].bit_length()
        body = size_at + width
        size = int.from_bytes(data[size_at:body], "big") & ((1 << 7 * width) - 1)
        kind = int.from_bytes(data[start:size_at], "big")
        yield _Element(kind, start, size_at, body, body + size)
        start = body + size


def _child(data: bytearray, start: int, end: int, kind: int) -> _Element | None:
    return next((e for e in _elements(data, start, end) if e.id == kind), None)


def _can_shrink(void: _Element, by: int) -> bool:
    return void.end - void.body >= by


def _resize(data: bytearray, element: _Element, by: int) -> int:
    """Tells the size anew: in its own width or, if that does not hold it, one byte more. Gives how
    many more."""
    width = element.body - element.size_at
    size = element.end - element.body + by
    more = int(size >= (1 << 7 * width) - 1)
    data[element.size_at : element.body] = (size | 1 << 7 * (width + more)).to_bytes(
        width + more, "big"
    )
    return more


def _move(data: bytearray, seek: _Element, origin: int, span: tuple[int, int], back: int) -> None:
    """Corrects an index entry that points between the empty space and the tracks."""
    position = _child(data, seek.body, seek.end, _POSITION)
    if position is None:
        return
    at = int.from_bytes(data[position.body : position.end], "big") + origin
    if span[0] <= at <= span[1]:
        width = position.end - position.body
        data[position.body : position.end] = (at - back - origin).to_bytes(width, "big")


def _seal(data: bytearray, parent: _Element) -> None:
    """Computes the checksum of an element anew, if it has one."""
    crc = _child(data, parent.body, parent.end, _CRC)
    if crc:
        checksum = zlib.crc32(data[crc.end : parent.end])
        data[crc.body : crc.end] = checksum.to_bytes(4, "little")
