"""`vsr batch`: what is named, where it goes, what is skipped, and how failures and stops end."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from clips import Clip, make
from conftest import Outcome, Vsr
from facts import facts
from processes import started

from vsrcli.batch import Failure, Warned, run_all
from vsrcli.cli.batch_report import check_report, write_report
from vsrcli.cli.joblist import entries
from vsrcli.errors import OutputError, UsageError
from vsrcli.job import Job
from vsrcli.models import find_folder
from vsrcli.resume import ResumePoint, open_work, unfinished, work_folder
from vsrcli.targets import FIELDS, pattern_of

QUICK = ("--model", "bicubic", "-s", "2", "--preset", "ultrafast")
TINY = Clip(frames=2, audio=())


@pytest.fixture
def batch(vsr: Vsr) -> Vsr:
    """`vsr batch` of quick runs."""

    def call(*arguments: object) -> Outcome:
        return vsr("batch", *QUICK, *arguments)

    return call


def planned(outcome: Outcome) -> list[str]:
    """The jobs that --dry-run names."""
    assert outcome.code in (0, 10), outcome.err
    return [line for line in outcome.out.splitlines() if not line.startswith("  ")]


def test_a_name_cannot_break_a_line_or_command_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: Vsr, vsr: Vsr
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "a\nb\x1b[31m.mkv", TINY)
    (tmp_path / "c\x9b1m.mkv").write_text("no video")
    outcome = batch("a\nb\x1b[31m.mkv", "c\x9b1m.mkv")
    *runs, first, second, _, _ = outcome.lines
    assert len(runs) == 2
    assert first.startswith(r"done     a\nb\x1b[31m.mkv  2 frames")
    assert second.startswith(r"failed   c\x9b1m.mkv       exit code 3")
    told = batch("a\nb\x1b[31m.mkv", "--redo", "--dry-run")
    assert len(planned(told)) == 2
    said = vsr("probe", "a\nb\x1b[31m.mkv", "--no-speed")
    assert said.out.startswith(r"a\nb\x1b[31m.mkv: matroska")
    everything = outcome.err + told.out + said.out
    assert not {"\x1b", "\x9b"} & set(everything)


def test_numbered_pictures_are_a_source_and_a_target(
    tmp_path: Path, batch: Vsr, upscale: Vsr
) -> None:
    upscale(make(tmp_path / "in.mp4", TINY), "-o", tmp_path / "shot" / "%03d.png")
    order = (tmp_path / "shot" / "%03d.png", "-o", f"{tmp_path}/out/%03d.png")
    assert batch(*order).lines[-1] == "1 done"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["001.png", "002.png"]
    assert batch(*order).lines[-1] == "1 skipped"
    os.utime(tmp_path / "shot" / "002.png")
    outcome = batch(*order)
    assert (outcome.code, "use -y to replace the pictures" in outcome.err) == (10, True)
    assert batch(*order, "-y").lines[-1] == "1 done"
    outcome = batch(tmp_path / "none" / "%d.png")
    assert (outcome.code, "there is no picture" in outcome.err) == (10, True)
    assert "FOLDER/%05d.png" in batch(tmp_path / "shot").err


def test_goes_on_after_failures_and_skips_what_is_done(tmp_path: Path, batch: Vsr) -> None:
    make(tmp_path / "a.mp4", TINY)
    (tmp_path / "b.mp4").write_text("no video")
    (tmp_path / "deep").mkdir()
    make(tmp_path / "deep" / "c.mp4", TINY)
    report = tmp_path / "report.json"
    outcome = batch(tmp_path, "--jobs", 2, "--report", report)
    assert (outcome.code, outcome.out) == (10, "")
    assert facts(tmp_path / "deep" / "c_x2_bicubic.mp4").size == (192, 128)
    assert outcome.lines[-2:] == [
        "2 done, 1 failed",
        "vsr: 1 of 3 failed; those that are done are skipped next time",
    ]
    found = json.loads(report.read_text())
    assert (found["v"], found["done"], found["failed"], found["skipped"]) == (1, 2, 1, 0)
    assert [job["state"] for job in found["jobs"]] == ["done", "failed", "done"]
    assert [job["code"] for job in found["jobs"]] == [0, 3, 0]
    assert "cannot be opened" in found["jobs"][1]["message"]
    assert found["jobs"][0]["frames"] == 2

    (tmp_path / "b.mp4").unlink()
    again = batch(tmp_path)  # the outputs are there now, and are not upscaled themselves
    assert again.code == 0
    assert again.lines[-1] == "2 skipped"


def test_options_that_contradict_each_other_are_told_once(tmp_path: Path, vsr: Vsr) -> None:
    source = make(tmp_path / "a.mp4", TINY)
    outcome = vsr("batch", source, source, "--scale", 2, "--height", 3)
    assert (outcome.code, outcome.lines) == (
        2, ["vsr: give either --scale or --width/--height, not both"],
    )  # fmt: skip


@pytest.mark.parametrize("name", ["none/r.json", "folder"])
def test_a_report_that_cannot_be_written_is_told_before_the_first_run(
    tmp_path: Path, batch: Vsr, name: str
) -> None:
    (tmp_path / "folder").mkdir()
    outcome = batch(make(tmp_path / "a.mp4", TINY), "--report", tmp_path / name)
    assert (outcome.code, len(outcome.lines)) == (4, 1)
    assert f"the report {tmp_path / name} cannot be written: " in outcome.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "folder"]


def test_a_report_that_fails_at_the_end_leaves_nothing_and_hides_nothing(
    tmp_path: Path, batch: Vsr, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vsrcli.cli.batch_report.check_report", lambda *_: None)
    bad, good = tmp_path / "bad.mp4", make(tmp_path / "good.mp4", TINY)
    (tmp_path / "r.json").mkdir()  # as if somebody had made it meanwhile
    outcome = batch(bad, good, "--report", tmp_path / "r.json")
    assert outcome.code == 10
    assert outcome.lines[-1].startswith("vsr: 1 of 2 failed; ")
    assert f"; the report {tmp_path}/r.json cannot be written: " in outcome.lines[-1]
    assert batch(good, "--report", tmp_path / "r.json").code == 4
    assert not list(tmp_path.glob(".*"))


def test_older_output_needs_y_and_redo_does_all(tmp_path: Path, batch: Vsr) -> None:
    source, target = make(tmp_path / "a.mp4", TINY), tmp_path / "a_x2_bicubic.mp4"
    assert batch(source).code == 0
    os.utime(target, (1, 1))
    outcome = batch(source)
    assert (outcome.code, "older than its source" in outcome.err) == (10, True)
    assert target.stat().st_mtime == 1
    assert batch(source, "-y").lines[-1] == "1 done"
    assert batch(source, "-y").lines[-1] == "1 skipped"
    assert batch(source, "--redo").lines[-1] == "1 done"
    assert batch(source, "--redo", "-n").lines == ["vsr: give either --redo or -n, not both"]


def test_folders_keep_their_shape_under_o(tmp_path: Path, batch: Vsr) -> None:
    for name in ("in/a.mp4", "in/sub/b.AVI", "in/.hidden/c.mp4", "in/notes.txt", "in/.d.mp4"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    out = tmp_path / "out"
    assert planned(batch(tmp_path / "in", "-o", out, "--dry-run")) == [
        f"upscale {tmp_path}/in/a.mp4 -> {out}/a_x2_bicubic.mp4",
        f"upscale {tmp_path}/in/sub/b.AVI -> {out}/sub/b_x2_bicubic.mkv",
    ]
    assert not out.exists()


@pytest.mark.parametrize(
    ("pattern", "options", "name"),
    [
        ("{parent}/{stem}.new.mkv", (), "a.new.mkv"),
        ("{parent}/{index}_{size}_{model}{suffix}", (), "1_x2_bicubic.mp4"),
        ("{parent}/{stem}-{size}.mp4", ("--height", "1080"), "a-1080p.mp4"),
        ("{parent}/{stem}-{size}.mp4", ("--height", "100", "--width", "9"), "a-9x100.mp4"),
        ("{parent}/{stem}-{size}.mp4", ("--width", "640"), "a-640w.mp4"),
        ("{parent:s}/{index:03d}.mp4", (), "001.mp4"),
        ("{parent}/{folder:_>3}{stem:_<3}.mp4", (), "__.a__.mp4"),
    ],
)
def test_pattern_names_the_output(
    tmp_path: Path, vsr: Vsr, pattern: str, options: tuple[str, ...], name: str
) -> None:
    (tmp_path / "a.mp4").write_text("")
    sized = options or ("-s", "2")
    order = ("batch", "--model", "bicubic", *sized, tmp_path / "a.mp4", "-o", pattern, "--dry-run")
    assert planned(vsr(*order))[0].endswith(f"-> {tmp_path / name}")


@pytest.mark.parametrize(
    "words", ["{stem}{what}", "{", "{stem!x}", "{0}", "{stem.x.y}", "{index:s}", "{stem:d}"]
)
def test_pattern_that_is_none_is_refused(words: str) -> None:
    with pytest.raises(UsageError, match="fields are"):
        pattern_of(words)


@pytest.mark.parametrize(
    ("words", "code"), [("{index:s}.mp4", 2), ("{stem[1]}.mp4", 2), ("{index:{stem}}.mp4", 10)]
)
def test_pattern_that_does_not_fit_a_source_is_told_in_one_line(
    tmp_path: Path, batch: Vsr, words: str, code: int
) -> None:
    outcome = batch(make(tmp_path / "a.mp4", TINY), "-o", words, "--progress", "none")
    told = [line for line in outcome.lines if f"-o {words!r} is no pattern: " in line]
    assert (outcome.code, len(told)) == (code, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("name", ["-", "x.mkv", "out/x.MP4"])
def test_an_output_that_is_no_folder_is_refused(
    tmp_path: Path, batch: Vsr, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Nor would one be made that is called so, unless it is there."""
    monkeypatch.chdir(tmp_path)
    source = make(tmp_path / "a.mp4", TINY)
    outcome = batch(source, "-o", name)
    assert (outcome.code, len(outcome.lines), list(tmp_path.iterdir())) == (2, 1, [source])
    (tmp_path / "folder.mkv").mkdir()
    assert batch(source, "-o", tmp_path / "folder.mkv", "--dry-run").code == 0


