"""Runs that are cut off go on: what is kept, what is refused, and that the result is the same."""

from __future__ import annotations

import errno
import gc
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import Clip, make, picture
from conftest import Vsr
from facts import facts
from kills import SEGMENT, campaign, order, same, shots_clip
from processes import started
from tiny_models import write_recurrent

from vsrcli import resume
from vsrcli.errors import EncodeError, OutputError, ResumeError
from vsrcli.frames import Color, Frame, Picture, frame_of
from vsrcli.job import DEFAULT_SCENE_THRESHOLD, Job
from vsrcli.media.encode import FrameWriter
from vsrcli.media.packet import SidePacket
from vsrcli.media.pixels import layout_of
from vsrcli.media.resume_entry import Entry, find_entry
from vsrcli.media.segment_files import SegmentWriter, _Joint
from vsrcli.media.sink import Sink
from vsrcli.media.source import Source
from vsrcli.models import Tuning
from vsrcli.models.model import read_model
from vsrcli.pipeline import upscale
from vsrcli.progress import Finishing, Stage
from vsrcli.resume import ResumePoint, Work, open_work, sweep, unfinished, work_folder
from vsrcli.runtime.drivers import open_driver
from vsrcli.segments import in_segments
from vsrcli.sequences import PRIMER, Border, Cut, split_segments, split_shots

RESUME = 9
OPTIONS = ("--model", "bicubic", "-s", 2, "--segment", SEGMENT, "--progress", "none")
SOFT = ("--preset", "veryfast", "--encoder-option", "mbtree=0", "--threads", 1)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return shots_clip(tmp_path / "in.mp4", 80)


@pytest.fixture
def broken_off(tmp_path: Path, source: Path, vsr: Vsr) -> Path:
    """The target of a run that the disk filled up on after two segments."""
    target = tmp_path / "out.mp4"
    with stopped_after(2):
        outcome = vsr("upscale", source, "-o", target, *OPTIONS, *SOFT)
    assert outcome.code == 4
    assert outcome.lines == [
        f"vsr: the disk is full while writing {target}; free space and run it again; "
        "48 frames are kept: --resume goes on after them"
    ]
    assert not target.exists()
    return target


@contextmanager
def stopped_after(segments: int) -> Iterator[None]:
    """The disk is full once so many segments are kept."""
    add = Work.add

    def full(work: Work, **fields: object) -> None:
        add(work, **fields)
        work._settle()
        if len(work.segments) == segments:
            raise OutputError(
                f"the disk is full while writing {work.target}; free space and run it again"
            )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Work, "add", full)
        yield


def left(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_killed_runs_go_on_to_the_same_output(tmp_path: Path) -> None:
    outcomes = list(campaign(tmp_path, runs=4, seed=5))
    assert [outcome.problem for outcome in outcomes] == [""] * 4


def test_a_resumed_run_gives_what_an_unbroken_one_gives(
    tmp_path: Path, source: Path, broken_off: Path, vsr: Vsr
) -> None:
    alone = tmp_path / "alone.mp4"
    assert vsr("upscale", source, "-o", alone, *OPTIONS, *SOFT).code == 0
    outcome = vsr("upscale", source, "-o", broken_off, *OPTIONS, *SOFT, "--resume")
    assert (outcome.code, outcome.err) == (0, "")
    assert same(facts(broken_off), facts(alone)) == ""
    assert decoding_times(broken_off) == decoding_times(alone)
    assert left(tmp_path) == ["alone.mp4", "in.mp4", "out.mp4"]


def test_segments_are_decoded_when_one_stream_would_be(
    tmp_path: Path, source: Path, vsr: Vsr
) -> None:
    """Though each has an encoder of its own, which reorders frames."""
    outputs = [tmp_path / f"{length}.mp4" for length in (0, SEGMENT)]
    for length, output in zip((0, SEGMENT), outputs, strict=True):
        order = ("upscale", source, "-o", output, *OPTIONS, *SOFT, "--segment", length)
        assert vsr(*order).code == 0
    whole, joined = map(decoding_times, outputs)
    assert joined == whole


def decoding_times(path: Path) -> list[int | None]:
    with av.open(str(path)) as file:
        return [p.dts for p in file.demux(video=0) if p.size]


def test_a_plain_run_does_not_write_over_unfinished_work(
    source: Path, broken_off: Path, vsr: Vsr
) -> None:
    outcome = vsr("upscale", source, "-o", broken_off, *OPTIONS, *SOFT)
    assert outcome.code == RESUME
    assert outcome.lines == [
        f"vsr: {broken_off} is unfinished: 48 frames are done. "
        "Add --resume to go on, or --no-resume to start anew"
    ]
    assert work_folder(broken_off).is_dir()
    again = vsr("upscale", source, "-o", broken_off, *OPTIONS, *SOFT, "--no-resume")
    assert again.code == 0, again.err
    assert not work_folder(broken_off).exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--crf", 20), "--crf was not given and is 20"),
        (("--model", "espcn"), "the model was bicubic x2 fp32 and is espcn x2 fp32"),
        (("-ss", 1), "-ss was not given and is 1"),
        (("--segment", 10), f"--segment was {SEGMENT} and is 10"),
        (
            ("--no-scene-cut", "--map", "0:v"),
            "--map was not given and is 0:v, the search for cuts was on and is off.",
        ),
        (("--fps", 12), "differs: --fps was not given and is 12."),
        (("-ss", 1, "-t", 2, "--segment", 10, "--crf", 20), " and 1 more. Put that back"),
    ],
)
def test_changed_options_are_named(
    source: Path, broken_off: Path, vsr: Vsr, options: tuple[object, ...], words: str
) -> None:
    outcome = vsr("upscale", source, "-o", broken_off, *OPTIONS, *SOFT, "--resume", *options)
    assert outcome.code == RESUME
    assert words in outcome.err
    assert ("more" in outcome.err) == ("more" in words)
    assert "--no-resume" in outcome.err
    assert len(outcome.lines) == 1


