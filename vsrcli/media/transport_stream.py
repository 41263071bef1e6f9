"""Damage in a transport stream that its demuxer passes over in silence.

A packetised unit (ISO/IEC 13818-1, 2.4.3.6) that does not begin with its start code is left out
whole, and no continuity counter tells.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_SYNC, _START_CODE = 0x47, (0, 0, 1)
_LENGTH = 188
_LAYOUTS = ((188, 0), (192, 4), (192, 0))
"""Bytes from packet to packet, and ahead of the first: m2ts puts a clock before each."""


class Witness:
    """Reads a transport stream after its demuxer.

    `between` gives its bytes from one place to another, None: to the end.
    """

    def __init__(self, between: Callable[[int, int | None], bytes], pid: int) -> None:
        self._between, self._pid = between, pid
        self._read: int | None = None

    def begin_anew(self) -> None:
        """What came so far does not matter: the next position begins the count."""
        self._read = None

    def lost(self, position: int | None) -> int:
        """Units that were left out since the last position; the first begins the count.

        Positions are of packets in the file, bytes; None: its end. Raises OSError.
        """
        begin = self._read
        if position is not None and position > (begin or -1):
            self._read = position
        if begin is None or (position is not None and position <= begin):
            return 0
        return headless(self._between(begin, position), self._pid)


def headless(data: bytes, pid: int) -> int:
    """Units of an elementary stream that do not begin with a start code.

    `data` begins with a packet, of 188 bytes or 192.
    """
    rows = _packets(data)
    head = rows[:, :4].astype(np.int32)
    is_start = (head[:, 0] == _SYNC) & ((head[:, 1] & 0x1F) << 8 | head[:, 2] == pid)
    is_start &= (head[:, 1] & 0x40 > 0) & (head[:, 3] & 0xD0 == 0x10)  # clear, with a payload
    begun = rows[is_start]
    at = np.where(begun[:, 3] & 0x20, 5 + begun[:, 4].astype(np.int32), 4)
    begun, at = begun[at <= _LENGTH - 3], at[at <= _LENGTH - 3]
    codes = np.take_along_axis(begun, at[:, None] + np.arange(3), axis=1)
    return int((codes != _START_CODE).any(axis=1).sum())


def _packets(data: bytes) -> NDArray[np.uint8]:
    """(N, 188), what follows the last whole one left out."""
    for pitch, ahead in _LAYOUTS:
        starts = data[ahead : ahead + pitch + 1 : pitch]
        if starts and set(starts) == {_SYNC}:
            count = (len(data) - ahead + pitch - _LENGTH) // pitch
            whole = np.frombuffer(data, np.uint8)[ahead : ahead + (count - 1) * pitch + _LENGTH]
            padded = np.pad(whole, (0, max(0, count) * pitch - len(whole)))
            return padded.reshape(-1, pitch)[:, :_LENGTH]
    return np.empty((0, _LENGTH), np.uint8)
