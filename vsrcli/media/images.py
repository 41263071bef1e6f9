"""Pictures on disk as arrays: the lab's data and the tests' eyes."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from vsrcli.errors import InputError
from vsrcli.media.source import local

RgbU8 = NDArray[np.uint8]
"""(H, W, 3), 0..255, R G B."""


def read_rgb(path: Path) -> RgbU8:
    """The picture as (H, W, 3) 8-bit RGB. Raises InputError if it is not a picture."""
    try:
        with av.open(local(path)) as container:
            frame = next(container.decode(video=0))
            return np.ascontiguousarray(frame.to_ndarray(format="rgb24"))
    except (av.FFmpegError, StopIteration) as exc:
        raise InputError(f"{path} is not a readable picture: {exc}") from exc


def write_png(path: Path, rgb: RgbU8) -> None:
    """(H, W, 3) 8-bit RGB written losslessly."""
    height, width = rgb.shape[:2]
    with av.open(local(path), "w", format="image2", container_options={"update": "1"}) as container:
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = width, height, "rgb24"
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