@pytest.mark.parametrize("options", [("--resume", "--crf", 20), ("--crf", 20), ()])
def test_a_rehearsal_refuses_unfinished_work_as_the_run_does(
    source: Path, broken_off: Path, vsr: Vsr, options: tuple[object, ...]
) -> None:
    order = ("upscale", source, "-o", broken_off, *OPTIONS, *SOFT, *options)
    dry, wet = vsr(*order, "--dry-run"), vsr(*order)
    assert (dry.code, dry.err) == (wet.code, wet.err) == (RESUME, dry.err)


def test_a_changed_input_is_named(source: Path, broken_off: Path, vsr: Vsr) -> None:
    data = bytearray(source.read_bytes())
    data[-1] ^= 1
    source.write_bytes(data)
    outcome = vsr("upscale", source, "-o", broken_off, *OPTIONS, *SOFT, "--resume")
    assert outcome.code == RESUME
    assert "the input's time of change" in outcome.err
    assert "the input's content" in outcome.err


def test_an_input_that_only_moved_is_the_same(source: Path, broken_off: Path, vsr: Vsr) -> None:
    moved = source.rename(source.with_name("moved.mp4"))
    outcome = vsr("upscale", moved, "-o", broken_off, *OPTIONS, *SOFT, "--resume")
    assert outcome.code == 0, outcome.err


@pytest.mark.parametrize("harm", ["manifest", "segment", "missing segment"])
def test_damaged_work_is_not_taken_up(source: Path, broken_off: Path, vsr: Vsr, harm: str) -> None:
    folder = work_folder(broken_off)
    if harm == "manifest":
        data = json.loads((folder / "manifest.json").read_text())
        del data["segments"][0]["place"]
        (folder / "manifest.json").write_text(json.dumps(data))
    elif harm == "segment":
        file = folder / "00001.packets"
        file.write_bytes(file.read_bytes()[:-1] + b"?")
    else:
        (folder / "00000.packets").unlink()
    outcome = vsr("upscale", source, "-o", broken_off, *OPTIONS, *SOFT, "--resume")
    assert outcome.code == RESUME
    assert "--no-resume" in outcome.err
    assert len(outcome.lines) == 1


@pytest.mark.parametrize("kept", [0, 100], ids=["emptied", "cut short"])
def test_a_damaged_state_is_not_taken_up(tmp_path: Path, source: Path, vsr: Vsr, kept: int) -> None:
    target, model = tmp_path / "out.mp4", write_recurrent(tmp_path)
    command = ("upscale", source, "-o", target, *OPTIONS, *SOFT, "--no-scene-cut", "-m", model)
    with stopped_after(1):
        assert vsr(*command).code == 4
    (state,) = work_folder(target).glob("*.npz")
    state.write_bytes(state.read_bytes()[:kept])
    outcome = vsr(*command, "--resume")
    assert (outcome.code, len(outcome.lines)) == (RESUME, 1)
    assert f"is damaged ({state.name}: " in outcome.err


