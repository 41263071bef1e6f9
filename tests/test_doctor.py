"""`vsr doctor`: what works is tried, and what is needed decides the exit code."""

from __future__ import annotations

import json
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from conftest import Vsr
from tiny_models import write_model

from vsrcli import doctor
from vsrcli.errors import DeviceError
from vsrcli.media import hwaccel
from vsrcli.media.encoders import ENCODERS, EXTERNAL, check_encoders
from vsrcli.runtime.cpu import colon_file
from vsrcli.runtime.engines import Setup, is_installed, libraries


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_model(tmp_path / "models")
    monkeypatch.setattr("vsrcli.models.find.search_path", lambda: (tmp_path / "models",))
    return tmp_path / "models"


def test_a_working_machine_ends_with_0(vsr: Vsr) -> None:
    outcome = vsr("doctor")
    assert (outcome.code, outcome.err) == (0, "")
    for part in ("Versions", "FFmpeg in av", "cpu", "libx264", "tiny", "cores", "memory"):
        assert part in outcome.out


def test_json_is_one_document(vsr: Vsr, models: Path) -> None:
    (models / "tiny" / "tiny-x2.onnx").write_bytes(b"altered")
    outcome = vsr("doctor", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    found = json.loads(outcome.out)
    engines = {(e["engine"], e["device"]): e["works"] for e in found["engines"]}
    assert engines["onnxruntime", "cpu"] is True
    assert engines["openvino", "cpu"] is is_installed("openvino")
    assert {e["name"] for e in found["encoders"]} == {*ENCODERS, *EXTERNAL}
    assert [d["hwaccel"] for d in found["decoders"]] == hwaccel.kinds()
    assert found["models"][0]["works"] is False
    assert "checksum" in found["models"][0]["problems"][0]
    assert found["machine"]["cores"] >= 1
    assert found["versions"]["av"].split(".")[0].isdigit()


def test_no_engine_is_exit_code_7(vsr: Vsr, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise DeviceError("nothing runs here")

    monkeypatch.setattr(doctor.Setup, "open", fails)
    outcome = vsr("doctor")
    assert (outcome.code, len(outcome.lines)) == (7, 1)
    assert "nothing runs here" in outcome.out
    assert "nothing runs here" in outcome.err


def test_no_libx264_is_exit_code_8(vsr: Vsr, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vsrcli.media.encoders._encode_two", lambda _: 0)
    outcome = vsr("doctor")
    assert (outcome.code, len(outcome.lines)) == (8, 1)
    assert "gives no packets" in outcome.out


def test_encoders_are_tried() -> None:
    x264, ffv1, unknown = check_encoders(("libx264", "ffv1", "no_such_encoder"))
    assert x264.works
    assert ffv1.works
    assert "not in this build" in unknown.reason


def test_checking_encoders_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    check_encoders()
    assert capfd.readouterr() == ("", "")


def test_cuda_reason_names_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "_load", lambda name: f"{name} is missing")
    assert "libcuda" in libraries.missing_cuda_library()
    assert "driver" in libraries.missing_cuda_library()


def test_cuda_reason_names_the_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A provider that links to a library that is not there, as the linker reports it."""
    (tmp_path / "capi").mkdir()
    provider = tmp_path / "capi" / libraries._file("onnxruntime_providers_cuda")
    provider.touch()
    spec = ModuleSpec("onnxruntime", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(libraries, "find_spec", lambda _: spec)
    answers = {str(provider): "libcublasLt.so.13 is missing"}
    monkeypatch.setattr(libraries, "_load", lambda name: answers.get(name, ""))
    assert libraries.missing_cuda_library().startswith("libcublasLt.so.13 is missing")
    provider.unlink()
    assert "without CUDA" in libraries.missing_cuda_library()


def test_a_missing_library_is_named_by_the_linker() -> None:
    assert libraries._load("libno-such-thing.so.7") == "libno-such-thing.so.7 is missing"


def test_cuda_that_cannot_start_has_a_reason() -> None:
    check = doctor.check_engine(Setup(device="cuda:0"))
    assert check.works or check.reason


def test_proc_files_are_read(tmp_path: Path) -> None:
    file = tmp_path / "meminfo"
    file.write_text("MemTotal:   2097152 kB\nname : one\nname : two\n", encoding="utf-8")
    facts = colon_file(str(file))
    assert facts == {"MemTotal": "2097152 kB", "name": "one"}
    assert doctor._kib_as_mib(facts["MemTotal"]) == 2048
    assert colon_file(str(tmp_path / "gone")) == {}
