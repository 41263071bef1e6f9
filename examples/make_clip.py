"""Makes examples/clip.mp4: a procedural scene, 320x180, four seconds, H.264 and a tone in AAC.

A page of gratings, rings, letters and leaves under a slow pan and zoom by parts of a pixel, with
shapes moving over it. It is drawn four times as large and averaged down, as a camera would see it,
so the fine detail that a good model brings back has really been there.

    python examples/make_clip.py [OUT] [--frames N]
"""

from __future__ import annotations

import argparse
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from ending import run_main
from numpy.typing import NDArray

WIDTH, HEIGHT, SCALE, RATE, FRAMES = 320, 180, 4, 25, 100
SOUND_RATE = 44100
PAGE_W, PAGE_H = 1600, 900
FONT = {
    "A": "0E11111F111111", "B": "1E11111E11111E", "C": "0E11101010110E", "D": "1E11111111111E",
    "E": "1F10101E10101F", "F": "1F10101E101010", "G": "0E11101713110F", "H": "1111111F111111",
    "I": "0E04040404040E", "K": "11121418141211", "L": "1010101010101F", "M": "111B1515111111",
    "N": "11191513111111", "O": "0E11111111110E", "P": "1E11111E101010", "R": "1E11111E141211",
    "S": "0F10100E01011E", "T": "1F040404040404", "U": "1111111111110E", "V": "11111111110A04",
    "W": "11111115151B11", "X": "11110A040A1111", "Y": "11110A04040404", " ": "00000000000000",
}  # fmt: skip
"""Letters of 5x7 dots: seven rows of two hexadecimal digits."""
LINES = ("SUPER RESOLUTION", "FINE LINES AND LETTERS", "TELL A SHARP PICTURE", "FROM A BLURRED ONE")

Rgb = NDArray[np.float32]
"""(H, W, 3), 0..1."""
Mask = NDArray[np.float32]
"""(H, W), how much of a pixel is covered."""


def page() -> Rgb:
    """The scene that the camera moves over."""
    y, x = np.mgrid[0:PAGE_H, 0:PAGE_W].astype(np.float32)
    image = np.stack([0.70 + x / 12000, 0.74 - y / 9000, 0.70 + y / 12000], axis=-1)
    for row, line in enumerate(LINES):
        _paint(image, _letters(line, 5 - row % 2, 240, 130 + row * 60), (0.08, 0.09, 0.2))
    for index, pitch in enumerate((7, 9, 12, 16)):
        at = (x > 90 + index * 150) & (x < 220 + index * 150) & (y > 400) & (y < 540)
        lines = _wave((x + (index - 1.5) * y * 0.3) * (2 * np.pi / pitch))
        _paint(image, lines * at, (0.15, 0.1 + index / 10, 0.25))
    _rings(image, x, y)
    _leaves(image, x, y)
    tiles = (
        _wave(x * np.pi / 11)
        + _wave(y * np.pi / 11)
        - 2 * _wave(x * np.pi / 11) * _wave(y * np.pi / 11)
    )
    _paint(image, tiles * (x > 90) * (x < 700) * (y > 620) * (y < 820), (0.75, 0.3, 0.12))
    return image


def view(scene: Rgb, index: int) -> Rgb:
    """Frame `index` as it is drawn, four times as large as the clip."""
    time = index / RATE
    v, u = np.mgrid[0 : HEIGHT * SCALE, 0 : WIDTH * SCALE].astype(np.float32)
    zoom = 0.98 + 0.07 * np.sin(time * 0.8)
    x = (u - 640) * zoom + 790 + 70 * np.sin(time * 0.9)
    y = (v - 360) * zoom + 450 + 40 * np.cos(time * 0.7)
    image = _sample(scene, x, y)
    turn = time * 0.5
    a, b = u - 930 - 120 * np.cos(time), v - 540 + 70 * np.sin(time * 1.3)
    p, q = a * np.cos(turn) + b * np.sin(turn), b * np.cos(turn) - a * np.sin(turn)
    _paint(image, _edge(70 - np.maximum(abs(p), abs(q))), (0.95, 0.82, 0.2))
    _paint(image, _edge(44 - np.hypot(p, q)) * _wave(np.arctan2(q, p) * 14), (0.1, 0.25, 0.5))
    return image


def frame(scene: Rgb, index: int) -> NDArray[np.uint8]:
    """Frame `index` as the camera sees it, (HEIGHT, WIDTH, 3)."""
    small = view(scene, index).reshape(HEIGHT, SCALE, WIDTH, SCALE, 3).mean(axis=(1, 3))
    return codes(small)


def codes(image: Rgb) -> NDArray[np.uint8]:
    """0..1 as 8-bit codes."""
    return (image * 255).round().clip(0, 255).astype(np.uint8)


