"""onnxruntime's own CUDA provider takes all of every graph, records it and launches it.

There is no GPU: see `pretend_cuda`. So nothing is said of pixels, nor of speed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pretend_cuda
import pytest
from clips import Clip, make
from cuda_sessions import FRAMES, SIZE
from facts import facts
from test_contract import MODELS

from vsrcli.models import Temporal

WHY_NOT = pretend_cuda.why_not()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
FORMATS = (
    *("yuv420p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p12le"),
    *("gray", "gray16le", "gbrp", "gbrp16le", "yuva420p"),
)
LANDINGS = {Temporal.FRAME: FRAMES, Temporal.RECURRENT: 3 * FRAMES + 1}
"""Copies to the host that hold nobody up: of luma; of all planes, and the first frame in RGB."""
IN_EVERY_FORMAT = ("espcn", "rlsp-7-48", "egvsr", "realbasicvsr-lite")


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pretend_cuda.build(tmp_path_factory.mktemp("cuda"))


FULL = """
import ctypes
import numpy as np
from vsrcli.errors import OutOfMemoryError
from vsrcli.runtime.engines import open_engine
from vsrcli.runtime.graphs import SOURCE, bicubic_graph

graph = bicubic_graph(2, bits=8, shape=(1, 64, 64))
engine = open_engine(graph, device="cuda")
ctypes.CDLL("libcudart.so.13").pretend_memory(ctypes.c_size_t(1000))
for step in (lambda: engine.run({SOURCE: np.zeros((1, 1, 64, 64), np.uint8)}),
             lambda: engine.put(np.zeros(1 << 20)), lambda: open_engine(graph, device="cuda")):
    try:
        step()
    except OutOfMemoryError:
        print("full")
"""
"""A run, a tensor and a session for which there is no memory on the GPU."""

TRIED = """
from vsrcli.doctor import check_engine
from vsrcli.runtime.engines import Setup

print(check_engine(Setup(device="cuda:0")).reason)
"""

CROSSED = """
import numpy as np
import onnxruntime as ort
from vsrcli.runtime.engines.base import Port
from vsrcli.runtime.engines.transfer import Crossing

ports = {"y": Port(name="y", dtype=np.dtype(np.uint16), shape=(1, 1, 5, 7))}
way = Crossing.to(("cuda", 0))
there = {"y": ort.OrtValue.ortvalue_from_numpy(np.zeros((1, 1, 5, 7), np.uint16), "cuda", 0)}

def round_trip(value):
    sent = way.array(ports["y"])
    sent[:] = value
    way.send({"y": sent}, there)
    return way.bring(there, ports)["y"]

kept = round_trip(1)[0, 0, 1:]
places = {round_trip(value).ctypes.data for value in range(2, 20)}
last = round_trip(20)
way.close()
print((kept == 1).all(), (last == 20).all(), len(places) < 4)
"""
"""Arrays are used again, but none that somebody looks at."""


def run(libraries: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        env=pretend_cuda.environment(libraries),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def sessions(libraries: Path, *words: str) -> dict[str, dict]:
    done = run(libraries, Path(__file__).with_name("cuda_sessions.py"), *words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_every_model_runs_whole(libraries: Path, precision: str) -> None:
    words = [f"{name}:{precision}:yuv420p" for name in MODELS]
    for word, found in sessions(libraries, *words).items():
        model = MODELS[word.split(":")[0]]
        scale = model.scales[-1]
        assert found["device"] == "onnxruntime cuda" + (" fp16" if precision == "fp16" else "")
        assert found["frames"] == FRAMES
        assert found["sizes"] == [[SIZE[1] * scale, SIZE[0] * scale]]
        assert not found["stale"]  # a recording reads what it read when it was made
        if model.temporal is not Temporal.BIDIRECTIONAL:  # a recording for each frame in flight
            assert (found["captures"], found["launches"] >= FRAMES - 2) == (2, True), word
            assert found["landings"] == LANDINGS[model.temporal]


@pytest.mark.parametrize("name", IN_EVERY_FORMAT)
def test_every_format_runs_whole(libraries: Path, name: str) -> None:
    words = [f"{name}:auto:{pix_fmt}" for pix_fmt in FORMATS]
    found = sessions(libraries, *words)
    assert {one["frames"] for one in found.values()} == {FRAMES}
    halves = {word.split(":")[2] for word, one in found.items() if one["device"].endswith("fp16")}
    deep = {"yuv444p12le", "gray16le", "gbrp16le"}
    assert halves == (set() if name == "espcn" else set(FORMATS) - deep)


@pytest.mark.parametrize("name", ["esr-max", "rlsp-7-48", "realbasicvsr-lite"])
def test_a_run_keeps_its_frames(libraries: Path, name: str, tmp_path: Path) -> None:
    clip, target = make(tmp_path / "in.mp4", Clip(frames=9)), tmp_path / "out.mp4"
    order = [
        "upscale",
        clip,
        "-o",
        target,
        "--model",
        name,
        "--device",
        "cuda",
        "-loglevel",
        "info",
    ]
    done = run(libraries, "-m", "vsrcli", *order)
    assert done.returncode == 0, done.stderr
    assert "on onnxruntime cuda" in done.stderr
    assert facts(target).pts == facts(clip).pts


def test_a_full_gpu_is_told_from_other_failures(libraries: Path) -> None:
    """By what onnxruntime really says."""
    done = run(libraries, "-c", FULL)
    assert done.stdout.split() == ["full"] * 3, done.stderr


def test_a_missing_cudnn_is_named(libraries: Path, tmp_path: Path) -> None:
    """onnxruntime's provider loads without it: only what is run tells."""
    for library in libraries.glob("lib*.so*"):
        if "cudnn" not in library.name:
            (tmp_path / library.name).symlink_to(library)
    pretend_cuda.hide_wheels(tmp_path)
    done = run(tmp_path, "-c", TRIED)
    assert done.stdout.startswith("libcudnn.so.9 is missing; this onnxruntime wants CUDA"), done
    assert run(libraries, "-c", TRIED).stdout == "it computes wrong values\n"  # nothing, in truth


def test_planes_cross_in_memory_that_is_used_again(libraries: Path) -> None:
    done = run(libraries, "-c", CROSSED)
    assert done.stdout.split() == ["True"] * 3, done.stderr
