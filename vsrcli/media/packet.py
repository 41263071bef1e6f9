"""The type of a compressed packet on its way from a source to a sink."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, TypeAlias

import av

SidePacket: TypeAlias = "av.Packet[Any]"  # any kind of stream
"""A packet of a stream that is not upscaled."""


def time_of(item: av.VideoFrame | SidePacket) -> Fraction | None:
    """When it is shown, in seconds; None if it does not say."""
    if item.pts is None or not item.time_base:
        return None
    return Fraction(item.pts * item.time_base)
