"""Where decoding can begin late and still give the frames that decoding from the start gives.

Reading packets costs next to nothing, decoding them does not. So the way to a frame in the middle
is to read on undecoded to a keyframe ahead of it. Whether the frames from there on are the same is
not taken on trust: the frame before the wanted one is decoded and compared with what it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from vsrcli.frames import Frame
from vsrcli.media.packet import time_of
from vsrcli.media.source import Source, packets_of

_LEAD = 2
"""Keyframes ahead of the frame: the frames just after one may lean on those before it."""
_FIELDS = 2
"""Packets of a frame, at most."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A way into a source, for `Source.skip`."""

    packets: int
    """Of the video that need not be decoded."""
    frames: int
    """That they would have given: the number of the first frame after them."""


def find_entry(
    open_source: Callable[[], Source], *, number: int, time_s: Fraction, digest: str, frames: int
) -> Entry | None:
    """The entry for a source whose frame `number` is shown at `time_s` and has this digest. That
    frame and those before it, `frames` in all, come after the entry.

    None if there is no such way and everything has to be decoded. The source must be a file that
    is read from its start.
    """
    with open_source() as source:
        packets = _packets_ahead(source.path, source.info.video.index, time_s, frames)
        if not packets or source.grid or not source.skip(packets, 0):
            return None
        for item in source.items():
            if isinstance(item, Frame) and item.pts * item.time_base >= time_s:
                same = item.pts * item.time_base == time_s and item.digest() == digest
                first = number - item.index
                is_good = same and first > 0 and item.index + 1 >= frames
                return Entry(packets=packets, frames=first) if is_good else None
    return None


def _packets_ahead(path: Path, video: int, time_s: Fraction, frames: int) -> int:
    """How many video packets come before the last keyframe but one that is no later than this, and
    has `frames` after it until then, though each be in two fields."""
    keyframes: list[int] = []
    count = until = 0
    try:
        for packet in packets_of(path, video):
            at_s = time_of(packet)
            if packet.is_keyframe:
                if at_s is None or at_s > time_s:
                    break
                keyframes.append(count)
            count += 1
            if at_s is not None and at_s <= time_s:
                until = count
    except (av.FFmpegError, OSError):
        return 0
    ahead = keyframes[: 1 - _LEAD]
    return max((place for place in ahead if until - place >= _FIELDS * frames), default=0)
