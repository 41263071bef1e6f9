"""Which packets of the picture became frames: decoders drop some without an error."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av

from vsrcli.media.ffv1_slices import is_broken
from vsrcli.media.packet import SidePacket

_FIELD = Fraction(3, 4)
"""A packet that lasts less than this share of a frame holds one field of it."""
_VP8_SHOWN = 0x10
"""In the first byte of each packet of VP8; without it the picture is only referred to."""


@dataclass(frozen=True, kw_only=True)
class Loss:
    """A packet that gave no frame."""

    at_s: Fraction
    """When it was to be shown."""
    length_s: Fraction
    is_told: bool
    """The decoder raised an error for it."""


class Ledger:
    """Packets go in as they are decoded, frames as they come out; what was left out is found.

    Frames come in order of presentation, so a packet that was to be shown before a frame and after
    the one before it is lost. Only packets with a timestamp are counted. The second field of a
    frame, a picture that is not to be shown, and those ahead of the first keyframe are no losses.
    """

    def __init__(self, stream: av.VideoStream) -> None:
        rates = [rate for rate in (stream.guessed_rate, stream.average_rate) if rate]
        self.frame_s = 1 / min(rates) if rates else None
        """How long a frame lasts; None: unknown."""
        self._hides = stream.codec_context.name == "vp8"
        self._is_sliced = stream.codec_context.name == "ffv1"
        self._base = stream.time_base or Fraction(1)
        self.joined = 0
        """Packets before the first keyframe: what they refer to is not in the file."""
        self.clear()

    @property
    def has_begun(self) -> bool:
        """Some frame came."""
        return self._last is not None

    def clear(self) -> None:
        """Decoding starts anew somewhere else."""
        self._due: dict[int, Loss] = {}
        self._suspect: set[int | None] = set()
        self._last: av.VideoFrame | None = None
        self._keyed = False

    def sent(self, packet: SidePacket) -> None:
        """A packet is about to be decoded."""
        if packet.size and (packet.is_corrupt or (self._is_sliced and is_broken(bytes(packet)))):
            self._suspect.add(packet.pts)
        is_hidden = self._hides and packet.size and not memoryview(packet)[0] & _VP8_SHOWN
        self._keyed |= packet.is_keyframe
        if packet.pts is None or not packet.size:
            return
        if packet.is_discard or is_hidden:
            return
        if not self._keyed:
            self.joined += 1
            return
        at_s, length_s = packet.pts * self._base, (packet.duration or 0) * self._base
        self._due[packet.pts] = Loss(at_s=at_s, length_s=length_s, is_told=False)

    def failed(self, packet: SidePacket) -> None:
        """The decoder raised an error when it was given this packet."""
        if packet.pts is not None:
            at_s, length_s = packet.pts * self._base, (packet.duration or 0) * self._base
            self._due[packet.pts] = Loss(at_s=at_s, length_s=length_s, is_told=True)

    def is_damaged(self, frame: av.VideoFrame) -> bool:
        """The decoder has patched it up, or its packet lacks something. To be asked once."""
        is_suspect = frame.pts in self._suspect
        self._suspect.discard(frame.pts)
        return frame.is_corrupt or is_suspect

    def shown(self, frame: av.VideoFrame) -> list[Loss]:
        """A frame came: what should have come since the one before it."""
        pts = frame.pts
        if pts is None or pts not in self._due:  # the decoder counts otherwise, or not at all
            self._drop(frame)
            return []
        ahead = {p for p in self._due if p < pts}
        if self._last is None:  # pictures after a keyframe, shown before it, may refer further back
            sent = list(self._due)
            ahead &= set(sent[: sent.index(pts)])
        lost = self._frames([self._due[p] for p in sorted(ahead)])
        self._drop(frame)
        return lost

    def left(self) -> list[Loss]:
        """The decoder is empty: what never came."""
        lost = self._frames([self._due[p] for p in sorted(self._due)])
        self._due = {}
        return lost

    def _drop(self, frame: av.VideoFrame) -> None:
        self._last = frame
        if frame.pts is not None:
            self._due = {p: loss for p, loss in self._due.items() if p > frame.pts}

    def _frames(self, lost: list[Loss]) -> list[Loss]:
        """The losses without those that are the second field of what came before them."""
        if self._last is None or not self._last.interlaced_frame or self.frame_s is None:
            return lost
        limit = self.frame_s * _FIELD
        seconds = [loss for loss in lost if 0 < loss.length_s < limit][::2]
        return [loss for loss in lost if loss not in seconds]
