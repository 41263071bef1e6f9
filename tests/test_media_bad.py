"""What cannot work ends with one line, a documented exit code, and nothing left behind."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import pytest
from clips import B_FRAMES, Clip, make, picture
from conftest import Outcome, Vsr
from facts import facts

from vsrcli.models import find_model
from vsrcli.resume import work_folder

USAGE, INPUT, OUTPUT, MODEL, WEIGHTS, DEVICE, ENCODER = 2, 3, 4, 5, 6, 7, 8
LONG = Clip(frames=200, options=B_FRAMES)


@dataclass(frozen=True)
class Place:
    """A folder with a source, and the command that upscales it."""

    folder: Path
    source: Path
    vsr: Vsr

    def refuse(self, code: int, *words: str, options: tuple[object, ...] = ()) -> Outcome:
        """Runs it with these options and expects `code`, one line with `words`, no new file."""
        before = {p: p.stat().st_mtime_ns for p in self.folder.rglob("*")}
        out = () if "-o" in options else ("-o", self.folder / "out.mp4")
        model = () if "--model" in options else ("--model", "bicubic")
        scale = () if {"--scale", "--width"} & {str(o) for o in options} else ("--scale", 2)
        quiet = ("--progress", "none")
        outcome = self.vsr("upscale", self.source, *out, *model, *scale, *quiet, *options)
        assert outcome.code == code, outcome.err
        assert len(outcome.lines) == 1
        assert outcome.err.startswith("vsr: ")
        assert "Traceback" not in outcome.err
        assert outcome.out == ""
        for word in words:
            assert word in outcome.err
        assert {p: p.stat().st_mtime_ns for p in self.folder.rglob("*")} == before
        return outcome


@pytest.fixture
def place(tmp_path: Path, vsr: Vsr) -> Place:
    """A good source, in a folder of its own."""
    return Place(tmp_path, make(tmp_path / "in.mp4"), vsr)


def given(place: Place, name: str, data: bytes) -> Place:
    """The same with a source of these bytes."""
    path = place.folder / name
    path.write_bytes(data)
    return Place(place.folder, path, place.vsr)


def test_no_such_file(place: Place) -> None:
    Place(place.folder, place.folder / "none.mp4", place.vsr).refuse(INPUT, "does not exist")


def test_a_folder_is_no_video(place: Place) -> None:
    Place(place.folder, place.folder, place.vsr).refuse(INPUT, "is a folder")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("https://example.com/in.mp4", "ffmpeg -i ADDRESS -c copy -f nut - | vsr upscale -"),
        ("rtsp://camera/1", "ffmpeg -i ADDRESS -c copy -f nut - | vsr upscale -"),
        ("Film [2020].mp4", "Film [2020].mp4 does not exist\n"),
        ("frames/*.png", "pictures of a video are numbered: %05d.png"),
    ],
)
def test_what_a_name_of_no_file_means_is_told(place: Place, name: str, said: str) -> None:
    Place(place.folder, Path(name), place.vsr).refuse(INPUT, said)


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("f_0099.png", "f_%04d.png"),
        ("7.dpx", "%d.dpx"),
        ("p1.jp2", "p%d.jp2"),
        ("5%1.tif", "5%%%d.tif"),
    ],
)
def test_a_folder_of_pictures_is_told_their_pattern(place: Place, name: str, pattern: str) -> None:
    (place.folder / name).touch()
    Place(place.folder, place.folder, place.vsr).refuse(INPUT, f"as {place.folder / pattern},")


def test_a_webp_that_moves_is_told_its_way(place: Place) -> None:
    """FFmpeg's own decoder gives none of its pictures, and --on-error skip would not help."""
    with av.open(str(place.folder / "in.webp"), "w", format="webp") as out:
        stream = out.add_stream("libwebp_anim", rate=25)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv420p"
        for index in range(2):
            frame = av.VideoFrame.from_ndarray(picture(index, (16, 16)), format="rgb24")
            out.mux(stream.encode(frame.reformat(format="yuv420p")))
        out.mux(stream.encode(None))
    source, numbered = place.folder / "in.webp", place.folder / "n_1.webp"
    numbered.write_bytes(source.read_bytes())
    for path, named in ((source, source), (place.folder / "n_%d.webp", numbered)):
        told = (f"{named} is a WebP that moves", "ffmpeg -i FILE -c:v ffv1 -f nut -")
        Place(place.folder, path, place.vsr).refuse(INPUT, *told)


