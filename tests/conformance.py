"""Awkward media through `vsrcli.upscale`: what comes out is what went in, or it is said.

    python tests/conformance.py [FOLDER] [--only TEXT] [--json] [--no-ffmpeg]

Every clip of `cases.py`, and every file of FOLDER, is upscaled twofold by bicubic. Frames, their
instants, packets of other streams, tags, chapters and so on are compared between source and output,
and with what `ffmpeg -map 0 -vf scale=2*iw:2*ih -c:a copy -c:s copy` keeps of the same source. A
case fails if anything is lost without a warning. Exit code 1 if one does.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.stream import Disposition
from cases import Case, cases, file_cases

from vsrcli import upscale
from vsrcli.errors import VsrError
from vsrcli.frames import UNSPECIFIED, assumed_matrix
from vsrcli.media.hdr import dynamic_kinds
from vsrcli.media.rotation import read_turn
from vsrcli.media.side_data import Attached

TICKS = {".mkv": Fraction(1, 1000), ".webm": Fraction(1, 1000), ".ts": Fraction(1, 90_000)}
"""Containers that round times, and to what. An mp4 edit list is rounded to 0.1 ms at most."""
EDIT_TICK = Fraction(1, 10_000)
PRIMING = Fraction(1, 20)
"""What an audio encoder may add at the start, seconds."""
OWN_TAGS = {
    *("major_brand", "minor_version", "compatible_brands", "encoder", "duration", "handler_name"),
    *("vendor_id", "creation_time", "language", "filename", "mimetype", "title", "stereo_mode"),
    *("alpha_mode", "id3v2_priv", "variant_bitrate", "timecode", "name", "software"),
}
"""Tags that a container writes for itself, or that are compared by their own row."""
CORE = {"frames", "times", "length", "pixels"}
"""What may not be lost even with a warning."""


@dataclass(frozen=True, kw_only=True)
class Track:
    """A stream that is not the picture."""

    kind: str
    codec: str
    language: str
    title: str
    disposition: int
    tags: dict[str, str]
    packets: tuple[str, ...]
    start: Fraction | None
    text: tuple[str, ...] = ()
    timecode: bool = False
    data: str = ""


@dataclass(frozen=True, kw_only=True)
class Held:
    """What a file holds."""

    size: tuple[int, int]
    bits: int
    alpha: bool
    rgb: bool
    times: tuple[Fraction | None, ...]
    length: Fraction
    """Of the last frame, seconds."""
    color: tuple[int, int, int, int]
    hdr: tuple[str, ...]
    captions: tuple[str, ...]
    """Of each frame that has any."""
    dynamic: tuple[str, ...]
    """HDR metadata that change from frame to frame."""
    sar: Fraction
    turn: int
    mirrored: bool
    title: str
    timecode: str
    tracks: tuple[Track, ...]
    chapters: tuple[tuple[float, float, str], ...]
    tags: dict[str, str]


@dataclass
class Result:
    """How a case went."""

    name: str
    target: str
    outcome: str = ""
    """Rows kept of rows, or the refusal's exit code."""
    frames: int = 0
    lost: list[str] = field(default_factory=list)
    """Without a warning, or what may not be lost."""
    said: list[str] = field(default_factory=list)
    """Lost or changed, and named in a warning."""
    ffmpeg: str = ""
    """What FFmpeg does not keep of the same, or its refusal."""
    better: list[str] = field(default_factory=list)
    """Kept by vsr and lost by FFmpeg."""
    worse: list[str] = field(default_factory=list)
    """Kept by FFmpeg and not by vsr."""

    @property
    def passed(self) -> bool:
        return not self.lost


