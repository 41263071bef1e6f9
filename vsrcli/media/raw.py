"""Raw pictures: whether a container says of what pixel format they are, so that all can read it."""

from __future__ import annotations

import io
from functools import cache

import av

from vsrcli.errors import EncodeError

_TOLD = {"avi", "mov", "matroska", "nut", "asf"}
"""Containers that are to say it; bare ones leave it to their reader."""
_COMMON = ("yuv420p", "yuv422p", "yuv444p", "uyvy422", "rgb24", "bgr24", "bgra")


def check_raw(container: str, pix_fmt: str) -> None:
    """Raises EncodeError where a reader would take such pictures for others: FFmpeg writes those
    that it has no name for without one."""
    if container in _TOLD and not _is_read_back(container, pix_fmt):
        known = ", ".join(name for name in _COMMON if _is_read_back(container, name))
        raise EncodeError(
            f"{container} cannot say that raw pictures are {pix_fmt}; use --pix-fmt with one of "
            f"{known}, or -c:v ffv1 into .mkv or nut"
        )


@cache
def _is_read_back(container: str, pix_fmt: str) -> bool:
    """Whether a small file of such a picture is read as what it is."""
    data = io.BytesIO()
    try:
        with av.open(data, "w", format=container) as out:
            stream = out.add_stream("rawvideo", rate=25)
            stream.width, stream.height, stream.pix_fmt = 16, 16, pix_fmt
            out.mux(stream.encode(av.VideoFrame(16, 16, pix_fmt)))
        data.seek(0)
        with av.open(data) as read:
            found = read.streams.video[0].pix_fmt or ""
    except (av.FFmpegError, ValueError):
        return False
    return found == pix_fmt.replace("yuvj", "yuv")