def test_pattern_of_a_folder_with_braces() -> None:
    values = dict.fromkeys(FIELDS, "v") | {"folder": "f"}
    assert pattern_of("a}b").format(**values) == "a}b/f/v_v_vv"


def test_two_sources_for_one_output_are_refused(tmp_path: Path, batch: Vsr) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.mp4").write_text("")
    outcome = batch(tmp_path / "a/x.mp4", tmp_path / "b/x.mp4", "-o", tmp_path / "out")
    assert outcome.code == 2
    assert "would both become" in outcome.err


def test_patterns_and_repeated_names(tmp_path: Path) -> None:
    for name in ("b.mp4", "a.mp4", "c.mkv"):
        (tmp_path / name).write_text("")
    found = entries([f"{tmp_path}/*.mp4", str(tmp_path / "a.mp4"), str(tmp_path / "c.mkv")])
    assert [entry.source.name for entry in found] == ["a.mp4", "b.mp4", "c.mkv"]
    with pytest.raises(UsageError, match="matches no file"):
        entries([f"{tmp_path}/*.mov"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no video"):
        entries([str(tmp_path / "empty")])


TOML = '[[job]]\ninput = "a.mp4"\n[[job]]\ninput = "a.mp4"\noutput = "big.mkv"\nscale = 4\n'
JSON = '[{"input": "a.mp4"}, {"input": "a.mp4", "output": "big.mkv", "scale": 4}]'
JSON_TABLE = f'{{"job": {JSON}}}'
CSV = "\ufeffinput,output,scale,,\na.mp4,,,,\na.mp4,big.mkv,4,,\n"


@pytest.mark.parametrize(
    ("suffix", "text"), [("toml", TOML), ("json", JSON), ("json", JSON_TABLE), ("csv", CSV)]
)
def test_job_lists_say_input_output_and_options(
    tmp_path: Path, batch: Vsr, suffix: str, text: str
) -> None:
    (tmp_path / "a.mp4").write_text("")
    listed = tmp_path / f"list.{suffix}"
    listed.write_text(text, encoding="utf-8")
    assert planned(batch(listed, "--dry-run")) == [
        f"upscale {tmp_path}/a.mp4 -> {tmp_path}/a_x2_bicubic.mp4",
        f"upscale {tmp_path}/a.mp4 -> {tmp_path}/big.mkv",
    ]


def test_job_lists_options_win(tmp_path: Path, batch: Vsr) -> None:
    make(tmp_path / "a.mp4", TINY)
    (tmp_path / "list.toml").write_text('[[job]]\ninput = "a.mp4"\nscale = 3\nencoder = "ffv1"')
    assert batch(tmp_path / "list.toml", "-o", "{parent}/{stem}_{size}.mkv").code == 0
    assert facts(tmp_path / "a_x3.mkv").size == (288, 192)


def test_a_list_may_go_on_with_what_another_job_makes(tmp_path: Path, batch: Vsr) -> None:
    make(tmp_path / "a.mp4", TINY)
    make(tmp_path / "x.mp4", TINY)
    (tmp_path / "list.csv").write_text("input,output\na.mp4,x.mp4\nx.mp4,y.mp4\n")
    outcome = batch(tmp_path / "list.csv", "-y", "--redo")
    assert (outcome.code, outcome.lines[-1]) == (0, "2 done")
    assert facts(tmp_path / "y.mp4").size == (384, 256)


@pytest.mark.parametrize("name", ["x.mp4", "../in/x.mp4", "soft.mp4", "hard.mp4"])
def test_redo_alone_does_not_replace_the_input_of_another_job(
    tmp_path: Path, batch: Vsr, name: str
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    source, other = make(folder / "a.mp4", TINY), make(folder / "x.mp4", TINY)
    before = other.read_bytes()
    (folder / "soft.mp4").symlink_to("x.mp4")
    (folder / "hard.mp4").hardlink_to(other)
    listed = folder / "list.csv"
    listed.write_text(f"input,output\nx.mp4,y.mp4\na.mp4,{name}\n")
    outcome = batch(listed, "--redo")
    assert (outcome.code, outcome.lines) == (
        2,
        [
            f"vsr: {source} ({listed} job 2) would replace {folder / name}, the input of {other} "
            f"({listed} job 1); choose another output, or add -y to replace it all the same"
        ],
    )
    assert other.read_bytes() == before
    assert not (folder / "y.mp4").exists()
    assert batch(listed, "--redo", "--dry-run").code == 2


@pytest.mark.parametrize("order", [(), ("-y",), ("--redo",)])
def test_a_job_onto_its_own_input_fails(tmp_path: Path, batch: Vsr, order: tuple[str, ...]) -> None:
    source = make(tmp_path / "a.mp4", TINY)
    before = source.read_bytes()
    (tmp_path / "list.json").write_text('[{"input": "a.mp4", "output": "a.mp4"}]')
    outcome = batch(tmp_path / "list.json", *order)
    assert outcome.code == 10
    assert f"exit code 4: {source} is the input itself" in outcome.err
    assert source.read_bytes() == before


def test_two_jobs_for_one_output_are_refused(tmp_path: Path, batch: Vsr) -> None:
    (tmp_path / "a.mp4").write_text("")
    (tmp_path / "sub").mkdir()
    rows = [("x.mp4", 20), ("sub/../x.mp4", 30)]
    jobs = [{"input": "a.mp4", "output": name, "crf": crf} for name, crf in rows]
    (tmp_path / "list.json").write_text(json.dumps(jobs))
    outcome = batch(tmp_path / "list.json")
    assert (outcome.code, len(outcome.lines)) == (2, 1)
    assert "list.json job 1) and " in outcome.err
    assert "list.json job 2) would both become" in outcome.err


@pytest.mark.parametrize("name", ["mine", "./mine", "sub/../mine"])
def test_a_lists_model_lies_beside_it(
    tmp_path: Path, vsr: Vsr, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    shutil.copytree(find_folder("bicubic"), tmp_path / "there" / "mine")
    (tmp_path / "there" / "sub").mkdir()
    make(tmp_path / "there" / "a.mp4", TINY)
    (tmp_path / "there" / "list.csv").write_text(f"input,model,scale\na.mp4,{name},2\n")
    monkeypatch.chdir(tmp_path)
    outcome = vsr("batch", "there/list.csv", "-o", "{parent}/x.mp4")
    assert (outcome.code, outcome.lines[-1]) == (0, "1 done")


def test_a_lists_program_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("input,ffmpeg\na.mp4,bin/ffmpeg\nb.mp4,auto\n")
    words = [dict(entry.words) for entry in entries([str(tmp_path / "list.csv")])]
    assert words == [{"ffmpeg": f"{tmp_path}/bin/ffmpeg"}, {"ffmpeg": "auto"}]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("l.toml", "[[job]]\noutput = 'a'", ("job 1", "no input")),
        ("l.toml", "[[job]]\ninput = 'a'\nsize = 3", ("job 1", "no option 'size'")),
        ("l.toml", "[[job]]\ninput = 'a'\nscale = 'x'", ("job 1", "a whole number")),
        ("l.toml", "[[job]]\ninput = 'a'\noutput = 3", ("output = 3",)),
        ("l.toml", "job = 3", ("is no job list",)),
        ("l.toml", "[[job]", ("is not TOML",)),
        ("l.json", "{", ("is not JSON",)),
        ("l.json", "[1]", ('is no job list; it needs [{"input": ...}]',)),
        ("l.json", "{}", ('is no job list; it needs [{"input": ...}]',)),
        ("l.json", '[{"input": "a", "crf": 1, "crf": 2}]', ("crf is there twice",)),
        ("l.csv", "input,scale,scale\na,2,3\n", ("l.csv has two columns scale; leave one out",)),
        ("l.csv", "input;scale\na;2\n", ("job 1 has no input, but input;scale; give it one",)),
        ("l.csv", "input\na,b\n", ("more cells",)),
        ("l.csv", "input\ngr\xfcn.mp4\n", ("is not UTF-8",)),
        ("l.csv", 'input\na\n"b\nc\n', ("l.csv is no CSV after line 2: ", "is a quote not")),
        ("l.csv", 'input\na\n"b\n' + 30_000 * "c.mp4,\n", ("no CSV after line 2: ", "limit")),
        ("l.csv", '"input\na\n', ("no CSV after line 0: ",)),
    ],
)
def test_bad_lists_are_told_in_one_line(
    tmp_path: Path, batch: Vsr, name: str, text: str, words: tuple[str, ...]
) -> None:
    (tmp_path / name).write_text(text, encoding="latin-1")
    outcome = batch(tmp_path / name)
    assert (outcome.code, len(outcome.lines)) == (2, 1)
    assert all(word in outcome.err for word in words)


def test_a_cell_of_a_list_may_hold_a_line_break(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text('input\n"a\nb\u2028c.mp4"\n', encoding="utf-8")
    (entry,) = entries([str(tmp_path / "list.csv")])
    assert entry.source == tmp_path / "a\nb\u2028c.mp4"


def test_what_cannot_begin_fails_alone(tmp_path: Path, vsr: Vsr) -> None:
    make(tmp_path / "a.mp4", TINY)
    rows = [{"input": "a.mp4"}, {"input": "none.mp4"}, {"input": "a.mp4", "model": "nix"}]
    (tmp_path / "list.json").write_text(json.dumps(rows))
    outcome = vsr("batch", tmp_path / "list.json", "--progress", "json", *QUICK)
    assert outcome.code == 10
    events = [json.loads(line) for line in outcome.out.splitlines()]
    assert {(event["event"], event.get("job")) for event in events} == {
        *{("start", 0), ("progress", 0), ("done", 0), ("report", None)},
        *{("error", 1), ("error", 2)},
    }
    codes = {event["job"]: event["code"] for event in events if event["event"] == "error"}
    assert codes == {1: 3, 2: 5}
    assert events[-1] == {
        **{"v": 1, "event": "report", "done": 1, "failed": 2, "skipped": 0, "stopped": 0},
    }


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"input": "a\0.mp4"}, 3),
        ({"input": "a\0/b.mp4", "output": "b.mp4"}, 3),
        ({"input": "%d\0.png"}, 3),
        ({"input": "a.mp4", "output": "\ud800.mp4"}, 4),
        ({"input": "a.mp4", "output": "b.mp4", "model": "./\ud800.onnx"}, 2),
        ({"input": "a.mp4", "output": "b\0.mp4"}, 4),
        ({"input": "a.mp4", "output": "b\0/c.mp4"}, 4),
        ({"input": "a.mp4", "output": "%d\0.png"}, 4),
        ({"input": "a.mp4", "output": "b.mp4", "model": "./b\0.onnx"}, 2),
        ({"input": "a.mp4", "output": "b.mp4", "ffmpeg": "/b\0"}, 2),
    ],
)
def test_a_name_that_no_file_has_fails_alone(
    tmp_path: Path, batch: Vsr, row: dict[str, str], code: int
) -> None:
    make(tmp_path / "a.mp4", TINY)
    rows = [row, {"input": "a.mp4", "output": "good.mp4"}]
    (tmp_path / "list.json").write_text(json.dumps(rows))
    outcome = batch(tmp_path / "list.json", "--progress", "none")
    failed, done, *_ = outcome.lines
    assert (outcome.code, done.startswith("done ")) == (10, True)
    assert f"exit code {code}: " in failed
    assert "holds what no file's name does" in failed


