"""Recurrent models through the whole pipeline: shots stand alone, long runs stay as they are."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import SHARED, Vsr
from test_cuts import scene
from tiny_recurrent import write_random_recurrent

from vsrcli.frames import Color, Picture, frame_of
from vsrcli.media.pixels import layout_of
from vsrcli.models.model import read_model
from vsrcli.runtime.drivers import open_driver
from vsrcli.runtime.drivers.cell import WholeCell
from vsrcli.runtime.drivers.recurrent import RecurrentDriver
from vsrcli.runtime.engines.onnx import OnnxEngine

SIZE = (32, 48)
LOSSLESS = ("-c:v", "ffv1", "--progress", "none")


def write(path: Path, frames: list[np.ndarray]) -> Path:
    """RGB frames, without loss."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "bgr0"
        for image in frames:
            picture = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="bgr0")
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
    return path


def read(path: Path) -> np.ndarray:
    """(T, H, W, 3)."""
    with av.open(str(path)) as file:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])


def colored(seed: int, length: int) -> list[np.ndarray]:
    """A made scene in colour."""
    planes = (scene(seed + 100 * channel, length, SIZE) for channel in range(3))
    return [np.stack(channels, -1) for channels in zip(*planes, strict=True)]


def upscaled(vsr: Vsr, source: Path, model: Path, *options: str) -> np.ndarray:
    target = source.with_name(f"{source.stem}_large.mkv")
    outcome = vsr("upscale", source, "-o", target, "-y", "--model", model, *LOSSLESS, *options)
    assert outcome.code == 0, outcome.err
    return read(target)


def assert_shots_stand_alone(
    vsr: Vsr, folder: Path, model: Path, first: list[np.ndarray], second: list[np.ndarray]
) -> None:
    alone = upscaled(vsr, write(folder / "b.mkv", second), model).astype(int)
    joined = write(folder / "ab.mkv", first + second)
    after = upscaled(vsr, joined, model)[len(first) :]
    assert after.shape == alone.shape
    assert np.abs(after - alone).max() <= 1
    carried = upscaled(vsr, joined, model, "--no-scene-cut")[len(first) :]
    assert np.abs(carried[0] - alone[0]).max() > 1  # so it does matter


def test_after_a_cut_as_if_alone(tmp_path: Path, vsr: Vsr) -> None:
    model = write_random_recurrent(tmp_path)
    assert_shots_stand_alone(vsr, tmp_path, model, colored(1, 7), colored(2, 6))


def test_a_card_says_how_shots_are_warmed_up(tmp_path: Path, vsr: Vsr) -> None:
    """Which an option overrules; after a cut, too, a shot is as if alone."""
    model = write_random_recurrent(tmp_path)
    card = model / "model.toml"
    card.write_text(card.read_text().replace("after = 1\n", "after = 1\nwarm_up = 4\n", 1))
    source = write(tmp_path / "a.mkv", colored(1, 7))
    warm, asked, cold = (
        upscaled(vsr, source, model, *options).astype(int)
        for options in ((), ("--warm-up", "4"), ("--warm-up", "0"))
    )
    assert np.array_equal(warm, asked)
    assert np.abs(warm[0] - cold[0]).max() > 1
    assert_shots_stand_alone(vsr, tmp_path, model, colored(1, 7), colored(2, 6))


