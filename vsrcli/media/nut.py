"""The pixel aspect in the header of a NUT stream.

FFmpeg's muxer takes it from a field of the stream that PyAV cannot set, and writes that it is
unknown: a byte for each side. These bytes take its place, so that nothing moves (nut.txt, "stream
header" and "v").
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

NUT = "nut"
"""FFmpeg's muxer."""
_STREAM = bytes.fromhex("4e5311405bf2f9db")
"""What a stream header begins with."""
_LEAST = 16
"""Bytes that follow it, at least."""
_LONG = 4096
"""A longer one has a checksum of its size, too."""
_UNKNOWN = b"\0\0"
_MOST = 127
"""That fits in a byte."""
_POLYNOMIAL, _CRC_BYTES = 0x04C11DB7, 4
_HEAD_BYTES = 1 << 18


def with_aspect(data: bytes, aspect: Fraction) -> bytes:
    """The beginning of a stream, with the fraction of small numbers that is nearest to this pixel
    aspect in the header of its first picture; as it was where there is none, or one is told."""
    near = aspect.limit_denominator(_MOST)
    if aspect > 1:
        near = 1 / (1 / aspect).limit_denominator(_MOST)
    last = len(data) - _LEAST
    start = data.find(_STREAM, 0, last)
    while start >= 0:
        size, body = _number(data, start + len(_STREAM))
        body += _CRC_BYTES if size > _LONG else 0
        end = body + size - _CRC_BYTES
        at = _aspect_at(data[:end], body)
        if at:
            if data[at : at + 2] != _UNKNOWN or end + _CRC_BYTES > len(data) or not near:
                return data
            told = data[body:at] + bytes((near.numerator, near.denominator)) + data[at + 2 : end]
            return data[:body] + told + _checksum(told) + data[end + _CRC_BYTES :]
        start = data.find(_STREAM, body, last)
    return data


def write_aspect(path: Path, aspect: Fraction) -> bool:
    """Puts the pixel aspect into the header of a file. False where it does not fit; then the file
    is left as it was."""
    with path.open("rb+") as file:
        head = file.read(_HEAD_BYTES)
        made = with_aspect(head, aspect)
        file.seek(0)
        file.write(made)
    return made != head


def _aspect_at(data: bytes, at: int) -> int:
    """Where a stream header, from its first field on, tells the aspect; 0 if of no picture."""
    try:
        _, at = _number(data, at)  # the stream
        kind, at = _number(data, at)
        at = _after_bytes(data, at)  # the codec
        for _ in range(5):  # time base, bits and distance of timestamps, delay, flags
            _, at = _number(data, at)
        at = _after_bytes(data, at)  # what the codec has to say
        for _ in range(2):  # width, height
            _, at = _number(data, at)
    except IndexError:
        return 0
    return 0 if kind else at


def _after_bytes(data: bytes, at: int) -> int:
    length, at = _number(data, at)
    return at + length


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number, seven bits a byte, and the place after it."""
    value = 0
    while True:
        value = value << 7 | data[at] & 0x7F
        at += 1
        if data[at - 1] < 0x80:
            return value, at


def _checksum(data: bytes) -> bytes:
    crc = 0
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (_POLYNOMIAL if crc >> 31 else 0)) & 0xFFFFFFFF
    return crc.to_bytes(_CRC_BYTES, "big")
