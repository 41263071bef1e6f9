"""The type of a compressed packet on its way from a source to a sink."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, TypeAlias

import av

SidePacket: TypeAlias = "av.Packet[Any]"  # any kind of stream
"""A packet of a stream that is not upscaled."""


def said_time(packet: SidePacket) -> str:
    """When it is shown, or else decoded, in words of a message."""
    stamp = packet.pts if packet.pts is not None else packet.dts
    return "an unknown time" if stamp is None else f"{float(stamp * packet.time_base):.3f} s"


def time_of(item: av.VideoFrame | SidePacket) -> Fraction | None:
    """When it is shown, in seconds; None if it does not say."""
    if item.pts is None or not item.time_base:
        return None
    return Fraction(item.pts * item.time_base)
