"""Decoding on a GPU (NVDEC and the like) where PyAV offers it."""

from __future__ import annotations

import logging

import av
from av.codec.hwaccel import HWAccel, hwdevices_available

from vsrcli.errors import DeviceError, UsageError

log = logging.getLogger("vsr")
NONE = "none"
_COMMON = "h264"
"""What every such device decodes."""


def accelerator(kind: str) -> HWAccel | None:
    """What `av.open` takes for a device that decodes: none, cuda, vaapi, videotoolbox …

    What the device cannot decode, FFmpeg decodes on the CPU. Frames come to the host (nv12, p010).
    Raises UsageError for a kind that this PyAV lacks, DeviceError if the device does not start.
    """
    if kind == NONE:
        return None
    offered = hwdevices_available()
    if kind not in offered:
        raise UsageError(f"--hwaccel has no {kind!r}; use {', '.join((NONE, *offered))}")
    chosen = HWAccel(kind, allow_software_fallback=True)
    try:
        chosen.create(av.Codec(_COMMON, "r"))
    except (av.FFmpegError, NotImplementedError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise DeviceError(
            f"--hwaccel {kind} does not start here: {reason}; leave it out to decode on the CPU"
        ) from exc
    return chosen


def say_who_decodes(stream: av.VideoStream, kind: str) -> None:
    """Warns of a codec that the device asked for does not decode."""
    context = stream.codec_context
    if kind != NONE and not context.is_hwaccel:
        log.warning("%s is decoded on the CPU: %s does not", context.codec.canonical_name, kind)
