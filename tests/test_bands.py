"""Bands: that planes in bands, side by side, are what whole planes are."""

from __future__ import annotations

import numpy as np
import pytest
from test_contract import MODELS, frame_of, noise

from vsrcli.errors import DeviceError
from vsrcli.frames import Color, Frame, Picture, landed
from vsrcli.media.pixels import layout_of
from vsrcli.models import Model
from vsrcli.runtime.bicubic import _Graphs, is_bicubic, open_bicubic
from vsrcli.runtime.drivers.frame import FrameDriver
from vsrcli.runtime.engines import Setup
from vsrcli.runtime.graphs import shuffle
from vsrcli.runtime.onnx_wire import FLOAT, INPUT, OUTPUT, Builder, field, model_of, port
from vsrcli.runtime.resample import phases

SIZE = (22, 301)


def opened(model: Model, pix_fmt: str, border: int, threads: int) -> FrameDriver:
    picture = Picture(layout=layout_of(pix_fmt), color=Color(), width=SIZE[0], height=SIZE[1])
    return FrameDriver(
        model.graph(2).load(), 2, picture=picture, studio=model.levels == "studio", border=border,
        setup=Setup(threads=threads),
    )  # fmt: skip


def upscaled(driver: FrameDriver, pix_fmt: str) -> Frame:
    layout = layout_of(pix_fmt)
    (frame,) = driver.push(frame_of(noise(layout, SIZE), layout, SIZE))
    driver.close()
    return frame


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "gbrp", "yuva420p"])
@pytest.mark.parametrize("name", ["bicubic", "esr-max", "espcn", "sesr"])
def test_bands_join_to_the_whole(name: str, pix_fmt: str) -> None:
    """A border that is not known keeps planes whole. 3 of 4 bands end with a halo below them."""
    model = MODELS[name]
    border = model.graph(2).border
    whole = upscaled(opened(model, pix_fmt, 0, 1), pix_fmt)
    for threads in (1, 2, 3):
        made = upscaled(opened(model, pix_fmt, border, threads), pix_fmt)
        for plane, wanted in zip(made.planes, whole.planes, strict=True):
            assert plane.shape == wanted.shape
            assert np.abs(plane.astype(int) - wanted.astype(int)).max() <= 1


def test_a_halo_that_is_too_small_shows() -> None:
    """So the test above can fail."""
    model = MODELS["espcn"]
    whole = upscaled(opened(model, "gray", 0, 1), "gray").planes[0].astype(int)
    made = upscaled(opened(model, "gray", 1, 2), "gray").planes[0].astype(int)
    assert np.abs(made - whole).max() > 1


def test_more_threads_than_bands_work_inside_them() -> None:
    for name, border, workers in (("espcn", 4, 4), ("sesr", 9, 2)):  # of 64 rows; of 12 borders
        driver = opened(MODELS[name], "yuv420p", border, 8)
        assert driver._bands.workers == workers
        driver.close()
    deep = Picture(layout=layout_of("yuv420p10le"), color=Color(), width=SIZE[0], height=SIZE[1])
    graphs = open_bicubic(deep, 2, but=[0], threads=8)
    assert isinstance(graphs, _Graphs)
    (chroma,) = graphs._bands.values()
    assert chroma.workers == 2
    graphs.close()


@pytest.mark.parametrize("change", ["", "mode", "way", "pads"])
def test_bicubic_is_known_by_what_it_computes(change: str) -> None:
    axis, graph = phases(2), Builder("my")
    kernel = np.einsum("yi,xj->yxij", axis, axis).reshape(4, 1, 5, 5).astype(np.float32)
    pads = np.array([0, 0, 4, 2, 0, 0, 0, 2] if change == "pads" else [0, 0, 2, 2] * 2, np.int64)
    mode = "reflect" if change == "mode" else "edge"
    padded = graph.node("Pad", ["x", pads], "" if change != "way" else "y", mode=mode)
    made = graph.node("Conv", [padded, kernel])
    graph.node("DepthToSpace", [made], "" if change == "way" else "y", blocksize=2, mode="CRD")
    ports = b"".join(
        field(kind, port(name, FLOAT, ("n", 1, "h", "w")))
        for kind, name in ((INPUT, "x"), (OUTPUT, "y"))
    )
    assert is_bicubic(model_of(graph.take() + ports), 2) == (not change)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("rows", "columns"), [(2, 2), (3, 3), (4, 4), (4, 2), (4, 1)])
def test_phases_are_put_in_their_places(rows: int, columns: int, dtype: type) -> None:
    """Also in planes whose rows end in padding, and from a part of an array."""
    height, width, count = 5, 7, rows * columns
    wanted = np.arange(height * width * count).astype(dtype).reshape(height * rows, -1)
    phases = np.zeros((height + 2, width, count + 1), dtype)
    for y, x, i, j in np.ndindex(height, width, rows, columns):
        phases[y + 1, x, i * columns + j] = wanted[y * rows + i, x * columns + j]
    padded = np.zeros((height * rows, width * columns + 3), dtype)
    shuffle(phases[1:-1, :, :-1], padded[:, : width * columns])
    np.testing.assert_array_equal(padded[:, : width * columns], wanted)
    assert not padded[:, width * columns :].any()


def test_an_error_in_one_band_is_the_frames() -> None:
    driver = opened(MODELS["bicubic"], "gray", 2, 2)
    bands = driver._bands
    run = bands._run

    def failing(plane, span, large):  # type: ignore[no-untyped-def]
        if span.low:
            raise DeviceError("the engine failed")
        run(plane, span, large)

    bands._run = failing  # type: ignore[method-assign]
    layout = layout_of("gray")
    with pytest.raises(DeviceError, match="the engine failed"):
        landed(driver.push(frame_of(noise(layout, SIZE), layout, SIZE)))
    driver.close()