def _letters(text: str, dot: int, left: int, top: int) -> Mask:
    mask = np.zeros((PAGE_H, PAGE_W), np.float32)
    for place, letter in enumerate(text):
        rows = bytes.fromhex(FONT[letter])
        dots = np.array([[row >> (4 - bit) & 1 for bit in range(5)] for row in rows], np.float32)
        block = dots.repeat(dot, axis=0).repeat(dot, axis=1)
        at = left + place * 6 * dot
        mask[top : top + 7 * dot, at : at + 5 * dot] = block
    return mask


def _rings(image: Rgb, x: NDArray[np.float32], y: NDArray[np.float32]) -> None:
    """Rings that get finer outwards, down to two pixels of the finished clip."""
    distance = np.hypot(x - 1180, y - 260)
    rings = _wave(distance**2 * np.float32(np.pi / (2 * 200 * 8) * 2))
    _paint(image, rings * _edge(200 - distance), (0.05, 0.2, 0.3))


def _leaves(image: Rgb, x: NDArray[np.float32], y: NDArray[np.float32]) -> None:
    random = np.random.default_rng(7)
    for _ in range(70):
        cx, cy, turn = random.uniform(800, 1500), random.uniform(520, 850), random.uniform(0, np.pi)
        box = np.s_[max(0, int(cy) - 70) : int(cy) + 70, int(cx) - 70 : int(cx) + 70]
        a, b = x[box] - cx, y[box] - cy
        p, q = a * np.cos(turn) + b * np.sin(turn), b * np.cos(turn) - a * np.sin(turn)
        leaf = _edge(60 - np.hypot(p, q * random.uniform(4, 7)))
        shade = random.uniform(0.15, 0.6)
        _paint(image[box], leaf, (shade * 0.5, shade, shade * 0.3))
        _paint(image[box], leaf * _edge(1.5 - abs(q)), (0.85, 0.9, 0.7))


def _paint(image: Rgb, mask: Mask, color: tuple[float, float, float]) -> None:
    image += mask[..., None] * (np.array(color, np.float32) - image)


def _edge(distance: NDArray[np.float32]) -> Mask:
    """1 inside, 0 outside, a ramp of one pixel between."""
    inside: Mask = np.clip(distance + 0.5, 0, 1)
    return inside


def _wave(phase: NDArray[np.float32]) -> Mask:
    """Stripes with soft edges."""
    stripes: Mask = np.clip(0.5 + 1.5 * np.sin(phase), 0, 1)
    return stripes


def _sample(image: Rgb, x: NDArray[np.float32], y: NDArray[np.float32]) -> Rgb:
    x, y = np.clip(x, 0, PAGE_W - 1.01), np.clip(y, 0, PAGE_H - 1.01)
    left, top = x.astype(int), y.astype(int)
    fx, fy = (x - left)[..., None], (y - top)[..., None]
    above = image[top, left] * (1 - fx) + image[top, left + 1] * fx
    below = image[top + 1, left] * (1 - fx) + image[top + 1, left + 1] * fx
    sample: Rgb = above * (1 - fy) + below * fy
    return sample


def write(path: Path, frames: int) -> None:
    """The clip at `path`."""
    scene = page()
    with av.open(str(path), "w", container_options={"movflags": "+faststart"}) as out:
        out.metadata["title"] = "vsr example"
        video = out.add_stream("libx264", rate=RATE, options={"crf": "19", "preset": "slow"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.color_range, video.codec_context.colorspace = 1, 5
        audio = out.add_stream("aac", rate=SOUND_RATE)
        audio.codec_context.layout, audio.codec_context.bit_rate = "mono", 64_000
        for index in range(frames):
            picture = av.VideoFrame.from_ndarray(frame(scene, index), format="rgb24")
            out.mux(video.encode(picture.reformat(format="yuv420p", dst_colorspace="ITU601")))
            out.mux(audio.encode(_tone(index)))
        out.mux([*video.encode(None), *audio.encode(None)])


def _tone(index: int) -> av.AudioFrame:
    """The sound under one frame: a chord that breathes."""
    length = SOUND_RATE // RATE
    at = (np.arange(length) + index * length) / SOUND_RATE
    chord = sum(np.sin(2 * np.pi * hz * at) for hz in (220, 277.18, 329.63))
    wave = (0.1 * chord * (0.6 + 0.4 * np.sin(2 * np.pi * at))).astype(np.float32)
    sound = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
    sound.sample_rate, sound.pts = SOUND_RATE, index * length
    sound.time_base = Fraction(1, SOUND_RATE)
    return sound


def main() -> None:
    """Makes the clip."""
    parser = argparse.ArgumentParser(description="Makes the example clip.")
    parser.add_argument("out", nargs="?", type=Path, default=Path(__file__).with_name("clip.mp4"))
    parser.add_argument("--frames", type=int, default=FRAMES)
    arguments = parser.parse_args()
    if arguments.out.suffix != ".mp4":
        parser.error(f"{arguments.out} must end in .mp4")
    write(arguments.out, arguments.frames)


if __name__ == "__main__":
    run_main(main)
