"""The shipped models: cards that fit their files, and worth their cost."""

from pathlib import Path

import av
import numpy as np
import pytest

from vsrcli.lab.evaluate import evaluate
from vsrcli.lab.sequence import EngineOptions
from vsrcli.media.images import write_png
from vsrcli.models.model import Temporal, read_model

WEIGHTS = Path(__file__).parents[1] / "weights"
SCALES = (2, 3, 4)
FLOORS = {
    "esr-max-fast": 0.4,
    "esr-max": 0.4,
    "esr-tr-fast": 1.0,
    "esr-tm": 1.0,
    "esr-tr": 1.0,
    "esr-cnn": 1.0,
    "espcn-fast": 1.0,
    "espcn": 1.0,
    "fsrcnn": 1.0,
    "sesr": 1.0,
}
"""dB over bicubic on the picture below, at every scale."""


def letters(side: int) -> np.ndarray:
    """Thick strokes, discs and slanted lines with soft edges, (side, side, 3) in 0..255."""
    fine = side * 4
    y, x = np.mgrid[:fine, :fine] / fine
    rings = np.hypot(x - 0.4, y - 0.55) * 14 % 1 < 0.5
    bars = (x * 9 + y * 5) % 1 < 0.4
    shapes = np.where(x + y < 1, rings, bars) * 150 + 50 + 30 * np.sin(8 * x)
    small = shapes.reshape(side, 4, side, 4).mean((1, 3))
    return np.repeat(small[..., None], 3, 2).astype(np.uint8)


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one picture."""
    folder = tmp_path_factory.mktemp("picture")
    write_png(folder / "letters.png", letters(240))
    return folder


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a clip of the picture under a slow camera."""
    folder, whole = tmp_path_factory.mktemp("moving"), letters(240)
    with av.open(str(folder / "letters.mkv"), "w") as file:
        stream = file.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 192, 192, "bgr0"
        for at in range(8):
            part = np.ascontiguousarray(whole[at : at + 192, 2 * at : 2 * at + 192])
            frame = av.VideoFrame.from_ndarray(part, format="rgb24").reformat(format="bgr0")
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return folder


VIDEO = {card.parent.name: read_model(card.parent) for card in WEIGHTS.glob("*/model.toml")}
VIDEO = {name: model for name, model in VIDEO.items() if model.temporal is not Temporal.FRAME}


def test_all_models_are_there():
    assert set(FLOORS) | {"bicubic"} <= {card.parent.name for card in WEIGHTS.glob("*/model.toml")}


@pytest.mark.parametrize("name", [*FLOORS, "bicubic"])
def test_card_fits_its_files(name: str):
    model = read_model(WEIGHTS / name)
    assert (model.id, model.color, model.temporal) == (name, "y", Temporal.FRAME)
    assert model.scales == SCALES
    assert model.licence == "MIT"
    for graph in model.graphs:
        assert graph.load()
        assert graph.params > 0
        if graph.precision == "int8":
            assert 0 <= graph.measured["loss_db"] <= 0.1
        else:
            assert graph.measured["set5_psnr_y"] > 28


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", FLOORS)
def test_gain_over_bicubic(name: str, scale: int, picture: Path):
    found = evaluate(WEIGHTS / name, picture, scale=scale, options=EngineOptions(threads=1))
    assert found.mean.gain_db > FLOORS[name]


@pytest.mark.parametrize(
    ("name", "scale"), [(name, scale) for name in sorted(VIDEO) for scale in VIDEO[name].scales]
)
def test_gain_of_video_models(name: str, scale: int, moving: Path):
    """dB over bicubic on the grid that a model was trained on."""
    degrade = "bd" if name.endswith("-bd") else "bicubic"
    options = EngineOptions(engine="onnxruntime", threads=1)
    found = evaluate(WEIGHTS / name, moving, scale=scale, degrade=degrade, options=options)
    assert found.mean.gain_db > 2.5
