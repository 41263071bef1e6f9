"""A source file: its facts, its decoded frames, and the packets of all the other streams."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import av
from av.video.reformatter import VideoReformatter

from vsrcli.errors import InputError
from vsrcli.frames import Frame, Role
from vsrcli.media.accelerator import say_who_decodes
from vsrcli.media.attached import Attached
from vsrcli.media.describe import describe
from vsrcli.media.fields import Deinterlacer
from vsrcli.media.info import SourceInfo
from vsrcli.media.inlet import Reading, open_inlet
from vsrcli.media.intake import Intake
from vsrcli.media.ledger import Ledger, Loss
from vsrcli.media.mapping import picture, select
from vsrcli.media.packet import SidePacket
from vsrcli.media.pixels import layout_of, plain_copy, planes_of
from vsrcli.media.rate import Grid
from vsrcli.media.transport import Witness
from vsrcli.media.turn import read_turn
from vsrcli.places import is_picture, numbered

log = logging.getLogger("vsr")
_AV_TIME_BASE = 1_000_000
_INTERLEAVE_S = 5
"""How far behind the picture its sound may lie in the file, at the end of a part."""
_LEEWAY_S = Fraction(1, 5)
"""Less than this may be the rounding of the container or of the length of its last packets."""
_SHORTFALL_S = 1.0
"""A source whose packets end this much before its declared duration is called truncated."""
_ROOM = Fraction(1, 4)
"""Of a frame: what was lost nearer to another one than this has no place of its own."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """The part of a source that is wanted, in seconds from its start."""

    start_s: Fraction | None = None
    end_s: Fraction | None = None

    @property
    def whole(self) -> bool:
        """Nothing is cut off."""
        return self.start_s is None and self.end_s is None


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
        self.damaged = 0
        """Packets that could not be decoded so far, or only in part."""
        self.replaced = 0
        """Frames shown again so far in place of some that could not be decoded."""
        self._lost: list[Loss] = []  # frames that are to be replaced
        self._last: Frame | None = None
        self._skipped = 0  # video packets that are read but not decoded
        self._conformed: set[tuple[int, int, str]] = set()  # sizes and formats unlike the first's
        self._open()
        self._reformatter, self._attached = VideoReformatter(), Attached()
        self._head: list[Frame | SidePacket] = []
        self._first: av.VideoFrame | None = None
        self._tail = self._paced()
        try:
            self.info = self._first_look()
        except BaseException:
            self.container.close()
            self._inlet.check()
            raise
        self._inlet.check()

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
        self.frames = self._decoded = frames
        self._last = None
        (self._decoder or self.stream.codec_context).flush_buffers()
        self._ledger.clear()
        return True

    @property
    def wanted(self) -> list[int]:
        """The indices of the selected streams, in the order they were asked for."""
        return select(self.container, self._maps)

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
            raise InputError(_open_message(self.path, exc)) from exc
        stream = picture(self.container, self._maps)
        if stream is None or getattr(stream, "codec_context", None) is None:
            self.container.close()
            raise InputError(
                f"{self.path} has no video that can be decoded; `vsr probe` lists streams"
            )
        self.stream = cast(av.VideoStream, stream)
        say_who_decodes(self.stream, self._reading.hwaccel)
        self.stream.thread_type = "AUTO"
        if self.on_error != "fail":
            self._decode_in_order()
        self.stream.codec_context.thread_count = self._threads
        self._decoder = self.intake.decoder(self.stream)

    def _first_look(self) -> SourceInfo:
        frame = self._pull_frame()
        if self.span.start_s and not self._passed_start and self._inlet.seekable:
            late = frame is None or frame.time_s > self._start_time() + 0.001
            frame = self._retry_from_start() if late else frame
        if frame is None:
            self._explain_no_frames()
        assert frame is not None
        assert self._first is not None
        self._drop_empty_alpha(frame)
        info = describe(self.path, self.container, self.stream, self._first, self._notes)
        rate = self.grid.rate if self.grid else None
        video = self.intake.video(info.video, self._fields.factor, rate)
        return replace(info, video=replace(video, time_base=frame.time_base))

    def _drop_empty_alpha(self, frame: Frame) -> None:
        """A single picture shows at once whether anything in it is transparent."""
        is_single = is_picture(self.path) and not numbered(self.path)
        if not (is_single and frame.layout.planes_of(Role.ALPHA)):
            return
        if frame.planes[-1].min() == (1 << frame.layout.bits) - 1:
            self.intake = replace(self.intake, alpha=False)
            self._head = [
                self.intake.frame(item, None) if isinstance(item, Frame) else item
                for item in self._head
            ]

    def _pull_frame(self) -> Frame | None:
        for item in self._tail:
            self._head.append(item)
            if isinstance(item, Frame):
                return item
        return None

    def _retry_from_start(self) -> Frame | None:
        """Some containers seek past the wanted frame: then read from the beginning instead."""
        self.container.close()
        self._open()
        self._head, self.frames, self.damaged = [], 0, 0
        self._tail = self._paced(seek=False)
        return self._pull_frame()

    def _explain_no_frames(self) -> None:
        if not self.span.whole:
            raise InputError(f"{self.path} has no frame in the part that -ss/-t/-to select")
        raise InputError(f"{self.path} has a video stream but not one frame can be decoded from it")

    def _start_time(self) -> Fraction:
        start = Fraction(self.container.start_time or 0, _AV_TIME_BASE)
        return start + (self.span.start_s or 0)

    def _paced(self, seek: bool = True) -> Iterator[Frame | SidePacket]:
        """What `_produce` gives, at a constant rate where one is wanted."""
        self._fields = Deinterlacer(self.intake.deinterlace)
        rate = self.intake.grid_rate(self.stream, self._fields.factor)
        self.grid = Grid(rate) if rate else None
        items = self._produce(seek)
        for item in self.grid.place(items) if self.grid else items:
            self.frames += item.shown if isinstance(item, Frame) else 0
            yield item

    def _produce(self, seek: bool) -> Iterator[Frame | SidePacket]:
        self._first, self._decoded = None, 0
        self._last, self._lost = None, []
        self._unseen = 0  # packets that the demuxer left out, whose place is to be found
        self._passed_start = False  # a frame before the start was seen: the seek was early enough
        self._ledger = Ledger(self.stream)
        self._begin_s = first_wanted = None if self.span.start_s is None else self._start_time()
        end = Fraction(self.container.start_time or 0, _AV_TIME_BASE)
        end_wanted = None if self.span.end_s is None else end + self.span.end_s
        self._over: set[int] = set()  # streams that have passed the end
        self._deadline = end + (self.span.end_s or 0) + _INTERLEAVE_S
        timed = {self.stream.index, *(s.index for s in self.container.streams.audio)}
        if first_wanted and seek and self._inlet.seekable:
            self.container.seek(int(first_wanted * _AV_TIME_BASE))
        for item in self._demux():
            if isinstance(item, av.VideoFrame) and self._packets <= self._skipped:
                continue  # it was on its way when `skip` was called
            at = _time(item)
            if first_wanted is not None and at is not None and at < first_wanted:
                self._passed_start |= isinstance(item, av.VideoFrame)
                continue
            if end_wanted is not None and at is not None and at >= end_wanted:
                if isinstance(item, av.VideoFrame):
                    yield from self._stand_ins(self._last, end_wanted)
                self._over.add(_index(item, self.stream))
                if timed <= self._over:
                    return
                continue
            if isinstance(item, av.VideoFrame):
                yield from self._filled(item)
            else:
                yield item
        yield from self._stand_ins(self._last, None)
        if self.span.end_s is None:
            self._check_complete()

    def _demux(self) -> Iterator[av.VideoFrame | SidePacket]:
        """Decoded video frames and the packets of other streams, timestamps made whole."""
        self._packets, self._end_s = 0, Fraction(0)
        clock, witness = _Clock(self.stream), self._witness()
        for packet in self._packets_read():
            if packet.stream.index in self._over:
                if (_time(packet) or 0) > self._deadline:
                    return
                continue
            if packet.stream.index != self.stream.index:
                if packet.size:
                    self._note_end(packet)
                    yield packet
                continue
            self._packets += packet.size > 0
            self._note_end(packet)
            if packet.size and self._packets <= self._skipped:
                continue
            if witness:
                self._miss(witness.lost(packet.pos), _time(packet))
            for frame in self._decode(packet):
                self._note(frame)
                clock.set(frame)
                yield from self._fields.push(frame)
        if witness:
            self._miss(witness.lost(None), None)
        self._lose(self._ledger.left())
        yield from self._fields.flush()

    def _packets_read(self) -> Iterator[SidePacket]:
        try:
            yield from self.container.demux()
        except av.error.EOFError:
            return
        except (av.FFmpegError, OSError) as exc:
            if self.on_error == "fail":
                raise InputError(f"{self.path}: reading stopped: {exc}; see --on-error") from exc
            self.damaged += 1
            log.warning("%s: reading stopped early: %s", self.path, exc)

    def _decode(self, packet: SidePacket) -> list[av.VideoFrame]:
        if packet.pts is None and not self.stream.codec_context.is_open:
            self._decode_in_order()  # the ledger cannot follow
        self._ledger.sent(packet)
        try:
            if self._decoder is None:
                return packet.decode()
            return self._decoder.decode(packet if packet.size else None)
        except av.error.EOFError:
            return []
        except av.FFmpegError as exc:
            self.damaged += 1
            if self.on_error == "fail":
                raise InputError(
                    f"{self.path}: the packet at {_seconds(packet)} cannot be decoded "
                    f"({exc.strerror}); use --on-error skip to go on without it, or repeat"
                ) from exc
            self._ledger.failed(packet)
            return []

    def _decode_in_order(self) -> None:
        """Threads that take a frame each report an error at a later packet, and at the end not at
        all: then the ledger finds what is missing, but what came after it is gone. H.264 in threads
        that take a slice each does not say what is patched up."""
        in_slices = self.stream.codec_context.name != "h264"
        self.stream.thread_type = "SLICE" if in_slices else "NONE"

    def _note(self, frame: av.VideoFrame) -> None:
        """Counts what is missing before a frame, and the frame if it is damaged."""
        is_first = not self._ledger.has_begun
        lost, at_s = self._ledger.shown(frame), _time(frame)
        if is_first and self._ledger.joined and self._begin_s is None:
            log.warning(
                "%s begins within a scene: %d frames before its first keyframe cannot be shown",
                *(self.path, self._ledger.joined),
            )
        self._lose(lost)
        if not self._ledger.is_damaged(frame) or not self._is_wanted(at_s):
            return
        self.damaged += 1
        if self.on_error == "fail":
            raise InputError(
                f"{self.path}: the frame at {float(at_s or 0):.3f} s is damaged; use --on-error "
                "skip or repeat to take it as it can be decoded"
            )

    def _lose(self, losses: list[Loss]) -> None:
        """Packets gave no frame: an error, a gap, or places to fill."""
        wanted = [loss for loss in losses if self._is_wanted(loss.at_s)]
        self.damaged += sum(not loss.is_told for loss in wanted)
        if wanted and self.on_error == "fail":
            raise InputError(
                f"{self.path}: the frame at {float(wanted[0].at_s):.3f} s cannot be decoded; "
                "use --on-error skip to go on without it, or repeat"
            )
        if self.on_error == "repeat":
            self._lost += wanted

    def _witness(self) -> Witness | None:
        """What finds the packets that a demuxer leaves out in silence."""
        is_there = self.container.format.name == "mpegts"
        return Witness(self._inlet.between, self.stream.id) if is_there else None

    def _miss(self, packets: int, before_s: Fraction | None) -> None:
        """Packets due ahead of a time are not even seen; None: of the end."""
        if not packets or not self._is_wanted(before_s):
            return
        self.damaged += packets
        self._unseen += packets
        if self.on_error == "fail":
            at = "the end" if before_s is None else f"{float(before_s):.3f} s"
            raise InputError(
                f"{self.path}: a frame ahead of {at} is missing, as its packet is damaged; "
                "use --on-error skip to go on without it, or repeat"
            )

    def _is_wanted(self, at_s: Fraction | None) -> bool:
        return self._begin_s is None or at_s is None or at_s >= self._begin_s

    def _filled(self, frame: av.VideoFrame) -> Iterator[Frame]:
        """The frame, after those that stand in for lost ones due before it."""
        plain = self._frame(frame)
        at_s, room_s = plain.pts * plain.time_base, (self._ledger.frame_s or 0) * _ROOM
        self._lost += self._places(at_s)
        yield from self._stand_ins(self._last or plain, at_s - room_s)
        if self.damaged and self._last is not None and plain.pts <= self._last.pts:
            self.damaged += 1  # the damage has put it out of order: its place has been passed
            return
        self._decoded += 1
        self._last = replace(plain, index=self._decoded - 1)
        yield self._last

    def _places(self, before_s: Fraction) -> list[Loss]:
        """Where packets that were not even seen would have been: in a gap ahead of a frame."""
        length_s, last = self._ledger.frame_s, self._last
        if not (self._unseen and length_s and last and self.on_error == "repeat"):
            return []
        last_s = last.pts * last.time_base
        count = min(self._unseen, round((before_s - last_s) / length_s) - 1)
        self._unseen -= max(0, count)
        starts = (last_s + number * length_s for number in range(1, count + 1))
        return [Loss(at_s=at_s, length_s=length_s, is_told=True) for at_s in starts]

    def _stand_ins(self, picture: Frame | None, before_s: Fraction | None) -> Iterator[Frame]:
        """The picture again for each lost frame due before a time; None: for all that are left."""
        due = [loss for loss in self._lost if before_s is None or loss.at_s < before_s]
        self._lost = [loss for loss in self._lost if loss not in due]
        for loss in due if picture else ():
            assert picture is not None
            pts = round(loss.at_s / picture.time_base)
            room = (self._ledger.frame_s or 0) * _ROOM / picture.time_base
            if self._last is not None and pts <= self._last.pts + room:
                continue  # its place has been passed, or is taken
            self._decoded += 1
            self.replaced += 1
            self._last = replace(
                picture,
                pts=pts,
                duration=round(loss.length_s / picture.time_base),
                index=self._decoded - 1,
            )
            yield self._last

    def _frame(self, frame: av.VideoFrame) -> Frame:
        if self._first is None:
            self._first = frame
            self._layout, self._notes = layout_of(frame.format.name), self._attached.read(frame)
            self._turn = read_turn(self._notes)
        first, origin = self._first, frame
        if (frame.width, frame.height, frame.format.name) != (
            first.width,
            first.height,
            first.format.name,
        ):
            frame = self._conform(frame, first)
        pts, duration, base = frame.pts, frame.duration or 0, frame.time_base
        assert pts is not None  # the clock has set both
        assert base is not None
        if frame.format.name.replace("yuvj", "yuv") != self._layout.name:
            frame = plain_copy(frame, self._layout.name, self._reformatter)
        plain = Frame(
            planes=planes_of(frame, self._layout),
            layout=self._layout,
            width=frame.width,
            height=frame.height,
            pts=pts,
            time_base=base,
            duration=duration,
            origin=origin if self._attached.is_handed_on(origin) else None,
        )
        return self.intake.frame(plain, self._turn)

    def _conform(self, frame: av.VideoFrame, first: av.VideoFrame) -> av.VideoFrame:
        """As ffmpeg does: a picture that changes its size midway is brought to the first's."""
        shape = (frame.width, frame.height, frame.format.name)
        if shape not in self._conformed:
            self._conformed.add(shape)
            log.warning(
                "the video changes to %dx%d %s at %.3f s; scaled to the first frame's %dx%d %s",
                *(*shape, frame.time or 0.0),
                *(first.width, first.height, first.format.name),
            )
        pts, base, duration = frame.pts, frame.time_base, frame.duration
        frame = self._reformatter.reformat(
            frame, first.width, first.height, first.format.name, interpolation="LANCZOS"
        )
        frame.pts, frame.time_base, frame.duration = pts, base, duration
        return frame

    def _note_end(self, packet: SidePacket) -> None:
        if packet.pts is not None and packet.time_base:
            end = (packet.pts + (packet.duration or 0)) * packet.time_base
            self._end_s = max(self._end_s, end)

    def _check_complete(self) -> None:
        """A file cut short reads without an error: compare what came with what was declared."""
        declared, start = self.container.duration, self.container.start_time or 0
        missing = Fraction((declared or 0) + start, _AV_TIME_BASE) - self._end_s
        short = declared is not None and missing > max(_SHORTFALL_S, declared / _AV_TIME_BASE / 20)
        counted = self.span.whole and "mp4" in self.container.format.name
        fewer = counted and 0 < self._packets < self.stream.frames  # AVI counts ticks, not frames
        message = f"{self.path} is truncated: it ends at {float(self._end_s):.2f} s"
        if declared:
            message += f" of {declared / _AV_TIME_BASE:.2f} s"
        short = short or self._inlet.is_cut()
        if (short or fewer) and self.on_error == "fail":
            raise InputError(f"{message}; use --on-error skip to upscale what is there")
        if short or fewer:
            log.warning("%s", message)
        elif declared is not None and missing > _LEEWAY_S:
            log.warning("%s", message.replace("is truncated", "may be truncated"))
        elif self._breaks_off():
            log.warning("%s may be truncated: it ends within a packet", self.path)

    def _breaks_off(self) -> bool:
        """A transport stream says no length, but has packets of 188 bytes (m2ts 192)."""
        size = self.container.size if self.container.format.name == "mpegts" else 0
        return size > 0 and size % 188 != 0 and size % 192 != 0

    def stop(self) -> None:
        """The source ends here, even while it waits for more to come. For another thread."""
        self._inlet.stop()

    def close(self) -> None:
        """Frees the decoder and the file. Frames already yielded stay valid."""
        self._tail.close()  # type: ignore[attr-defined]  # a generator
        self.container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()