@pytest.mark.parametrize("data", [b"", b"hello\n" * 500, bytes(range(256)) * 64])
def test_not_a_video(place: Place, data: bytes) -> None:
    given(place, "in.bin", data).refuse(INPUT, "cannot be opened as video")


def test_sound_alone_is_no_video(place: Place) -> None:
    path = place.folder / "tone.m4a"
    with av.open(str(place.source)) as source, av.open(str(path), "w", format="mp4") as out:
        track = out.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.size:
                packet.stream = track
                out.mux(packet)
    Place(place.folder, path, place.vsr).refuse(INPUT, "no video")


def test_mp4_cut_before_its_index(place: Place) -> None:
    given(place, "cut.mp4", place.source.read_bytes()[:-2000]).refuse(INPUT, "cannot be opened")


@pytest.mark.parametrize("audio", ["copy", "aac"])
def test_mp4_cut_within_its_index(place: Place, upscale: Vsr, audio: str) -> None:
    """FFmpeg makes what it can of it: a track of sound without a codec, or without frames."""
    data = place.source.read_bytes()
    for at in range(data.rindex(b"trak"), len(data), 40):
        given(place, "cut.mp4", data[:at]).refuse(INPUT, "cut.mp4 ")
    cut = given(place, "cut.mp4", data[: data.rindex(b"smhd")])
    cut.refuse(INPUT, "is truncated: it has fewer bytes than it says")
    out = place.folder / "out.mkv"
    outcome = upscale(cut.source, "-o", out, "--on-error", "skip", "-c:a", audio)
    assert "nothing here can decode it" in outcome.err
    assert len(facts(out).pts) == len(facts(place.source).pts)


