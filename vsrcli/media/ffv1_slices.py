"""Checksums of FFV1 slices (RFC 9043, 4.9), on which FFmpeg's decoder only writes to its log.

It then shows that part of the frame before instead, and calls the frame whole.
"""

from __future__ import annotations

import zlib

_FOOTER = 8
"""Bytes after a slice: three with its size, the status, four that make its checksum come out."""
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_STARTS = (0xFFFFFFFF, 0xA1CEFD61)
"""With which a whole slice comes out as it began, as zlib counts: of 0 and of version 4's."""


def is_broken(packet: bytes) -> bool:
    """Some slice of a frame is not what was encoded; False where slices have no checksum."""
    return not all(map(_is_whole, _slices(packet)))


def _is_whole(piece: bytes) -> bool:
    turned = piece.translate(_REVERSED)
    return any(zlib.crc32(turned, start) == start for start in _STARTS)


def _slices(packet: bytes) -> list[bytes]:
    """Found from the last to the first; none if they do not fill the packet."""
    found, end = [], len(packet)
    while end >= _FOOTER:
        begin = end - _FOOTER - int.from_bytes(packet[end - _FOOTER : end - _FOOTER + 3])
        found.append(packet[max(begin, 0) : end])
        end = begin
    return found if end == 0 else []
