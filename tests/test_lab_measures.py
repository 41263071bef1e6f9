"""Degradations, metrics and the evaluation rule."""

from pathlib import Path

import numpy as np
import pytest

from vsrcli.errors import InputError
from vsrcli.lab import bicubic
from vsrcli.lab.__main__ import main
from vsrcli.lab.degrade import DEGRADATIONS, bd, cubic
from vsrcli.lab.degrade import bicubic as shrink_bicubic
from vsrcli.lab.evaluate import evaluate
from vsrcli.lab.luma import luma
from vsrcli.lab.metrics import psnr, ssim
from vsrcli.lab.niqe import niqe, read_natural
from vsrcli.media.images import read_rgb, write_png

REPO = Path(__file__).parents[1]
SET5 = REPO.parent / "shared" / "data" / "eval" / "set5"


def texture(height: int, width: int) -> np.ndarray:
    """Edges, waves and ramps in colour, (height, width, 3)."""
    y, x = np.mgrid[:height, :width]
    wave = np.sin(x / 5 + y / 9) * 60
    edge = ((x + 2 * y) // 17 % 2) * 80
    return np.stack([90 + wave, 60 + edge, 70 + wave / 2 + edge / 2], -1).astype(np.uint8)


def test_luma_is_studio_range():
    grey = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0]]], np.uint8)
    assert luma(grey)[0] == pytest.approx([16, 235, 81.481], abs=1e-3)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_shrinking_keeps_grey_and_size(scale: int):
    image = np.full((12 * scale, 7 * scale, 3), 137, np.uint8)
    small = shrink_bicubic(image, scale)
    assert small.shape == (12, 7, 3)
    assert (small == 137).all()


def test_shrinking_reproduces_given_set5():
    pairs = sorted(SET5.glob("*_HR.png"))
    if not pairs:
        pytest.skip("no reference pictures here")
    for path in pairs:
        truth = read_rgb(path.with_name(path.name.replace("_HR", "_LR"))).astype(int)
        hr = read_rgb(path)
        small = shrink_bicubic(hr[: truth.shape[0] * 4, : truth.shape[1] * 4], 4)
        assert np.abs(small - truth).max() <= 1


def test_bd_is_a_gaussian_sampled_from_zero():
    scipy_ndimage = pytest.importorskip("scipy.ndimage")
    image = texture(40, 56)[..., 0]
    blurred = scipy_ndimage.gaussian_filter(image.astype(float), 1.5, mode="nearest", truncate=4)
    expected = np.floor(blurred[::4, ::4] + 0.5)
    assert np.abs(bd(image, 4).astype(float) - expected).max() <= 1


@pytest.mark.parametrize(
    ("degrade", "shift"), [("bicubic", 0.0), ("bd-centred", 0.0), ("bd", -1.5)]
)
def test_only_bd_shifts_the_grid(degrade, shift):
    """On a ramp of 2 a pixel a sample tells where it was taken."""
    image = np.tile(np.arange(64, dtype=np.uint8) * 2, (40, 1))
    made = DEGRADATIONS[degrade](image, 4).astype(float)
    middles = (np.arange(16) * 4 + 1.5) * 2
    assert np.abs(made - middles - 2 * shift)[:, 3:-3].max() <= 1


def test_psnr_of_known_errors():
    plane = np.full((8, 8), 100.0)
    assert psnr(plane, plane) == 100
    assert psnr(plane, plane + 5) == pytest.approx(10 * np.log10(255**2 / 25))


def test_ssim_is_one_for_equal_and_agrees_with_scipy():
    scipy_ndimage = pytest.importorskip("scipy.ndimage")
    rng = np.random.default_rng(1)
    a = luma(texture(40, 50)).astype(float)
    b = a + rng.normal(0, 8, a.shape)

    def blur(x: np.ndarray) -> np.ndarray:
        return scipy_ndimage.gaussian_filter(x, 1.5, truncate=3.4)[5:-5, 5:-5]

    means = blur(a), blur(b)
    variances = blur(a * a) - means[0] ** 2, blur(b * b) - means[1] ** 2
    covariance = blur(a * b) - means[0] * means[1]
    c1, c2 = 6.5025, 58.5225
    top = (2 * means[0] * means[1] + c1) * (2 * covariance + c2)
    bottom = (means[0] ** 2 + means[1] ** 2 + c1) * (sum(variances) + c2)
    assert ssim(a, a) == pytest.approx(1)
    assert ssim(a, b) == pytest.approx((top / bottom).mean(), abs=1e-9)


