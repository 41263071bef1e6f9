"""The CUDA and TensorRT paths with the CPU in the place of their providers.

All of them runs but the providers themselves: options, where tensors lie, what crosses to the host,
the cache of engines, and what is said when something is missing.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_gpu import ALL, Gpu
from test_tile_plan import moving, run
from tiny_recurrent import write_random_recurrent

from vsrcli import doctor
from vsrcli.errors import DeviceError, OutOfMemoryError
from vsrcli.frames import Color, Frame, Picture
from vsrcli.media.enlarge import Enlarger
from vsrcli.media.pixels import layout_of
from vsrcli.models import Model, find_model
from vsrcli.models.model import read_model
from vsrcli.runtime import devices
from vsrcli.runtime.cache import cache_folder
from vsrcli.runtime.drivers import open_driver
from vsrcli.runtime.engines import Setup, libraries, onnx, providers
from vsrcli.runtime.engines.failures import run_error
from vsrcli.runtime.graphs import bicubic_graph
from vsrcli.runtime.memory import free_bytes

SIZE = (37, 29)


def upscaled(model: Model, scale: int, device: str, *, precision: str = "fp32") -> list[Frame]:
    layout = layout_of("yuv420p")
    picture = Picture(layout=layout, color=Color(), width=SIZE[0], height=SIZE[1])
    driver = open_driver(
        model,
        scale,
        picture=picture,
        device=device,
        engine="onnxruntime",
        precision=precision,
        threads=1,
    )
    made = run(driver, moving(layout, SIZE, 4))
    assert driver.device == f"onnxruntime {device}" + (" fp16" if precision == "fp16" else "")
    driver.close()
    return made


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "tensorrt", "tensorrt:1"])
def test_every_driver_runs_there(
    gpu: Gpu, device: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recurrent = read_model(write_random_recurrent(tmp_path))
    in_half = "fp16" if device.startswith("cuda") else "fp32"
    for model, scale, precision in ((find_model("espcn"), 2, "fp32"), (recurrent, 4, in_half)):
        wanted = upscaled(model, scale, "cpu", precision=precision)
        gpu.memory.clear()
        made = upscaled(model, scale, device, precision=precision)
        for one, other in zip(made, wanted, strict=True):
            for plane, same in zip(one.planes, other.planes, strict=True):
                np.testing.assert_array_equal(plane, same)
    kind, _, number = device.partition(":")
    named = [name for name, _ in gpu.providers[-1]]
    assert named == ALL[0 if kind == "tensorrt" else 1 :]
    assert gpu.options("CUDAExecutionProvider")["device_id"] == (number or "0")
    assert gpu.memory == {("cuda", int(number or 0))}  # the states
    assert capsys.readouterr().out == ""


def test_bicubic_runs_where_it_is_asked_to(gpu: Gpu) -> None:
    picture = Picture(layout=layout_of("yuv420p"), color=Color(), width=32, height=24)
    for device, name in (("cuda", "onnxruntime cuda"), ("cpu", "libswscale cpu")):
        driver = open_driver(find_model("bicubic"), 2, picture=picture, device=device, threads=1)
        assert driver.device == name
        driver.close()


def test_only_planes_cross_from_frame_to_frame(gpu: Gpu, tmp_path: Path) -> None:
    """But for the first frame of a shot, which stands for those before it too."""
    model = read_model(write_random_recurrent(tmp_path))
    layout = layout_of("yuv420p")
    picture = Picture(layout=layout, color=Color(), width=SIZE[0], height=SIZE[1])
    driver = open_driver(model, 4, picture=picture, device="cuda", engine="onnxruntime", threads=1)
    first, *rest = moving(layout, SIZE, 8)
    for frame in (first, *rest[:2]):
        driver.push(frame)
    gpu.host.clear()
    gpu.memory.clear()
    made = [out for frame in rest[2:] for out in driver.push(frame)]
    assert [len(out.planes) for out in made] == [3] * 5
    assert gpu.host == {("in", "uint8"), ("out", "uint8")}
    assert not gpu.memory  # no tensor was made or copied
    driver.close()


def test_tensorrt_keeps_its_engines_by_what_they_depend_on(
    gpu: Gpu, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(side: int) -> Path:
        Setup(device="tensorrt").open(bicubic_graph(2, bits=8, shape=(1, side, 8))).close()
        return Path(gpu.options("TensorrtExecutionProvider")["trt_engine_cache_path"])

    with caplog.at_level(logging.WARNING):
        folder = opened(8)
        (line,) = caplog.messages
        assert "takes minutes" in line
        assert str(folder) in line
        (folder / "made.engine").write_bytes(b"engine")
        caplog.clear()
        assert opened(8) == folder
        assert not caplog.messages  # it is there
        assert opened(16) != folder
        assert len(caplog.messages) == 1
        monkeypatch.setattr(providers.ort, "__version__", "9.9")
        assert opened(8) != folder
        monkeypatch.setenv("VSR_CACHE", "off")
        caplog.clear()
        Setup(device="tensorrt").open(bicubic_graph(2, bits=8, shape=(1, 8, 8))).close()
        assert "not kept" in caplog.text
        assert "trt_engine_cache_path" not in gpu.options("TensorrtExecutionProvider")


def test_tensorrt_does_not_take_a_flow_in_fp16(gpu: Gpu) -> None:
    cell = find_model("egvsr-psnr-bd").graph(4).load()
    with pytest.raises(DeviceError, match="flow in fp16"):
        providers.place_of("tensorrt", cell, is_half=True)
    providers.place_of("tensorrt", cell, is_half=False)
    Setup(device="tensorrt", precision="fp16").open(bicubic_graph(2, bits=8, shape=(1, 8, 8)))
    assert gpu.options("TensorrtExecutionProvider")["trt_fp16_enable"] == "1"


def test_a_full_gpu_means_smaller_tiles(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime's words for it, from a session that has memory for pictures of half the size."""
    wanted = upscaled(find_model("espcn"), 2, "cpu")
    inner = onnx.OnnxEngine.start

    def scarce(self: onnx.OnnxEngine, feeds: Any) -> Any:
        if feeds["planes_in"].shape[2] * feeds["planes_in"].shape[3] > SIZE[0] * SIZE[1] * 0.9:
            said = "Failed to allocate memory for requested buffer of size 123456"
            raise run_error(RuntimeError(said))
        return inner(self, feeds)

    assert isinstance(run_error(RuntimeError("CUDA error: out of memory")), OutOfMemoryError)
    monkeypatch.setattr(onnx.OnnxEngine, "start", scarce)
    made = upscaled(find_model("espcn"), 2, "cuda")
    for one, other in zip(made, wanted, strict=True):
        for plane, same in zip(one.planes, other.planes, strict=True):
            assert np.abs(plane.astype(int) - same).max() <= 1


