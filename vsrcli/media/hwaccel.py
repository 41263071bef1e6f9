"""Decoding on a GPU (NVDEC and the like) where PyAV offers it."""

from __future__ import annotations

import logging

import av
from av.codec.hwaccel import HWAccel

from vsrcli.errors import DeviceError, UsageError

log = logging.getLogger("vsr")
NONE = "none"
AUTO = "auto"
"""The first device that starts, if any."""
_COMMON = "h264"
"""What every such device decodes."""


def accelerator(kind: str) -> HWAccel | None:
    """What `av.open` takes for a device that decodes: none, auto, cuda, vaapi, videotoolbox …

    What the device cannot decode, FFmpeg decodes on the CPU. Frames come to the host (nv12, p010).
    Raises UsageError for a kind that this PyAV lacks, DeviceError if the device does not start.
    """
    if kind == NONE:
        return None
    offered = kinds()
    if kind == AUTO:
        works = next((each for each in offered if not why_not(each)), None)
        return HWAccel(works, allow_software_fallback=True) if works else None
    if kind not in offered:
        raise UsageError(f"--hwaccel has no {kind!r}; use {', '.join((NONE, AUTO, *offered))}")
    if reason := why_not(kind):
        raise DeviceError(
            f"--hwaccel {kind} does not start here: {reason}; leave it out to decode on the CPU"
        )
    return HWAccel(kind, allow_software_fallback=True)


def kinds() -> list[str]:
    """The devices that this PyAV can decode on, in FFmpeg's words."""
    return [config.device_type.name for config in av.Codec(_COMMON, "r").hardware_configs or ()]


def why_not(kind: str) -> str:
    """Why a device does not decode here; empty if it does. Tries it."""
    try:
        HWAccel(kind, allow_software_fallback=True).create(av.Codec(_COMMON, "r"))
    except av.FFmpegError as exc:
        return f"there is no such device, or no driver for it ({exc.strerror})"
    return ""


def check_accelerators() -> dict[str, str]:
    """Every kind, and `why_not`."""
    return {kind: why_not(kind) for kind in kinds()}


def say_who_decodes(stream: av.VideoStream, kind: str, first: av.VideoFrame | None = None) -> None:
    """Warns where the device asked for does not decode: by the codec or, given the `first` frame,
    by its planes, as a device's frames have their chroma in one. It may lack the codec's profile,
    or its library may be missing."""
    context = stream.codec_context
    is_planar = first is not None and first.format.name.startswith(("yuv420p", "yuv422p"))
    if kind not in (NONE, AUTO) and (is_planar or (first is None and not context.is_hwaccel)):
        log.warning("%s is decoded on the CPU: %s does not", context.codec.canonical_name, kind)
