"""Frames of a clip scaled down while they are read: training data, not the product's path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np

from vsrcli.errors import InputError
from vsrcli.frames import BT709, UNSPECIFIED, RgbU8, assumed_matrix
from vsrcli.media.pixels import LANCZOS
from vsrcli.paths import local


def small_frames(
    path: Path, size_of: Callable[[int, int], tuple[int, int]], *, limit: int = 0
) -> Iterator[RgbU8]:
    """Every frame, or the first `limit`, scaled to `size_of(height, width)` by antialiased Lanczos.

    Raises InputError if the file is not readable video; a damaged end is taken as the end.
    """
    try:
        with av.open(local(path)) as container:
            stream = container.streams.video[0]
            stream.thread_count = 1
            for index, frame in enumerate(container.decode(stream)):
                if limit and index >= limit:
                    return
                height, width = size_of(frame.height, frame.width)
                yield _scaled(frame, height, width)
    except IndexError as exc:
        raise InputError(f"{path} holds no video") from exc
    except av.FFmpegError as exc:
        raise InputError(f"{path} is not readable video: {exc}") from exc


def _scaled(frame: av.VideoFrame, height: int, width: int) -> RgbU8:
    is_hd = assumed_matrix(frame.height) == BT709
    matrix = ("ITU709" if is_hd else "ITU601") if frame.colorspace == UNSPECIFIED else None
    small = frame.reformat(
        width=width,
        height=height,
        format="rgb24",
        src_colorspace=matrix,
        interpolation=LANCZOS,
        threads=1,
    )
    return np.asarray(small.to_ndarray(), np.uint8)
