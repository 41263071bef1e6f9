"""The encoded picture, a segment at a time: each by a fresh encoder, and kept in a file of its own.

A fresh encoder with the same settings starts with a keyframe that nothing before it is needed for,
so the packets of the segments, one after the other, are one stream. A segment's file holds its
packets as they were given to the muxer, so a later run can give them again without encoding.
"""

from __future__ import annotations

import gc
import struct
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, get_args

import av
from av.packet import PacketSideData, PktSideDataT

from vsrcli.errors import EncodeError
from vsrcli.frames import Frame
from vsrcli.media.encode import FrameWriter
from vsrcli.media.packet import SidePacket

_MAGIC = b"vsrpkt1\n"
_HEAD = struct.Struct("<qqqqqIBB")
"""pts, dts, duration, time base (numerator, denominator), bytes, keyframe, side data."""
_SIDE = struct.Struct("<HI")
_NONE = -(1 << 63)
_KINDS: tuple[str, ...] = get_args(PktSideDataT)
_REORDERED = 64
"""More frames than any encoder holds back to reorder them."""


class PacketFile:
    """Packets on their way into a file, which `close` makes whole. Raises OSError as files do."""

    def __init__(self, path: Path) -> None:
        self.frames = 0
        self._file: BinaryIO = path.open("wb")
        self._file.write(_MAGIC)

    def add(self, packet: SidePacket) -> None:
        """Writes a packet down."""
        side = list(packet.iter_sidedata())
        pts, dts = (_NONE if stamp is None else stamp for stamp in (packet.pts, packet.dts))
        base = packet.time_base
        self._file.write(
            _HEAD.pack(
                *(pts, dts, packet.duration or 0, base.numerator, base.denominator),
                *(packet.size, packet.is_keyframe, len(side)),
            )
        )
        self._file.write(packet)
        for entry in side:
            self._file.write(_SIDE.pack(_KINDS.index(entry.data_type), entry.data_size))
            self._file.write(entry)
        self.frames += 1

    def close(self) -> None:
        """Everything is in the file."""
        self._file.close()

    def drop(self) -> None:
        """Leaves the file as it is; what could not be written does not matter any more."""
        with suppress(OSError):
            self._file.close()


def read_packets(path: Path) -> Iterator[SidePacket]:
    """The packets of a file, which must be whole."""
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise ValueError(f"{path} holds no packets")
        while head := file.read(_HEAD.size):
            pts, dts, duration, ticks, per, size, is_keyframe, side = _HEAD.unpack(head)
            packet: SidePacket = av.Packet(file.read(size))
            packet.pts = None if pts == _NONE else pts
            packet.dts = None if dts == _NONE else dts
            packet.duration, packet.time_base = duration, Fraction(ticks, per)
            packet.is_keyframe = bool(is_keyframe)
            for _ in range(side):
                kind, length = _SIDE.unpack(file.read(_SIDE.size))
                data = PacketSideData(kind, length)  # type: ignore[call-arg]  # not in stub
                data.update(file.read(length))
                packet.set_sidedata(data, move=True)
            yield packet


