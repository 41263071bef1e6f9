"""Pictures on disk as arrays: the lab's data and the tests' eyes."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from vsrcli.errors import InputError, output_error
from vsrcli.frames import IDENTITY, UNSPECIFIED, Color, Frame, RgbU8, Role, assumed_matrix
from vsrcli.media.outlet import hidden_beside, move_into_place
from vsrcli.media.pixels import EXACT, av_range, to_av
from vsrcli.paths import local


def read_rgb(path: Path) -> RgbU8:
    """The picture as (H, W, 3) 8-bit RGB. Raises InputError if it is not a picture."""
    try:
        with av.open(local(path)) as container:
            frame = next(container.decode(video=0))
            return np.ascontiguousarray(frame.to_ndarray(format="rgb24"))
    except (av.FFmpegError, StopIteration) as exc:
        raise InputError(f"{path} is not a readable picture: {exc}") from exc


def rgb_of(frame: Frame, color: Color, size: tuple[int, int] | None = None) -> RgbU8:
    """A frame's picture as (H, W, 3) 8-bit RGB by its tags; untagged is BT.601, from 720 lines 709.

    With `size` (width, height) it is scaled. Alpha is left out.
    """
    picture = to_av(frame.planes, frame.layout)
    is_tagged = color.matrix != UNSPECIFIED
    matrix = color.matrix if is_tagged else assumed_matrix(frame.height)
    picture.colorspace = IDENTITY if frame.layout.planes_of(Role.RGB) else matrix
    picture.color_range = av_range(bool(color.full_range))
    width, height = size or (frame.width, frame.height)
    flags = EXACT if size is None else Interpolation.AREA | Interpolation.ACCURATE_RND
    made = VideoReformatter().reformat(picture, width, height, "rgb24", interpolation=flags)
    return np.ascontiguousarray(made.to_ndarray())


def write_png(path: Path, rgb: RgbU8, *, overwrite: bool = True) -> None:
    """(H, W, 3) 8-bit RGB written losslessly, under a hidden name until it is whole. Raises
    OutputError if it cannot be, or where something is that may not be replaced."""
    part = hidden_beside(path)
    try:
        _write_png(part, rgb)
        move_into_place(part, path, overwrite=overwrite)
    except (av.FFmpegError, OSError) as exc:
        raise output_error(path, exc) from exc
    finally:
        with suppress(OSError):
            part.unlink()


def _write_png(path: Path, rgb: RgbU8) -> None:
    height, width = rgb.shape[:2]
    with av.open(local(path), "w", format="image2", container_options={"update": "1"}) as container:
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = width, height, "rgb24"
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
