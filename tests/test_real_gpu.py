"""What a real GPU computes, beside the CPU. Runs where there is one."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clips import Clip, make
from conftest import Vsr
from facts import facts
from test_contract import MODELS

from vsrcli.benchmark.alone import made_frames, picture_of
from vsrcli.frames import Frame, Plane
from vsrcli.media import hwaccel
from vsrcli.media.pixels import layout_of
from vsrcli.runtime import devices
from vsrcli.runtime.drivers import open_driver

if why_not := devices._why_not_cuda():
    pytest.skip(why_not, allow_module_level=True)
SIZE, FRAMES, DEVICE = (160, 96), 7, "cuda"
LAYOUTS = {8: layout_of("yuv420p"), 10: layout_of("yuv420p10le")}
each_model = pytest.mark.parametrize("name", MODELS)


def frames(bits: int) -> list[Frame]:
    """A drawing that moves along."""
    layout = LAYOUTS[bits]

    def deep(plane: Plane) -> Plane:
        return plane.astype(layout.dtype) << (bits - 8)

    return [
        replace(frame, layout=layout, planes=tuple(map(deep, frame.planes)))
        for frame in made_frames(SIZE, FRAMES)
    ]


def upscaled(name: str, device: str, precision: str, bits: int = 8) -> list[list[np.ndarray]]:
    """The planes of each frame of two shots, looked at when all are on their way."""
    picture = replace(picture_of(SIZE), layout=LAYOUTS[bits])
    model = MODELS[name]
    opened = open_driver(
        model, model.scales[-1], picture=picture, device=device, engine="onnxruntime",
        precision=precision,
    )  # fmt: skip
    made: list[Frame] = []
    with closing(opened) as driver:
        for _ in range(2):
            made += [out for frame in frames(bits) for out in driver.push(frame)] + driver.flush()
            driver.reset()
        return [[np.array(plane) for plane in frame.planes] for frame in made]


def apart(one: list[list[np.ndarray]], other: list[list[np.ndarray]]) -> np.ndarray:
    """By how many codes luma and chroma differ."""
    pairs = zip(one, other, strict=True)
    return np.concatenate(
        [(a.astype(int) - b).ravel() for x, y in pairs for a, b in zip(x, y, strict=True)]
    )


@pytest.mark.parametrize("bits", [8, 10])
@each_model
def test_fp32_is_what_the_cpu_computes(name: str, bits: int) -> None:
    made, wanted = (upscaled(name, device, "fp32", bits) for device in (DEVICE, "cpu"))
    assert np.abs(apart(made, wanted)).max() <= 1 << bits - 8


@each_model
def test_fp16_is_near_it(name: str) -> None:
    error = apart(upscaled(name, DEVICE, "fp16"), upscaled(name, "cpu", "fp32"))
    assert np.square(error.astype(float)).mean() < 0.2  # 55 dB
    assert np.abs(error).max() <= 6


@each_model
def test_frames_in_flight_are_their_own(name: str) -> None:
    """The second shot is the first again, though other frames went through the lanes between."""
    made = upscaled(name, DEVICE, "auto")
    assert np.abs(apart(made[:FRAMES], made[FRAMES:])).max() <= 1


def test_a_clip_is_decoded_there(tmp_path: Path, upscale: Vsr) -> None:
    if reason := hwaccel.why_not("cuda"):
        pytest.skip(reason)
    clip = make(tmp_path / "in.mkv", Clip(frames=9))
    for name, words in (("cpu.mkv", ()), ("gpu.mkv", ("-hwaccel", "cuda"))):
        outcome = upscale(clip, "-o", tmp_path / name, *words)
        assert (outcome.code, outcome.lines) == (0, [])
    assert facts(tmp_path / "gpu.mkv").pts == facts(tmp_path / "cpu.mkv").pts
