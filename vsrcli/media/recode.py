"""Pictures through a lossy encoder and back: what compression does to video, for training data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
from numpy.typing import NDArray

from vsrcli.errors import EncodeError
from vsrcli.frames import RgbU8

_TO_YUV = np.array(
    [
        [0.299, 0.587, 0.114],
        [-0.299 / 1.772, -0.587 / 1.772, 0.5],
        [0.5, -0.587 / 1.402, -0.114 / 1.402],
    ],
    np.float32,
)
_LEAST_SIDE = 96
"""x265 writes past its buffers for smaller pictures; for x264 and x265 they are mirrored on to this
size, px."""
_GOP = 250
"""Frames from keyframe to keyframe at most."""
_FROM_YUV = np.linalg.inv(_TO_YUV).astype(np.float32)
DECODERS = {
    "libx264": "h264",
    "libx265": "hevc",
    "mpeg4": "mpeg4",
    "mpeg2video": "mpeg2video",
    "mjpeg": "mjpeg",
}
"""Encoders that pictures can go through, and what reads them."""


@dataclass(frozen=True, kw_only=True)
class Coding:
    """How pictures are compressed."""

    codec: str = "libx264"
    quality: float = 23
    """crf of x264 and x265, quantiser (2 is best, 31 worst) of the others."""
    preset: str = "medium"
    """Of x264 and x265."""

    def options(self) -> dict[str, str]:
        """FFmpeg's private options."""
        if self.codec == "libx264":
            # Without this, AVX-512 machines get one of two results for the same frames.
            same = "cpu-independent=1"
            return {"crf": f"{self.quality:g}", "preset": self.preset, "x264-params": same}
        if self.codec == "libx265":
            quiet = "log-level=none:pools=none:frame-threads=1"
            return {"crf": f"{self.quality:g}", "preset": self.preset, "x265-params": quiet}
        level = str(round(self.quality))
        return {"qmin": level, "qmax": level}


def recode(frames: Iterable[RgbU8], coding: Coding) -> Iterator[RgbU8]:
    """The frames (one size, any parity) as a decoder gives them back: as many, in order, 4:2:0.

    Frames come out later than they go in, by the encoder's look-ahead. One thread, so the same
    frames give the same result. Raises EncodeError if the codec is not here.
    """
    encoder = decoder = None
    given = taken = height = width = 0
    for frame in frames:
        height, width = frame.shape[:2]
        if encoder is None:
            encoder, decoder = _pair(coding, *_coded_size(coding, height, width))
        for packet in encoder.encode(_yuv(frame, given, encoder)):
            for decoded in _decoded(decoder, packet):
                yield _rgb(decoded, height, width)
                taken += 1
        given += 1
    if encoder is None:
        return
    for last in (*encoder.encode(None), None):
        for decoded in _decoded(decoder, last):
            yield _rgb(decoded, height, width)
            taken += 1
    if taken != given:
        raise EncodeError(f"{coding.codec} gave {taken} of {given} frames back")


def _pair(
    coding: Coding, height: int, width: int
) -> tuple[av.VideoCodecContext, av.VideoCodecContext]:
    if coding.codec not in DECODERS:
        raise EncodeError(f"no coding by {coding.codec!r}; there is {', '.join(DECODERS)}")
    try:
        encoder = cast(av.VideoCodecContext, av.CodecContext.create(coding.codec, "w"))
        decoder = cast(av.VideoCodecContext, av.CodecContext.create(DECODERS[coding.codec], "r"))
    except av.codec.codec.UnknownCodecError as exc:
        raise EncodeError(f"this build of FFmpeg lacks {coding.codec}") from exc
    encoder.width, encoder.height = width, height
    encoder.pix_fmt = "yuvj420p" if coding.codec == "mjpeg" else "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
    encoder.gop_size = _GOP
    encoder.options = coding.options()
    encoder.thread_count = decoder.thread_count = 1
    return encoder, decoder


def _decoded(
    decoder: av.VideoCodecContext | None, packet: av.Packet[Any] | None
) -> Iterator[av.VideoFrame]:
    assert decoder is not None
    yield from decoder.decode(packet)


def _coded_size(coding: Coding, height: int, width: int) -> tuple[int, int]:
    """Even, and no smaller than the encoder can stand."""
    least = _LEAST_SIDE if coding.codec in ("libx264", "libx265") else 2
    return max(least, height + height % 2), max(least, width + width % 2)


def _yuv(frame: RgbU8, index: int, encoder: av.VideoCodecContext) -> av.VideoFrame:
    """BT.601, each chroma sample the mean of four pixels. swscale would shift chroma here."""
    height, width = frame.shape[:2]
    pads = ((0, encoder.height - height), (0, encoder.width - width), (0, 0))
    even = np.pad(frame, pads, mode="symmetric")
    pix_fmt = str(encoder.pix_fmt)
    gain, foot = _range(pix_fmt)
    planes = (even @ _TO_YUV.T * gain + foot).astype(np.float32)
    rows, columns = planes.shape[0] // 2, planes.shape[1] // 2
    chroma = planes[..., 1:].reshape(rows, 2, columns, 2, 2).mean((1, 3))
    made = av.VideoFrame(2 * columns, 2 * rows, pix_fmt)
    for plane, values in zip(
        made.planes, (planes[..., 0], *np.moveaxis(chroma, -1, 0)), strict=True
    ):
        # Encoders may look at what lies between the rows; chance must not be there.
        memory = np.zeros((plane.height, plane.line_size), np.uint8)
        memory[:, : plane.width] = np.rint(values).clip(0, 255)
        plane.update(memory.tobytes())
    made.pts, made.time_base = index, Fraction(1, 25)
    return made


def _rgb(frame: av.VideoFrame, height: int, width: int) -> RgbU8:
    packed = np.asarray(frame.to_ndarray(), np.float32)
    rows, columns = frame.height // 2, frame.width // 2
    parts = packed[2 * rows :].reshape(2, rows, columns)
    planes = np.stack([packed[: 2 * rows], *(_doubled(part) for part in parts)], -1)
    gain, foot = _range(frame.format.name)
    rgb = ((planes - foot) / gain) @ _FROM_YUV.T
    return np.asarray(np.rint(rgb[:height, :width]).clip(0, 255), np.uint8)


def _doubled(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Twice the size, bilinear, each sample in the middle of its four pixels."""
    for axis in (0, 1):
        last = plane.shape[axis] - 1
        near = np.arange(2 * last + 2) // 2
        far = np.clip(near + np.where(np.arange(2 * last + 2) % 2, 1, -1), 0, last)
        plane = 0.75 * plane.take(near, axis) + 0.25 * plane.take(far, axis)
    return np.asarray(plane, np.float32)


def _range(pix_fmt: str) -> NDArray[np.float32]:
    """Gain and foot of Y, U, V: (2, 3)."""
    if pix_fmt.startswith("yuvj"):
        return np.array([[1, 1, 1], [0, 128, 128]], np.float32)
    return np.array([[219 / 255, 224 / 255, 224 / 255], [16, 128, 128]], np.float32)