@pytest.mark.parametrize("order", [(), ("-y",), ("--redo",)])
def test_a_folder_in_the_place_of_an_output_is_not_taken_for_it(
    tmp_path: Path, batch: Vsr, order: tuple[str, ...]
) -> None:
    make(tmp_path / "a.mp4", TINY)
    (tmp_path / "out.mkv").mkdir()
    (tmp_path / "list.csv").write_text("input,output\na.mp4,out.mkv\n")
    outcome = batch(tmp_path / "list.csv", *order)
    assert outcome.code == 10
    assert f"exit code 4: {tmp_path}/out.mkv is not a regular file" in outcome.err


def test_a_folder_that_cannot_be_made_fails_its_run(tmp_path: Path, batch: Vsr) -> None:
    (tmp_path / "notes").write_text("a file")
    outcome = batch(
        make(tmp_path / "a.mp4", TINY), "-o", tmp_path / "notes" / "deep" / "{stem}.mp4"
    )
    assert outcome.code == 10
    assert f"exit code 4: the folder {tmp_path}/notes/deep cannot be made" in outcome.err


def test_batch_that_cannot_be_meant_is_one_event(tmp_path: Path, vsr: Vsr) -> None:
    outcome = vsr("batch", tmp_path, "--progress=json")
    (event,) = [json.loads(line) for line in outcome.out.splitlines()]
    assert (event["event"], event["code"], "source" in event) == ("error", 2, False)
    (tmp_path / "a.mp4").write_text("")
    for options, code, events in (
        (("-c:a", "mp3"), 2, ["error"]),
        (("--model", "nope"), 10, ["error", "report"]),
    ):
        outcome = vsr("batch", tmp_path, *options, "--progress", "json")
        told = [json.loads(line)["event"] for line in outcome.out.splitlines()]
        assert (outcome.code, told) == (code, events)


