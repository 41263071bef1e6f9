"""The type of a compressed packet on its way from a source to a sink."""

from __future__ import annotations

from typing import Any, TypeAlias

import av

SidePacket: TypeAlias = "av.Packet[Any]"  # any kind of stream
"""A packet of a stream that is not upscaled."""
