"""What FFmpeg attaches to a frame beside its pixels: captions, a colour profile, HDR metadata.

Nothing else may ask a frame for its side data: PyAV frees the name of a profile twice, and refuses
a frame that has a kind of data newer than itself. Here both are taken off first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import av
import numpy as np
from av.sidedata.sidedata import SideData

from vsrcli.media.filter_chain import Filter, open_chain

_CAPTIONS, _MATRIX, _AFD, _PROFILE, _TIMECODE, _HDR10_PLUS, _SURROUND, _EXIF = (
    *(1, 6, 7, 15, 16, 17, 26, 31),
)
"""FFmpeg's numbers."""
_UNREADABLE = (_PROFILE, *range(28, 40))
_HANDED_ON = (_CAPTIONS, _AFD, _PROFILE, _TIMECODE, _HDR10_PLUS, _SURROUND, _EXIF)
_Chain = tuple[Filter, ...]
_READ: _Chain = tuple(("sidedata", f"mode=delete:type={kind}") for kind in _UNREADABLE)


class Attached:
    """Reads what is attached to the frames of one stream, or hands it on to those made from them.

    For one thread.
    """

    def __init__(self) -> None:
        self._graphs: dict[tuple[object, ...], av.filter.Graph] = {}

    def read(self, frame: av.VideoFrame) -> dict[str, bytes]:
        """FFmpeg's names of the kinds that PyAV can read, and the data."""
        plain = self._through(frame, _READ)
        assert plain is not None
        held = cast(Iterable[SideData], iter(plain.side_data))  # its stubs say Mapping
        return {item.type.name: bytes(item) for item in held}

    def is_handed_on(self, frame: av.VideoFrame) -> bool:
        """Whether a frame has something that the frame made from it is to have, too."""
        return any(self._has(frame, kind) for kind in _HANDED_ON)

    def has_profile(self, frame: av.VideoFrame) -> bool:
        """Whether its colours are those of an ICC profile."""
        return self._has(frame, _PROFILE)

    def has_exif(self, frame: av.VideoFrame) -> bool:
        """Whether a camera's tags, or a file's, come with it."""
        return self._has(frame, _EXIF)

    def hand_on(self, origin: av.VideoFrame, picture: av.VideoFrame) -> av.VideoFrame:
        """A copy of the picture with what is attached to its origin, but for a display matrix.

        What becomes of it is up to the encoder: libx264 writes captions, png a profile.
        """
        size = f"{picture.width}:{picture.height}:flags=neighbor"
        made = self._through(
            origin,
            (
                ("scale", size),
                ("format", picture.format.name),
                ("copy", ""),  # scale may hand on the origin's own memory
                ("sidedata", f"mode=delete:type={_MATRIX}"),
            ),
        )
        assert made is not None
        for target, source in zip(made.planes, picture.planes, strict=True):
            lines, given = _lines(target), _lines(source)
            width = min(target.line_size, source.line_size)
            lines[:, :width] = given[: len(lines), :width]
        made.colorspace, made.color_range = picture.colorspace, picture.color_range
        made.color_primaries, made.color_trc = picture.color_primaries, picture.color_trc
        return made

    def has_captions(self, frame: av.VideoFrame) -> bool:
        """Whether letters for the deaf come with it (ATSC A/53)."""
        return self._has(frame, _CAPTIONS)

    def _has(self, frame: av.VideoFrame, kind: int) -> bool:
        return self._through(frame, (("sidedata", f"mode=select:type={kind}"),)) is not None

    def _through(self, frame: av.VideoFrame, chain: _Chain) -> av.VideoFrame | None:
        """The frame after these filters, which keep none back; None if they leave it out."""
        key = (chain, frame.width, frame.height, frame.format.name)
        graph = self._graphs.get(key)
        if graph is None:
            size = (frame.width, frame.height)
            graph = open_chain(*size, frame.format, chain, tick=frame.time_base)
            self._graphs[key] = graph
        graph.vpush(frame)
        try:
            return graph.vpull()
        except av.error.BlockingIOError:
            return None


def _lines(plane: av.video.plane.VideoPlane) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """A plane's memory, row by row, (height, bytes)."""
    memory = np.frombuffer(memoryview(plane), np.uint8)
    return memory.reshape(-1, plane.line_size)[: plane.height]