@pytest.mark.parametrize("name", ["in.mp4", "list.json", "out/in_x2_bicubic.mp4", "out"])
def test_report_that_cannot_be_is_refused_first(tmp_path: Path, batch: Vsr, name: str) -> None:
    source = make(tmp_path / "in.mp4", TINY)
    (tmp_path / "out").mkdir()
    size = source.stat().st_size
    listed = tmp_path / "list.json"
    listed.write_text('[{"input": "in.mp4", "scale": 3}]')
    outcome = batch(source, listed, "-o", tmp_path / "out", "--report", tmp_path / name)
    assert (outcome.code, len(outcome.lines)) == (4, 1)
    assert "scale" in listed.read_text()
    assert (source.stat().st_size, os.listdir(tmp_path / "out")) == (size, [])
    outcome = batch(source, "--report", "-")
    assert (outcome.code, "--report takes a file" in outcome.err) == (2, True)


@pytest.mark.parametrize(
    ("step", "number"), [("write_text", errno.EACCES), ("replace", errno.EBUSY)]
)
def test_report_is_written_in_place_where_no_other_can_take_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, number: int
) -> None:
    """A file in a folder that takes none, and one that is mounted by itself."""
    method, report = getattr(Path, step), tmp_path / "r.json"

    def refused(path: Path, *args: object, **words: object) -> object:
        if path.suffix == ".part":
            raise OSError(number, os.strerror(number))
        return method(path, *args, **words)

    monkeypatch.setattr(Path, step, refused)
    with pytest.raises(OutputError):
        write_report(report, [], began=0.0)
    report.write_text("of the last batch, and longer than a new one" * 20)
    write_report(report, [], began=0.0)
    assert json.loads(report.read_text())["jobs"] == []
    assert os.listdir(tmp_path) == ["r.json"]


