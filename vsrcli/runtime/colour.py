"""Planes to RGB and back inside an engine's graph, in float, with the tagged matrix and range.

Source: ITU-T H.273 (2021), §8.3, equations for MatrixCoefficients; untagged video is taken as
BT.601 below 720 lines and BT.709 above. Values outside 0..1 stay: every legal colour returns.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vsrcli.frames import Picture, Role, assumed_matrix
from vsrcli.runtime.code_values import to_codes
from vsrcli.runtime.onnx_wire import FLOAT, Builder
from vsrcli.runtime.resample import crop, enlarge, settle

_KR_KB = {
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC
    5: (0.299, 0.114),  # BT.470 BG
    6: (0.299, 0.114),  # SMPTE 170M
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020 non-constant luminance
}
Matrix = NDArray[np.float64]
Taps = tuple[Matrix, int]
"""Of a filter for each `factor` samples, and how many of them lie before those."""


def to_rgb(graph: Builder, planes: list[str], picture: Picture, output: str = "") -> str:
    """Planes of code values as RGB (1, 3, H, W) in 0..1. Alpha is not looked at."""
    floats = [graph.node("Cast", [plane], to=FLOAT) for plane in planes]
    roles, layout = picture.layout.roles, picture.layout
    if Role.RGB in roles:  # G, B, R in FFmpeg's order
        stacked = graph.node("Concat", [floats[2], floats[0], floats[1]], axis=1)
        return graph.node("Mul", [stacked, np.float32(1 / layout.peak)], output)
    if Role.CHROMA not in roles:
        gain, zero = _scales(picture)
        shifted = graph.node("Sub", [floats[0], np.float32(zero[0])])
        grey = graph.node("Mul", [shifted, np.float32(1 / gain[0])])
        return graph.node("Concat", [grey] * 3, output, axis=1)
    chroma = [_raise(graph, plane, picture) for plane in floats[1:3]]
    stacked = graph.node("Concat", [floats[0], *chroma], axis=1)
    weight, offset = _decoding(picture)
    return _mix(graph, stacked, weight, offset, output)


def from_rgb(graph: Builder, rgb: str, picture: Picture, outputs: list[str]) -> None:
    """RGB (1, 3, H, W) in 0..1 as planes of code values of this picture's size and layout."""
    weight, offset = plane_mix(picture)
    # A convolution a plane: to cut apart what one gives costs more than to read RGB thrice.
    for i, name in enumerate(outputs):
        plane = _mix(graph, rgb, weight[i : i + 1], offset[i : i + 1])
        to_codes(graph, _lower(graph, plane, i, picture), picture.layout.bits, output=name)


def plane_mix(picture: Picture) -> tuple[Matrix, Matrix]:
    """(3, 3) and (3,): code values of the colour planes = M @ RGB in 0..1 + offset."""
    if Role.RGB in picture.layout.roles:  # G, B, R in FFmpeg's order
        return picture.layout.peak * np.eye(3)[[1, 2, 0]], np.zeros(3)
    gain, zero = _scales(picture)
    return _rgb_to_ycc(picture) * gain[:, None], zero


def plane_taps(picture: Picture, plane: int) -> tuple[Taps, Taps]:
    """What a sample of a plane takes of the rows, and of the columns, of the luma grid."""
    layout, siting = picture.layout, picture.color.siting
    if layout.roles[plane] is not Role.CHROMA:
        return _filter(1, False), _filter(1, False)
    return _filter(layout.chroma_h, siting.top), _filter(layout.chroma_w, siting.left)


def resolved(picture: Picture) -> Picture:
    """The picture with the matrix that stands for a missing or unknown tag."""
    if picture.color.matrix in _KR_KB:
        return picture
    color = replace(picture.color, matrix=assumed_matrix(picture.height))
    return replace(picture, color=color)


def _rgb_to_ycc(picture: Picture) -> Matrix:
    """(3, 3): R, G, B in 0..1 to Y in 0..1 and Cb, Cr in -0.5..0.5."""
    kr, kb = _KR_KB[resolved(picture).color.matrix]
    luma = np.array([kr, 1 - kr - kb, kb])
    blue = (np.array([0, 0, 1]) - luma) / (2 * (1 - kb))
    red = (np.array([1, 0, 0]) - luma) / (2 * (1 - kr))
    return np.stack([luma, blue, red])


def _scales(picture: Picture) -> tuple[Matrix, Matrix]:
    """(3,) code values a unit, and (3,) code values at zero, of Y, Cb, Cr."""
    bits = picture.layout.bits
    if picture.color.full_range:
        peak = float(picture.layout.peak)
        return np.full(3, peak), np.array([0, 1 << (bits - 1), 1 << (bits - 1)], float)
    step = float(1 << (bits - 8))
    return step * np.array([219.0, 224, 224]), step * np.array([16.0, 128, 128])


def _decoding(picture: Picture) -> tuple[Matrix, Matrix]:
    """(3, 3) and (3,): RGB = M @ codes + offset."""
    gain, zero = _scales(picture)
    matrix = np.linalg.inv(_rgb_to_ycc(picture)) / gain
    return matrix, -matrix @ zero


def _mix(graph: Builder, values: str, matrix: Matrix, offset: Matrix, output: str = "") -> str:
    weight = matrix.astype(np.float32)[:, :, None, None]
    return graph.node("Conv", [values, weight, offset.astype(np.float32)], output)


def _raise(graph: Builder, plane: str, picture: Picture) -> str:
    """A chroma plane on the luma grid, by Keys' cubic."""
    layout, siting = picture.layout, picture.color.siting
    factors = (layout.chroma_h, layout.chroma_w)
    if factors == (1, 1):
        return plane
    height, width = picture.size(1)
    cosited = (siting.top, siting.left)
    down, across = (0.5 - 0.5 / f if on else 0.0 for f, on in zip(factors, cosited, strict=True))
    shape = (1, height, width)
    made = settle(graph, enlarge(graph, plane, shape, factors, (down, across)), shape, factors)
    return graph.slice(made, [0, 0], [picture.height, picture.width], [2, 3])


def _lower(graph: Builder, values: str, plane: int, picture: Picture) -> str:
    """A plane of the luma's size at its own samples, by a short low-pass filter."""
    layout = picture.layout
    (rows, top), (columns, left) = plane_taps(picture, plane)
    if len(rows) == len(columns) == 1:
        return values
    height, width = picture.size(plane)
    made = max(width, 2)  # OpenVINO gives noise where a flat filter with a stride makes one column
    below = (height - 1) * layout.chroma_h + len(rows) - top - picture.height
    beside = (made - 1) * layout.chroma_w + len(columns) - left - picture.width
    pads = np.array([0, 0, top, left, 0, 0, max(below, 0), max(beside, 0)], np.int64)
    padded = graph.node("Pad", [values, pads], mode="edge")
    kernel = np.outer(rows, columns).astype(np.float32)[None, None]
    lowered = graph.node("Conv", [padded, kernel], strides=(layout.chroma_h, layout.chroma_w))
    return crop(graph, lowered, 3, made, width)


def _filter(factor: int, cosited: bool) -> Taps:
    if factor == 1:
        return np.ones(1), 0
    if cosited:
        taps = np.convolve(np.ones(factor), np.ones(factor))
        return taps / taps.sum(), factor - 1
    return np.full(factor, 1 / factor), 0
