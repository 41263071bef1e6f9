"""A source file: its facts, its decoded frames, and the packets of all the other streams."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import av

from vsrcli import stops
from vsrcli.errors import InputError
from vsrcli.frames import Frame
from vsrcli.media.aspect_changes import AspectChanges
from vsrcli.media.covers import is_timeless
from vsrcli.media.damage import Damage
from vsrcli.media.decoded import PlainFrames
from vsrcli.media.deinterlace import Deinterlacer
from vsrcli.media.describe import describe
from vsrcli.media.discontinuities import Joints
from vsrcli.media.hwaccel import say_who_decodes
from vsrcli.media.info import SourceInfo
from vsrcli.media.inlet import Reading, open_inlet
from vsrcli.media.intake import Intake
from vsrcli.media.mapping import picture, select
from vsrcli.media.packet import SidePacket, time_of
from vsrcli.media.rate import Grid
from vsrcli.media.said import held_back
from vsrcli.media.transport_stream import Witness
from vsrcli.media.truncation import AV_TIME_BASE, ending_of
from vsrcli.media.unopened import why_not_opened
from vsrcli.paths import local

log = logging.getLogger("vsr")
_INTERLEAVE_S = 5
"""How far behind the picture its sound may lie in the file, at the end of a part."""
_UNTIMED = {("avi", "h264"), ("avi", "hevc"), ("avi", "mpeg4")}
"""Containers and codecs whose packets FFmpeg gives times in the order of decoding."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """The part of a source that is wanted, in seconds from its start."""

    start_s: Fraction | None = None
    end_s: Fraction | None = None

    @property
    def whole(self) -> bool:
        """Nothing is cut off."""
        return not self.start_s and self.end_s is None


class Source:
    """An open source. `items` yields frames and side packets in the order of the file.

    A context manager. Raises InputError for anything that is not readable video.
    """

    def __init__(
        self,
        path: Path,
        *,
        span: Span = Span(),
        on_error: str = "fail",
        intake: Intake | None = None,
        maps: Sequence[str] = (),
        reading: Reading = Reading(),  # noqa: B008  # frozen
        threads: int = 0,
    ) -> None:
        """`threads` are the decoder's; 0 is one a core."""
        self.path, self.span, self.on_error = path, span, on_error
        self._threads = threads
        self.intake, self._maps, self._reading = intake or Intake(), maps, reading
        self.frames = 0
        """Frames yielded so far, each as often as it is to be shown."""
        self._skipped = 0  # video packets that are read but not decoded
        with held_back() as self._unsaid:
            self._open()
            self._head: list[Frame | SidePacket] = []
            self._tail = self._paced()
            try:
                self.info = self._first_look()
            except BaseException:
                self._inlet.close()
                self._inlet.check()
                raise
            self._inlet.check()

    @property
    def damaged(self) -> int:
        """Packets that could not be decoded so far, or only in part."""
        return self._damage.count

    @property
    def replaced(self) -> int:
        """Frames shown again so far in place of some that could not be decoded."""
        return self._damage.replaced

    def items(self) -> Iterator[Frame | SidePacket]:
        """Every frame once, with its own timestamp, and every packet of the other streams."""
        yield from self._head
        self._head = []
        yield from self._tail

    def skip(self, packets: int, frames: int) -> bool:
        """Decodes nothing more of the first `packets` video packets; False if it is too late.

        The frame after them gets the number `frames`. To be called before `items`; packets of other
        streams come as ever.
        """
        if packets <= self._packets:
            return False
        self._head = [item for item in self._head if not isinstance(item, Frame)]
        self._skipped = packets
        self.frames = frames
        (self._decoder or self.stream.codec_context).flush_buffers()
        self._damage.go_on_at(frames)
        return True

    @property
    def wanted(self) -> list[int]:
        """The indices of the selected streams, in the order they were asked for."""
        return select(self.container, self._maps)

    def cover(self, index: int) -> bytes:
        """The picture of a stream that is one; FFmpeg gives it before all others. Raises InputError
        if there is none."""
        for item in self._head:
            if not isinstance(item, Frame) and item.stream.index == index:
                return bytes(item)
        raise InputError(f"{self.path}: stream #{index}, a cover, is empty; leave it out by --map")

    @property
    def begin_s(self) -> Fraction:
        """The instant that the span counts from, seconds."""
        return Fraction(self.container.start_time or 0, AV_TIME_BASE)

    @property
    def first_time_s(self) -> Fraction:
        """Presentation time of the first frame, seconds."""
        first = next(item for item in self._head if isinstance(item, Frame))
        return Fraction(first.pts * first.time_base)

    def _open(self) -> None:
        try:
            self._inlet = open_inlet(self.path, self._reading)
            self.container = self._inlet.container
        except (av.FFmpegError, OSError, ValueError) as exc:
            raise InputError(why_not_opened(self.path, exc)) from exc
        try:
            self._open_decoder()
        except BaseException:
            self._inlet.close()
            raise

    def _open_decoder(self) -> None:
        stream = picture(self.container, self._maps)
        if stream is None or getattr(stream, "codec_context", None) is None:
            raise InputError(
                f"{self.path} has no video that can be decoded; `vsr probe` lists streams"
            )
        self.stream = cast(av.VideoStream, stream)
        say_who_decodes(self.stream, self._reading.hwaccel)
        self._may_be_of_device = self.stream.codec_context.is_hwaccel
        self.stream.thread_type = "AUTO"
        if self.on_error != "fail":
            self._decode_in_order()
        self.stream.codec_context.thread_count = self._threads
        self._decoder = self.intake.decoder(self.stream)

    def _first_look(self) -> SourceInfo:
        frame = self._pull_frame()
        if self.span.start_s and not self._passed_start and self._inlet.seekable:
            late = frame is None or frame.time_s > self.begin_s + self.span.start_s + 0.001
            frame = self._retry_from_start() if late else frame
        if frame is None:
            self._explain_no_frames()
        assert frame is not None
        assert self._plain is not None
        first, notes = self._plain.first, self._plain.notes
        info = describe(self.path, self.container, self.stream, first, notes)
        rate = self.grid.rate if self.grid else None
        video = self.intake.video(info.video, self._fields.factor, rate)
        return replace(info, video=replace(video, time_base=frame.time_base))

    def _pull_frame(self) -> Frame | None:
        for item in self._tail:
            self._head.append(item)
            if isinstance(item, Frame):
                return item
        return None

    def _retry_from_start(self) -> Frame | None:
        """Some containers seek past the wanted frame: then read from the beginning instead."""
        self._inlet.close()
        self._unsaid.clear()
        self._open()
        self._head, self.frames = [], 0
        self._tail = self._paced(seek=False)
        return self._pull_frame()

    def _explain_no_frames(self) -> None:
        if not self.span.whole:
            raise InputError(f"{self.path} has no frame in the part that was asked for")
        raise InputError(f"{self.path} has a video stream but not one frame can be decoded from it")

    def _paced(self, seek: bool = True) -> Iterator[Frame | SidePacket]:
        """What `_produce` gives, at a constant rate where one is wanted."""
        self._fields = Deinterlacer(self.intake.deinterlace)
        rate = self.intake.grid_rate(self.stream, self._fields.factor)
        numbered, guessed = self.intake.numbered, self.intake.rate is None
        self.grid = Grid(rate, numbered=numbered, guessed=guessed) if rate else None
        items = self._produce(seek)
        for item in self.grid.place(items) if self.grid else items:
            self.frames += item.shown if isinstance(item, Frame) else 0
            yield item

    def _produce(self, seek: bool) -> Iterator[Frame | SidePacket]:
        self._plain: PlainFrames | None = None  # made for the first frame
        self._passed_start = False  # a frame before the start was seen: the seek was early enough
        span, begin_s = self.span, self.begin_s
        # For a start at 0 a seek would miss the first pictures of a container without an index.
        first_wanted = begin_s + span.start_s if span.start_s else None
        end_wanted = None if span.end_s is None else begin_s + span.end_s
        self._damage = Damage(self.path, self.stream, on_error=self.on_error, begin_s=first_wanted)
        self._over: set[int] = set()  # streams that have passed the end
        self._deadline = begin_s + (span.end_s or 0) + _INTERLEAVE_S
        timed = {self.stream.index, *(s.index for s in self.container.streams.audio)}
        if first_wanted is not None and seek and self._inlet.seekable:
            with suppress(av.FFmpegError):  # a raw stream is read from its beginning
                self.container.seek(int(first_wanted * AV_TIME_BASE))
        for item in self._demux():
            if isinstance(item, av.VideoFrame) and self._packets <= self._skipped:
                continue  # it was on its way when `skip` was called
            at = time_of(item)
            if first_wanted is not None and at is not None and at < first_wanted:
                if isinstance(item, av.VideoFrame):
                    self._passed_start = True
                else:
                    yield from _still_shown(item, first_wanted)
                continue
            if end_wanted is not None and at is not None and at >= end_wanted:
                if isinstance(item, av.VideoFrame):
                    yield from self._damage.rest(end_wanted)
                self._over.add(_index(item, self.stream))
                if timed <= self._over:
                    return
                continue
            if isinstance(item, av.VideoFrame):
                yield from self._damage.in_place(self._frame(item))
            else:
                yield item
        yield from self._damage.rest()
        if span.end_s is None:
            self._check_ending()

    def _demux(self) -> Iterator[av.VideoFrame | SidePacket]:
        """Decoded video frames and the packets of other streams, timestamps made whole."""
        self._packets, self._end_s = 0, Fraction(0)
        self._aspects = AspectChanges()
        self._joints = Joints() if Joints.may_be_in(self.container) else None
        clock, witness = _Clock(self.stream), self._witness()
        is_untimed = (self.container.format.name, self.stream.codec_context.name) in _UNTIMED
        for packet in self._packets_read():
            stops.check()
            if packet.stream.index in self._over:
                # Until the picture is over, too, more of it may come, or be left in the decoder.
                is_late = (time_of(packet) or 0) > self._deadline
                if is_late and self.stream.index in self._over:
                    return
                continue
            if packet.stream.index != self.stream.index:
                if packet.size:
                    if is_timeless(packet.stream):  # after a seek FFmpeg says 0
                        packet.pts = packet.dts = None
                    self._note_end(packet)
                    yield packet
                continue
            self._note_end(packet)
            if not packet.size and packet.pts is not None:
                continue  # Theora's word for the frame before, once more
            self._packets += packet.size > 0
            if packet.size and self._packets <= self._skipped:
                if witness:
                    witness.begin_anew()
                continue
            if is_untimed:
                packet.pts = None
            if witness:
                self._damage.unseen(witness.lost(packet.pos), time_of(packet))
            yield from self._shown(self._decode(packet), clock)
        stops.check()  # a pipe ends for one, too
        yield from self._shown(self._left_in_decoder(), clock)
        if witness:
            self._damage.unseen(witness.lost(None), None)
        self._damage.ended()
        yield from self._fields.flush()

    def _shown(self, frames: list[av.VideoFrame], clock: _Clock) -> Iterator[av.VideoFrame]:
        """What the decoder gave, noted, with a time, and deinterlaced."""
        for frame in frames:
            self._damage.shown(frame)
            clock.set(frame)
            self._aspects.note(self._decoder or self.stream.codec_context, frame.time or 0.0)
            yield from self._fields.push(frame)

    def _packets_read(self) -> Iterator[SidePacket]:
        packets: Iterator[SidePacket] = self.container.demux()
        try:
            yield from self._joints.join(packets) if self._joints else packets
        except av.error.EOFError:
            return
        except (av.FFmpegError, OSError) as exc:
            stops.check()
            if not self._is_over():
                self._damage.stopped(exc)

    def _is_over(self) -> bool:
        """Whether nothing follows where reading failed: FFmpeg misses a part after the boundary
        that an mpjpeg stream ends with."""
        if self.container.format.name != "mpjpeg":
            return False
        try:
            return not any(packet.size for packet in self.container.demux())
        except (av.FFmpegError, OSError):
            return False

    def _decode(self, packet: SidePacket) -> list[av.VideoFrame]:
        if packet.pts is None and not self.stream.codec_context.is_open:
            self._decode_in_order()  # the ledger cannot follow
        self._damage.sent(packet)
        try:
            if self._decoder is None:
                return self._said(packet.decode())
            return self._said(self._decoder.decode(packet if packet.size else None))
        except av.error.EOFError:
            return []
        except av.FFmpegError as exc:
            self._damage.failed(packet, exc)
            return []

    def _left_in_decoder(self) -> list[av.VideoFrame]:
        """What reading that ended in an error has left there; after a file's end there is none."""
        try:
            return self._said((self._decoder or self.stream.codec_context).decode(None))
        except av.FFmpegError:  # among them that all is out
            return []

    def _said(self, frames: list[av.VideoFrame]) -> list[av.VideoFrame]:
        """The frames; before the first, a word if the device asked for has not decoded it."""
        if frames and self._may_be_of_device:
            self._may_be_of_device = False
            say_who_decodes(self.stream, self._reading.hwaccel, frames[0])
        return frames

    def _decode_in_order(self) -> None:
        """Threads that take a frame each report an error at a later packet, and at the end not at
        all: then the ledger finds what is missing, but what came after it is gone. H.264 in threads
        that take a slice each does not say what is patched up."""
        in_slices = self.stream.codec_context.name != "h264"
        self.stream.thread_type = "SLICE" if in_slices else "NONE"

    def _witness(self) -> Witness | None:
        """What finds the packets that a demuxer leaves out in silence."""
        is_there = self.container.format.name == "mpegts"
        return Witness(self._inlet.between, self.stream.id) if is_there else None

    def _frame(self, frame: av.VideoFrame) -> Frame:
        if self._plain is None:
            self._plain = PlainFrames(frame)
        return self.intake.frame(self._plain.plain(frame), self._plain.turn)

    def _note_end(self, packet: SidePacket) -> None:
        if packet.pts is not None and packet.time_base:
            end = (packet.pts + (packet.duration or 0)) * packet.time_base
            self._end_s = max(self._end_s, end)

    def check_length(self) -> None:
        """Raises InputError where a file that is to be read whole has less than it says: its end is
        far away."""
        if self.on_error == "fail" and self.span.whole and self._inlet.seekable:
            lack = self._inlet.lack()
            if lack:
                raise self._cut(lack)

    def _cut(self, problem: str) -> InputError:
        return InputError(f"{self.path} {problem}; use --on-error skip to upscale what is there")

    def _check_ending(self) -> None:
        """A file cut short reads without an error."""
        ending = ending_of(
            self.container,
            self.stream,
            packets=self._packets,
            end_s=self._end_s - (self._joints.moved_s if self._joints else 0),
            is_whole=self.span.whole,
            lack=self._inlet.lack(),
        )
        if ending.is_cut and self.on_error == "fail":
            raise self._cut(ending.problem)
        if ending.problem:
            log.warning("%s %s", self.path, ending.problem)

    def stop(self) -> None:
        """The source ends here, even while it waits for more to come. For another thread."""
        self._inlet.stop()

    def close(self) -> None:
        """Frees the decoder and the file. Frames already yielded stay valid."""
        self._tail.close()  # type: ignore[attr-defined]  # a generator
        self._inlet.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()