@pytest.mark.parametrize("manifest", [(), ("manifest.json",)], ids=["none", "unreadable"])
def test_work_without_a_finished_segment_is_cleared_away(
    tmp_path: Path, source: Path, vsr: Vsr, manifest: tuple[str, ...]
) -> None:
    folder = work_folder(tmp_path / "out.mp4")
    folder.mkdir()
    for name in ("lock", "part.mp4", "00000.packets", *manifest):
        (folder / name).write_bytes(b"rubbish")
    outcome = vsr("upscale", source, "-o", tmp_path / "out.mp4", *OPTIONS, *SOFT)
    assert (outcome.code, outcome.err) == (0, "")
    assert left(tmp_path) == ["in.mp4", "out.mp4"]


def test_resume_without_unfinished_work_is_a_plain_run(
    tmp_path: Path, source: Path, vsr: Vsr
) -> None:
    outcome = vsr("upscale", source, "-o", tmp_path / "out.mp4", *OPTIONS, *SOFT, "--resume")
    assert (outcome.code, outcome.err) == (0, "")


def test_keep_work_leaves_the_segments(tmp_path: Path, source: Path, vsr: Vsr) -> None:
    target = tmp_path / "out.mp4"
    command = ("upscale", source, "-o", target, *OPTIONS, *SOFT)
    assert vsr(*command, "--keep-work").code == 0
    first, kept = facts(target), left(work_folder(target))
    assert len(list(work_folder(target).glob("*.packets"))) >= 3
    for refused in (vsr(*command), vsr(*command, "--resume")):
        assert (refused.code, "exists; use -y" in refused.err) == (4, True)
    asked = vsr(*command, "-y")
    assert (asked.code, asked.lines) == (
        RESUME,
        [
            f"vsr: {target} has kept work: 72 frames are done. "
            "Add --resume to go on, or --no-resume to start anew"
        ],
    )
    assert left(work_folder(target)) == kept
    again = vsr(*command, "--resume", "-y", "--progress", "json")
    assert again.code == 0, again.err
    assert json.loads(again.out.splitlines()[-1])["resumed"] == 72
    assert same(facts(target), first) == ""
    assert left(tmp_path) == ["in.mp4", "out.mp4"]


def test_kept_work_stays_kept_when_asked_again(tmp_path: Path, source: Path, vsr: Vsr) -> None:
    target = tmp_path / "out.mp4"
    command = ("upscale", source, "-o", target, *OPTIONS, *SOFT, "--resume", "-y", "--keep-work")
    for resumed in (0, 72, 72):
        outcome = vsr(*command, "--progress", "json")
        assert json.loads(outcome.out.splitlines()[-1])["resumed"] == resumed
        assert unfinished(target) == 72


def test_short_clips_are_one_segment(tmp_path: Path, vsr: Vsr) -> None:
    """--segment changes no byte of a clip below its length."""
    clip = make(tmp_path / "in.mp4", Clip(frames=20))
    for number in (0, 20):
        name = tmp_path / f"{number}.mp4"
        outcome = vsr("upscale", clip, "-o", name, *OPTIONS, *SOFT, "--segment", number)
        assert outcome.code == 0, outcome.err
    assert (tmp_path / "0.mp4").read_bytes() == (tmp_path / "20.mp4").read_bytes()


@pytest.mark.parametrize("encoder", ["libx265", "libsvtav1", "libvpx-vp9", "ffv1", "prores_ks"])
def test_segments_of_every_encoder_join(tmp_path: Path, vsr: Vsr, encoder: str) -> None:
    clip = make(tmp_path / "in.mkv", Clip(frames=20, audio=()))
    preset = {"libx265": ("--preset", "ultrafast"), "libsvtav1": ("--preset", "12")}
    outcome = vsr(
        *("upscale", clip, "-o", tmp_path / "out.mkv", "-c:v", encoder, "--model", "bicubic"),
        *("-s", 2, "--segment", 4, "--progress", "none", *preset.get(encoder, ())),
    )
    assert outcome.code == 0, outcome.err
    assert facts(tmp_path / "out.mkv").times == facts(clip).times


@pytest.mark.parametrize("suffix", [".mkv", ".ts", ".mov"])
def test_other_containers_resume(tmp_path: Path, source: Path, vsr: Vsr, suffix: str) -> None:
    alone, target = tmp_path / f"alone{suffix}", tmp_path / f"out{suffix}"
    assert vsr("upscale", source, "-o", alone, *OPTIONS, *SOFT).code == 0
    with stopped_after(1):
        assert vsr("upscale", source, "-o", target, *OPTIONS, *SOFT).code == 4
    outcome = vsr("upscale", source, "-o", target, *OPTIONS, *SOFT, "--resume")
    assert outcome.code == 0, outcome.err
    assert same(facts(target), facts(alone)) == ""


