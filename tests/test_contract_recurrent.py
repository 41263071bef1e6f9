"""What every shipped recurrent model promises, beside a random one that is always there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from conftest import SHARED
from test_contract import MODELS, frame_of, noise
from test_cuts import scene
from test_engines import needs_openvino
from tiny_recurrent import write_random_recurrent

from vsrcli.frames import Color, Frame, Picture
from vsrcli.media.pixels import layout_of
from vsrcli.models import Model, Temporal
from vsrcli.models.model import read_model
from vsrcli.runtime.drivers import Driver, open_driver

SHIPPED = {name: m for name, m in MODELS.items() if m.temporal is Temporal.RECURRENT}
RANDOM = "random"
EACH = [(RANDOM, 4), *((name, scale) for name, m in SHIPPED.items() for scale in m.scales)]
CENTRED = [(n, s) for n, s in EACH if n != RANDOM and not n.endswith("-bd")]
"""All but the benchmark models, whose grid is that of every 4th pixel from 0."""
CONTROL = [("espcn", 4), ("esr-max", 2)]
"""Single-frame models that are known to lie right."""
REGISTERED_WITHIN = 0.05
"""px of the output."""
LAGGING = {"egvsr-psnr": 0.06}
"""Models known to lag by more than that where a made scene moves by some pixels a frame."""

each_graph = pytest.mark.parametrize(("name", "scale"), EACH)


@pytest.fixture(scope="module")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return read_model(write_random_recurrent(tmp_path_factory.mktemp("models")))


@contextmanager
def driver_of(
    model: Model,
    scale: int,
    pix_fmt: str,
    size: tuple[int, int],
    *,
    warm_up: int = 0,
    engine: str = "auto",
    precision: str = "auto",
) -> Iterator[Driver]:
    driver = open_driver(
        model,
        scale,
        picture=Picture(layout=layout_of(pix_fmt), color=Color(), width=size[0], height=size[1]),
        device="cpu",
        threads=1,
        engine=engine,
        warm_up=warm_up,
        precision=precision,
    )
    try:
        yield driver
    finally:
        driver.close()


def run(driver: Driver, frames: list[Frame]) -> list[Frame]:
    return [out for frame in frames for out in driver.push(frame)] + driver.flush()


@each_graph
def test_each_frame_comes_out_once_in_its_format(
    name: str, scale: int, random_model: Model
) -> None:
    model = SHIPPED.get(name, random_model)
    for pix_fmt, size in (("yuv420p", (17, 11)), ("yuv444p10le", (24, 18)), ("gbrp", (9, 8))):
        layout = layout_of(pix_fmt)
        frames = [frame_of(noise(layout, size, i), layout, size, i) for i in range(4)]
        with driver_of(model, scale, pix_fmt, size, warm_up=2) as driver:
            made = run(driver, frames)
        assert [(f.index, f.pts) for f in made] == [(i, 512 * i) for i in range(4)]
        for out in made:
            assert (out.width, out.height) == (size[0] * scale, size[1] * scale)
            for index, plane in enumerate(out.planes):
                assert plane.shape == layout.size(index, out.width, out.height)
                assert plane.dtype == layout.dtype
                assert plane.max() <= layout.peak


@each_graph
def test_a_new_shot_knows_nothing_of_the_last(name: str, scale: int, random_model: Model) -> None:
    model, layout, size = SHIPPED.get(name, random_model), layout_of("yuv420p"), (20, 16)
    frames = [frame_of(noise(layout, size, i), layout, size, i) for i in range(3)]
    with driver_of(model, scale, "yuv420p", size) as driver:
        first = run(driver, frames)
        driver.reset()
        again = run(driver, frames)
    for one, other in zip(first, again, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one.planes, other.planes, strict=True))


INT8 = [n for n, m in SHIPPED.items() if any(g.precision == "int8" for g in m.graphs)]


@pytest.mark.parametrize("engine", ["onnxruntime", pytest.param("openvino", marks=needs_openvino)])
@pytest.mark.parametrize("name", INT8)
def test_int8_stays_near(name: str, engine: str) -> None:
    """Frame after frame: what is carried does not wander off."""
    lumas = scene(3, 8, (48, 64))
    layout, size = layout_of("gray"), (64, 48)
    frames = [frame_of((luma,), layout, size, i) for i, luma in enumerate(lumas)]
    made = []
    for precision in ("fp32", "int8"):
        with driver_of(
            SHIPPED[name], 4, "gray", size, engine=engine, precision=precision
        ) as driver:
            made.append([out.planes[0].astype(float) for out in run(driver, frames)])
    errors = [np.square(one - other).mean() for one, other in zip(*made, strict=True)]
    assert 0 < max(errors) < 4  # 42 dB


def blurred(image: np.ndarray, sigma: float = 3.0) -> np.ndarray:
    """By a Gaussian; valid but for the borders."""
    taps = np.exp(-(np.arange(-9, 10) ** 2) / (2 * sigma**2))
    for axis in (0, 1):
        image = np.apply_along_axis(np.convolve, axis, image, taps / taps.sum(), "same")
    return image


def shift_between(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """By how much `one` lies farther (down, right) than `other`, px: least squares on gradients.

    Both are blurred first, so that what one is sharper by does not count.
    """
    one, other = (blurred(image.astype(float))[16:-16, 16:-16] for image in (one, other))
    down, right = np.gradient(other)
    slopes = np.stack([down.ravel(), right.ravel()], 1)
    found, *_ = np.linalg.lstsq(slopes, (other - one).ravel(), rcond=None)
    return float(found[0]), float(found[1])


def registration(model: Model, scale: int, lumas: list[np.ndarray]) -> list[tuple[float, float]]:
    """Of the last frames of a clip in grey, against bicubic."""
    height, width = lumas[0].shape
    layout = layout_of("gray")
    frames = [frame_of((luma,), layout, (width, height), i) for i, luma in enumerate(lumas)]
    made = []
    for one in (model, MODELS["bicubic"]):
        with driver_of(one, scale, "gray", (width, height)) as driver:
            made.append([out.planes[0] for out in run(driver, frames)])
    return [shift_between(a, b) for a, b in zip(*(m[2:] for m in made), strict=True)]


@pytest.mark.parametrize(("name", "scale"), CENTRED + CONTROL)
def test_the_picture_is_not_shifted(name: str, scale: int) -> None:
    """A made scene that moves along, so that a model that follows the past would lag."""
    shifts = registration(MODELS[name], scale, scene(3, 6, (48, 64)))
    assert np.abs(np.mean(shifts, axis=0)).max() <= LAGGING.get(name, REGISTERED_WITHIN)


@pytest.mark.skipif(not SHARED.exists(), reason="needs the shared data")
@pytest.mark.parametrize(("name", "scale"), CENTRED + CONTROL)
def test_real_pictures_are_not_shifted(name: str, scale: int) -> None:
    paths = sorted((SHARED / "data/eval/clips").glob("mdn__*.mp4"))
    assert paths
    for path in paths:
        shifts = registration(MODELS[name], scale, real_lumas(path))
        assert np.abs(np.mean(shifts, axis=0)).max() <= REGISTERED_WITHIN, path.name


def real_lumas(path: Path, count: int = 5) -> list[np.ndarray]:
    """Small frames of a clip, averaged and not just picked, so that bicubic has no jaggies."""
    import av

    with av.open(str(path)) as file:
        decoded = file.decode(video=0)
        planes = [next(decoded).to_ndarray(format="gray") for _ in range(count)]
    factor = planes[0].shape[0] // 90
    rows, columns = (side // factor for side in planes[0].shape)
    cut = (plane[: rows * factor, : columns * factor] for plane in planes)
    cells = (plane.reshape(rows, factor, columns, factor).mean((1, 3)) for plane in cut)
    return [cell.round().astype(np.uint8)[:80, :120] for cell in cells]


def test_registration_measures_shifts() -> None:
    (picture,) = scene(3, 1, (96, 128))
    down, right = shift_between(np.roll(picture, (1, -1), (0, 1)), picture)
    assert (down, right) == (pytest.approx(1, abs=0.15), pytest.approx(-1, abs=0.15))
    assert shift_between(picture, picture) == (0, 0)


@pytest.mark.skipif(not SHARED.exists(), reason="needs the shared data")
def test_a_bd_model_is_found_to_be_shifted(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    from vsrcli.lab.importers import import_checkpoint

    checkpoint = SHARED / "upstream/rlsp/rlsp-7-48-official.npz"
    model = read_model(import_checkpoint(checkpoint, tmp_path, "rlsp").folder)
    shifts = np.mean(registration(model, 4, scene(3, 4, (40, 48))), axis=0)
    assert np.abs(shifts).min() > 0.5
