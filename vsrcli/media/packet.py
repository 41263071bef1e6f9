"""The type of a compressed packet on its way from a source to a sink."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, TypeAlias

import av

SidePacket: TypeAlias = "av.Packet[Any]"  # any kind of stream
"""A packet of a stream that is not upscaled."""


def said_time(packet: SidePacket) -> str:
    """Its presentation time, or else its decoding time, as text for a message."""
    stamp = packet.pts if packet.pts is not None else packet.dts
    return "an unknown time" if stamp is None else f"{float(stamp * packet.time_base):.3f} s"


def time_of(item: av.VideoFrame | SidePacket) -> Fraction | None:
    """Its presentation time in seconds; None if it has none."""
    if item.pts is None or not item.time_base:
        return None
    return Fraction(item.pts * item.time_base)