def direct_bicubic(plane: np.ndarray, scale: int) -> np.ndarray:
    """Keys' interpolation pixel by pixel, in float64, from its definition."""

    def row(length: int, i: int) -> np.ndarray:
        position = (i + 0.5) / scale - 0.5
        weights = np.zeros(length)
        for k in range(int(np.floor(position)) - 1, int(np.floor(position)) + 3):
            weights[min(max(k, 0), length - 1)] += cubic(np.array(position - k))
        return weights

    height, width = plane.shape
    rows = np.stack([row(height, i) for i in range(height * scale)])
    columns = np.stack([row(width, i) for i in range(width * scale)])
    return rows @ plane @ columns.T


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_upscale_equals_the_definition(scale: int):
    plane = np.random.default_rng(scale).random((9, 13))
    assert np.abs(bicubic.upscale(plane, scale) - direct_bicubic(plane, scale)).max() < 1e-12


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_shipped_bicubic_equals_the_definition(scale: int):
    from vsrcli.runtime.engines import open_engine

    engine = open_engine(REPO / "weights" / "bicubic" / f"bicubic-x{scale}.onnx", threads=1)
    x = np.random.default_rng(0).random((1, 1, 11, 7), dtype=np.float32)
    y = engine.run({"x": x})["y"][0, 0]
    assert np.abs(y - direct_bicubic(x[0, 0].astype(float), scale)).max() < 1e-5


def test_evaluate_measures_pictures_and_a_clip(tmp_path: Path):
    pytest.importorskip("onnxruntime")
    write_png(tmp_path / "a.png", texture(66, 81))
    write_png(tmp_path / "b_LR.png", texture(20, 20))
    seen = []
    result = evaluate(REPO / "weights" / "bicubic", tmp_path, scale=4, on_row=seen.append)
    assert [row.name for row in result.rows] == ["a"] == [row.name for row in seen]
    assert result.mean.gain_db == pytest.approx(0, abs=1e-4)
    assert result.mean.psnr_y > 15


def test_a_flat_picture_does_not_spoil_the_means(tmp_path: Path):
    write_png(tmp_path / "a.png", texture(128, 128))
    write_png(tmp_path / "flat.png", np.zeros((128, 128, 3), np.uint8))
    result = evaluate(REPO / "weights" / "bicubic", tmp_path, metrics=("niqe",))
    textured, flat = result.rows
    assert (flat.psnr_y, flat.gain_db) == (100, 0)
    assert np.isnan(flat.more["niqe"])
    assert result.mean.psnr_y == pytest.approx((textured.psnr_y + 100) / 2)
    assert result.mean.more == textured.more


@pytest.mark.parametrize(("folder", "message"), [("nowhere", "not a folder"), (".", "no pictures")])
def test_evaluate_refuses(tmp_path: Path, folder: str, message: str):
    with pytest.raises(InputError, match=message):
        evaluate(REPO / "weights" / "bicubic", tmp_path / folder)


def test_niqe_prefers_what_it_was_fitted_on(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for index in range(4):
        grain = rng.normal(0, 12, (384, 384, 1))
        sharp = np.clip(texture(384, 384) + grain, 0, 255).astype(np.uint8)
        write_png(tmp_path / f"{index}.png", sharp)
    assert main(["niqe", str(tmp_path), "--out", str(tmp_path / "natural.npz")]) == 0
    natural = read_natural(tmp_path / "natural.npz")
    plane = luma(read_rgb(tmp_path / "0.png"))
    blurred = (plane + np.roll(plane, 1, 0) + np.roll(plane, 1, 1)) / 3
    assert niqe(plane, natural) < 0.5 * niqe(blurred, natural)


@pytest.mark.parametrize("data", [b"", b"junk", b"PK\x03\x04 cut short", "array"])
def test_niqe_parameters_that_are_none(tmp_path: Path, data: bytes | str) -> None:
    file = tmp_path / "natural.npz"
    if isinstance(data, str):
        with file.open("wb") as stream:
            np.save(stream, np.zeros(3))
    else:
        file.write_bytes(data)
    with pytest.raises(InputError, match="holds no NIQE parameters"):
        read_natural(file)
