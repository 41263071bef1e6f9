"""What every shipped model promises, at every scale, whatever the frames are made of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import numpy as np
import pytest
from test_engines import needs_openvino

from vsrcli.frames import Color, Frame, Layout, Picture, Plane
from vsrcli.media.pixels import layout_of
from vsrcli.models import Graph, Model, Temporal, list_models
from vsrcli.models.find import _PACKAGE
from vsrcli.runtime.drivers import Driver, open_driver

IDS = (
    *("bicubic", "esr-max", "esr-max-fast", "esr-tm", "esr-tr", "esr-tr-fast", "esr-cnn"),
    *("espcn", "espcn-fast", "fsrcnn", "sesr"),
)
SCALES = (2, 3, 4)
MODELS = {m.id: m for m in list_models() if _PACKAGE.parent in m.folder.parents}
ALL = [(name, scale) for name in IDS for scale in SCALES]
PIXELS = ("yuv420p", "yuv422p", "yuv444p10le", "yuv420p16le", "gray", "gray16le", "gbrp")
CONSTANT_WITHIN = 2.5 / 255
"""Of the range: a flat picture stays flat, to two codes of 8 bits."""

each_graph = pytest.mark.parametrize(("name", "scale"), ALL)


@contextmanager
def driver_of(
    model: Model,
    scale: int,
    pix_fmt: str,
    size: tuple[int, int],
    full_range: bool | None = None,
    **how: str,
) -> Iterator[Driver]:
    """A model on the CPU, ready for pictures of this format and size."""
    color = Color(full_range=full_range)
    picture = Picture(layout=layout_of(pix_fmt), color=color, width=size[0], height=size[1])
    driver = open_driver(model, scale, picture=picture, device="cpu", threads=1, **how)
    try:
        yield driver
    finally:
        driver.close()


def frame_of(planes: tuple[Plane, ...], layout: Layout, size: tuple[int, int], i: int = 0) -> Frame:
    """A frame that is shown at i/25 s."""
    return Frame(
        planes=planes, layout=layout, width=size[0], height=size[1], pts=i * 512,
        time_base=Fraction(1, 12800), duration=512, index=i,
    )  # fmt: skip


def noise(layout: Layout, size: tuple[int, int], seed: int = 0) -> tuple[Plane, ...]:
    """Planes of noise over the whole range."""
    random = np.random.default_rng(seed)
    shapes = (layout.size(i, *size) for i in range(len(layout.roles)))
    return tuple(random.integers(0, layout.peak, s, layout.dtype, endpoint=True) for s in shapes)


def drawing(size: int) -> np.ndarray:
    """A (size, size) picture in 0..1 with edges and curves at many angles."""
    y, x = np.mgrid[0:size, 0:size].astype(float) / size
    rings = 0.5 + 0.4 * np.tanh(6 * np.sin(60 * np.hypot(x - 0.4, y - 0.45) ** 1.3))
    bars = 0.5 + 0.4 * np.tanh(5 * np.sin(40 * (x + 0.6 * y)))
    return np.where(x + y < 1.1, rings, bars)


def shrunk(image: np.ndarray, scale: int) -> np.ndarray:
    """Antialiased bicubic, a = -0.5: what the models were trained to undo."""
    size = image.shape[0] // scale
    at = (np.arange(size) + 0.5) * scale - 0.5
    distance = np.abs(np.arange(image.shape[0])[None] - at[:, None]) / scale
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    weights = np.where(distance <= 1, near, np.where(distance < 2, far, 0))
    weights /= weights.sum(axis=1, keepdims=True)
    return weights @ image @ weights.T


def psnr(a: np.ndarray, b: np.ndarray, border: int = 8) -> float:
    """Decibels between pictures in 0..1, without their borders."""
    inner = np.s_[border:-border, border:-border]
    return float(-10 * np.log10(np.square(a[inner] - b[inner]).mean()))


def graph_of(model: Model, scale: int) -> Graph:
    return next(g for g in model.graphs if g.scale == scale and g.precision == "fp32")


def test_the_models_are_there() -> None:
    assert set(IDS) <= set(MODELS)


@each_graph
def test_file_is_the_one_on_the_card(name: str, scale: int) -> None:
    model = MODELS[name]
    graph = graph_of(model, scale)
    assert hashlib.sha256(graph.file.read_bytes()).hexdigest() == graph.sha256
    assert (model.id, model.folder.name, model.licence) == (name, name, "MIT")
    assert model.temporal is Temporal.FRAME


@pytest.mark.parametrize("pix_fmt", PIXELS)
@pytest.mark.parametrize("name", IDS)
def test_every_format_comes_out_as_it_went_in(name: str, pix_fmt: str) -> None:
    layout, size, scale = layout_of(pix_fmt), (24, 18), 4
    with driver_of(MODELS[name], scale, pix_fmt, size) as driver:
        (out,) = driver.push(frame_of(noise(layout, size), layout, size, i=3))
        assert driver.flush() == []
    assert (out.width, out.height, out.layout) == (96, 72, layout)
    assert (out.pts, out.duration, out.time_base, out.index) == (1536, 512, Fraction(1, 12800), 3)
    for index, plane in enumerate(out.planes):
        assert plane.shape == layout.size(index, 96, 72)
        assert plane.dtype == layout.dtype
        assert plane.max() <= layout.peak


@pytest.mark.parametrize("name", ["espcn", "esr-max"])
def test_full_range_is_brought_to_what_a_net_was_trained_on(name: str) -> None:
    """So that dark and bright parts look as they do in studio range. RGB is full in any case."""
    assert MODELS[name].levels == "studio"
    full = np.rint(shrunk(drawing(96), 2) * 1.2 * 255 - 25).clip(0, 255)
    studio = np.rint(16 + full * 219 / 255)

    def enlarged(values: np.ndarray, pix_fmt: str, full_range: bool | None) -> np.ndarray:
        layout, size = layout_of(pix_fmt), (48, 48)
        planes = (values.astype(np.uint8),) * len(layout.roles)
        with driver_of(MODELS[name], 2, pix_fmt, size, full_range) as driver:
            (out,) = driver.push(frame_of(planes, layout, size))
            return out.planes[0].astype(float)

    wanted = enlarged(studio, "gray", False).clip(16, 235)
    for made in (enlarged(full, "gray", True), enlarged(full, "gbrp", None)):
        assert np.abs(16 + made * 219 / 255 - wanted).mean() < 0.5


@each_graph
def test_one_frame_in_one_frame_out_and_no_memory(name: str, scale: int) -> None:
    layout, size = layout_of("yuv420p"), (20, 16)
    with driver_of(MODELS[name], scale, "yuv420p", size) as driver:
        frames = [frame_of(noise(layout, size, i), layout, size, i) for i in range(3)]
        first = [driver.push(frame) for frame in frames]
        driver.reset()
        again = [driver.push(frame) for frame in reversed(frames)]
    assert [len(out) for out in first] == [1, 1, 1]
    for (one,), (other,) in zip(first, reversed(again), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one.planes, other.planes, strict=True))


@each_graph
@pytest.mark.parametrize("size", [(17, 11), (1, 1), (3, 8)])
def test_odd_and_tiny_sizes(name: str, scale: int, size: tuple[int, int]) -> None:
    layout = layout_of("yuv420p")
    with driver_of(MODELS[name], scale, "yuv420p", size) as driver:
        (out,) = driver.push(frame_of(noise(layout, size), layout, size))
    assert (out.width, out.height) == (size[0] * scale, size[1] * scale)
    for index, plane in enumerate(out.planes):
        assert plane.shape == layout.size(index, out.width, out.height)


@each_graph
@pytest.mark.parametrize("pix_fmt", ["gray", "gray10le"])
@pytest.mark.parametrize("full_range", [False, True])
def test_flat_picture_stays_flat(name: str, scale: int, pix_fmt: str, full_range: bool) -> None:
    """At every level, blacker than black and whiter than white too: nets have not seen those."""
    layout, size = layout_of(pix_fmt), (32, 32)
    with driver_of(MODELS[name], scale, pix_fmt, size, full_range=full_range) as driver:
        for share in (0, 0.03, 0.07, 0.25, 0.5, 0.75, 0.92, 0.97, 1):
            level = round(share * layout.peak)
            flat = np.full((32, 32), level, layout.dtype)
            (out,) = driver.push(frame_of((flat,), layout, size))
            inner = out.planes[0][8 * scale : -8 * scale, 8 * scale : -8 * scale].astype(int)
            within = CONSTANT_WITHIN * (255 / 200 if full_range else 1)  # stretched by 255 / 219
            assert np.abs(inner - level).max() <= max(1, within * layout.peak)


INT8 = [(m.id, g.scale) for m in MODELS.values() if m.id in IDS
        for g in m.graphs if g.precision == "int8"]  # fmt: skip


@pytest.mark.parametrize("engine", ["onnxruntime", pytest.param("openvino", marks=needs_openvino)])
@pytest.mark.parametrize(("name", "scale"), INT8)
def test_int8_stays_near(name: str, scale: int, engine: str) -> None:
    """On a drawing of hard edges, which costs it more than pictures do."""
    whole = drawing(96 * 2)[: 192 // scale * scale, : 192 // scale * scale]
    small = (shrunk(whole, scale) * 219 + 16).round().clip(0, 255).astype(np.uint8)
    layout, size = layout_of("gray"), (small.shape[1], small.shape[0])
    made = []
    for precision in ("fp32", "int8"):
        with driver_of(MODELS[name], scale, "gray", size, engine=engine, precision=precision) as d:
            (out,) = d.push(frame_of((small,), layout, size))
            made.append(out.planes[0] / 255)
    assert 34 < psnr(*made) < 70


@each_graph
def test_sharper_than_its_pixels_and_truer_than_bicubic(name: str, scale: int) -> None:
    whole = drawing(96 * 2)[: 192 // scale * scale, : 192 // scale * scale]
    small = (shrunk(whole, scale) * 65535).round().clip(0, 65535).astype(np.uint16)
    layout, size = layout_of("gray16le"), (small.shape[1], small.shape[0])
    found = {}
    for model in (name, "bicubic"):
        with driver_of(MODELS[model], scale, "gray16le", size) as driver:
            (out,) = driver.push(frame_of((small,), layout, size))
        found[model] = psnr(out.planes[0] / 65535, whole)
    nearest = psnr(small.repeat(scale, axis=0).repeat(scale, axis=1) / 65535, whole)
    assert found[name] > nearest + 1
    assert name == "bicubic" or found[name] > found["bicubic"]
