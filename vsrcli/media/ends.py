"""Whether a file ends before it says it does: a cut is no error to a demuxer."""

from __future__ import annotations

HEAD_BYTES = 128
"""Of a file's beginning, enough to be told its length."""
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_RIFF_HEAD, _RIFF_UNKNOWN = 8, (0, 0xFFFFFFFF)


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


def _ebml_size(data: bytes, at: int) -> tuple[int | None, int]:
    """A variable-length size at an offset, and the offset after it; None: not known."""
    first = data[at] if at < len(data) else 0
    if not first:
        return None, at
    width = 9 - first.bit_length()
    value = int.from_bytes(data[at : at + width], "big") & ((1 << 7 * width) - 1)
    is_unknown = value == (1 << 7 * width) - 1 or at + width > len(data)
    return None if is_unknown else value, at + width