@pytest.mark.parametrize(("suffix", "options"), [(".mkv", {}), (".mp4", {"movflags": "faststart"})])
def test_truncated_file(place: Place, suffix: str, options: dict[str, str]) -> None:
    whole = make(place.folder / f"whole{suffix}", Clip(frames=200, container=options))
    data = whole.read_bytes()
    given(place, f"cut{suffix}", data[: len(data) // 2]).refuse(INPUT, "--on-error skip")


@pytest.mark.parametrize("on_error", ["skip", "repeat"])
def test_an_index_that_ends_at_a_damaged_entry(place: Place, upscale: Vsr, on_error: str) -> None:
    """FFmpeg leaves out all frames from a packet of more than 1 GiB on; the sound goes on."""
    data = bytearray(place.source.read_bytes())
    sizes = data.index(b"stsz", data.rindex(b"moov")) + 16
    data[sizes + 4 * 8] |= 0x40
    bad = given(place, "bad.mp4", bytes(data))
    bad.refuse(INPUT, "is damaged: its index does not reach 4 frames; use --on-error skip")
    outcome = upscale(bad.source, "-o", place.folder / "out.mp4", "--on-error", on_error)
    assert "is damaged: its index does not reach 4 frames" in outcome.err
    assert facts(place.folder / "out.mp4").pts == facts(place.source).pts[:8]


def test_frames_that_an_edit_list_cuts_away_are_not_missed(place: Place, upscale: Vsr) -> None:
    whole = make(place.folder / "whole.mp4", Clip(options={"g": "3", "bf": "0"}))
    data = bytearray(whole.read_bytes())
    edit = data.index(b"elst", data.rindex(b"moov")) + 12
    length = int.from_bytes(data[edit : edit + 4], "big")
    data[edit : edit + 4] = (length // 2).to_bytes(4, "big")
    cut = given(place, "cut.mp4", bytes(data))
    with av.open(str(cut.source)) as container:
        (film,) = container.streams.video
        assert 0 < len(film.index_entries) < film.frames
    outcome = upscale(cut.source, "-o", place.folder / "out.mkv")
    assert (outcome.code, outcome.err) == (0, "")


def test_truncated_file_is_upscaled_on_request(place: Place, upscale: Vsr) -> None:
    whole = make(place.folder / "whole.mkv", LONG)
    data = whole.read_bytes()
    cut = given(place, "cut.mkv", data[: len(data) // 2])
    outcome = upscale(cut.source, "-o", place.folder / "out.mkv", "--on-error", "skip")
    assert re.search(r" is truncated: it ends at \d\.\d\d s of 8\.00 s", outcome.err)
    pts = facts(place.folder / "out.mkv").pts
    assert 20 < len(pts) < 200
    assert set(pts) <= set(facts(whole).pts)


def test_a_transport_stream_that_ends_within_a_packet_is_told(place: Place, upscale: Vsr) -> None:
    data = make(place.folder / "whole.ts", Clip()).read_bytes()
    cut = given(place, "cut.ts", data + data[:100])
    assert "may be truncated: it ends within a packet" in upscale(cut.source).err


def test_damaged_packets(place: Place, upscale: Vsr) -> None:
    data = bytearray(make(place.folder / "whole.mkv", Clip(frames=50, codec="ffv1")).read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    damaged = given(place, "damaged.mkv", bytes(data))
    damaged.refuse(INPUT, "--on-error skip")
    upscale(damaged.source, "-o", place.folder / "out.mkv", "--on-error", "skip")
    pts = facts(place.folder / "out.mkv").pts
    assert 20 < len(pts) < 50
    assert set(pts) < set(facts(place.folder / "whole.mkv").pts)


def test_pixel_format_that_swscale_cannot_read(place: Place) -> None:
    source = place.folder / "in.nut"
    with av.open(str(source), "w") as out:
        stream = out.add_stream("rawvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "rgb4"
        frame = av.VideoFrame.from_ndarray(picture(0, (96, 64)), format="rgb24")
        out.mux(stream.encode(frame.reformat(format="rgb4")))
        out.mux(stream.encode(None))
    said = "pixel format rgb4 cannot be converted; convert the source first"
    Place(place.folder, source, place.vsr).refuse(INPUT, said)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_no_frames(place: Place, suffix: str) -> None:
    path = place.folder / f"empty{suffix}"
    with av.open(str(place.source)) as source, av.open(str(path), "w") as out:
        out.add_stream_from_template(source.streams.video[0])
        out.start_encoding()
    Place(place.folder, path, place.vsr).refuse(INPUT, "video")


def test_no_frames_in_the_part(place: Place) -> None:
    place.refuse(INPUT, "no frame in the part", options=("-ss", "100"))


def test_unknown_model_suggests_the_nearest(place: Place) -> None:
    place.refuse(MODEL, "did you mean bicubic?", options=("--model", "bicubik"))


def test_scale_that_a_model_lacks_lists_what_it_has(place: Place) -> None:
    place.refuse(MODEL, "no x7", "x2, x3, x4", options=("--scale", "7"))


@pytest.mark.parametrize("option", [(), ("-n",)])
def test_existing_output_stays(place: Place, option: tuple[str, ...]) -> None:
    (place.folder / "out.mp4").write_text("precious")
    place.refuse(OUTPUT, "exists", "-y", options=option)
    assert (place.folder / "out.mp4").read_text() == "precious"


def test_existing_output_survives_a_failure(place: Place) -> None:
    (place.folder / "out.mp4").write_text("precious")
    place.refuse(ENCODER, options=("-y", "--encoder-option", "bogus=1"))
    assert (place.folder / "out.mp4").read_text() == "precious"


def test_existing_output_survives_a_failure_midway(place: Place) -> None:
    data = make(place.folder / "whole.mkv", LONG).read_bytes()
    (place.folder / "out.mp4").write_text("precious")
    given(place, "cut.mkv", data[: len(data) // 2]).refuse(INPUT, options=("-y",))
    assert (place.folder / "out.mp4").read_text() == "precious"


def test_output_is_the_input(place: Place) -> None:
    place.refuse(OUTPUT, "is the input itself", options=("-o", place.source, "-y"))
    link = place.folder / "link.mp4"
    link.symlink_to(place.source)
    place.refuse(OUTPUT, "is the input itself", options=("-o", link, "-y"))


@pytest.mark.parametrize("is_there", [True, False])
def test_output_through_a_link_is_the_file_behind_it(
    place: Place, upscale: Vsr, is_there: bool
) -> None:
    """Where work is kept, too: the link may be on another disk. The link says the container."""
    real, link = place.folder / "disk" / "film", place.folder / "link.mkv"
    real.parent.mkdir()
    if is_there:
        real.write_bytes(b"old")
    link.symlink_to(real)
    upscale(place.source, "-o", link, "-y")
    assert link.is_symlink()
    with av.open(str(real)) as file:
        assert "matroska" in file.format.name
    assert [path.name for path in real.parent.iterdir()] == ["film"]
    assert work_folder(link) == real.with_name(".film.vsr")


def test_output_folder_is_missing(place: Place) -> None:
    place.refuse(OUTPUT, "does not exist", options=("-o", place.folder / "no" / "out.mp4"))


def test_output_is_no_file(place: Place) -> None:
    place.refuse(OUTPUT, "not a regular file", options=("-o", "/dev/full", "-y"))
    place.refuse(OUTPUT, "or -o - for the standard output", options=("-o", "/dev/null", "-y"))
    place.refuse(OUTPUT, "not a regular file", options=("-o", place.folder, "-y"))


def test_output_suffix_names_no_container(place: Place) -> None:
    place.refuse(OUTPUT, ".mkv", options=("-o", place.folder / "out.xyz"))


@pytest.mark.parametrize("name", ["out.m3u8", "out.mpd"])
def test_output_of_many_files(place: Place, name: str) -> None:
    """Such muxers make files of names of their own, beside one that was opened to ask them."""
    place.refuse(OUTPUT, "no file but many", options=("-o", place.folder / name))
    assert Path(os.devnull).is_char_device()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    order = [mount or "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if mount is None or subprocess.run(order, check=False, capture_output=True).returncode:
        pytest.skip("mounting needs root")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_disk_full(place: Place, tiny_disk: Path, suffix: str) -> None:
    big = make(place.folder / "big.mp4", Clip(frames=50, size=(192, 128)))
    full = Place(tiny_disk, big, place.vsr)
    full.refuse(OUTPUT, "disk is full", options=("-o", tiny_disk / f"out{suffix}", "--crf", "0"))


def test_read_only_folder(place: Place, tiny_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    options = ("-o", tiny_disk / "out.mp4")
    Place(tiny_disk, place.source, place.vsr).refuse(OUTPUT, "written to", options=options)


def test_disk_fills_up(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same without a mount: the file may not be put in place."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.link", full)
    monkeypatch.setattr("os.replace", full)
    place.refuse(OUTPUT, "disk is full")


def test_unwritable_folder(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may write anywhere, so the refusal is the system's answer made up."""

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("vsrcli.media.sink.Path.touch", refused)
    place.refuse(OUTPUT, "may not be written to")


ENCODERS = {
    "missing": (("-c:v", "libnope"), "no encoder 'libnope'"),
    "of sound": (("-c:v", "aac"), "not a video encoder"),
    "container": (("-c:v", "libx264", "-o", "out.webm"), "webm cannot hold libx264"),
    "header": (("-c:v", "libvpx-vp9", "-o", "out.mov"), "mov cannot hold libvpx-vp9"),
    "unread": (("-c:v", "libsvtav1", "-o", "out.ts"), "mpegts cannot hold libsvtav1"),
    "miscounted": (("-c:v", "vc2", "-o", "out.ts"), "mpegts cannot hold vc2"),
    "unread in mpg": (("-c:v", "libvpx-vp9", "-o", "out.mpg"), "mpeg cannot hold libvpx-vp9"),
    "unread in vob": (("-c:v", "mjpeg", "-o", "out.vob"), "svcd cannot hold mjpeg"),
    "raw": (("-c:v", "rawvideo", "-o", "out.mov"), "cannot say that raw pictures are yuv420p"),
    "sound": (("-c:a", "aac", "-o", "out.webm"), "webm file cannot hold AAC"),
    "preset": (("--preset", "fastest"), "no preset 'fastest'"),
    "option": (("--encoder-option", "tuen=film"), "no option tuen"),
    "times": (("--encoder-option", "time_base=1/5"), "keeps its timestamp"),
    "value": (("--encoder-option", "profile=nope"), "or frames of 192x128 yuv420p"),
    "format": (("--pix-fmt", "yuv999p"), "cannot encode yuv999p"),
    "crf": (("-c:v", "ffv1", "--crf", "10"), "no --crf"),
}


@pytest.mark.parametrize(("options", "words"), ENCODERS.values(), ids=ENCODERS.keys())
def test_encoder_that_cannot(
    place: Place, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(place.folder)
    place.refuse(ENCODER, words, options=options)


@pytest.mark.parametrize("encoder", ["libx264", "libx265"])
def test_odd_size_with_halved_chroma(place: Place, encoder: str) -> None:
    odd = make(place.folder / "odd.mkv", Clip(codec="ffv1", size=(97, 65), frames=3, audio=()))
    wide = Place(place.folder, odd, place.vsr)
    wide.refuse(ENCODER, "even sides", "291x195", options=("-c:v", encoder, "--scale", 3))
    outcome = place.vsr(
        *("upscale", odd, "-o", place.folder / "o.mkv", "--model", "bicubic", "--scale", 3),
        *("--pix-fmt", "yuv444p", "--progress", "none"),
    )
    assert outcome.code == 0, outcome.err
    assert facts(place.folder / "o.mkv").size == (291, 195)


@pytest.fixture
def own_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of bicubic that a test may break."""
    shutil.copytree(find_model("bicubic").folder, tmp_path / "models" / "bicubic")
    monkeypatch.setenv("VSR_MODELS", str(tmp_path / "models"))
    return tmp_path / "models" / "bicubic"


def test_altered_weights(place: Place, own_model: Path) -> None:
    for graph in own_model.glob("*.onnx"):
        graph.write_bytes(graph.read_bytes()[:-1] + b"x")
    place.refuse(WEIGHTS, "checksum")


def test_missing_weights(place: Place, own_model: Path) -> None:
    for graph in own_model.glob("*.onnx"):
        graph.unlink()
    place.refuse(WEIGHTS, "cannot be read")


@pytest.mark.parametrize("card", ["", "schema = 1", "= nothing", 'schema = 9\nid = "bicubic"'])
def test_broken_card(place: Place, own_model: Path, card: str) -> None:
    (own_model / "model.toml").write_text(card)
    place.refuse(WEIGHTS, "model.toml")


USAGES = {
    "time": ("-ss", "soon"),
    "negative": ("-ss", "-5"),
    "end before start": ("-ss", "3", "-to", "2"),
    "t and to": ("-t", "3", "-to", "2"),
    "y and n": ("-y", "-n"),
    "scale and size": ("--scale", "2", "--height", "100"),
    "scale": ("--scale", "0"),
    "size": ("--width", "0"),
    "rates": ("--crf", "10", "--bitrate", "4M"),
    "bitrate": ("--bitrate", "fast"),
    "audio": ("-c:a", "mp3"),
    "pair": ("--encoder-option", "tune"),
    "no such option": ("--quick",),
    "no number": ("--threads", "many"),
    "two inputs": ("-i", "other.mp4"),
}


@pytest.mark.parametrize("options", USAGES.values(), ids=USAGES.keys())
def test_options_that_cannot_be_meant(place: Place, options: tuple[str, ...]) -> None:
    place.refuse(USAGE, options=options)


def test_no_input_is_named(vsr: Vsr) -> None:
    outcome = vsr("upscale")
    assert outcome.code == USAGE
    assert outcome.lines == [
        "vsr: name one input: vsr upscale IN, or -i IN; several go by vsr batch"
    ]


@pytest.mark.parametrize("device", ["tpu", "cuda:99"])
def test_device_that_is_not_there(place: Place, device: str) -> None:
    place.refuse(DEVICE, device, options=("--device", device))


def test_a_picture_that_nobody_can_read_is_no_output(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a muxer has no name for is data when it is read back."""
    monkeypatch.setattr("vsrcli.media.settings.TS_PICTURES", {"mjpeg"})
    monkeypatch.chdir(place.folder)
    place.refuse(ENCODER, "the file holds 0", options=("-c:v", "mjpeg", "-o", "out.ts"))