class _Clock:
    """Gives a timestamp to frames that have none: when it was decoded, or after the one before."""

    def __init__(self, stream: av.VideoStream) -> None:
        rate = stream.guessed_rate or stream.average_rate or Fraction(25)
        self._base = stream.time_base or 1 / rate
        self._step = max(1, round(1 / (rate * self._base)))
        self._next = stream.start_time or 0
        self._last: int | None = None

    def set(self, frame: av.VideoFrame) -> None:
        if not frame.time_base:
            frame.time_base = self._base
        pts, dts, last = frame.pts, frame.dts, self._last
        if pts is not None and dts is not None and last is not None and pts <= last < dts:
            frame.pts = dts  # as FFmpeg does: a parser gave it the time of another
        if frame.pts is None:
            frame.pts = self._next if frame.dts is None else max(frame.dts, self._next)
        self._last, self._next = frame.pts, frame.pts + (frame.duration or self._step)


def packets_of(path: Path, index: int) -> Iterator[SidePacket]:
    """The packets of one stream of a file, not decoded. Raises the system's and FFmpeg's errors."""
    with av.open(local(path), metadata_errors="replace") as container:
        for packet in container.demux(container.streams[index]):
            stops.check()
            if packet.size:
                yield packet


def _still_shown(packet: SidePacket, begin_s: Fraction) -> Iterator[SidePacket]:
    """A subtitle that began before a time and lasts longer, made to begin there; of others none."""
    at_s, base = time_of(packet), packet.time_base
    if packet.stream.type != "subtitle" or at_s is None or not (base and packet.duration):
        return
    late = math.ceil((begin_s - at_s) / base)
    if late < packet.duration:
        packet.pts = packet.dts = (packet.pts or 0) + late
        packet.duration -= late
        yield packet


def _index(item: av.VideoFrame | SidePacket, video: av.VideoStream) -> int:
    return video.index if isinstance(item, av.VideoFrame) else item.stream.index