class _Clock:
    """Gives a timestamp to frames that have none (raw streams, AVI with B-frames)."""

    def __init__(self, stream: av.VideoStream) -> None:
        rate = stream.guessed_rate or stream.average_rate or Fraction(25)
        self._base = stream.time_base or 1 / rate
        self._step = max(1, round(1 / (rate * self._base)))
        self._next = stream.start_time or 0

    def set(self, frame: av.VideoFrame) -> None:
        if not frame.time_base:
            frame.time_base = self._base
        if frame.pts is None:
            frame.pts = self._next
        self._next = frame.pts + (frame.duration or self._step)


def local(path: Path) -> str:
    """The path as FFmpeg must be given it: "a:b.mp4" alone would name a protocol."""
    return str(path.absolute())


def _index(item: av.VideoFrame | SidePacket, video: av.VideoStream) -> int:
    return video.index if isinstance(item, av.VideoFrame) else item.stream.index


def _time(item: av.VideoFrame | SidePacket) -> Fraction | None:
    if item.pts is None or not item.time_base:
        return None
    return Fraction(item.pts * item.time_base)


def _seconds(packet: SidePacket) -> str:
    stamp = packet.pts if packet.pts is not None else packet.dts
    return "an unknown time" if stamp is None else f"{float(stamp * packet.time_base):.3f} s"


def _open_message(path: Path, exc: Exception) -> str:
    if isinstance(exc, FileNotFoundError):
        return f"{path} does not exist"
    if isinstance(exc, IsADirectoryError) or path.is_dir():
        return f"{path} is a folder; name a video file"
    if isinstance(exc, PermissionError):
        return f"{path} may not be read: permission denied"
    reason = getattr(exc, "strerror", None) or str(exc)
    return f"{path} cannot be opened as video ({reason}); is it complete and a media file?"
