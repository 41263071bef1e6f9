"""`vsr preview`: the right frame, the right pieces, names that can be read."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import Clip, make, picture
from conftest import Vsr
from facts import facts

from vsrcli import preview
from vsrcli.dot_font import lettering
from vsrcli.frames import Color, Frame, RgbU8
from vsrcli.media import images
from vsrcli.media.images import read_rgb, rgb_of, write_png
from vsrcli.media.source import Source
from vsrcli.montage import find_pieces, strips

LOSSLESS = Clip(frames=20, size=(160, 96), codec="ffv1", pix_fmt="yuv444p", audio=())


def test_letters_are_letters() -> None:
    def drawn(text: str) -> list[str]:
        return ["".join(" #"[int(dot)] for dot in row).rstrip() for row in lettering(text, 1)]

    assert drawn("L1") == ["#       #", "#      ##", *["#       #"] * 4, "#####  ###", ""]
    assert lettering("ab", 3).shape == (24, 36)
    assert np.array_equal(lettering("ü"), lettering("?"))


def test_still_shows_source_bicubic_and_models(tmp_path: Path, vsr: Vsr) -> None:
    source = make(tmp_path / "in.mkv", LOSSLESS)
    order = ("preview", source, "--at", "0.4", "-m", "espcn", "-m", "bicubic", "-s", 2)
    outcome = vsr(*order, "--piece", "80,48")
    assert (outcome.code, outcome.out) == (0, ""), outcome.err
    target = tmp_path / "in_preview.png"
    assert outcome.lines == [
        f"{target}: source, bicubic, espcn at 0.400 s, 1452x{28 + 288 + 6 + 270}"
    ]
    image = read_rgb(target)
    piece = image[-270:, :480]
    assert np.array_equal(piece, piece[::6, ::6].repeat(6, axis=0).repeat(6, axis=1))
    drawn = picture(10, LOSSLESS.size)[48 - 22 : 48 + 23, 40:120]  # shown at 0.4 s
    assert np.abs(piece[::6, ::6].astype(int) - drawn).mean() < 2
    columns = [image[-270:, left : left + 480].astype(int) for left in (0, 486, 972)]
    assert all(np.abs(a - b).mean() > 0.1 for a, b in pairwise(columns))
    assert image[:28, :480].min() < 60 < 200 < image[:28, :480].mean()  # ink on paper
    assert sorted(tmp_path.iterdir()) == sorted([source, target])


@pytest.mark.parametrize("size", [(1, 1), (2, 20), (20, 2), (7, 6)])
def test_a_tiny_picture_is_shown_whole(tmp_path: Path, vsr: Vsr, size: tuple[int, int]) -> None:
    clip = Clip(frames=2, size=size, codec="ffv1", pix_fmt="yuv444p", audio=())
    source = make(tmp_path / "in.mkv", clip)
    outcome = vsr("preview", source, "--at", 0, "-m", "bicubic", "-s", 2, "--zoom", 1)
    assert (outcome.code, len(outcome.lines)) == (0, 1), outcome.err
    clip_order = ("--at", 0, "-m", "bicubic", "-s", 2, "--clip", 1, "-c:v", "ffv1")
    outcome = vsr("preview", source, *clip_order, "-o", tmp_path / "o.mkv")
    assert (outcome.code, len(outcome.lines)) == (0, 1), outcome.err


@pytest.mark.parametrize("number", [0, 4])
def test_damage_does_not_stop_a_look(tmp_path: Path, vsr: Vsr, number: int) -> None:
    source = make(tmp_path / "in.mp4", Clip(frames=20, audio=()))
    with av.open(str(source)) as container:
        packet = [p for p in container.demux(video=0) if p.size][number]
        assert packet.pos is not None
        end = packet.pos + packet.size
    data = bytearray(source.read_bytes())
    data[end - packet.size // 2 : end] = bytes(packet.size // 2)
    source.write_bytes(data)
    assert vsr("upscale", source, "-m", "bicubic", "-s", 2).code == 3
    order = ("preview", source, "--at", 0, "-m", "bicubic", "-s", 2)
    assert vsr(*order).code == 0
    outcome = vsr(*order, "--clip", "0.4")
    assert outcome.code == 0, outcome.err


def test_models_with_a_state_see_ten_frames_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed: list[int] = []

    class Late:
        """Gives each frame two later, like a net that looks ahead."""

        scale, device = 2, "none"

        def __init__(self) -> None:
            self.waiting: list[Frame] = []

        def push(self, frame: Frame) -> list[Frame]:
            pushed.append(frame.index)
            self.waiting.append(frame)
            return self._given(self.waiting.pop(0)) if len(self.waiting) > 2 else []

        def flush(self) -> list[Frame]:
            waiting, self.waiting = self.waiting, []
            return [given for frame in waiting for given in self._given(frame)]

        def _given(self, frame: Frame) -> list[Frame]:
            planes = [plane.repeat(2, 0).repeat(2, 1) for plane in frame.planes]
            return [frame.scaled(planes, 2)]

        def reset(self) -> None:
            pass

        def close(self) -> None:
            pass

    monkeypatch.setattr(preview, "open_driver", lambda *_, **__: Late())
    source = make(tmp_path / "in.mkv", Clip(frames=30, codec="ffv1", audio=()))
    view = preview.View(
        **{"source": source, "target": tmp_path / "o.png", "at_s": Fraction("0.8")},
        **{"models": (), "scale": 2},
    )
    shown = preview.make_still(view)
    assert shown.time_s == pytest.approx(0.8)
    assert pushed[:11] == list(range(11))  # the tenth after the first is the one that is shown


def test_the_engine_can_be_chosen(
    tmp_path: Path, vsr: Vsr, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make(tmp_path / "in.mkv", LOSSLESS)
    order = ("preview", source, "--at", "0.4", "-m", "espcn-fast", "-s", 2, "-y", "--engine")
    engines: list[str] = []
    begin = preview.open_driver
    monkeypatch.setattr(
        preview, "open_driver", lambda *a, **k: engines.append(k["engine"]) or begin(*a, **k)
    )
    assert vsr(*order, "onnxruntime").code == 0
    assert engines == ["onnxruntime"] * 2
    refused = vsr(*order, "abacus")
    assert (refused.code, len(refused.lines)) == (2, 1)
    assert "--engine must be one of" in refused.err


def test_clip_shows_each_model_in_its_strip(tmp_path: Path, vsr: Vsr) -> None:
    source, target = make(tmp_path / "in.mkv", LOSSLESS), tmp_path / "o.mkv"
    order = ("preview", source, "--at", "0.2", "--clip", "0.2", "-s", 2, "-m", "espcn")
    outcome = vsr(*order, "-c:v", "ffv1", "-o", target)
    assert outcome.code == 0, outcome.err
    made = facts(target)
    assert (made.size, made.pts) == ((320, 192), [Fraction(i, 25) for i in range(5)])
    image = read_rgb(target).astype(int)
    for model, left, right in (("bicubic", 0, 158), ("espcn", 162, 320)):
        whole = tmp_path / f"{model}.mkv"
        cut = ("-ss", "0.2", "-t", "0.2", "-m", model, "-s", 2, "-c:v", "ffv1")
        assert vsr("upscale", source, "-o", whole, *cut).code == 0
        expected = read_rgb(whole).astype(int)
        assert np.array_equal(image[40:, left:right], expected[40:, left:right])
    assert np.abs(image[40:, 159:161] - 235).max() < 30  # the line between them


def test_a_clip_of_one_frame_rate_keeps_its_time(tmp_path: Path, vsr: Vsr) -> None:
    times = [0, 512, 2048, 2560, 4096]
    source = make(tmp_path / "in.mp4", Clip(frames=5, times=times, audio=()))
    target = tmp_path / "o.y4m"
    order = ("preview", source, "--at", 0, "--clip", 1, "-s", 2, "-m", "bicubic", "-o", target)
    assert vsr(*order).code == 0
    assert facts(target).pts == [Fraction(i, 25) for i in range(9)]


def test_the_picture_stands_upright(tmp_path: Path, vsr: Vsr) -> None:
    source = make(tmp_path / "in.mp4", Clip(frames=3, audio=(), rotation=90))
    order = ("-s", 2, "-m", "bicubic", "-c:v", "ffv1")
    shown, made, still = tmp_path / "shown.mkv", tmp_path / "made.mkv", tmp_path / "still.png"
    assert vsr("preview", source, "--at", 0, "--clip", 1, *order, "-o", shown).code == 0
    assert vsr("upscale", source, *order, "--autorotate", "-o", made).code == 0
    assert np.array_equal(read_rgb(shown)[40:], read_rgb(made)[40:])
    whole = ("--zoom", 1, "--piece", "32,48", "-o", still)
    assert vsr("preview", source, "--at", 0, *order[:4], *whole).code == 0
    piece, part = read_rgb(still)[-72:, -128:].astype(int), read_rgb(made)[60:132].astype(int)
    assert np.abs(piece - part).mean() < 3


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_a_transparent_clip_is_shown(tmp_path: Path, vsr: Vsr, suffix: str) -> None:
    clip = Clip(frames=3, codec="ffv1", pix_fmt="yuva420p", audio=())
    order = ("preview", make(tmp_path / "in.mkv", clip), "--at", 0, "--clip", 1, "-s", 2)
    outcome = vsr(*order, "-m", "bicubic", "-o", tmp_path / f"o{suffix}")
    assert outcome.code == 0, outcome.err


def test_an_interlaced_picture_is_shown_as_a_run_makes_it(tmp_path: Path, vsr: Vsr) -> None:
    options = {"x264-params": "tff=1", "preset": "ultrafast"}
    source = make(tmp_path / "in.mkv", Clip(frames=5, options=options, audio=()))
    order = ("-s", 2, "-m", "bicubic", "-c:v", "ffv1")
    shown, made = tmp_path / "shown.mkv", tmp_path / "made.mkv"
    assert vsr("preview", source, "--at", 0, "--clip", 1, *order, "-o", shown).code == 0
    assert vsr("upscale", source, *order, "-o", made).code == 0
    assert np.array_equal(read_rgb(shown)[40:], read_rgb(made)[40:])


def test_a_file_of_sound_alone_is_no_video(tmp_path: Path, vsr: Vsr) -> None:
    source = make(tmp_path / "in.mkv", Clip(frames=3))
    with av.open(source) as both, av.open(tmp_path / "in.m4a", "w", format="mp4") as out:
        stream = out.add_stream_from_template(both.streams.audio[0])
        for packet in both.demux(audio=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    outcome = vsr("preview", tmp_path / "in.m4a", "--at", 0)
    assert (outcome.code, len(outcome.lines)) == (3, 1)
    assert "has no video that can be decoded" in outcome.err


def test_most_detail_is_found() -> None:
    luma = np.full((100, 200), 128, np.uint8)
    luma[56:80, 120:160] = np.random.default_rng(0).integers(0, 255, (24, 40))
    first, second = find_pieces(luma, 40, 24, 2)
    assert (first.left, first.top) == (120, 56)
    assert abs(second.left - 120) >= 80 or abs(second.top - 56) >= 48


def test_strips_of_subsampled_chroma_meet_between_samples(tmp_path: Path) -> None:
    with Source(make(tmp_path / "in.mkv", Clip(frames=1, size=(96, 64)))) as source:
        frame = next(item for item in source.items() if isinstance(item, Frame))
        grey = frame.scaled([np.full_like(plane, 77) for plane in frame.planes], 1)
        made = strips({"a": frame, "b": grey, "c": frame})
    assert [plane.shape for plane in made.planes] == [plane.shape for plane in frame.planes]
    assert (made.planes[1][20:, 17:31] == 77).all()
    assert np.array_equal(made.planes[1][20:, :15], frame.planes[1][20:, :15])


@pytest.mark.parametrize("matrix", [2, 1, 6])
def test_rgb_follows_the_tags(tmp_path: Path, matrix: int) -> None:
    path = make(tmp_path / "in.mkv", Clip(frames=1, codec="ffv1", pix_fmt="yuv444p"))
    with Source(path) as source:
        frame = next(item for item in source.items() if isinstance(item, Frame))
    error = np.abs(rgb_of(frame, Color(matrix=matrix)).astype(int) - picture(0, (96, 64)))
    assert (error.mean() < 2) == (matrix != 1)  # 64 lines: BT.601 unless told otherwise


def test_untagged_colours_stay_those_of_the_source(tmp_path: Path, vsr: Vsr) -> None:
    """BT.601, in pictures of so many lines that they would be taken for BT.709."""
    path = tmp_path / "in.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 360, "yuv420p"
        flat = np.vstack([np.full((360, 64), 100), np.full((180, 64), 90)]).astype(np.uint8)
        frame = av.VideoFrame.from_ndarray(flat, format="yuv420p")
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    assert vsr("preview", path, "--at", 0, "-s", 2, "-m", "espcn", "--zoom", 1).code == 0
    image = read_rgb(tmp_path / "in_preview.png").astype(int)
    source, bicubic, espcn = (column[200, 60] for column in np.array_split(image, 3, axis=1))
    assert np.abs(source - bicubic).max() <= 1
    assert np.abs(source - espcn).max() <= 1


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("--at", "9"), 3, "ends at"),
        (("--at", "9", "--clip", "1"), 3, "no frame in the part that was asked for"),
        (("--at", "x"), 2, "is not a time"),
        (("--at", "-1"), 2, "--at must not be negative"),
        (("--at", "0", "--clip", "1", "--crf", "9", "--bitrate", "1M"), 2, "--crf or --bitrate"),
        (("--at", "0", "--piece", "3"), 2, "is not a point"),
        (("--at", "0", "--piece", "96,3"), 2, "outside of the picture"),
        (("--at", "0", "--clip", "0"), 2, "--clip must be"),
        (("--at", "0", "--crf", "3"), 2, "--crf goes with --clip"),
        (("--at", "0", "--clip", "1", "--piece", "3,3"), 2, "--piece goes with a still"),
        (("--at", "0", "--clip", "1", "--zoom", "3"), 2, "--zoom goes with a still"),
        (("--at", "0", "--zoom", "0"), 2, "--zoom must be"),
        (("--at", "0", "-o", "still.jpg"), 2, "a still is a PNG"),
        (("--at", "0", "--clip", "1", "-o", "o.png"), 2, "o.png is one picture; leave out --clip"),
        (("--at", "0", "-m", "nix"), 5, "nix"),
        (("--at", "0", "-s", "7"), 5, "x7"),
        (("--at", "0", "-s", "0"), 2, "--scale must be"),
        ((), 2, "--at"),
    ],
)
def test_what_cannot_be_shown(
    tmp_path: Path, vsr: Vsr, arguments: tuple[Any, ...], code: int, word: str
) -> None:
    source = make(tmp_path / "in.mp4", Clip(frames=3, audio=()))
    outcome = vsr("preview", source, *arguments)
    assert outcome.code == code, outcome.err
    assert word in outcome.err
    assert len(outcome.lines) == 1
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("%05d.png", "preview.png"),
        ("shot_%03d.png", "shot_preview.png"),
        ("%db.png", "b_preview.png"),
    ],
)
def test_a_preview_of_numbered_pictures_has_no_number(
    tmp_path: Path, vsr: Vsr, pattern: str, name: str
) -> None:
    for number in range(1, 4):
        write_png(tmp_path / (pattern % number), picture(number, (96, 64)))
    outcome = vsr("preview", tmp_path / pattern, "--at", "0", "-m", "bicubic", "-s", 2)
    assert (outcome.code, (tmp_path / name).is_file()) == (0, True), outcome.err


def test_existing_preview_needs_y(tmp_path: Path, vsr: Vsr) -> None:
    source, target = make(tmp_path / "in.mp4", Clip(frames=3)), tmp_path / "o.png"
    target.write_text("old")
    order = ("preview", source, "--at", "0", "-m", "bicubic", "-o", target)
    assert vsr(*order).code == 4
    assert vsr(*order, "-y").code == 0
    assert read_rgb(target).shape[2] == 3


def test_preview_that_came_meanwhile_stays(
    tmp_path: Path, vsr: Vsr, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = make(tmp_path / "in.mp4", Clip(frames=3)), tmp_path / "o.png"
    write = images._write_png

    def late(path: Path, rgb: RgbU8) -> None:
        write(path, rgb)
        target.write_text("precious")

    monkeypatch.setattr(images, "_write_png", late)
    outcome = vsr("preview", source, "--at", "0", "-m", "bicubic", "-o", target)
    assert (outcome.code, target.read_text()) == (4, "precious")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "o.png"]
