"""Which engine, device and precision a run gets, whatever is installed here."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Vsr
from tiny_models import write_model, write_recurrent

from vsrcli.errors import DeviceError
from vsrcli.models import Model, Temporal, find_model
from vsrcli.runtime import cpu, devices
from vsrcli.runtime.devices import choose_setup


@pytest.fixture
def frame_model(tmp_path: Path) -> Model:
    return find_model(str(write_model(tmp_path)))


@pytest.fixture
def recurrent(tmp_path: Path) -> Model:
    return find_model(str(write_recurrent(tmp_path)))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """One with OpenVINO, AVX2 and bf16 arithmetic, and without a GPU."""
    monkeypatch.setattr(devices, "is_installed", lambda _: True)
    monkeypatch.setattr(devices, "has_avx2", lambda: True)
    monkeypatch.setattr(devices, "has_bf16", lambda: True)
    monkeypatch.setattr(devices, "_why_not_cuda", lambda: "there is no NVIDIA GPU")
    devices.choose_device.cache_clear()
    return monkeypatch


def chosen(model: Model, **wishes: str | int) -> tuple[str, str, str]:
    setup = choose_setup(model, **wishes)  # type: ignore[arg-type]
    return setup.engine, setup.device, setup.precision


def test_auto_is_bf16_for_models_that_use_time(
    machine: pytest.MonkeyPatch, frame_model: Model, recurrent: Model
) -> None:
    assert chosen(recurrent) == ("openvino", "cpu", "bf16")
    assert chosen(frame_model) == ("onnxruntime", "cpu", "fp32")
    bidirectional = replace(recurrent, temporal=Temporal.BIDIRECTIONAL)
    assert chosen(bidirectional) == ("openvino", "cpu", "bf16")
    assert chosen(recurrent, precision="fp32") == ("onnxruntime", "cpu", "fp32")
    assert chosen(recurrent, engine="onnxruntime") == ("onnxruntime", "cpu", "fp32")


@pytest.mark.parametrize(
    ("change", "engine", "narrow"),
    [(-0.03, "openvino", "bf16"), (0.001, "openvino", "bf16"), (-0.04, "openvino", "fp32")],
)
def test_auto_is_bf16_for_luma_where_the_card_says_that_it_costs_little(
    machine: pytest.MonkeyPatch, frame_model: Model, change: float, engine: str, narrow: str
) -> None:
    graphs = [replace(g, measured={"bf16_change_db": change}) for g in frame_model.graphs]
    known = replace(frame_model, graphs=tuple(graphs))
    assert chosen(known, scale=2) == (engine, "cpu", narrow)
    assert chosen(known, scale=2, bits=10) == ("openvino", "cpu", "fp32")
    assert chosen(known, scale=2, precision="fp32") == ("onnxruntime", "cpu", "fp32")
    assert chosen(known, scale=2, engine="openvino") == ("openvino", "cpu", narrow)
    assert chosen(frame_model, scale=2) == ("onnxruntime", "cpu", "fp32")
    machine.setattr(devices, "has_bf16", lambda: False)
    assert chosen(known, scale=2) == ("onnxruntime", "cpu", "fp32")


def test_auto_without_avx2_or_openvino_is_onnxruntime(
    machine: pytest.MonkeyPatch, recurrent: Model
) -> None:
    with machine.context() as patch:
        patch.setattr(devices, "has_bf16", lambda: False)
        assert chosen(recurrent) == ("openvino", "cpu", "fp32")
        assert chosen(recurrent, precision="fp32") == ("onnxruntime", "cpu", "fp32")
        assert chosen(recurrent, precision="int8") == ("openvino", "cpu", "int8")
        patch.setattr(devices, "has_avx2", lambda: False)
        assert chosen(recurrent) == ("onnxruntime", "cpu", "fp32")
        assert chosen(recurrent, engine="openvino") == ("openvino", "cpu", "fp32")
        assert chosen(recurrent, precision="int8") == ("onnxruntime", "cpu", "int8")
    machine.setattr(devices, "is_installed", lambda _: False)
    assert chosen(recurrent) == ("onnxruntime", "cpu", "fp32")


def test_what_would_help_is_said(
    machine: pytest.MonkeyPatch, recurrent: Model, caplog: pytest.LogCaptureFixture
) -> None:
    machine.setattr(devices, "is_installed", lambda _: False)
    with caplog.at_level(logging.INFO):
        chosen(recurrent)
        assert "half the time" in caplog.messages[-1]
        machine.setattr(devices, "has_bf16", lambda: False)
        chosen(recurrent)
        assert "less time" in caplog.messages[-1]
        assert "vsrcli[openvino]" in caplog.messages[-1]
        caplog.clear()
        machine.setattr(devices, "is_installed", lambda _: True)
        chosen(recurrent, engine="onnxruntime")
        machine.setattr(devices, "is_installed", lambda _: False)
        machine.setattr(devices, "has_avx2", lambda: False)
        chosen(recurrent)
    assert not [text for text in caplog.messages if "vsrcli[openvino]" in text]


def test_a_gpu_comes_first(machine: pytest.MonkeyPatch, recurrent: Model) -> None:
    machine.setattr(devices, "_why_not_cuda", lambda: "")
    devices.choose_device.cache_clear()
    assert chosen(recurrent) == ("onnxruntime", "cuda:0", "fp16")
    assert chosen(recurrent, engine="openvino") == ("openvino", "cpu", "bf16")
    devices.choose_device.cache_clear()


def test_what_is_asked_for_is_done(
    machine: pytest.MonkeyPatch, frame_model: Model, recurrent: Model
) -> None:
    assert chosen(frame_model, engine="openvino") == ("openvino", "cpu", "fp32")
    assert chosen(frame_model, precision="bf16") == ("openvino", "cpu", "bf16")
    assert chosen(frame_model, precision="int8") == ("openvino", "cpu", "int8")
    assert chosen(frame_model, bits=10, precision="int8") == ("onnxruntime", "cpu", "int8")
    assert chosen(recurrent, precision="int8") == ("openvino", "cpu", "int8")


def test_what_cannot_be_is_refused(machine: pytest.MonkeyPatch, recurrent: Model) -> None:
    with pytest.raises(DeviceError, match="OpenVINO"):
        choose_setup(recurrent, engine="onnxruntime", precision="bf16")
    machine.setattr(devices, "has_bf16", lambda: False)
    with pytest.raises(DeviceError, match="no bf16"):
        choose_setup(recurrent, engine="openvino", precision="bf16")


@pytest.mark.parametrize("command", ["upscale", "eval", "bench"])
@pytest.mark.parametrize(
    ("option", "known"),
    [("--engine", "auto, onnxruntime, openvino"), ("--precision", "auto, fp32, bf16, fp16, int8")],
)
def test_words_for_engines_and_precisions_are_checked(
    vsr: Vsr, tmp_path: Path, command: str, option: str, known: str
) -> None:
    sources = {"upscale": (tmp_path / "no.mp4",), "eval": ("bicubic", tmp_path), "bench": ()}
    outcome = vsr(command, *sources[command], option, "half")
    assert (outcome.code, outcome.lines) == (
        2, [f"vsr: {option} must be one of {known}, not half"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("simd", "features"),
    [
        ({"baseline": ["X86_V2"], "found": ["X86_V3"]}, ("avx2", "fma")),
        ({"baseline": ["SSE3"], "found": ["FMA3", "AVX2", "AVX512F"]}, ("avx2", "fma", "avx512f")),
        ({"found": ["X86_V4", "AVX512_SPR"]}, ("avx512f", "avx512_bf16", "avx512_fp16")),
        ({"baseline": ["NEON"]}, ()),
    ],
)
def test_where_linux_does_not_say_numpy_knows_the_processor(
    monkeypatch: pytest.MonkeyPatch, simd: dict[str, list[str]], features: tuple[str, ...]
) -> None:
    monkeypatch.setattr(cpu, "colon_file", lambda _: {})
    found = {"SIMD Extensions": simd}
    with monkeypatch.context() as patch:
        patch.setattr("numpy.show_config", lambda mode: found)
        assert cpu.cpu_features.__wrapped__() == features
    here = set(cpu.cpu_features.__wrapped__())
    assert here <= set(cpu.cpu_features())
    assert ("avx2" in here) == cpu.has_avx2()
