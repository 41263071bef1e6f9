"""The ending of a cell against the way through a large RGB picture, in every layout."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_recurrent import CHANNELS, SCALE, random_cell, write_random_recurrent

from vsrcli.frames import Color, Picture, Siting
from vsrcli.media.pixels import layout_of
from vsrcli.models import Model, find_model
from vsrcli.runtime.cell_graphs import cell_ending, color_planes, step_graph
from vsrcli.runtime.cpu import has_bf16
from vsrcli.runtime.engines import ENGINES, Setup, is_installed

SIDES = 7, 9
LAYOUTS = (
    *("yuv420p", "yuv422p", "yuv444p", "yuv440p", "yuv411p", "yuv410p"),
    *("gray", "gbrp", "yuva420p", "yuv420p10le", "gbrp16le"),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return find_model(str(write_random_recurrent(tmp_path_factory.mktemp("models"))))


def picture(name: str = "yuv420p", siting: Siting = Siting.LEFT, width: int = SIDES[1]) -> Picture:
    color = Color(matrix=9, full_range=False, siting=siting)
    return Picture(layout=layout_of(name), color=color, width=width, height=SIDES[0])


def feeds_of(given: Picture, channels: int) -> dict[str, np.ndarray]:
    """A frame, those before it and a state, all of noise."""
    rng, layout, sides = np.random.default_rng(5), given.layout, (given.height, given.width)
    feeds = {f"older_{i}": rng.random((1, 3, *sides), np.float32) for i in (0, 1)}
    feeds["state"] = rng.random((1, channels, *sides), np.float32)
    for i in color_planes(given):
        size = layout.size(i, given.width, given.height)
        feeds[f"in_{i}"] = rng.integers(0, layout.peak + 1, (1, 1, *size)).astype(layout.dtype)
    return feeds


def differences(
    model: Model,
    cell: bytes,
    given: Picture,
    setup: Setup,
    channels: int,
    *,
    exact: Setup | None = None,
    shuffles: bool = False,
) -> int:
    """The largest, of code values; what is carried on must be the same."""
    ending = cell_ending(cell, model, SCALE, given, shuffles=shuffles)
    assert ending
    feeds = feeds_of(given, channels)
    graph = step_graph(cell, model, SCALE, given, ending=ending, blocked=setup.is_blocked)
    made = setup.open(graph).run(feeds)
    wanted = (exact or setup).open(step_graph(cell, model, SCALE, given)).run(feeds)
    tolerance = 1e-5 if setup.precision == "fp32" else 0.02
    np.testing.assert_allclose(made["state_next"], wanted["state_next"], atol=tolerance)
    planes = ending.planes(made)
    assert list(planes) == list(color_planes(given))
    whole = [wanted[f"out_{i}"][0, 0].astype(int) for i in planes]
    assert all(np.ptp(plane) > given.layout.peak / 2 for plane in whole[:1])
    return max(np.abs(planes[i] - plane).max() for i, plane in enumerate(whole))


@pytest.mark.parametrize("shuffles", [False, True])
@pytest.mark.parametrize("engine", [name for name in ENGINES if is_installed(name)])
@pytest.mark.parametrize("siting", [Siting.LEFT, Siting.CENTER])
@pytest.mark.parametrize("name", LAYOUTS)
def test_planes_are_those_of_the_large_picture(
    model: Model, name: str, siting: Siting, engine: str, shuffles: bool
) -> None:
    given, setup = picture(name, siting), Setup(engine=engine, threads=1)
    assert differences(model, random_cell(), given, setup, CHANNELS) <= 1


def test_a_shipped_cell_has_this_ending() -> None:
    """Its convolution has a bias."""
    model = find_model("rlsp-7-48")
    cell = model.graph(SCALE).load()
    assert differences(model, cell, picture(), Setup(threads=1), 96) <= 1


@pytest.mark.skipif(
    not (is_installed("openvino") and has_bf16()), reason="needs OpenVINO and bf16 arithmetic"
)
def test_bf16_is_near(model: Model) -> None:
    """Only the detail is computed in it."""
    setup = Setup(engine="openvino", precision="bf16", threads=1)
    given = picture()
    assert (
        0 < differences(model, random_cell(), given, setup, CHANNELS, exact=Setup(threads=1)) <= 3
    )


@pytest.mark.parametrize("width", [2, 3])
def test_narrow_pictures(model: Model, width: int) -> None:
    given = picture(width=width)
    assert differences(model, random_cell(), given, Setup(threads=1), CHANNELS) <= 1


@pytest.mark.parametrize(
    ("was", "becomes"),
    [(b"CRD", b"DCR"), (b"Gather", b"Expand"), (b"Add", b"Mul"), (b"Conv", b"Cnov")],
)
def test_other_endings_are_left_alone(model: Model, was: bytes, becomes: bytes) -> None:
    cell = random_cell()
    assert cell_ending(cell.replace(was, becomes), model, SCALE, picture()) is None


def test_another_square_in_the_end_is_left_alone(model: Model) -> None:
    """Its convolution does not say how large it is."""
    cell = random_cell(last=1)
    assert cell_ending(cell, model, SCALE, picture()) is None


def test_pictures_whose_chroma_lies_across_pixels_are_left_alone(model: Model) -> None:
    cell = random_cell()
    assert cell_ending(cell, model, SCALE, picture(siting=Siting.TOPLEFT)) is None
    assert cell_ending(cell, model, SCALE, picture("yuv444p", Siting.TOPLEFT))
    assert cell_ending(cell, model, SCALE, picture(width=1)) is None
    assert cell_ending(cell, model, 3, picture()) is None