def test_a_part_of_the_source_resumes(tmp_path: Path, source: Path, vsr: Vsr) -> None:
    part = (*OPTIONS, *SOFT, "-ss", "0.5", "-to", "3")
    alone, target = tmp_path / "alone.mp4", tmp_path / "out.mp4"
    assert vsr("upscale", source, "-o", alone, *part).code == 0
    with stopped_after(1):
        assert vsr("upscale", source, "-o", target, *part).code == 4
    assert vsr("upscale", source, "-o", target, *part, "--resume").code == 0
    assert same(facts(target), facts(alone)) == ""


@pytest.mark.parametrize("segments", [1, 2, 3])
def test_a_lower_rate_resumes_after_its_first_frames(
    tmp_path: Path, vsr: Vsr, segments: int
) -> None:
    """Of ten frames it leaves one, so that few come before a frame whose number is high."""
    source = make(tmp_path / "in.mkv", Clip(frames=100, rate=Fraction(50), size=(24, 16), audio=()))
    model = ("-m", "bicubic", "-s", 2, "--segment", 1, "--fps", 5)
    order = ("upscale", source, *model, "-c:v", "ffv1", "--progress", "none")
    alone, target = tmp_path / "alone.mkv", tmp_path / "out.mkv"
    assert vsr(*order, "-o", alone).code == 0
    with stopped_after(segments):
        assert vsr(*order, "-o", target).code == 4
    outcome = vsr(*order, "-o", target, "--resume")
    assert (outcome.code, outcome.err) == (0, "")
    assert facts(target) == facts(alone)


def test_work_that_does_not_say_how_many_frames_there_were_resumes(
    source: Path, broken_off: Path, vsr: Vsr
) -> None:
    """As of versions before."""
    manifest = work_folder(broken_off) / "manifest.json"
    data = json.loads(manifest.read_text())
    for segment in data["segments"]:
        del segment["place"]["primer"]
    manifest.write_text(json.dumps(data))
    outcome = vsr("upscale", source, "-o", broken_off, *OPTIONS, *SOFT, "--resume")
    assert (outcome.code, outcome.err) == (0, "")


def test_a_model_that_holds_more_than_a_segment_resumes(tmp_path: Path, vsr: Vsr) -> None:
    """At some borders nothing has come out, so they are no places to go on from."""
    source = make(tmp_path / "in.mkv", Clip(frames=24, size=(24, 16), audio=()))
    chunks = ("-m", "realbasicvsr-lite", "-s", 4, "--chunk", 7, "--overlap", 2, "--segment", 2)
    order = ("upscale", source, *chunks, "-c:v", "ffv1", "--progress", "none")
    alone, target = tmp_path / "alone.mkv", tmp_path / "out.mkv"
    assert vsr(*order, "-o", alone).code == 0
    with stopped_after(2):
        assert vsr(*order, "-o", target).code == 4
    assert vsr(*order, "-o", target, "--resume").code == 0
    assert facts(target) == facts(alone)


@pytest.mark.parametrize(("chunk", "kept"), [(3, 3), (7, 2)])
def test_a_resumed_run_tells_how_each_shot_was_cleaned(
    tmp_path: Path, chunk: int, kept: int
) -> None:
    source = tmp_path / "in.mkv"
    with av.open(source, "w") as out:
        video = out.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 40, 24, "yuv420p"
        for index in range(30):
            rgb = picture(index, (40, 24))
            rgb = 255 - rgb[::-1] if index // 10 % 2 else rgb
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24")
            out.mux(video.encode(frame.reformat(format="yuv420p")))
        out.mux(video.encode(None))
    alone = Job(
        source=source,
        target=tmp_path / "alone.mkv",
        model="realbasicvsr-lite",
        tuning=Tuning(chunk=chunk, overlap=2, clean="1"),
        segment=4,
    )
    wanted = upscale(alone).cleaned
    assert len(wanted) > 2
    job = replace(alone, target=tmp_path / "out.mkv")
    with stopped_after(kept), pytest.raises(OutputError):
        upscale(job)
    report = upscale(replace(job, resume=True))
    assert report.resumed > 10
    assert report.cleaned == wanted