@pytest.mark.skipif(not SHARED.exists(), reason="needs the shared data")
def test_after_a_real_cut_as_if_alone(tmp_path: Path, vsr: Vsr) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    from vsrcli.lab.importers import import_checkpoint

    checkpoint = SHARED / "upstream/rlsp/rlsp-7-48-official.npz"
    model = import_checkpoint(checkpoint, tmp_path, "rlsp").folder
    clips = [
        [image[:: image.shape[0] // 48, :: image.shape[0] // 48][:48, :64] for image in shot]
        for shot in (real_frames("*frog*"), real_frames("*flower*"))
    ]
    assert_shots_stand_alone(vsr, tmp_path, model, *clips)


def real_frames(name: str, count: int = 6) -> list[np.ndarray]:
    """The first frames of a clip, RGB."""
    (path,) = (SHARED / "data/eval/clips").glob(f"{name}.mp4")
    with av.open(str(path)) as file:
        found = file.decode(video=0)
        return [next(found).to_ndarray(format="rgb24") for _ in range(count)]


def test_long_runs_keep_their_memory_and_their_picture(tmp_path: Path) -> None:
    """300 frames of a camera that moves to and fro: each turn gives what the one before gave."""
    model = read_model(write_random_recurrent(tmp_path))
    layout = layout_of("gbrp")
    color = Color(matrix=0, full_range=True)
    picture = Picture(layout=layout, color=color, width=SIZE[1], height=SIZE[0])
    driver = open_driver(model, 4, picture=picture, device="cpu", threads=1)
    assert isinstance(driver, RecurrentDriver)
    there = colored(1, 16)
    loop = [*there, *there[-2:0:-1]]  # 30 frames
    turns: list[np.ndarray] = []
    buffers, used = [], []
    for index in range(300):
        planes = tuple(np.ascontiguousarray(loop[index % 30][..., c]) for c in (1, 2, 0))
        for out in driver.push(frame_of(planes, layout, index)):
            if out.index % 30 == 29:
                turns.append(np.stack(out.planes).astype(int))
        if index == 99:
            tracemalloc.start()
        if index in (100, 299):
            buffers.append(addresses(driver))
            used.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    driver.close()
    assert buffers[0] == buffers[1]
    assert used[1] - used[0] < 200_000 + turns[0].nbytes * 8  # the turns themselves are kept
    assert len(turns) == 9
    assert np.abs(turns[-1] - turns[3]).max() <= 1


def addresses(driver: RecurrentDriver) -> set[int]:
    """Of everything that the driver keeps in the engine's memory."""
    cell = driver._cell
    assert isinstance(cell, WholeCell)
    step = cell._engines.step
    assert isinstance(step, OnnxEngine)
    return {tensor.data_ptr() for pair in step._held.values() for tensor in pair}


@pytest.mark.parametrize(
    ("option", "size"), [(("--scale", "2"), (96, 64)), (("--height", "96"), (144, 96))]
)
def test_other_scales_run_at_x4_and_are_scaled_down(
    tmp_path: Path, vsr: Vsr, option: tuple[str, str], size: tuple[int, int]
) -> None:
    """By Lanczos, and said in one line; what is made is the x4 picture in small, not shifted."""
    model = write_random_recurrent(tmp_path)
    source = write(tmp_path / "a.mkv", colored(1, 3))
    whole = upscaled(vsr, source, model).astype(float)
    outcome = vsr("upscale", source, *LOSSLESS, "--model", model, *option)
    assert outcome.code == 0
    (line,) = (line for line in outcome.lines if "Lanczos" in line)
    wide, tall = size
    assert f"runs at x4 (192x128), then Lanczos to {wide}x{tall}" in line
    mark = "x2" if "--scale" in option else f"{wide}x{tall}"
    made = read(tmp_path / f"a_{mark}_{model.name}.mkv").astype(float)
    assert made.shape == (3, tall, wide, 3)
    if mark == "x2":

        def error(move: tuple[int, int]) -> float:
            moved = np.roll(whole, move, (1, 2)).reshape(3, tall, 2, wide, 2, 3).mean((2, 4))
            return float(np.abs(made - moved)[:, 2:-2, 2:-2].mean())

        moves = [(0, 1), (0, -1), (1, 0), (-1, 0)]
        assert error((0, 0)) < 0.8 * min(map(error, moves))
    refused = vsr("upscale", source, *LOSSLESS, "--model", model, "--scale", "8")
    assert (refused.code, len(refused.lines)) == (5, 1)


def test_probe_measures_recurrent_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vsrcli.job import DEFAULT_MODEL
    from vsrcli.probe import probe_source

    write_random_recurrent(tmp_path / "models", DEFAULT_MODEL)
    monkeypatch.setattr("vsrcli.models.find.search_path", lambda: (tmp_path / "models",))
    monkeypatch.setattr("vsrcli.estimate._BUDGET_S", 0.1)
    source = write(tmp_path / "a.mkv", colored(1, 12))
    for scale in (4, 2):
        found = probe_source(source, scale=scale)
        assert found.speeds is not None
        (speed,) = found.speeds.models
        assert 0 < speed.model_s < speed.frame_s
        assert (found.outcome.size.width, found.outcome.size.scale) == (48 * scale, 4)


def test_a_missing_default_is_an_error(
    tmp_path: Path, vsr: Vsr, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_random_recurrent(tmp_path / "models", "another")
    monkeypatch.setattr("vsrcli.models.find.search_path", lambda: (tmp_path / "models",))
    source = write(tmp_path / "a.mkv", colored(1, 2))
    for command in ("upscale", "probe"):
        outcome = vsr(command, source)
        assert (outcome.code, outcome.out, len(outcome.lines)) == (5, "", 1)
