"""Frames of a clip as 8-bit RGB, for measuring and training data only (the product has no RGB)."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vsrcli.frames import BT709, UNSPECIFIED, Frame, Picture, RgbU8, Role, assumed_matrix
from vsrcli.lab.degrade import to_u8
from vsrcli.media.source import Source

CLIPS = (".mkv", ".mp4", ".mov", ".avi", ".webm", ".m4v", ".y4m", ".ts")

_KR_KB = {BT709: (0.2126, 0.0722), 9: (0.2627, 0.0593)}
"""Luma weights of red and blue by H.273 matrix number; all others are taken as BT.601."""
_KR_KB_601 = (0.299, 0.114)


def find_clips(folder: Path) -> list[Path]:
    """Every video file below `folder`, in name order."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in CLIPS)


def read_frames(path: Path) -> Iterator[RgbU8]:
    """(H, W, 3) of every frame. Raises InputError if the file is not readable video."""
    with Source(path) as source:
        for item in source.items():
            if isinstance(item, Frame):
                yield rgb_of(item, source.info.video.picture)


def rgb_of(frame: Frame, picture: Picture) -> RgbU8:
    """A frame as RGB by its tags; subsampled chroma is repeated."""
    layout = frame.layout
    to8 = 255 / layout.peak
    green = layout.planes_of(Role.RGB)
    if green:  # planes lie in the order G, B, R
        g, b, r = (np.asarray(frame.planes[i], np.float64) * to8 for i in green)
        return to_u8(np.stack([r, g, b], -1))
    full = bool(picture.color.full_range)
    y = np.asarray(frame.planes[0], np.float64) * (2.0 ** (8 - layout.bits))
    luma = y if full else (y - 16) * (255 / 219)
    chroma = [
        _grown(frame.planes[i], layout.chroma_h, layout.chroma_w, y.shape)
        * (2.0 ** (8 - layout.bits))
        - 128
        for i in layout.planes_of(Role.CHROMA)
    ]
    if not chroma:
        return to_u8(np.repeat(luma[..., None], 3, axis=2))
    u, v = (plane if full else plane * (255 / 224) for plane in chroma)
    return _matrixed(luma, u, v, picture.color.matrix, frame.height)


def _grown(
    plane: NDArray[np.generic], rows: int, columns: int, shape: tuple[int, ...]
) -> NDArray[np.float64]:
    repeated = np.repeat(np.repeat(plane, rows, 0), columns, 1)[: shape[0], : shape[1]]
    return repeated.astype(np.float64)


def _matrixed(
    y: NDArray[np.float64], u: NDArray[np.float64], v: NDArray[np.float64], matrix: int, lines: int
) -> RgbU8:
    matrix = assumed_matrix(lines) if matrix == UNSPECIFIED else matrix
    kr, kb = _KR_KB.get(matrix, _KR_KB_601)
    red = y + 2 * (1 - kr) * v
    blue = y + 2 * (1 - kb) * u
    return to_u8(np.stack([red, (y - kr * red - kb * blue) / (1 - kr - kb), blue], -1))