def test_what_is_done_is_not_decoded_again(
    source: Path, broken_off: Path, monkeypatch: pytest.MonkeyPatch, vsr: Vsr
) -> None:
    skipped: list[int] = []
    skip = Source.skip

    def noted(self: Source, packets: int, frames: int) -> bool:
        skipped.append(packets)
        return skip(self, packets, frames)

    monkeypatch.setattr(Source, "skip", noted)
    assert vsr("upscale", source, "-o", broken_off, *OPTIONS, *SOFT, "--resume").code == 0
    assert skipped == [20, 20]  # of 48: a keyframe every 20 frames, and the last but one is used


@pytest.mark.parametrize("wanted", [2, 8, 19])
def test_a_way_in_has_as_many_frames_ahead_as_are_needed(tmp_path: Path, wanted: int) -> None:
    """Where each frame is a keyframe, too."""
    clip = Clip(codec="prores_ks", pix_fmt="yuv422p10le", frames=30, audio=())
    path = make(tmp_path / "in.mov", clip)
    with Source(path) as source:
        frames = [item for item in source.items() if isinstance(item, Frame)]
    last = frames[19]
    time_s = Fraction(last.pts * last.time_base)
    find = partial(find_entry, lambda: Source(path), number=19, time_s=time_s, frames=wanted)
    assert find(digest=frames[18].digest()) is None  # other pictures than before
    entry = find(digest=last.digest())
    if wanted == 19:
        assert entry is None or entry.frames <= 1
    else:
        assert entry is not None
        assert 0 < entry.frames <= 20 - wanted


def test_a_way_in_has_frames_ahead_of_it(tmp_path: Path) -> None:
    """Else the frames after it would be numbered from 0 again, or below."""
    clip = Clip(codec="prores_ks", pix_fmt="yuv422p10le", frames=30, audio=())
    path = make(tmp_path / "in.mov", clip)
    with Source(path) as source:
        last = [item for item in source.items() if isinstance(item, Frame)][19]
    time_s = Fraction(last.pts * last.time_base)
    find = partial(find_entry, lambda: Source(path), time_s=time_s, digest=last.digest(), frames=2)
    entry = find(number=19)
    assert entry is not None
    assert find(number=20 - entry.frames) == Entry(packets=entry.packets, frames=1)
    assert find(number=19 - entry.frames) is None
    assert find(number=18 - entry.frames) is None


def test_times_go_on_after_a_segment_shorter_than_the_encoders_delay() -> None:
    """With a delay of 3 the i-th packet is decoded when the frame 3 ahead of it is shown."""

    def packets(*times: tuple[int, int]) -> list[SidePacket]:
        made = []
        for pts, dts in times:
            packet: SidePacket = av.Packet(b"-")
            packet.pts, packet.dts = pts, dts
            made.append(packet)
        return made

    joint = _Joint()
    joint.join(packets((0, -33), (10, -23)), is_last=True)
    joint.begin()
    given = packets((20, -13), (61, -3), (47, 7), (30, 20), (55, 30))
    out = [each for packet in given for each in joint.join([packet], is_last=False)]
    assert [packet.pts for packet in out] == [20, 61, 47, 30, 55]
    assert [packet.dts for packet in out] == [-13, 0, 10, 20, 30]


def test_two_runs_do_not_share_an_output(tmp_path: Path, source: Path, vsr: Vsr) -> None:
    with open_work(tmp_path / "out.mp4", {}, resume=None):
        outcome = vsr("upscale", source, "-o", tmp_path / "out.mp4", *OPTIONS)
    assert outcome.code == 4
    assert "another run" in outcome.err


def test_a_run_that_takes_work_up_or_drops_it_owns_the_folder(broken_off: Path) -> None:
    run = json.loads((work_folder(broken_off) / "manifest.json").read_text())["run"]
    for takes_up, kept in ((True, 48), (False, 0)):
        with open_work(broken_off, run, resume=takes_up):
            assert unfinished(broken_off) == kept
            with pytest.raises(OutputError, match="another run"):
                open_work(broken_off, run, resume=True)


