"""`vsr probe`: facts about clips made here, what becomes of their streams, and the estimate."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Clip, Text, Track, make
from conftest import SHARED, Vsr
from tiny_models import write_model

from vsrcli.errors import ModelError
from vsrcli.frames import Frame
from vsrcli.job import DEFAULT_MODEL
from vsrcli.media.frame_count import centre, take_census, timing_of
from vsrcli.media.images import write_png
from vsrcli.media.source import Source
from vsrcli.probe import probe_source

NTSC = Fraction(30000, 1001)


@pytest.fixture(autouse=True)
def _models(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path_factory.mktemp("models")
    write_model(root, DEFAULT_MODEL)
    write_model(root, "other", scales=(3,))
    monkeypatch.setattr("vsrcli.models.find.search_path", lambda: (root,))
    monkeypatch.setattr("vsrcli.estimate._BUDGET_S", 0.2)


def _probe(vsr: Vsr, path: Path, *options: object) -> dict[str, dict[str, object]]:
    outcome = vsr("probe", path, "--json", "--no-speed", *options)
    assert (outcome.code, outcome.err) == (0, "")
    document: dict[str, dict[str, object]] = json.loads(outcome.out)
    return document


def test_constant_rate(vsr: Vsr, tmp_path: Path) -> None:
    video = _probe(vsr, make(tmp_path / "a.mp4", Clip(frames=10)))["video"]
    assert (video["frames"], video["counted_by"]) == (10, "decoding")
    assert (video["frame_rate"], video["variable_rate"]) == ("25", False)
    assert (video["width"], video["height"], video["pix_fmt"]) == (96, 64, "yuv420p")
    assert video["shortest_interval_s"] == pytest.approx(0.04)


def test_constant_rate_in_the_milliseconds_of_matroska(vsr: Vsr, tmp_path: Path) -> None:
    clip = Clip(frames=31, rate=NTSC, time_base=1 / NTSC, audio=())
    video = _probe(vsr, make(tmp_path / "a.mkv", clip))["video"]
    assert (video["frame_rate"], video["variable_rate"]) == ("30000/1001", False)
    assert video["time_base"] == "1/1000"


def test_sound_that_ends_later_adds_no_frames(vsr: Vsr, tmp_path: Path) -> None:
    rate = Fraction(60)
    clip = Clip(frames=20, rate=rate, time_base=1 / rate, subtitles=(Text(),))
    video = _probe(vsr, make(tmp_path / "a.mkv", clip))["video"]
    assert (video["frames"], video["frames_declared"]) == (20, 20)


def test_variable_rate(vsr: Vsr, tmp_path: Path) -> None:
    times = [0, 512, 1024, 2560, 2816, 3400]
    video = _probe(vsr, make(tmp_path / "a.mp4", Clip(frames=6, times=times)))["video"]
    assert video["variable_rate"] is True
    assert video["shortest_interval_s"] == pytest.approx(256 / 12800)
    assert video["longest_interval_s"] == pytest.approx(1536 / 12800)
    assert Fraction(str(video["frame_rate"])) == Fraction(5 * 12800, 3400)


@pytest.mark.parametrize(
    ("stamps", "time_base", "is_vfr", "rate"),
    [
        ([0, 33, 67, 100, 133], Fraction(1, 1000), False, Fraction(30)),
        ([0, 42, 83, 125, 167], Fraction(1, 1000), False, Fraction(24)),
        ([0, 1, 2, 4, 5], Fraction(1, 30), True, Fraction(24)),
        ([0, 33, 67, 100, 166], Fraction(1, 1000), True, Fraction(4000, 166)),
        ([300, 100, 200, 0], Fraction(1, 700), False, Fraction(7)),
        ([5], Fraction(1, 25), False, Fraction(30)),
        ([], Fraction(1, 25), False, Fraction(30)),
    ],
)
def test_timing_of(stamps: list[int], time_base: Fraction, is_vfr: bool, rate: Fraction) -> None:
    timing = timing_of(stamps, time_base, Fraction(30))
    assert (timing.is_vfr, timing.rate) == (is_vfr, rate)


def test_colour_shape_and_turn(vsr: Vsr, tmp_path: Path) -> None:
    clip = Clip(
        pix_fmt="yuv422p10le", color=(9, 16, 9, 1), rotation=90, sar=Fraction(4, 3), audio=()
    )
    path = make(tmp_path / "a.mp4", clip)
    video = _probe(vsr, path)["video"]
    assert (video["matrix"], video["range"]) == ("bt2020nc", "limited")
    assert (video["primaries"], video["transfer"]) == ("bt2020", "smpte2084")
    assert (video["hdr"], video["bits"], video["sample_aspect"]) == (True, 10, "4/3")
    assert (video["rotation"], video["interlaced"]) == (90, False)
    text = vsr("probe", path, "--no-speed").out
    for part in ("HDR", "10 bits", "transfer smpte2084", "pixel aspect 4:3", "turned by 90°"):
        assert part in text


def test_every_stream_has_a_fate(vsr: Vsr, tmp_path: Path) -> None:
    clip = Clip(
        audio=(Track(language="ger", title="Ton"), Track(language="fre", codec="ac3")),
        subtitles=(Text(),),
        attachments={"a.bin": b"12345"},
        chapters=((0, 200, "one"),),
    )
    found = _probe(vsr, make(tmp_path / "a.mkv", clip))
    fates = [(s["kind"], s["action"]) for s in found["streams"]]
    assert fates == [
        ("video", "upscale"),
        *[("audio", "copy")] * 2,
        ("subtitle", "copy"),
        ("attachment", "copy"),
    ]
    assert [s["language"] for s in found["streams"][1:3]] == ["ger", "fre"]
    assert found["chapters"] == 1
    assert found["target"]["container"] == "matroska"
    assert (tmp_path / f"a_x4_{DEFAULT_MODEL}.mkv") == Path(str(found["target"]["file"]))
    assert not list(tmp_path.glob("*x4*"))


def test_scale_sets_size(vsr: Vsr, tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4")
    target = _probe(vsr, path)["target"]
    assert (target["scale"], target["width"], target["height"]) == (4, 384, 256)
    found = _probe(vsr, path, "--scale", 3)
    target = found["target"]
    assert Path(str(target["file"])).name == f"a_x3_{DEFAULT_MODEL}.mp4"
    assert (target["scale"], target["width"], target["height"]) == (4, 288, 192)
    (remark,) = found["warnings"]
    assert "runs at x4 (384x256), then Lanczos to 288x192" in remark
    assert found["sizes"]["2"] == {"width": 192, "height": 128}
    assert list(found["sizes"]) == ["2", "3", "4"]
    refused = vsr("probe", path, "--scale", 9, "--json")
    assert (refused.code, refused.out, len(refused.lines)) == (5, "", 1)
    assert "x2, x4" in refused.err


@pytest.mark.parametrize(("suffix", "encoder"), [(".png", "png"), (".jpg", "mjpeg")])
def test_a_picture_becomes_one_of_its_kind(
    vsr: Vsr, tmp_path: Path, suffix: str, encoder: str
) -> None:
    write_png(tmp_path / "in.png", np.zeros((32, 48, 3), np.uint8))
    source = (tmp_path / "in.png").rename(tmp_path / f"in{suffix}")
    found = _probe(vsr, source)
    target = found["target"]
    assert (target["encoder"], Path(str(target["file"])).suffix) == (encoder, suffix)
    assert not [text for text in found["warnings"] if "libx264" in text]


def test_speed_is_measured_for_each_model_of_the_scale(vsr: Vsr, tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4")
    outcome = vsr("probe", path, "--json", "--scale", 4)
    speed = json.loads(outcome.out)["speed"]
    assert [m["model"] for m in speed["models"]] == [DEFAULT_MODEL]
    (model,) = speed["models"]
    media_s = speed["decode_s_per_frame"] + speed["encode_s_per_frame"]
    assert 0 < model["model_s_per_frame"] < model["s_per_frame"]
    assert media_s < model["s_per_frame"]
    assert model["total_s"] == pytest.approx(12 * model["s_per_frame"])
    assert model["fps"] == pytest.approx(1 / model["s_per_frame"])
    text = vsr("probe", path).out
    assert "An estimate" in text
    assert "96x64 piece" in text


def test_time_is_scaled_by_area(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def time_piece(*arguments: object) -> tuple[str, float]:
        piece = arguments[4]
        assert isinstance(piece, Frame)
        return "some cpu", piece.width * piece.height * 1e-6

    monkeypatch.setattr("vsrcli.estimate._time_piece", time_piece)
    clip = Clip(size=(1920, 1080), frames=2, audio=())
    speeds = probe_source(make(tmp_path / "a.mp4", clip)).speeds
    assert speeds is not None
    assert (speeds.width, speeds.height) == (480, 270)
    (model,) = speeds.models
    assert model.model_s == pytest.approx(1920 * 1080 * 1e-6)
    assert model.frame_s == pytest.approx(model.model_s + speeds.decode_s + speeds.encode_s)


def test_long_sources_are_counted_by_packets(
    vsr: Vsr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vsrcli.probe._DECODE_LIMIT_S", 0.0)
    path = make(tmp_path / "a.mp4", Clip(frames=20))
    video = _probe(vsr, path)["video"]
    assert (video["frames"], video["counted_by"]) == (20, "packets")
    assert (video["frame_rate"], video["variable_rate"]) == ("25", False)
    assert _probe(vsr, path, "--exact")["video"]["counted_by"] == "decoding"


def test_samples_are_not_the_first_frames(tmp_path: Path) -> None:
    clip = Clip(size=(32, 32), codec="ffv1", frames=30, audio=())
    path = make(tmp_path / "a.mkv", clip)
    with Source(path, on_error="skip") as source:
        census = take_census(source, limit_s=None, samples=4, sample_size=(16, 16))
    assert census.frames == 30
    assert [frame.index for frame in census.samples] == [9, 10, 11, 12]


def test_damage_is_counted_and_told(vsr: Vsr, tmp_path: Path) -> None:
    path = make(tmp_path / "a.mkv", Clip(frames=40, audio=()))
    with av.open(str(path)) as file:
        packets = [p for p in file.demux(video=0) if p.size]
        template, broken = file.streams.video[0], tmp_path / "b.mkv"
        with av.open(str(broken), "w") as out:
            copy = out.add_stream_from_template(template)
            for packet in packets:
                if packet is packets[20]:
                    packet.update(b"\x00" * packet.size)
                packet.stream = copy
                out.mux(packet)
    found = _probe(vsr, broken)
    assert found["video"]["damaged_packets"] == 1
    assert found["video"]["frames"] == 39
    assert any("--on-error skip" in text for text in found["warnings"])


def test_what_upscale_refuses_is_told(vsr: Vsr, tmp_path: Path) -> None:
    clip = Clip(size=(95, 63), codec="ffv1", pix_fmt="yuv420p", audio=())
    found = _probe(vsr, make(tmp_path / "a.mkv", clip), "--scale", 3)
    assert any("refuse" in text and "even sides" in text for text in found["warnings"])
    assert _probe(vsr, tmp_path / "a.mkv", "--scale", 4)["warnings"] == []


def test_what_upscale_warns_of_is_told(vsr: Vsr, tmp_path: Path) -> None:
    clip = Clip(audio=(), attachments={"note.txt": b"text"})
    path = make(tmp_path / "a.mkv", clip).rename(tmp_path / "a.mp4")
    (remark,) = _probe(vsr, path)["warnings"]
    assert "is not kept: mp4 holds no attachments" in remark


def test_an_encoder_of_odd_sides_is_not_refused(vsr: Vsr, tmp_path: Path) -> None:
    clip = Clip(frames=1, size=(95, 63), codec="mjpeg", pix_fmt="yuvj420p", audio=())
    source = make(tmp_path / "a.jpg", clip)
    (remark,) = _probe(vsr, source, "--scale", 3)["warnings"]
    assert "Lanczos to 285x189" in remark


def test_interlaced_is_told(vsr: Vsr, tmp_path: Path) -> None:
    options = {"x264-params": "tff=1", "preset": "ultrafast"}
    found = _probe(vsr, make(tmp_path / "a.mkv", Clip(options=options, audio=())))
    assert found["video"]["interlaced"] is True
    assert any("deinterlace" in text for text in found["warnings"])


def test_a_file_without_video_shows_its_streams(vsr: Vsr, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        sound.sample_rate = 8000
        out.mux(stream.encode(sound))
        out.mux(stream.encode(None))
    outcome = vsr("probe", path)
    assert (outcome.code, len(outcome.lines)) == (3, 1)
    assert "pcm_s16le" in outcome.out
    as_json = vsr("probe", path, "--json")
    document = json.loads(as_json.out)
    assert (as_json.code, document["video"]) == (3, None)
    assert document["streams"][0]["kind"] == "audio"


def test_bad_paths_are_one_line(vsr: Vsr, tmp_path: Path) -> None:
    junk = tmp_path / "junk.mp4"
    junk.write_bytes(b"junk" * 500)
    for path in (tmp_path / "gone.mp4", tmp_path, junk):
        outcome = vsr("probe", path, "--json")
        assert (outcome.code, outcome.out, len(outcome.lines)) == (3, "", 1)


def test_no_model_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vsrcli.models.find.search_path", lambda: ())
    with pytest.raises(ModelError, match="there is no model"):
        probe_source(make(tmp_path / "a.mp4"))


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "gray"])
def test_centre_keeps_the_chroma_grid(tmp_path: Path, pix_fmt: str) -> None:
    clip = Clip(size=(98, 66), codec="ffv1", pix_fmt=pix_fmt, frames=1, audio=())
    with Source(make(tmp_path / "a.mkv", clip)) as source:
        frame = next(iter(source.items()))
        piece = centre(frame, 33, 21)
    layout = frame.layout
    assert (piece.width, piece.height) == (33, 21)
    left, top = 32, 22
    assert np.array_equal(piece.planes[0], frame.planes[0][top : top + 21, left : left + 33])
    for index, plane in enumerate(piece.planes):
        assert plane.shape == layout.size(index, 33, 21)
    if len(piece.planes) > 1:
        x, y = left // layout.chroma_w, top // layout.chroma_h
        height, width = piece.planes[1].shape
        assert np.array_equal(piece.planes[1], frame.planes[1][y : y + height, x : x + width])


@pytest.mark.parametrize(
    ("name", "frames", "is_vfr"),
    [
        ("sannies__mp4parser/count-video.mp4", 245, True),
        ("dmlc__decord/corrupted.mp4", 49, True),
        ("mozilla__mp4parse-rust/no_timescale.mp4", 168, True),  # less two out of order
        ("androidx__media/bt601.mov", 30, False),
        ("Vanilagy__mediabunny/no-initial-keyframe.ts", 15, True),
    ],
)
def test_counts_of_real_files_are_those_of_ffmpeg(name: str, frames: int, is_vfr: bool) -> None:
    path = SHARED / "data" / "odd" / name
    if not path.exists():
        pytest.skip("the real files are not here")
    found = probe_source(path, measure=False)
    assert (found.census.frames, found.census.timing.is_vfr) == (frames, is_vfr)
