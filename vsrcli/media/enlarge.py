"""Plain bicubic by libswscale: what no net upscales, at the speed of ffmpeg's own scaler."""

from __future__ import annotations

from collections.abc import Sequence

import av
import numpy as np

from vsrcli.cores import usable_cores
from vsrcli.frames import Layout, Picture, Plane, Role, Siting
from vsrcli.media.filter_chain import open_chain
from vsrcli.media.pixels import OwnPlanes, planes_of, to_av

_KERNEL = "flags=bicubic:param0=0:param1=0.5"
"""Keys' cubic with a = -0.5, as in `runtime.resample`."""
_STEPS = 1 << 16
"""Of a sample, in which libswscale counts where it is."""
_SHARE = 8
"""Threads of a run for each one that enlarges: two together take more of the cores than one alone,
which is done long before the encoder, who needs them."""
_LEAST, _MOST = 8, 2048
"""Samples of a side, at least and at most: below, swscale shortens its kernel; above, thirds that
are rounded to 65536ths add up to 0.03 px."""


class Enlarger:
    """Enlarges the planes of pictures of one layout and size by a whole factor.

    Samples keep their place on the luma grid; edges repeat. For one thread at a time; of a run's
    `threads` (0: one a core) an eighth works on a picture.
    """

    device = "libswscale cpu"

    def __init__(self, picture: Picture, scale: int, *, threads: int = 0) -> None:
        layout = self._layout = picture.layout
        self._large = picture.scaled(scale)
        # At odd sizes the last chroma sample reaches past the picture; libswscale would squeeze it.
        width = -(-picture.width // layout.chroma_w) * layout.chroma_w
        height = -(-picture.height // layout.chroma_h) * layout.chroma_h
        self._padded = [layout.size(i, width, height) for i in range(len(layout.roles))]
        share = max(1, (threads or usable_cores()) // _SHARE)
        self._graph = _graph(layout, (width, height), scale, picture.color.siting, share)

    @staticmethod
    def is_exact(picture: Picture, scale: int) -> bool:
        """Whether it comes within a code value on pictures (white noise: 4).

        It cuts off at white between rows and columns, which shows in full range and in alpha; more
        bits show how it rounds; RGB goes to YUV and back; and positions count in 65536ths.
        """
        layout = picture.layout
        is_studio = not picture.color.full_range and {Role.LUMA, Role.CHROMA} >= set(layout.roles)
        planes = range(len(layout.roles))
        sides = [side for i in planes for side in picture.size(i)]
        drifts = _STEPS % scale != 0 and max(sides) > _MOST
        return is_studio and layout.bits == 8 and min(sides) >= _LEAST and not drifts

    def enlarge(self, planes: Sequence[Plane]) -> Sequence[Plane]:
        """The planes of the large picture, views of one new FFmpeg frame."""
        whole = [_grown(plane, size) for plane, size in zip(planes, self._padded, strict=True)]
        self._graph.vpush(to_av(whole, self._layout))
        made = self._graph.vpull()
        if (made.width, made.height) == (self._large.width, self._large.height):
            return OwnPlanes(made, self._layout)
        sizes = [self._large.size(i) for i in range(len(planes))]
        large = zip(planes_of(made, self._layout), sizes, strict=True)
        return tuple(plane[:height, :width] for plane, (height, width) in large)

    def close(self) -> None:
        """Nothing outlives it."""


def _graph(
    layout: Layout, size: tuple[int, int], scale: int, siting: Siting, threads: int
) -> av.filter.Graph:
    width, height = size
    place = f"in_chroma_loc={siting.value}:out_chroma_loc={siting.value}"
    scaler = ("scale", f"{width * scale}:{height * scale}:{_KERNEL}:{place}")
    return open_chain(width, height, av.VideoFormat(layout.name), [scaler], threads=threads)


def _grown(plane: Plane, size: tuple[int, int]) -> Plane:
    """The plane with its last row and column repeated up to a size (height, width)."""
    missing = [wanted - there for wanted, there in zip(size, plane.shape, strict=True)]
    return np.pad(plane, [(0, m) for m in missing], mode="edge") if any(missing) else plane