@pytest.mark.parametrize("can_link", [True, False])
def test_what_came_to_the_target_meanwhile_is_not_replaced(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, can_link: bool
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    def comes_late(stage: Stage) -> None:
        if isinstance(stage, Finishing):
            target.write_text("precious")

    if not can_link:
        monkeypatch.setattr("os.link", refused)
    target = tmp_path / "out.mp4"
    job = Job(source=source, target=target, model="bicubic", scale=2, segment=SEGMENT)
    with pytest.raises(OutputError, match="has come to be there") as caught:
        upscale(job, on_stage=comes_late)
    assert caught.value.__notes__ == ["72 frames are kept: --resume goes on after them"]
    assert target.read_text() == "precious"
    report = upscale(replace(job, overwrite=True, resume=True))
    assert (report.resumed, report.frames) == (72, 80)
    assert left(tmp_path) == ["in.mp4", "out.mp4"]


def test_a_drive_without_hard_links_takes_outputs(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, vsr: Vsr
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", refused)
    assert vsr("upscale", source, "-o", tmp_path / "out.mp4", *OPTIONS, *SOFT).code == 0
    assert left(tmp_path) == ["in.mp4", "out.mp4"]


def test_a_run_killed_between_the_output_and_its_other_name_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    work = open_work(target, {"a": "b"}, resume=None)
    work.next_file().write_bytes(b"packets")
    work.add(place=ResumePoint(frame=1, time_s=Fraction(0), digest=""), frames=1, state={})
    work.seal()
    work._lock.close()
    work.part.write_bytes(b"film")
    target.write_bytes(b"another film")
    sweep(target)
    assert work.folder.exists()
    target.unlink()
    target.hardlink_to(work.part)
    sweep(target)
    assert not work.folder.exists()


def test_a_run_killed_while_its_file_went_to_the_disk_is_gone_on_with(tmp_path: Path) -> None:
    """Though the next one is stopped before it adds to it, and there is an older target."""
    target = tmp_path / "out.mp4"
    target.write_bytes(b"another film")
    work = open_work(target, {"a": "b"}, resume=None)
    work.next_file().write_bytes(b"packets")
    work.add(place=ResumePoint(frame=1, time_s=Fraction(0), digest=""), frames=1, state={})
    work.part.write_bytes(b"film")
    work.seal()
    work._lock.close()

    assert unfinished(target) == 1

    def go_on() -> None:
        with open_work(target, {"a": "b"}, resume=True) as work:
            assert (work.frames, unfinished(target)) == (1, 1)
            raise KeyboardInterrupt

    for _ in range(2):
        sweep(target)
        with pytest.raises(KeyboardInterrupt):
            go_on()


def test_a_run_killed_while_it_tidied_up_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    work = open_work(target, {"a": "b"}, resume=None)
    work.next_file().write_bytes(b"packets")
    place = ResumePoint(frame=1, time_s=Fraction(0), digest="")
    work.add(place=place, frames=1, state={})
    work.seal()
    work._lock.close()
    sweep(target)
    assert work.folder.exists()  # there is no output yet
    assert unfinished(target) == 1
    target.write_bytes(b"film")
    assert unfinished(target) == 0
    sweep(target)
    assert not work.folder.exists()


def test_a_run_that_is_refused_tidies_up_after_one_killed(
    tmp_path: Path, source: Path, vsr: Vsr
) -> None:
    """Killed between the output in place and the end: the next run finds the output there."""
    target = tmp_path / "out.mp4"
    assert vsr("upscale", source, "-o", target, *OPTIONS, *SOFT, "--keep-work").code == 0
    manifest = work_folder(target) / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "kept": False}))
    outcome = vsr("upscale", source, "-o", target, *OPTIONS, *SOFT, "--resume")
    assert outcome.code == 4
    assert "exists" in outcome.err
    assert left(tmp_path) == ["in.mp4", "out.mp4"]


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")],
)
def test_signals_keep_finished_segments(
    tmp_path: Path, number: signal.Signals, code: int, word: str
) -> None:
    source = shots_clip(tmp_path / "in.mp4", 400)
    target = tmp_path / "out.mp4"
    with started(order(source, target, "bicubic"), stderr=subprocess.PIPE) as process:
        while not (work_folder(target) / "manifest.json").exists():
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(number)
        _, said = process.communicate(timeout=10)
    assert process.returncode == code
    kept = json.loads((work_folder(target) / "manifest.json").read_text())["segments"]
    frames = sum(segment["frames"] for segment in kept)
    assert said.decode() == (
        f"vsr: {word}; there is no output yet; "
        f"{frames} frames are kept: --resume goes on after them\n"
    )
    assert not list(work_folder(target).glob("part*"))


def test_an_encoder_that_can_be_opened_once_encodes_what_fits_into_a_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vsr: Vsr
) -> None:
    def refused(*_: object) -> FrameWriter:
        raise EncodeError("no more sessions")

    monkeypatch.setattr(Sink, "_fresh_writer", refused)
    clip = make(tmp_path / "in.mp4", Clip(frames=20))
    outcome = vsr("upscale", clip, "-o", tmp_path / "out.mp4", *OPTIONS, *SOFT)
    assert (outcome.code, outcome.err) == (0, "")
    assert facts(tmp_path / "out.mp4").pts == facts(clip).pts


