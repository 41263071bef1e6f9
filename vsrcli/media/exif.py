"""Exif of pictures: read from frames, put into JPEG and WebP, whose encoders leave it out.

PyAV cannot read this kind of side data, so PNG's encoder writes it into a blank picture: it leaves
out how the picture was turned and says its new size.
"""

from __future__ import annotations

import logging
import struct
from collections import deque
from collections.abc import Iterator
from fractions import Fraction

import av

from vsrcli.media.packet import SidePacket
from vsrcli.media.side_data import Attached

log = logging.getLogger("vsr")
_LOSING = ("tiff", "bmp")
_LONGEST = 65_533 - 6
"""Bytes that a segment of a JPEG has for it."""
_LAYOUT = {
    *range(0x00FE, 0x0104),
    *(0x0106, 0x010A, 0x0111, 0x0112, 0x0115, 0x0116, 0x0117, 0x0118, 0x0119, 0x011C, 0x013D),
    *(0x0140, 0x0142, 0x0143, 0x0144, 0x0145, 0x0152, 0x0153, 0x0156, 0x0212, 0x0213, 0x0214),
}
"""Tags of a TIFF on how its samples lie; they are wrong anywhere else."""
_IDLE = {0x011A, 0x011B, 0x0128, 0x0131, 0xA002, 0xA003}
"""Resolution, software and size, which encoders write by themselves."""
_MORE = 0x8769
"""Says where a camera's own tags are."""
_RIFF, _WITH_EXIF, _WITH_ALPHA = 12, 0x08, 0x10


class Exif:
    """What goes into the pictures of one encoder. Frames and packets come in the same order."""

    def __init__(self, encoder: str, attached: Attached) -> None:
        self._encoder, self._attached = encoder, attached
        self._due: deque[bytes] = deque()
        self._is_said = False

    def note(self, origin: object, size: tuple[int, int]) -> None:
        """A frame goes to the encoder, (width, height), made from this one of the decoder's."""
        if self._encoder not in (*_LOSING, *_PUT):
            return
        exif = b""
        if isinstance(origin, av.VideoFrame) and self._attached.has_exif(origin):
            exif = read_exif(origin, size, self._attached)
        is_kept = self._encoder in _PUT and len(exif) <= _LONGEST
        self._due.append(exif if is_kept else b"")
        if exif and not is_kept and not self._is_said:
            self._is_said = True
            able = ".png, .jpg or .webp"
            log.warning("the Exif tags are not all kept by %s; write %s", self._encoder, able)

    def put(self, packets: list[SidePacket]) -> list[SidePacket]:
        """The packets, each with what was read from its frame."""
        if self._encoder not in _PUT:
            return packets
        return [self._with(packet, self._due.popleft()) for packet in packets]

    def _with(self, packet: SidePacket, exif: bytes) -> SidePacket:
        if not exif:
            return packet
        made: SidePacket = av.Packet(_PUT[self._encoder](bytes(packet), exif))
        made.stream, made.time_base = packet.stream, packet.time_base
        made.pts, made.dts, made.duration = packet.pts, packet.dts, packet.duration
        made.is_keyframe = packet.is_keyframe
        return made


def read_exif(origin: av.VideoFrame, size: tuple[int, int], attached: Attached) -> bytes:
    """That of a frame, for a picture of this size; empty if it only tells how samples lie."""
    blank = av.VideoFrame(*size, "gray")
    for plane in blank.planes:
        plane.update(bytes(plane.buffer_size))
    context = av.CodecContext.create("png", "w")
    context.width, context.height = size
    context.pix_fmt, context.time_base = blank.format.name, Fraction(1, 25)
    packets = (*context.encode(attached.hand_on(origin, blank)), *context.encode(None))
    png = b"".join(map(bytes, packets))
    at = 8
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        if png[at + 4 : at + 8] == b"eXIf":
            return _plain(png[at + 8 : at + 8 + length])
        at += 12 + length
    return b""


def _plain(exif: bytes) -> bytes:
    """Without the tags that belong to the file it was in."""
    order = "<" if exif[:2] == b"II" else ">"
    (at,) = struct.unpack_from(f"{order}I", exif, 4)
    entries = dict(_entries(exif, at, order))
    kept = [entry for tag, entry in entries.items() if tag not in _LAYOUT]
    tags = set(entries) - _LAYOUT - {_MORE}
    if _MORE in entries:
        (more,) = struct.unpack_from(f"{order}8xI", entries[_MORE])
        tags |= {tag for tag, _ in _entries(exif, more, order)}
    if tags <= _IDLE:
        return b""
    end = at + 2 + 12 * len(entries)
    table = struct.pack(f"{order}H", len(kept)) + b"".join(kept) + exif[end : end + 4]
    return exif[:at] + table + exif[at + len(table) :]


def _entries(exif: bytes, at: int, order: str) -> Iterator[tuple[int, bytes]]:
    """The tags of a directory, and its rows of 12 bytes."""
    (count,) = struct.unpack_from(f"{order}H", exif, at)
    for number in range(count):
        entry = exif[at + 2 + 12 * number :][:12]
        yield struct.unpack_from(f"{order}H", entry)[0], entry


def _into_jpeg(data: bytes, exif: bytes) -> bytes:
    body = b"Exif\0\0" + exif
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]


def _into_webp(data: bytes, exif: bytes) -> bytes:
    """RFC 9649, 2.7: the extended format, with a chunk more."""
    body = data[_RIFF:]
    if body[:4] != b"VP8X":
        body = _extended(body) + body
    flags = bytes([body[8] | _WITH_EXIF])
    chunk = b"EXIF" + struct.pack("<I", len(exif)) + exif + bytes(len(exif) % 2)
    body = body[:8] + flags + body[9:] + chunk
    return data[:4] + struct.pack("<I", len(body) + 4) + data[8:_RIFF] + body


def _extended(body: bytes) -> bytes:
    """The chunk that a simple file of one picture lacks."""
    bits: int
    wide: int
    high: int
    if body[:4] == b"VP8L":
        (bits,) = struct.unpack_from("<I", body, 9)
        width, height, alpha = bits & 0x3FFF, bits >> 14 & 0x3FFF, bits >> 28 & 1
    else:
        wide, high = struct.unpack_from("<HH", body, 14)
        width, height, alpha = (wide & 0x3FFF) - 1, (high & 0x3FFF) - 1, 0
    sides = width.to_bytes(3, "little") + height.to_bytes(3, "little")
    return b"VP8X" + struct.pack("<IB3x", 10, _WITH_ALPHA * alpha) + sides


_PUT = {"mjpeg": _into_jpeg, "libwebp": _into_webp}
