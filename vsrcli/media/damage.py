"""What cannot be decoded, and what becomes of its place: `--on-error fail`, `skip` or `repeat`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av

from vsrcli.errors import InputError
from vsrcli.frames import Frame
from vsrcli.media.lost_frames import Ledger, Loss
from vsrcli.media.packet import SidePacket, said_time, time_of

log = logging.getLogger("vsr")
_ROOM = Fraction(1, 4)
"""Of a frame: what was lost nearer to another one than this has no place of its own."""


class Damage:
    """Sees packets before they are decoded and frames after that, and puts frames in their places.

    With `on_error` fail every loss raises InputError; with repeat the frame before it is shown
    again. Losses ahead of `begin_s` are nobody's.
    """

    def __init__(
        self, path: Path, stream: av.VideoStream, *, on_error: str, begin_s: Fraction | None
    ) -> None:
        self.count = 0
        """Packets that could not be decoded so far, or only in part."""
        self.replaced = 0
        """Frames shown again so far in place of some that could not be decoded."""
        self._path, self._on_error, self._begin_s = path, on_error, begin_s
        self._ledger = Ledger(stream)
        self._lost: list[Loss] = []  # frames that are to be replaced
        self._unseen = 0  # packets that the demuxer left out, whose place is to be found
        self._placed, self._has_moved = 0, False
        self._last: Frame | None = None

    def go_on_at(self, frame: int) -> None:
        """Decoding starts anew somewhere else, where the next frame has this number."""
        self._ledger.clear()
        self._placed, self._last = frame, None

    def sent(self, packet: SidePacket) -> None:
        """A packet is about to be decoded."""
        self._ledger.sent(packet)

    def stopped(self, exc: Exception) -> None:
        """Nothing more can be read."""
        self._add(f"reading stopped: {exc}; see --on-error", exc)
        log.warning("%s: reading stopped early: %s", self._path, exc)

    def failed(self, packet: SidePacket, exc: av.FFmpegError) -> None:
        """The decoder raised an error when it was given this packet."""
        self._add(
            f"the packet at {said_time(packet)} cannot be decoded ({exc.strerror}); use --on-error "
            "skip to go on without it, or repeat",
            exc,
        )
        self._ledger.failed(packet)

    def unseen(self, packets: int, before_s: Fraction | None) -> None:
        """Packets due ahead of a time did not even come; None: of the end."""
        if not packets or not self._is_wanted(before_s):
            return
        at = "the end" if before_s is None else f"{float(before_s):.3f} s"
        self._add(
            f"a frame ahead of {at} is missing, as its packet is damaged; use --on-error skip to "
            "go on without it, or repeat",
            count=packets,
        )
        self._unseen += packets

    def shown(self, frame: av.VideoFrame) -> None:
        """A frame came: counts what is missing before it, and itself if it is damaged."""
        is_first = not self._ledger.has_begun
        lost, at_s = self._ledger.shown(frame), time_of(frame)
        if is_first and self._ledger.joined and self._begin_s is None:
            log.warning(
                "%s begins within a scene: %d frames before its first keyframe cannot be shown",
                *(self._path, self._ledger.joined),
            )
        self._lose(lost)
        if self._ledger.is_damaged(frame) and self._is_wanted(at_s):
            self._add(
                f"the frame at {float(at_s or 0):.3f} s is damaged; use --on-error skip or repeat "
                "to take it as it can be decoded"
            )

    def ended(self) -> None:
        """The decoder is empty: counts what never came."""
        self._lose(self._ledger.left())

    def in_place(self, frame: Frame) -> Iterator[Frame]:
        """The frame with its number, after those that stand in for lost ones due before it."""
        at_s, room_s = frame.pts * frame.time_base, (self._ledger.frame_s or 0) * _ROOM
        self._lost += self._gaps(at_s)
        yield from self._stand_ins(self._last or frame, at_s - room_s)
        if self._last is not None and frame.pts <= self._last.pts:
            if self.count:
                self.count += 1  # the damage has put it out of order: its place has been passed
                return
            frame = self._moved(frame, self._last.pts)
        yield self._place(frame)

    def rest(self, before_s: Fraction | None = None) -> Iterator[Frame]:
        """The last frame again for each lost one due before a time; None: for all that are left."""
        if self._last is not None:
            yield from self._stand_ins(self._last, before_s)

    def _add(self, what: str, exc: Exception | None = None, *, count: int = 1) -> None:
        self.count += count
        if self._on_error == "fail":
            raise InputError(f"{self._path}: {what}") from exc

    def _lose(self, losses: list[Loss]) -> None:
        """Packets gave no frame: an error, a gap, or places to fill."""
        wanted = [loss for loss in losses if self._is_wanted(loss.at_s)]
        if wanted:
            self._add(
                f"the frame at {float(wanted[0].at_s):.3f} s cannot be decoded; use --on-error "
                "skip to go on without it, or repeat",
                count=sum(not loss.is_told for loss in wanted),
            )
        if self._on_error == "repeat":
            self._lost += wanted

    def _is_wanted(self, at_s: Fraction | None) -> bool:
        return self._begin_s is None or at_s is None or at_s >= self._begin_s

    def _gaps(self, before_s: Fraction) -> list[Loss]:
        """Where packets that did not even come would have been: in a gap ahead of a frame."""
        length_s, last = self._ledger.frame_s, self._last
        if not (self._unseen and length_s and last and self._on_error == "repeat"):
            return []
        last_s = last.pts * last.time_base
        count = min(self._unseen, round((before_s - last_s) / length_s) - 1)
        self._unseen -= max(0, count)
        starts = (last_s + number * length_s for number in range(1, count + 1))
        return [Loss(at_s=at_s, length_s=length_s, is_told=True) for at_s in starts]

    def _stand_ins(self, picture: Frame, before_s: Fraction | None) -> Iterator[Frame]:
        due = [loss for loss in self._lost if before_s is None or loss.at_s < before_s]
        self._lost = [loss for loss in self._lost if loss not in due]
        room = (self._ledger.frame_s or 0) * _ROOM / picture.time_base
        for loss in due:
            pts = round(loss.at_s / picture.time_base)
            if self._last is not None and pts <= self._last.pts + room:
                continue  # its place has been passed, or is taken
            self.replaced += 1
            duration = round(loss.length_s / picture.time_base)
            yield self._place(replace(picture, pts=pts, duration=duration))

    def _moved(self, frame: Frame, last: int) -> Frame:
        """A frame that comes with the one before it, or before that: a tick later."""
        if not self._has_moved:
            log.warning(
                "%s: frames come at or before the time of the one before them; they are shown a "
                "moment later",
                self._path,
            )
        self._has_moved = True
        return replace(frame, pts=last + 1)

    def _place(self, frame: Frame) -> Frame:
        self._last = replace(frame, index=self._placed)
        self._placed += 1
        return self._last