def test_an_encoder_whose_headers_differ_is_refused_after_a_segment(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, vsr: Vsr
) -> None:
    fresh = Sink._fresh_writer

    def other(*settings: Any) -> FrameWriter:
        writer = fresh(*settings)
        writer._encoder.header += b"!"
        return writer

    monkeypatch.setattr(Sink, "_fresh_writer", other)
    outcome = vsr("upscale", source, "-o", tmp_path / "out.mp4", *OPTIONS, *SOFT)
    assert (outcome.code, len(outcome.lines)) == (8, 1)
    assert "use --segment 0" in outcome.err
    alone = vsr("upscale", source, "-o", tmp_path / "out.mp4", *OPTIONS, *SOFT, "--segment", 0)
    assert (alone.code, alone.err) == (0, "")


def test_no_more_than_one_encoder_is_full_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vsr: Vsr
) -> None:
    """That of the output, which only lends its header, and that of the segment in work."""
    keep_in, counts = SegmentWriter.keep_in, []

    def counted(writer: SegmentWriter, path: Path) -> None:
        keep_in(writer, path)
        counts.append([type(o) for o in gc.get_objects()].count(av.container.OutputContainer))

    monkeypatch.setattr(SegmentWriter, "keep_in", counted)
    source = shots_clip(tmp_path / "in.mp4", 120)
    gc.collect()  # what earlier tests left
    assert vsr("upscale", source, "-o", tmp_path / "out.mp4", *OPTIONS, *SOFT).code == 0
    assert len(counts) > 3
    assert set(counts) == {2}


def test_a_signal_while_a_segment_goes_to_the_disk_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run() -> None:
        with open_work(target, {}, resume=None) as work:
            work.next_file().write_bytes(b"packets")
            work.add(place=place, frames=3, state={})
            assert not (work.folder / "manifest.json").exists()  # nobody waits for the disk
            raise KeyboardInterrupt

    target = tmp_path / "out.mp4"
    place = ResumePoint(frame=3, time_s=Fraction(1, 25), digest="d")
    monkeypatch.setattr("vsrcli.resume._synced", slowly(resume._synced))
    with pytest.raises(KeyboardInterrupt) as caught:
        run()
    assert caught.value.__notes__ == ["3 frames are kept: --resume goes on after them"]
    with open_work(target, {}, resume=True) as work:
        assert (work.frames, work.place) == (3, place)


def slowly(sync: Callable[[Path], str]) -> Callable[[Path], str]:
    """The same by a disk that takes its time."""

    def synced(path: Path) -> str:
        time.sleep(0.2)
        return sync(path)

    return synced


@pytest.mark.parametrize("ending", ["add", "seal"])
def test_what_a_disk_refuses_is_said_at_the_next_border_or_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    def full(path: Path) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    def run() -> None:
        with open_work(target, {}, resume=None) as work:
            work.next_file().write_bytes(b"packets")
            work.add(place=place, frames=3, state={})
            if ending == "seal":
                work.seal()
            work.next_file().write_bytes(b"packets")
            work.add(place=place, frames=3, state={})

    target = tmp_path / "out.mp4"
    place = ResumePoint(frame=3, time_s=Fraction(1, 25), digest="d")
    monkeypatch.setattr("vsrcli.resume._synced", full)
    with pytest.raises(OutputError, match="the disk is full"):
        run()
    assert left(tmp_path) == []


def test_a_folder_that_takes_no_folder_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Linux's /proc, which says of each new name that it is missing."""

    def refuse(path: Path, **_: Any) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(OutputError, match=r"o\.mp4 cannot be written \(No such file"):
        open_work(tmp_path / "o.mp4", {}, resume=None)