class SegmentWriter:
    """The encoder of a sink's picture, started afresh at each border.

    `start` opens an encoder; all it opens must have the settings of the first. An encoder is full
    of frames, and the first lives as long as its container, which is the output's: where segments
    are kept, and there may be many, it lends the stream its header and another encodes.
    """

    def __init__(self, first: FrameWriter, start: Callable[[], FrameWriter]) -> None:
        self._writer, self._start = first, start
        self._header, self._stays = first.header, first.stays
        self._file: PacketFile | None = None
        self._joint = _Joint()

    @property
    def is_empty(self) -> bool:
        """No frame was encoded since the last border."""
        return self._writer.is_fresh

    def keep_in(self, path: Path) -> None:
        """The packets from here to the next border are kept in this file. Raises OSError."""
        self._file = PacketFile(path)
        if self._stays:
            self._stays = False
            self._writer = self._twin(self._writer)
        else:
            gc.collect()  # PyAV's streams and containers hold each other, and the encoder before

    def _twin(self, writer: FrameWriter) -> FrameWriter:
        """Another one like it, or itself where there can be no second with the same header."""
        try:
            other = self._start()
        except EncodeError:
            return writer
        if other.header != self._header:
            other.close()
            return writer
        other.last_pts = writer.last_pts
        return other

    def encode(self, frame: Frame, pts: int) -> list[SidePacket]:
        """Packets that are ready. `pts` is in the time base of the frame. Raises EncodeError."""
        return self._out(self._writer.encode(frame, pts))

    def flush(self) -> list[SidePacket]:
        """The packets still held; the last segment's file is not made to last."""
        packets = self._out(self._writer.flush(), is_last=True)
        self.drop()
        return packets

    def cut(self) -> tuple[list[SidePacket], int]:
        """Ends the segment: the packets still held, and how many frames its file holds by now."""
        packets = self._out(self._writer.flush(), is_last=True)
        frames = 0
        if self._file:
            self._file.close()
            frames, self._file = self._file.frames, None
        self._writer.close()
        after, self._writer = self._writer.last_pts, self._start()
        self._writer.last_pts = after
        if self._writer.header != self._header:
            raise EncodeError(
                "this encoder gives each segment another header, so they cannot be joined; "
                "use --segment 0 (the run cannot be resumed then)"
            )
        self._joint.begin()
        return packets, frames

    def again(self, paths: Sequence[Path]) -> Iterator[SidePacket]:
        """The packets of earlier segments, as they were; what is encoded then joins on to them."""
        for path in paths:
            for packet in read_packets(path):
                self._joint.note(packet)
                yield packet
            self._joint.begin()
        self._writer.last_pts = self._joint.last_pts

    def drop(self) -> None:
        """Lets go of the segment in work."""
        self._writer.close()
        if self._file:
            self._file.drop()
            self._file = None

    def _out(self, packets: list[SidePacket], *, is_last: bool = False) -> list[SidePacket]:
        packets = self._joint.join(packets, is_last=is_last)
        if self._file:
            for packet in packets:
                self._file.add(packet)
        return packets


class _Joint:
    """Makes decoding times of one segment go on from those of the one before.

    An encoder that reorders frames by up to d shows the i-th packet at the time of the (i - d)-th
    frame in order of presentation. For the first d packets it guesses; the frames before the border
    are known here, so these get the times that one encoder for all would have given them.
    """

    def __init__(self) -> None:
        self._earlier: list[int] = []
        self._here: deque[int] = deque(maxlen=2 * _REORDERED)
        self._waiting: list[SidePacket] = []
        self._first: int | None = None
        self._last_dts: int | None = None

    @property
    def last_pts(self) -> int | None:
        """The last of all frames before the border."""
        return self._earlier[-1] if self._earlier else None

    def begin(self) -> None:
        """A new segment: what came so far lies before it."""
        self._earlier = sorted([*self._earlier, *self._here])[-_REORDERED:]
        self._here.clear()
        self._first = None

    def note(self, packet: SidePacket) -> None:
        """Takes a packet that stays as it is into account."""
        if packet.pts is not None:
            self._here.append(packet.pts)
        if packet.dts is not None:
            self._last_dts = packet.dts

    def join(self, packets: list[SidePacket], *, is_last: bool) -> list[SidePacket]:
        """The packets with their decoding times; the first of a segment wait for each other."""
        out: list[SidePacket] = []
        for packet in packets:
            self._first = packet.pts if self._first is None else self._first
            guessed = packet.dts is not None and packet.dts < (self._first or 0)
            if self._earlier and guessed and not out:
                self._waiting.append(packet)
                continue
            out += [*self._released(), packet]
            self.note(packet)
        return out + (self._released() if is_last else [])

    def _released(self) -> list[SidePacket]:
        packets, self._waiting = self._waiting, []
        known = self._earlier[-len(packets) :] if packets else []
        for packet, dts in zip(packets[-len(known) :], known, strict=False):
            packet.dts = dts
        for packet in packets:
            if self._last_dts is not None and packet.dts is not None:
                packet.dts = max(packet.dts, self._last_dts + 1)
            self.note(packet)
        return packets
