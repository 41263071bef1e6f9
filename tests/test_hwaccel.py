"""Decoding on a device, with a decoder that gives a device's frames in its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import av
import pytest
from clips import Clip, make
from conftest import Vsr
from facts import facts

from vsrcli.media import hwaccel, inlet
from vsrcli.media.source import Source


class Device:
    """A HWAccel of a device that starts, or says why not."""

    refusal: Exception | None = None

    def __init__(self, kind: str, *, allow_software_fallback: bool) -> None:
        assert (kind, allow_software_fallback) == ("cuda", True)

    def create(self, codec: av.Codec) -> None:
        if self.refusal:
            raise self.refusal


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> type[Device]:
    class Mine(Device):
        pass

    monkeypatch.setattr(hwaccel, "HWAccel", Mine)
    monkeypatch.setattr(hwaccel, "kinds", lambda: ["cuda"])
    return Mine


@pytest.fixture
def opened(device: type[Device], monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What `av.open` was given; the file is then opened without."""
    given: list[Any] = []
    av_open = av.open

    def open_(*arguments: Any, hwaccel: Any = None, **options: Any) -> Any:
        given.append(hwaccel)  # None where a file is read back, or written
        return av_open(*arguments, **options)

    monkeypatch.setattr(inlet.av, "open", open_)
    return given


def test_the_source_alone_is_decoded_there(
    tmp_path: Path, upscale: Vsr, device: type[Device], opened: list[Any]
) -> None:
    clip = make(tmp_path / "in.mkv", Clip(frames=5))
    outcome = upscale(clip, "-o", tmp_path / "out.mkv", "-hwaccel", "cuda")
    assert outcome.code == 0, outcome.err
    (used,) = (hwaccel for hwaccel in opened if hwaccel)
    assert isinstance(used, device)
    assert len(facts(tmp_path / "out.mkv").times) == 5
    (line,) = outcome.lines
    assert "decoded on the CPU: cuda does not" in line  # this one's frames are not a device's


def test_the_frames_of_a_device_are_the_same(
    tmp_path: Path, upscale: Vsr, opened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """NVDEC gives nv12."""
    clip = make(tmp_path / "in.mkv", Clip(frames=5))
    upscale(clip, "-o", tmp_path / "cpu.mkv")
    inner = Source._decode

    def on_device(self: Source, packet: Any) -> list[av.VideoFrame]:
        return [frame.reformat(format="nv12") for frame in inner(self, packet)]

    monkeypatch.setattr(Source, "_decode", on_device)
    upscale(clip, "-o", tmp_path / "device.mkv", "-hwaccel", "cuda")
    assert facts(tmp_path / "device.mkv") == facts(tmp_path / "cpu.mkv")


@pytest.mark.parametrize("starts", [True, False])
def test_auto_takes_what_starts(
    tmp_path: Path, upscale: Vsr, device: type[Device], opened: list[Any], starts: bool
) -> None:
    device.refusal = None if starts else av.error.PermissionError(1, "no driver")
    clip = make(tmp_path / "in.mkv", Clip(frames=5))
    outcome = upscale(clip, "-o", tmp_path / "out.mkv", "-hwaccel", "auto")
    assert [isinstance(hwaccel, device) for hwaccel in opened if hwaccel] == [True] * starts
    assert outcome.err == ""


def test_a_device_that_leaves_it_to_the_cpu_is_found_out(
    tmp_path: Path, upscale: Vsr, opened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyAV calls a stream accelerated whose first frame FFmpeg has decoded by itself."""
    clip = make(tmp_path / "in.mkv", Clip(frames=5))
    inner = Source._open

    def open_(self: Source) -> None:
        inner(self)
        self._may_be_of_device = True

    monkeypatch.setattr(Source, "_open", open_)
    monkeypatch.setattr(hwaccel.log, "warning", warned := MagicMock())
    upscale(clip, "-o", tmp_path / "out.mkv", "-hwaccel", "cuda")
    assert warned.call_count == 2  # the second time of its frame
    assert warned.call_args.args[1:] == ("h264", "cuda")


def test_a_device_that_does_not_start_is_said(
    tmp_path: Path, vsr: Vsr, device: type[Device]
) -> None:
    device.refusal = av.error.PermissionError(1, "Operation not permitted")
    clip = make(tmp_path / "in.mkv", Clip(frames=1))
    outcome = vsr("upscale", clip, "-o", tmp_path / "out.mkv", "-hwaccel", "cuda")
    assert outcome.code == 7
    assert outcome.lines == [
        "vsr: --hwaccel cuda does not start here: there is no such device, or no driver for it "
        "(Operation not permitted); leave it out to decode on the CPU"
    ]
    assert sorted(tmp_path.iterdir()) == [clip]


def test_a_kind_that_is_not_offered_is_refused(
    tmp_path: Path, vsr: Vsr, device: type[Device]
) -> None:
    clip = make(tmp_path / "in.mkv", Clip(frames=1))
    outcome = vsr("upscale", clip, "-o", tmp_path / "out.mkv", "-hwaccel", "nvdec")
    assert (outcome.code, outcome.lines) == (
        2,
        ["vsr: --hwaccel has no 'nvdec'; use none, auto, cuda"],
    )