@pytest.mark.parametrize("step", ["json.dump", "_sync_folder"])
def test_a_disk_that_is_full_at_the_very_end_is_said(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, vsr: Vsr, step: str
) -> None:
    """When the manifest is to say that the file is whole, or just has said it."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def at_the_end(work: Work) -> None:
        work._settle()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(f"vsrcli.resume.{step}", full)
            seal(work)

    seal, target = Work.seal, tmp_path / "out.mp4"
    target.write_bytes(b"another film")
    monkeypatch.setattr(Work, "seal", at_the_end)
    outcome = vsr("upscale", source, "-o", target, *OPTIONS, *SOFT, "-y")
    assert outcome.code == 4
    assert outcome.lines == [
        f"vsr: the disk is full while writing {target}; free space and run it again; "
        "72 frames are kept: --resume goes on after them"
    ]
    assert not list(work_folder(target).glob("part*"))
    sweep(target)
    assert unfinished(target) == 72


LAYOUT = layout_of("gray")


def frame(index: int, scene: int) -> Frame:
    """A frame of a scene: its own texture with a little noise."""
    texture = np.random.default_rng(scene).integers(0, 200, (16, 16)).repeat(4, 0).repeat(4, 1)
    plane = (texture + np.random.default_rng(index).integers(0, 3, (64, 64))).astype(np.uint8)
    return frame_of((plane,), LAYOUT, index)


def find_cuts(items):
    return split_shots(items, threshold=DEFAULT_SCENE_THRESHOLD)


def parts(items, length, before=()):
    """Indices, "cut" and (index, is_cut) of borders, as they come."""
    found = split_segments(iter(items), find_cuts, length=length, before=before)
    for item in found:
        if isinstance(item, Border):
            yield item.frame.index, item.is_cut
        else:
            named = item.index if isinstance(item, Frame) else item
            yield "cut" if isinstance(item, Cut) else named


@pytest.mark.parametrize(
    ("frames", "state", "words"),
    [
        ([frame(i, 200) for i in range(12)], {}, "decodes to another picture before frame 8"),
        ([frame(i, 20) for i in range(6, 12)], {}, "decodes to another picture before frame 8"),
        ([frame(i, 20) for i in range(8, 12)], {}, "decodes to another picture before frame 8"),
        ([frame(i, 20) for i in range(12) if i != 8], {}, "another picture before frame 8"),
        ([frame(i, 20) for i in range(8)], {}, "the input ends before the unfinished work"),
        ([frame(i, 20) for i in range(12)], {"x": np.zeros(1)}, "unfinished work is damaged"),
    ],
    ids=[
        *("other pictures", "too few ahead", "none ahead", "one missing"),
        *("ends before", "state of another model"),
    ],
)
def test_a_place_that_cannot_be_gone_on_from_is_refused(tmp_path, frames, state, words):
    picture = Picture(layout=LAYOUT, color=Color(), width=64, height=64)
    model = read_model(write_recurrent(tmp_path))
    place = ResumePoint(frame=8, time_s=Fraction(7, 25), digest=frame(7, 20).digest())
    with closing(open_driver(model, 2, picture=picture, device="cpu")) as driver:
        found = in_segments(
            iter(frames), find_cuts, length=5, driver=driver, place=place, state=state
        )
        with pytest.raises(ResumeError, match=words):
            list(found)


def test_borders_lie_on_cuts_or_twice_as_far_apart():
    frames = [frame(i, 20 if i < 7 else 200) for i in range(30)]
    borders = [part for part in parts(frames, 5) if isinstance(part, tuple)]
    assert borders == [(7, True), (17, False), (27, False)]
    assert not [part for part in parts(frames, 0) if isinstance(part, tuple)]


def test_no_border_lies_where_the_picture_before_is_needed_yet():
    """Black between two scenes: the cut where the second appears is found as without borders."""
    black = [replace(frame(i, 20), planes=(np.zeros((64, 64), np.uint8),)) for i in range(5, 13)]
    frames = [*(frame(i, 20) for i in range(5)), *black, *(frame(i, 200) for i in range(13, 40))]
    whole = list(parts(frames, 0))
    assert whole[13:15] == ["cut", 13]
    assert [part for part in parts(frames, 5) if not isinstance(part, tuple)] == whole


def test_a_search_that_begins_at_a_border_finds_the_same():
    rng = random.Random(3)
    level, frames = 20, []
    for index in range(200):
        level = rng.choice((20, 200)) if rng.random() < 0.1 else level
        frames.append(frame(index, level))
    whole = list(parts(frames, 6))
    for at in [part for part in whole if isinstance(part, tuple)]:
        start = at[0]
        rest = list(parts(frames[start:], 6, before=frames[start - PRIMER : start]))
        assert rest == whole[whole.index(at) + 1 :]


def test_what_is_no_frame_keeps_its_place():
    items = [*(frame(i, 20) for i in range(9)), "sound", *(frame(i, 20) for i in range(9, 14))]
    assert [p for p in parts(items, 3) if not isinstance(p, tuple)] == [
        *range(9), "sound", *range(9, 14)
    ]  # fmt: skip