def test_full_disk_leaves_the_last_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, text: str, encoding: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "r.json").write_text("of the last batch")
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OutputError, match="No space left"):
        write_report(tmp_path / "r.json", [], began=0.0)
    assert (tmp_path / "r.json").read_text() == "of the last batch"


@pytest.mark.parametrize(
    ("shut", "is_refused"), [(("r.json",), False), (("",), False), (("", "r.json"), True)]
)
def test_a_report_needs_its_file_or_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shut: tuple[str, ...], is_refused: bool
) -> None:
    """Either can be written to, or the batch does not begin."""
    (tmp_path / "r.json").write_text("of the last batch")
    shut_paths = [tmp_path / name for name in shut]
    monkeypatch.setattr("os.access", lambda path, _: Path(path) not in shut_paths)
    with pytest.raises(OutputError, match="takes no files") if is_refused else nullcontext():
        check_report(tmp_path / "r.json", [], [])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_report_replaces_no_device(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    write_report(fifo, [], began=0.0)
    assert json.loads(os.read(reader, 4096))["jobs"] == []
    os.close(reader)
    assert fifo.is_fifo()


def test_warnings_name_the_source(tmp_path: Path, vsr: Vsr) -> None:
    source = make(tmp_path / "a.mp4", TINY)
    outcome = vsr("batch", source, "--model", "bicubic", "--height", 100, "--progress", "none")
    assert outcome.code == 0
    assert f"vsr: warning: {source}: bicubic runs at x2" in outcome.err


def test_unfinished_work_of_other_options_is_not_gone_on_with(tmp_path: Path, batch: Vsr) -> None:
    source, target = make(tmp_path / "a.mp4", TINY), tmp_path / "a_x2_bicubic.mp4"
    with open_work(target, {"crf": "20"}, resume=None, keep=True) as work:
        work.next_file().write_bytes(b"packets")
        work.add(place=ResumePoint(frame=1, time_s=Fraction(0), digest=""), frames=1, state={})
        work.finish()
    outcome = batch(source)
    assert (outcome.code, "exit code 9: " in outcome.err) == (10, True)
    assert "this run differs: crf was 20 and is not given" in outcome.err
    assert batch(source, "--no-resume").lines[-1] == "1 done"


def test_run_that_dies_is_a_failure(tmp_path: Path) -> None:
    source = make(tmp_path / "a.mp4", Clip(frames=100))
    job = Job(source=source, target=tmp_path / "o.mp4", model="bicubic")
    ended: list[Failure] = []

    def kill_at_first(_: int, event: object) -> None:
        import multiprocessing

        if isinstance(event, Failure):
            ended.append(event)
        elif not isinstance(event, Warned):
            for child in multiprocessing.active_children():
                child.kill()

    (result,) = run_all([job], on_event=kill_at_first)
    assert result.state == "failed"
    assert "signal 9" in ended[0].message


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_the_same_command_goes_on_after_a_stop(tmp_path: Path) -> None:
    make(tmp_path / "a.mkv", TINY)
    make(tmp_path / "b.mkv", Clip(frames=500, size=(160, 90), audio=()))
    (tmp_path / "c.mkv").hardlink_to(tmp_path / "a.mkv")
    target = tmp_path / "b_x2_bicubic.mkv"
    work = work_folder(target)
    order = [sys.executable, "-m", "vsrcli", "batch", *(str(tmp_path / f"{n}.mkv") for n in "abc")]
    order += ["--model", "bicubic", "-s", "2", "--preset", "slow", "--segment", "100"]
    with started(order, stderr=subprocess.PIPE, text=True) as process:
        while not (work / "manifest.json").exists():
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    lines = said.splitlines()
    assert lines[-1] == (
        "vsr: interrupted; 1 of 3 done, 1 in part, which is kept; the same command goes on"
    )
    assert lines[-4] == f"stopped  {tmp_path}/b.mkv  frames kept: {unfinished(target)}"
    again = subprocess.run(order, capture_output=True, text=True, check=False)
    assert (again.returncode, again.stderr.splitlines()[-1]) == (0, "2 done, 1 skipped")
    assert len(facts(target).pts) == 500
    assert not work.exists()


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
@pytest.mark.parametrize(("name", "code"), [("INT", 130), ("TERM", 143), ("HUP", 129)])
def test_signals_stop_every_run_cleanly(tmp_path: Path, name: str, code: int) -> None:
    number = signal.Signals[f"SIG{name}"]
    source = make(tmp_path / "a.mkv", Clip(frames=120, size=(320, 180), audio=()))
    for name in ("b", "c"):
        (tmp_path / f"{name}.mkv").hardlink_to(source)
    order = [sys.executable, "-m", "vsrcli", "batch", str(tmp_path), "--jobs", "2", "-o"]
    order += [str(tmp_path / "out"), "--preset", "slow", "--model", "bicubic"]
    order += ["--progress", "json", "--report", str(tmp_path / "r.json")]
    with started(
        order,
        bufsize=0,  # communicate() would not give what readline() has read ahead
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert b'"start"' in first
        began = time.monotonic()
        process.send_signal(number) if number == signal.SIGTERM else os.killpg(process.pid, number)
        rest, _ = process.communicate(timeout=30)
    assert process.returncode == code
    *told, last = [json.loads(line) for line in (first + rest).splitlines()]
    begun = {event["job"] for event in told if event["event"] == "start"}
    ends = {event["job"]: event["code"] for event in told if event["event"] == "error"}
    assert set(ends) >= begun  # one more may have been about to start
    assert set(ends.values()) == {code}
    assert last["event"] == "report"
    assert time.monotonic() - began < 10
    report: dict[str, Any] = json.loads((tmp_path / "r.json").read_text())
    assert report["stopped"] == 3
    assert not [path for path in (tmp_path / "out").iterdir() if path.suffix == ".mkv"]