def held(path: Path, sides: set[tuple[int, int]] | None = None) -> Held:
    """What PyAV reads of a file; frames that cannot be decoded are not there.

    Of several pictures the one with these sides is taken, or FFmpeg's choice.
    """
    with av.open(str(path.absolute()), metadata_errors="replace") as file:
        covers = Disposition.attached_pic
        films = [s for s in file.streams.video if s.codec_context and not s.disposition & covers]
        best = file.streams.best("video")
        if best not in films:
            best = next(iter(films), best)
        best = next((s for s in films if (s.width, s.height) in (sides or ())), best)
        assert best is not None, f"{path} has no video"
        best.thread_type = "NONE"  # with others, what follows an error may be lost
        clear = {"vp8": "libvpx", "vp9": "libvpx-vp9"} if "alpha_mode" in best.metadata else {}
        vpx = clear.get(best.codec_context.codec.canonical_name)
        context = av.CodecContext.create(vpx, "r") if vpx else best.codec_context
        frames: list[av.VideoFrame] = []
        times: list[Fraction | None] = []
        captions: list[str] = []
        attached = Attached()
        packets: dict[int, list[av.Packet]] = {s.index: [] for s in file.streams}
        texts: dict[int, list[str]] = {s.index: [] for s in file.streams}
        for packet in file.demux():
            if packet.stream.index == best.index:
                try:
                    found = context.decode(packet if packet.size else None)
                except av.error.EOFError:
                    found = []
                except av.FFmpegError:
                    continue
                for frame in found:
                    base = frame.time_base or best.time_base
                    words = attached.read(frame).get("A53_CC")
                    captions += [hashlib.sha256(words).hexdigest()] if words else []
                    times.append(None if frame.pts is None else Fraction(frame.pts * base))
                    frames = [*frames[:1], frame]
            elif packet.size:
                packets[packet.stream.index].append(packet)
                texts[packet.stream.index] += _text(packet)
        first, last = frames[0], frames[-1]
        tracks = [
            _track(s, packets[s.index], texts[s.index]) for s in file.streams if s is not best
        ]
        kinds = attached.read(first)
        turn = read_turn(kinds)
        return Held(
            size=(first.width, first.height),
            bits=first.format.components[0].bits,
            alpha=any(c.is_alpha for c in first.format.components),
            rgb=first.format.is_rgb,
            times=tuple(times),
            length=Fraction((last.duration or 0) * (last.time_base or best.time_base)),
            color=(
                int(first.color_primaries),
                int(first.color_trc),
                int(first.colorspace),
                int(first.color_range),
            ),
            hdr=tuple(
                f"{k} {hashlib.sha256(v).hexdigest()[:8]}"
                for k, v in sorted(kinds.items())
                if k in ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL")
            ),
            captions=tuple(captions),
            dynamic=dynamic_kinds(kinds),
            sar=Fraction(best.sample_aspect_ratio or 1),
            turn=turn.degrees % 360 if turn else 0,
            mirrored=bool(turn and turn.is_mirrored),
            title=best.metadata.get("title", ""),
            timecode=_timecode(best.metadata) or _timecode(file.metadata),
            tracks=tuple(t for t in tracks if t is not None),
            chapters=tuple(_chapter(c) for c in file.chapters()),
            tags=_tags(file.metadata),
        )


def _text(packet: av.Packet) -> list[str]:
    if packet.stream.type != "subtitle":
        return []
    try:
        found = packet.decode()
    except (av.FFmpegError, NotImplementedError):
        return []
    return [s.dialogue.decode().split(",", 8)[-1] for s in found if hasattr(s, "dialogue")]


def _track(stream: av.stream.Stream, packets: list[av.Packet], text: list[str]) -> Track:
    codec = stream.codec_context
    stamps = [p.pts * p.time_base for p in packets if p.pts is not None]
    attached = bytes(stream.data) if stream.type == "attachment" else b""
    return Track(
        kind=stream.type,
        codec=codec.codec.canonical_name if codec else str(stream.name),
        language=stream.metadata.get("language", "").replace("und", ""),
        title=stream.metadata.get("title")
        or stream.metadata.get("name")
        or stream.metadata.get("filename", ""),
        disposition=int(stream.disposition),
        tags=_tags(stream.metadata),
        packets=tuple(hashlib.sha256(_payload(p)).hexdigest() for p in packets),
        start=min(stamps, default=None),
        text=tuple(t for t in text if t),
        timecode=bool(_timecode(stream.metadata)),
        data=hashlib.sha256(attached).hexdigest() if attached else "",
    )