def test_free_memory_is_asked_of_cudas_wheels(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles are planned before a session is opened, which is what loads CUDA else."""
    said: list[str] = []

    def load(name: str) -> None:
        said.append(name)
        raise OSError

    monkeypatch.setattr(providers.ort, "preload_dlls", lambda: said.append("wheels"))
    monkeypatch.setattr(libraries.ctypes, "CDLL", load)
    assert free_bytes("cuda:1") is None
    assert said[0] == "wheels"
    assert "cudart" in said[1]


def test_chroma_is_enlarged_while_the_gpu_computes(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each waits until the other has begun."""
    both = threading.Barrier(2, timeout=10)
    run, enlarge = onnx.OnnxEngine.start, Enlarger.enlarge

    def start(self: onnx.OnnxEngine, feeds: Any) -> Any:
        both.wait()
        return run(self, feeds)

    def bicubic(self: Enlarger, planes: Any) -> Any:
        both.wait()
        return enlarge(self, planes)

    monkeypatch.setattr(onnx.OnnxEngine, "start", start)
    monkeypatch.setattr(Enlarger, "enlarge", bicubic)
    assert upscaled(find_model("espcn"), 2, "cuda")


def test_auto_takes_a_gpu_that_computes(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Wherever there is a driver's file, and only then is it tried."""
    files = [tmp_path / "nvidiactl", tmp_path / "dxg"]
    monkeypatch.setattr(devices, "_DRIVERS", files)
    choose = devices.choose_device.__wrapped__
    assert choose("auto") == "cpu"
    assert gpu.providers == []
    files[1].touch()
    assert choose("auto") == "cuda:0"
    monkeypatch.setattr("vsrcli.runtime.trial._GREY", 98.6)  # what comes out is another grey
    assert choose("auto") == "cpu"
    assert "wrong values" in caplog.text


def test_fp32_is_not_tf32(gpu: Gpu) -> None:
    """onnxruntime rounds what it multiplies to 11 digits on newer GPUs unless it is told not to."""
    graph = bicubic_graph(2, bits=8, shape=(1, 8, 8))
    for precision, rounds in (("fp32", "0"), ("fp16", "1")):
        Setup(device="cuda", precision=precision).open(graph)
        assert gpu.options("CUDAExecutionProvider")["use_tf32"] == rounds


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers.ort, "get_available_providers", lambda: ALL[2:])
    for device, name in (("cuda", "CUDA"), ("tensorrt:0", "TensorRT")):
        with pytest.raises(DeviceError, match=f"no {name}"):
            Setup(device=device).open(bicubic_graph(2, bits=8, shape=(1, 8, 8)))
    for device in ("cuda:x", "tensorrt:-1", "npu"):
        with pytest.raises(DeviceError, match="unknown device"):
            Setup(device=device).open(b"")
    answers = {"nvinfer": "libnvinfer.so.10 is missing"}

    def load(library: str) -> str:
        return answers["nvinfer"] if "tensorrt" in library else ""

    monkeypatch.setattr(libraries, "_load", load)
    if libraries.missing_tensorrt_library() != answers["nvinfer"]:
        assert "built without" in libraries.missing_tensorrt_library()


def test_doctor_owns_that_gpus_were_never_tried() -> None:
    unproven = {c.device: c.is_unproven for c in doctor.examine_engines()}
    assert unproven == {"cpu": False, "cuda:0": True, "tensorrt:0": True}


def test_the_cache_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSR_CACHE", str(tmp_path))
    folders = []
    for index in range(3):
        folder = cache_folder("kind", f"key{index}", limit_bytes=10_000)
        assert folder is not None
        (folder / "file").write_bytes(bytes(4_000))
        folders.append(folder)
    old = time.time() - 10 * 24 * 3600
    os.utime(folders[1], (old, old))
    assert cache_folder("kind", "key2", limit_bytes=10_000) == folders[2]
    assert [folder.exists() for folder in folders] == [True, False, True]
    assert cache_folder("kind", "key0", limit_bytes=1) == folders[0]
    assert folders[2].exists()  # in use not long ago
    monkeypatch.setenv("VSR_CACHE", "off")
    assert cache_folder("kind", "key0", limit_bytes=1) is None
    (tmp_path / "a file").touch()
    monkeypatch.setenv("VSR_CACHE", str(tmp_path / "a file"))
    assert cache_folder("kind", "key0", limit_bytes=1) is None
