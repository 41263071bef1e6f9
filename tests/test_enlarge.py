"""Bicubic by libswscale: that it is what our own graphs compute, and is not copied on its way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_contract import MODELS, frame_of

from vsrcli.frames import Color, Picture, Plane, Siting
from vsrcli.media.enlarge import Enlarger
from vsrcli.media.pixels import layout_of, to_av
from vsrcli.runtime.bicubic import _Graphs, open_bicubic
from vsrcli.runtime.drivers import open_driver

SIZES = [(96, 64), (97, 63)]
FORMATS = ["gray", "yuv420p", "yuv422p", "yuv444p", "yuv440p", "yuv411p", "yuv410p"]


def studio(pix_fmt: str, size: tuple[int, int], siting: Siting = Siting.LEFT) -> Picture:
    return Picture(
        layout=layout_of(pix_fmt), color=Color(siting=siting), width=size[0], height=size[1]
    )


def drawn(picture: Picture) -> list[Plane]:
    """Soft waves and a hard edge, within studio range."""
    planes = []
    for index in range(len(picture.layout.roles)):
        height, width = picture.layout.size(index, picture.width, picture.height)
        y, x = np.mgrid[:height, :width] / 5
        wave = 128 + 50 * np.sin(x + index) + 40 * np.cos(y)
        wave[:, width // 3 :] -= 20
        planes.append(wave.clip(16, 235).astype(np.uint8))
    return planes


def apart(picture: Picture, scale: int) -> int:
    """Code values between what libswscale and the graphs make of a drawing, at most."""
    planes = drawn(picture)
    wanted = _Graphs(picture, scale, but=(), threads=1).enlarge(planes)
    made = Enlarger(picture, scale, threads=1).enlarge(planes)
    assert [plane.shape for plane in made] == [want.shape for want in wanted]
    pairs = zip(made, wanted, strict=True)
    return max(int(np.abs(a.astype(int) - b.astype(int)).max()) for a, b in pairs)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("pix_fmt", FORMATS)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_it_is_what_the_graphs_compute(pix_fmt: str, size: tuple[int, int], scale: int) -> None:
    for siting in Siting:
        picture = studio(pix_fmt, size, siting)
        assert apart(picture, scale) <= 1


def test_flat_planes_stay_as_they_are() -> None:
    picture = studio("yuv420p", (32, 16))
    enlarger = Enlarger(picture, 4)
    for value in range(256):
        sizes = [picture.layout.size(i, 32, 16) for i in range(3)]
        made = enlarger.enlarge([np.full(size, value, np.uint8) for size in sizes])
        assert all((plane == value).all() for plane in made)


@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "gbrp", "gray16le", "yuva420p"])
def test_what_it_would_not_get_right_goes_through_graphs(pix_fmt: str) -> None:
    assert isinstance(open_bicubic(studio(pix_fmt, (32, 16)), 2), _Graphs)
    full = Picture(layout=layout_of("yuv420p"), color=Color(full_range=True), width=32, height=16)
    assert isinstance(open_bicubic(full, 2), _Graphs)
    assert isinstance(open_bicubic(studio("yuv420p", (32, 16)), 2), Enlarger)


@pytest.mark.parametrize(("size", "scale", "fits"), [((32, 14), 2, False), ((14, 32), 4, False),
    ((2100, 16), 3, False), ((2000, 16), 3, True), ((2100, 16), 4, True)])  # fmt: skip
def test_sides_it_would_not_get_right_go_through_graphs(
    size: tuple[int, int], scale: int, fits: bool
) -> None:
    picture = studio("yuv420p", size)
    assert isinstance(open_bicubic(picture, scale), Enlarger) is fits
    assert apart(picture, scale) <= 1 or not fits


@pytest.mark.parametrize("name", ["bicubic", "espcn"])
def test_the_encoder_gets_the_very_frame(name: str) -> None:
    """The planes are views of one FFmpeg frame, which is handed on and not copied."""
    picture = studio("yuv420p", SIZES[0])
    driver = open_driver(MODELS[name], 2, picture=picture, device="cpu")
    frame = frame_of(drawn(picture), picture.layout, SIZES[0])
    (large,) = driver.push(frame)
    handed = to_av(large.planes, large.layout)
    assert all(
        np.shares_memory(plane, np.frombuffer(memory, np.uint8))
        for plane, memory in zip(large.planes, handed.planes, strict=True)
    )
    driver.close()


def test_an_engine_that_is_asked_for_runs_the_graph() -> None:
    picture = studio("yuv420p", SIZES[0])
    made = []
    for engine in ("auto", "onnxruntime"):
        driver = open_driver(MODELS["bicubic"], 2, picture=picture, device="cpu", engine=engine)
        assert driver.device == ("libswscale cpu" if engine == "auto" else "onnxruntime cpu")
        (large,) = driver.push(frame_of(drawn(picture), picture.layout, SIZES[0]))
        made.append(large.planes)
        driver.close()
    for plane, other in zip(*made, strict=True):
        assert np.abs(plane.astype(int) - other.astype(int)).max() <= 1


def test_a_net_that_calls_itself_bicubic_is_run() -> None:
    picture = studio("gray", SIZES[0])
    made = []
    for family in ("espcn", "bicubic"):
        model = replace(MODELS["espcn"], family=family)
        driver = open_driver(model, 2, picture=picture, device="cpu")
        frame = frame_of(drawn(picture), picture.layout, SIZES[0])
        made.append(driver.push(frame)[0].planes[0])
        driver.close()
    assert np.array_equal(*made)