def _timecode(metadata: dict[str, str]) -> str:
    return next((v for k, v in metadata.items() if k.lower() == "timecode"), "")


def _payload(packet: av.Packet) -> bytes:
    """Without the header that a transport stream puts before AAC."""
    data = bytes(packet)
    framed = data[:1] == b"\xff" and data[1:2] and data[1] & 0xF6 == 0xF0
    return data[7:] if framed and packet.stream.codec_context.name == "aac" else data


def _tags(metadata: dict[str, str]) -> dict[str, str]:
    found = {k.lower(): v for k, v in metadata.items()}
    return {
        k: v for k, v in found.items() if k not in OWN_TAGS and not k.startswith(("_", "duration"))
    }


def _chapter(chapter: av.container.Chapter) -> tuple[float, float, str]:
    base = chapter["time_base"] or Fraction(1)
    start, end = (round(float(chapter[k] * base), 3) for k in ("start", "end"))
    return start, end, chapter["metadata"].get("title", "")


def kept(was: Held, now: Held, suffix: str, case: Case) -> dict[str, bool]:
    """What the source has, and whether the output has it too."""
    tick = TICKS.get(suffix, Fraction(0))
    rows = {
        "frames": len(now.times) == len(was.times) * case.factor,
        "size": now.size == tuple(s * 2 for s in (was.size[:: -1 if case.turned else 1])),
        "bits": now.bits >= was.bits,
        "color": _meaning(was) == _meaning(now) or case.rgb,
    }
    if None not in was.times and case.factor == 1:
        rows["times"] = _same_times(was, now, tick if suffix != ".avi" else Fraction(1, 40))
    if was.length and suffix in (".mp4", ".mov") and case.factor == 1:
        rows["length"] = abs(was.length - now.length) <= Fraction(1, 1000)
    rows |= {
        name: same
        for name, has, same in (
            ("alpha", was.alpha, now.alpha or case.opaque),
            ("hdr", was.hdr, len(was.hdr) == len(now.hdr) and (case.rounded or was.hdr == now.hdr)),
            ("captions", was.captions, was.captions == now.captions),
            ("dynamic", was.dynamic, was.dynamic == now.dynamic),
            ("sar", was.sar != 1,
             abs((1 / was.sar if case.turned else was.sar) - now.sar) <= Fraction(1, now.size[0])),
            ("rotation", was.turn or was.mirrored,
             (was.turn, was.mirrored) == (now.turn, now.mirrored) or case.turned),
            ("timecode", was.timecode, was.timecode == now.timecode),
            ("picture title", was.title, was.title == now.title),
            ("chapters", was.chapters, _same_chapters(was, now)),
        )
        if has
    }  # fmt: skip
    rows |= {f"tag {k}": _plain_place(now.tags.get(k, "")) == _plain_place(v)
             for k, v in was.tags.items()}  # fmt: skip
    return rows | _kept_tracks(was, now, tick, suffix)


def _meaning(file: Held) -> tuple[int, int, int, int]:
    """The colour tags; a range that is not said is the limited one, a matrix that is not is taken
    from the lines, and that of RGB is 0."""
    primaries, transfer, matrix, reach = file.color
    matrix = assumed_matrix(file.size[1]) if matrix == UNSPECIFIED else matrix
    return primaries, transfer, 0 if file.rgb else matrix, max(reach, 2 if file.rgb else 1)


