"""A short run of tests/faults.py, and what cannot be provoked from outside."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest
from clips import Clip, Track, make
from conftest import Vsr
from facts import facts
from faults import KINDS, QUICK, decodable, ran

from vsrcli.media import inlet
from vsrcli.media.ffv1_slices import is_broken
from vsrcli.media.transport_stream import Witness, headless
from vsrcli.media.truncation import declared_bytes

ULTRAFAST = {"preset": "ultrafast"}


@pytest.mark.parametrize("kind", KINDS)
def test_faults_end_in_order(tmp_path: Path, kind: str) -> None:
    begin, _ = KINDS[kind]
    cases = list(begin(tmp_path, range(2), 4))
    assert [case.problem for case in cases] == [""] * 2, cases


def altered(path: Path, clip: Clip, at: set[int], change: Callable[[bytearray], object]) -> Path:
    """A clip, the bytes of some of whose packets are changed."""
    whole = make(path.with_name(f"whole{path.suffix}"), clip)
    with av.open(str(whole)) as source, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for index, packet in enumerate(p for p in source.demux(video=0) if p.size):
            data = bytearray(packet)
            if index in at:
                change(data)
            made = av.Packet(bytes(data))
            made.pts, made.dts, made.duration = packet.pts, packet.dts, packet.duration
            made.time_base, made.is_keyframe = packet.time_base, packet.is_keyframe
            made.stream = stream
            out.mux(made)
    whole.unlink()
    return path


def holed(path: Path, lost: tuple[int, ...]) -> Path:
    """An FFV1 clip of 12 frames that stand alone, some of which cannot be decoded."""
    clip = Clip(codec="ffv1", options={"g": "1"}, audio=())
    return altered(path, clip, set(lost), lambda data: data.__setitem__(slice(None), b"\xff" * 40))


@pytest.mark.parametrize("lost", [(5,), (3, 4), (11,)])
def test_a_lost_frame_is_replaced_by_the_one_before(
    tmp_path: Path, vsr: Vsr, lost: tuple[int, ...]
) -> None:
    source = holed(tmp_path / "in.mkv", lost)
    order = ("upscale", source, "--model", "bicubic", "-s", 2, "-c:v", "ffv1", "--progress", "none")
    refused = vsr(*order, "-o", tmp_path / "no.mkv")
    assert refused.code == 3
    assert "repeat" in refused.err
    outcome = vsr(*order, "-o", tmp_path / "out.mkv", "--on-error", "repeat")
    assert outcome.code == 0, outcome.err
    found = facts(tmp_path / "out.mkv")
    assert found.pts == [Fraction(40 * index, 1000) for index in range(12)]
    for index in range(12):
        is_again = index > 0 and found.pictures[index] == found.pictures[index - 1]
        assert is_again == (index in lost)


def test_frames_lost_ahead_of_a_cut_are_replaced(tmp_path: Path, vsr: Vsr) -> None:
    source, out = holed(tmp_path / "in.mkv", (8, 9, 10)), tmp_path / "out.mkv"
    outcome = vsr("upscale", source, *QUICK, "--on-error", "repeat", "-to", "0.4", "-o", out)
    assert outcome.code == 0, outcome.err
    assert facts(out).pts == [Fraction(40 * index, 1000) for index in range(10)]


def test_replaced_frames_are_counted(tmp_path: Path) -> None:
    from vsrcli import Job, upscale

    source = holed(tmp_path / "in.mkv", (3, 4, 9))
    report = upscale(Job(source=source, model="bicubic", scale=2, on_error="repeat"))
    assert (report.frames, report.damaged, report.replaced) == (12, 3, 3)


def test_without_one_frame_there_is_no_video(tmp_path: Path, vsr: Vsr) -> None:
    source = holed(tmp_path / "in.mkv", tuple(range(12)))
    outcome = vsr("upscale", source, *QUICK, "--on-error", "skip", "-o", tmp_path / "out.mkv")
    assert (outcome.code, len(outcome.lines)) == (3, 1)
    assert "not one frame can be decoded" in outcome.err


HEVC = Clip(
    codec="libx265",
    options={"preset": "ultrafast", "x265-params": "log-level=none:bframes=0"},
    audio=(),
)


def unknown_unit(data: bytearray) -> None:
    """Turns a picture of H.265 into a unit of a reserved kind, which decoders pass over."""
    data[4] = (data[4] & 0x81) | 41 << 1


def half(data: bytearray) -> None:
    """Breaks a packet off in the middle."""
    del data[len(data) // 2 :]


def test_frames_that_the_decoder_drops_in_silence_are_missed(tmp_path: Path, vsr: Vsr) -> None:
    source = altered(tmp_path / "in.mkv", HEVC, {6}, unknown_unit)
    assert decodable(source) == 6
    order = ("upscale", source, *QUICK)
    refused = vsr(*order, "-o", tmp_path / "no.mkv")
    assert (refused.code, len(refused.lines)) == (3, 1)
    assert "0.240 s" in refused.err
    for choice, frames in (("skip", 6), ("repeat", 12)):
        outcome = vsr(*order, "-o", tmp_path / f"{choice}.mkv", "--on-error", choice)
        assert outcome.code == 0
        assert "could not be decoded, or only in part: 6;" in outcome.err
        assert decodable(tmp_path / f"{choice}.mkv") == frames


def assert_the_seventh_is_told(source: Path, vsr: Vsr) -> None:
    """One of 12 frames is damaged, and can be shown as far as it can be decoded."""
    order, out = ("upscale", source, *QUICK), source.with_name("out.mkv")
    refused = vsr(*order, "-o", source.with_name("no.mkv"))
    assert (refused.code, len(refused.lines)) == (3, 1)
    assert "the frame at 0.240 s is damaged" in refused.err
    outcome = vsr(*order, "-o", out, "--on-error", "skip")
    assert outcome.code == 0
    assert "could not be decoded, or only in part: 1; replaced: 0" in outcome.err
    assert decodable(out) == 12


def test_frames_that_are_patched_up_are_told(tmp_path: Path, vsr: Vsr) -> None:
    clip = Clip(codec="mpeg4", audio=())
    source = altered(tmp_path / "in.mkv", clip, {6}, half)
    assert_the_seventh_is_told(source, vsr)


def turn_a_bit(data: bytearray) -> None:
    """Alters the middle of a packet."""
    data[len(data) // 2] ^= 1


def test_a_slice_that_fails_its_checksum_is_told(tmp_path: Path, vsr: Vsr) -> None:
    source = altered(tmp_path / "in.mkv", Clip(codec="ffv1", audio=()), {6}, turn_a_bit)
    assert decodable(source) == 12
    assert_the_seventh_is_told(source, vsr)


@pytest.mark.parametrize("options", [{"level": "1"}, {"slicecrc": "0"}, {"slices": "9"}], ids=str)
def test_slices_without_a_checksum_are_not_judged(tmp_path: Path, options: dict[str, str]) -> None:
    whole = make(tmp_path / "in.mkv", Clip(codec="ffv1", options=options, audio=()))
    with av.open(str(whole)) as file:
        packets = [bytearray(p) for p in file.demux(video=0) if p.size]
    assert not any(is_broken(bytes(packet)) for packet in packets)
    for packet in packets:
        turn_a_bit(packet)
    has_any = "slices" in options or options.get("slicecrc") == "2"
    assert all(is_broken(bytes(packet)) == has_any for packet in packets)


def test_pictures_that_are_not_to_be_shown_are_no_loss(tmp_path: Path, vsr: Vsr) -> None:
    def hide(data: bytearray) -> None:
        data[0] &= ~0x10

    source = altered(tmp_path / "in.mkv", Clip(codec="libvpx", audio=()), {5}, hide)
    outcome = vsr("upscale", source, "-o", tmp_path / "out.mkv", *QUICK)
    assert (outcome.code, outcome.err) == (0, "")
    assert decodable(tmp_path / "out.mkv") == decodable(source) == 11


def test_a_stream_joined_within_a_scene_is_told(tmp_path: Path, vsr: Vsr) -> None:
    whole = make(tmp_path / "whole.ts", Clip(frames=20, options={"g": "10", **ULTRAFAST}, audio=()))
    with av.open(str(whole)) as source, av.open(str(tmp_path / "in.ts"), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for index, packet in enumerate(p for p in source.demux(video=0) if p.size):
            if index >= 4:
                packet.stream = stream
                out.mux(packet)
    outcome = vsr("upscale", tmp_path / "in.ts", "-o", tmp_path / "out.mkv", *QUICK)
    assert outcome.code == 0
    assert "6 frames before its first keyframe" in outcome.err
    assert decodable(tmp_path / "out.mkv") == 10
    outcome = vsr("preview", tmp_path / "in.ts", "--at", 0, "-m", "bicubic", "-s", 2)
    assert (outcome.code, len(outcome.lines)) == (0, 2), outcome.err


def transported(path: Path, change: Callable[[list[bytearray]], object]) -> Path:
    """A clip of 12 frames in a transport stream, whose packets of the seventh are changed."""
    data = make(path, Clip(audio=(), options=ULTRAFAST)).read_bytes()
    packets = [bytearray(data[at : at + 188]) for at in range(0, len(data), 188)]
    starts = [n for n, p in enumerate(packets) if p[1] & 0x5F == 0x41 and p[2] == 0]
    assert len(starts) == 12
    seventh = packets[starts[6] : starts[7]]
    change(seventh)
    packets[starts[6] : starts[7]] = seventh
    path.write_bytes(b"".join(packets))
    return path


def behead(packets: list[bytearray]) -> None:
    """Spoils the start code, after which the demuxer leaves all of it out."""
    packets[0][packets[0].index(b"\0\0\1") + 2] = 3


def lose(packets: list[bytearray]) -> None:
    """Leaves out a packet that continues others."""
    del packets[1]


def mark(packets: list[bytearray]) -> None:
    """Tells of an error on the way, at a packet that begins a frame."""
    packets[0][1] |= 0x80


@pytest.mark.parametrize("change", [behead, lose, mark])
def test_damage_on_the_way_is_told(
    tmp_path: Path, vsr: Vsr, change: Callable[[list[bytearray]], object]
) -> None:
    source = transported(tmp_path / "in.ts", change)
    order = ("upscale", source, *QUICK)
    refused = vsr(*order, "-o", tmp_path / "no.mkv")
    assert (refused.code, len(refused.lines)) == (3, 1)
    assert "damaged" in refused.err
    for choice in ("skip", "repeat"):
        outcome = vsr(*order, "-o", tmp_path / f"{choice}.mkv", "--on-error", choice)
        assert outcome.code == 0
        assert "could not be decoded, or only in part" in outcome.err
        is_left_out = change is behead and choice == "skip"
        assert decodable(tmp_path / f"{choice}.mkv") == 12 - is_left_out
    times = facts(tmp_path / "repeat.mkv").pts
    assert times == [times[0] + Fraction(40 * index, 1000) for index in range(12)]


def test_damage_in_a_pipe_is_told(tmp_path: Path) -> None:
    data = transported(tmp_path / "in.ts", behead).read_bytes()
    for choice, code, frames in (("fail", 3, None), ("repeat", 0, 12)):
        target = tmp_path / f"{choice}.mkv"
        order = ("-", "-o", target, *QUICK, "--on-error", choice)
        case = ran("beheaded", order, expected={code}, feed=data)
        assert case.problem == "", case
        assert ("a frame ahead of" in case.said) == bool(code)
        assert frames is None or decodable(target) == frames
    whole = make(tmp_path / "whole.ts").read_bytes()
    case = ran("none", ("-", "-o", tmp_path / "whole.mkv", *QUICK), expected={0}, feed=whole)
    assert case.said == ""


def test_a_tape_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inlet, "_TAPED", 10)
    tape = inlet._Tape()
    tape.add(b"0123456")
    assert tape.between(2, 5) == b"234"
    tape.add(b"789abcdef")
    assert tape.between(4, 8) == b"67"  # what came before is gone
    assert tape.between(8, None) == b"89abcdef"
    assert tape.between(20, None) == b""


@pytest.mark.parametrize(("pitch", "ahead"), [(188, 0), (192, 4), (192, 0)])
def test_units_without_a_start_are_counted(tmp_path: Path, pitch: int, ahead: int) -> None:
    data = transported(tmp_path / "in.ts", behead).read_bytes()
    gap = b"\1" * (pitch - 188)
    rows = [data[at : at + 188] for at in range(0, len(data), 188)]
    dressed = b"".join(gap + row if ahead else row + gap for row in rows)
    assert headless(dressed, 0x100) == 1
    assert headless(dressed, 0x101) == headless(dressed[:150], 0x100) == 0
    assert headless(b"no transport stream", 0x100) == headless(b"", 0x100) == 0


def test_a_witness_reads_each_byte_once(tmp_path: Path) -> None:
    source = transported(tmp_path / "in.ts", behead)
    data = source.read_bytes()
    witness = Witness(lambda begin, end: data[begin:end], 0x100)
    positions = (*range(0, source.stat().st_size, 188 * 5), 0, None)
    assert [witness.lost(at) for at in positions].count(1) == 1
    assert Witness(lambda begin, end: data[begin:end], 0x100).lost(None) == 0


def test_what_lies_upon_another_frame_is_not_replaced(tmp_path: Path, vsr: Vsr) -> None:
    whole = make(tmp_path / "whole.mkv", Clip(codec="ffv1", options={"g": "1"}, audio=()))
    with av.open(str(whole)) as source, av.open(str(tmp_path / "in.mkv"), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in (p for p in source.demux(video=0) if p.size):
            at, base = packet.pts, packet.time_base
            assert at is not None
            packet.stream = stream
            out.mux(packet)
            for late in (4, 36) if at == 200 else ():
                bogus = av.Packet(b"\xff" * 40)
                bogus.pts = bogus.dts = at + late
                bogus.time_base, bogus.stream = base, stream
                out.mux(bogus)
    order = ("upscale", tmp_path / "in.mkv", *QUICK, "--on-error", "repeat")
    outcome = vsr(*order, "-o", tmp_path / "out.mkv")
    assert outcome.code == 0
    assert "in part: 2; replaced: 0" in outcome.err
    assert decodable(tmp_path / "out.mkv") == 12


@pytest.mark.parametrize("name", ["in.mkv", "in.avi"])
def test_the_last_packet_cut_off_is_noticed(tmp_path: Path, vsr: Vsr, name: str) -> None:
    audio = () if name.endswith("avi") else (Track(),)
    source = make(tmp_path / name, Clip(codec="mpeg4", audio=audio))
    data = source.read_bytes()
    source.write_bytes(data[:-200])
    refused = vsr("upscale", source, "-o", tmp_path / "out.mkv", *QUICK)
    assert (refused.code, len(refused.lines)) == (3, 1)
    assert "is truncated" in refused.err
    outcome = vsr("upscale", source, "-o", tmp_path / "out.mkv", *QUICK, "--on-error", "skip")
    assert outcome.code == 0
    assert "is truncated" in outcome.err


@pytest.mark.parametrize(
    ("head", "length"),
    [
        (b"RIFF\x10\0\0\0AVI ", 24),
        (b"RIFF\xff\xff\xff\xffAVI ", None),
        (b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67\x83xyz", 15),
        (b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67\x41\x00", 13 + 256),
        (b"\x1a\x45\xdf\xa3\x82ab\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff", None),
        (b"\x1a\x45\xdf\xa3\x82", None),
        (b"", None),
    ],
)
def test_containers_that_say_their_length(head: bytes, length: int | None) -> None:
    assert declared_bytes(head) == length