def _same_times(was: Held, now: Held, tick: Fraction) -> bool:
    if len(was.times) != len(now.times) or None in now.times:
        return False
    moved = [
        (a - was.times[0]) - (b - now.times[0]) for a, b in zip(was.times, now.times, strict=True)
    ]
    return all(abs(m) <= tick for m in moved)


def _plain_place(text: str) -> str:
    """ISO 6709 coordinates without padding: +40.68-074.49/ is +40.68-74.49/."""
    return re.sub(r"(?<=[+-])0+(?=\d)", "", text)


def _same_chapters(was: Held, now: Held) -> bool:
    same = len(was.chapters) == len(now.chapters)
    return same and all(
        a[2] == b[2] and abs(a[0] - b[0]) < 0.002
        for a, b in zip(was.chapters, now.chapters, strict=True)
    )


def _kept_tracks(was: Held, now: Held, tick: Fraction, suffix: str) -> dict[str, bool]:
    rows: dict[str, bool] = {}
    rest = list(now.tracks)
    for number, track in enumerate(was.tracks):
        if not (track.packets or track.data) or track.timecode:
            continue
        name = f"{track.kind} {number}"
        alike = [t for t in rest if t.kind == track.kind]
        same = [t for t in alike if (t.packets, t.data) == (track.packets, track.data)]
        found = next(iter(same), next(iter(alike), None))
        rows[name] = bool(same)
        if found is None:
            continue
        rest.remove(found)
        if track.kind == "subtitle" and track.text and not same:
            rows[name] = _plain(track.text) == _plain(found.text)
        if track.kind in ("audio", "subtitle"):
            alone = sum(t.kind == track.kind for t in was.tracks) == 1
            for what in ("language", "title", "disposition"):
                was_so = getattr(track, what)
                if what == "disposition" and alone:
                    was_so &= ~Disposition.default
                if was_so:
                    is_so = getattr(found, what)
                    rows[f"{name} {what}"] = (
                        not was_so & ~is_so if what == "disposition" else was_so == is_so
                    )
        if track.kind == "audio" and None not in (track.start, found.start, was.times[0]):
            before, after = track.start - was.times[0], found.start - now.times[0]
            rows[f"{name} in time"] = abs(before - after) <= (
                2 * tick + EDIT_TICK if same and suffix != ".avi" else PRIMING
            )
    return rows


def _plain(texts: Sequence[str]) -> list[str]:
    return [re.sub(r"\{[^}]*\}|<[^>]*>|\\N|\s", "", text) for text in texts]


def run(case: Case, folder: Path, *, ffmpeg: str = "") -> Result:
    """A case through vsr, and through FFmpeg if its binary is named."""
    source = case.source(folder)
    target = folder / f"out{case.suffix}"
    result = Result(name=case.name, target=case.suffix)
    with _warnings() as said:
        try:
            report = upscale(case.job(source, target))
        except VsrError as exc:
            result.outcome = f"refused: exit code {exc.exit_code}"
            if exc.exit_code != case.refused:
                result.lost.append(f"everything: {exc}")
            if target.exists() or list(folder.glob(".*part*")):
                result.lost.append("something is left behind")
            return result
    if case.refused:
        result.lost.append(f"a refusal: exit code {case.refused} was due")
        return result
    was = held(source)
    twice = (was.size[0] * 2, was.size[1] * 2)
    now = held(target, {twice, twice[::-1]})
    result.frames = report.frames
    ours = kept(was, now, case.suffix, case)
    for name in (name for name, same in ours.items() if not same):
        is_said = name not in CORE and _is_said(name, said)
        (result.said if is_said else result.lost).append(name)
    result.outcome = f"{sum(ours.values())} of {len(ours)}"
    if ffmpeg:
        theirs = _ffmpeg(ffmpeg, source, folder / f"ffmpeg{case.suffix}", was, case)
        result.ffmpeg = theirs if isinstance(theirs, str) else _missing(theirs)
        if isinstance(theirs, dict):
            result.better = [n for n, same in theirs.items() if not same and ours.get(n)]
            result.worse = [n for n, same in theirs.items() if same and not ours.get(n)]
    return result


def _is_said(name: str, said: list[str]) -> bool:
    """A warning names the stream, or the thing."""
    words = {
        "sar": "pixel aspect",
        "rotation": "rotation",
        "timecode": "timecode",
        "hdr": "mastering",
        "dynamic": "metadata is not kept",
        "tag": "tags",
        "bits": "converted to",
        "color": "converted to",
        "picture title": "title",
    }
    kind = name.split()[0]
    property_ = name.split()[-1]
    text = " ".join(said)
    if property_ in ("title", "disposition", "language") and f"{property_}s" in text:
        return True
    return words.get(name, words.get(kind, kind)) in text


def _missing(rows: dict[str, bool]) -> str:
    return ", ".join(name for name, same in rows.items() if not same) or "keeps all"


def _ffmpeg(
    binary: str, source: Path, target: Path, was: Held, case: Case
) -> dict[str, bool] | str:
    order = [binary, "-y", "-loglevel", "error", "-i", str(source), "-map", "0"]
    order += ["-vf", "scale=2*iw:2*ih", *case.ffmpeg, "-c:a", "copy", "-c:s", "copy", str(target)]
    try:
        done = subprocess.run(order, capture_output=True, check=False, timeout=900)
    except subprocess.TimeoutExpired:
        return "takes too long"
    if done.returncode:
        return "refuses"
    twice = (was.size[0] * 2, was.size[1] * 2)
    try:
        return kept(was, held(target, {twice, twice[::-1]}), case.suffix, case)
    except (av.FFmpegError, AssertionError, IndexError):
        return "writes what cannot be read"


class _Collector(logging.Handler):
    def __init__(self, said: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        self._said.append(record.getMessage())


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """What vsr warns of meanwhile."""
    log = logging.getLogger("vsr")
    said: list[str] = []
    before, propagates = log.handlers, log.propagate
    log.handlers, log.propagate = [_Collector(said)], False
    try:
        yield said
    finally:
        log.handlers, log.propagate = before, propagates


def run_all(chosen: Sequence[Case], *, ffmpeg: str = "") -> Iterator[Result]:
    """The results, one after the other; each case has a folder of its own."""
    for case in chosen:
        folder = Path(tempfile.mkdtemp(prefix="conformance-"))
        try:
            yield run(case, folder, ffmpeg=ffmpeg)
        finally:
            shutil.rmtree(folder)


def _line(result: Result) -> str:
    mark = "ok  " if result.passed else "FAIL"
    parts = [f"{mark} {result.name:<44} {result.target:<6} {result.outcome:<12}"]
    for label, names in (
        ("lost", result.lost),
        ("said", result.said),
        ("more", result.better),
        ("less", result.worse),
    ):
        if names:
            parts.append(f"{label}: {', '.join(names)}")
    if result.ffmpeg not in ("", "keeps all"):
        parts.append(f"ffmpeg: {result.ffmpeg}")
    return "  ".join(parts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table. 1 if a case failed."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="more files, in any depth")
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--no-ffmpeg", action="store_true")
    options = parser.parse_args(arguments)
    binary = ""
    if not options.no_ffmpeg:
        import imageio_ffmpeg

        binary = imageio_ffmpeg.get_ffmpeg_exe()
    chosen = [*cases(), *(file_cases(options.folder) if options.folder else ())]
    results: list[Result] = []
    for result in run_all([c for c in chosen if options.only in c.name], ffmpeg=binary):
        results.append(result)
        if not options.json:
            print(_line(result), flush=True)  # noqa: T201
    failed = sum(not r.passed for r in results)
    if options.json:
        rows: list[dict[str, Any]] = [asdict(r) | {"passed": r.passed} for r in results]
        print(json.dumps(rows, indent=1))  # noqa: T201
    else:
        print(f"{len(results)} cases, {failed} failed")  # noqa: T201
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
