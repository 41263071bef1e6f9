"""Unfinished work on disk: what a run is, which segments of it are done, where to go on.

A run that writes `out.mp4` keeps a folder `.out.mp4.vsr` beside it:

    lock            held while a run uses the folder; the system drops it with the process
    manifest.json   the run's identity and its finished segments, replaced as a whole
    00000.packets … the encoded picture of each segment (media/segment_files.py)
    00003.npz       what the model carried over the last border, if anything
    part.mp4        the file in the making; built anew by every run

A segment counts once the manifest names it, and everything it names is on disk by then. So a run
may be killed at any instant and loses at most the segment in work, and the one before it while a
thread brings that to the disk.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from vsrcli import locks
from vsrcli.errors import OutputError, ResumeError, output_error
from vsrcli.paths import behind
from vsrcli.runtime.cleaning import ShotCleaning

FORMAT = 1
"""Of the manifest; raised when its meaning changes."""
_MANIFEST, _LOCK, _PART = "manifest.json", "lock", "part"
_TRIES = 20
"""To lock a folder that the run before may be about to remove. Some systems' own folders, such as
/proc, say of each file made in them that the way to it is missing."""

Identity = Mapping[str, str]
"""Everything that the output depends on, by the name a user knows it by."""
State = Mapping[str, NDArray[Any]]
"""Named arrays that a model carries from frame to frame."""


@dataclass(frozen=True, kw_only=True)
class ResumePoint:
    """A place in the source where a run can go on: before frame `frame`."""

    frame: int
    """Number of the next source frame that the model takes."""
    time_s: Fraction
    """Presentation time of the frame before it."""
    digest: str
    """Of the planes of the frame before it, so that going on at the wrong place is noticed."""
    primer: int | None = None
    """Frames before it that the search for cuts is shown, fewer than usual where there were no
    more. `frame` does not tell: at a lower rate (--fps) the numbers have gaps. None in work of
    versions that did not note it."""
    held: int = 0
    """Frames before it that the model has taken and not given back."""
    damaged: int = 0
    """Packets of the source that could not be decoded so far."""
    cleaned: tuple[ShotCleaning, ...] = ()
    """What a bidirectional model did to the shots that ended since the place before."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A finished part of the output and the place it ends at."""

    file: str
    size_bytes: int
    sha256: str
    frames: int
    """Encoded in it."""
    state: str
    """The file of the model's state at the border; empty if it carried nothing over."""
    place: ResumePoint


def work_folder(target: Path) -> Path:
    """Where the unfinished work of an output lies."""
    target = behind(target)
    return target.with_name(f".{target.name}.vsr")


class Work:
    """The work folder of one run. A context manager.

    Leaving it without `finish` keeps the finished segments, if any, and says so in a note on the
    exception; otherwise the folder is removed. Made by `open_work`.
    """

    def __init__(self, target: Path, lock: IO[bytes], *, keep: bool) -> None:
        self.target, self.folder = target, work_folder(target)
        self.part = self.folder / f"{_PART}{target.suffix}"
        """The file in the making."""
        self.segments: list[Segment] = []
        self._begun = 0
        self._disk = ThreadPoolExecutor(1, "vsr-work")
        self._adding: Future[None] | None = None
        self._lock, self._keep = lock, keep
        self._identity: Identity = {}
        self._finished = False

    @property
    def frames(self) -> int:
        """Encoded in the finished segments."""
        return sum(segment.frames for segment in self.segments)

    @property
    def place(self) -> ResumePoint | None:
        """Where to go on; None from the start."""
        return self.segments[-1].place if self.segments else None

    @property
    def cleaned(self) -> list[ShotCleaning]:
        """What was done to the shots that have ended, in order."""
        return [shot for segment in self.segments for shot in segment.place.cleaned]

    @property
    def files(self) -> list[Path]:
        """The finished segments' files in order."""
        return [self.folder / segment.file for segment in self.segments]

    def next_file(self) -> Path:
        """Where the next segment is to be written."""
        return self.folder / f"{self._begun:05d}.packets"

    def state(self) -> State:
        """The model's state at the last border; empty if it carried nothing over."""
        name = self.segments[-1].state if self.segments else ""
        if not name:
            return {}
        try:
            path = self.folder / name  # opened here: numpy leaves one open that it cannot read
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return {key: arrays[key] for key in arrays}
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as exc:
            raise ResumeError(
                f"the unfinished work in {self.folder} is damaged ({name}: {exc}); "
                "use --no-resume to start anew"
            ) from exc

    def add(self, *, place: ResumePoint, frames: int, state: State) -> None:
        """Counts the segment that lies in `next_file` as done, once it is on the disk: a thread
        sees to that. Raises OutputError, which may be about the segment before.
        """
        self._settle()
        file = self.next_file()
        self._begun += 1
        self._adding = self._disk.submit(self._add, file, place, frames, state)

    def _settle(self) -> None:
        """Waits for the disk. Raises what went wrong there."""
        if self._adding:
            self._adding.result()

    def _add(self, file: Path, place: ResumePoint, frames: int, state: State) -> None:
        try:
            name = self._write_state(file.stem, state) if state else ""
            before = self.segments[-1].state if self.segments else ""
            segment = Segment(
                file=file.name,
                size_bytes=file.stat().st_size,
                sha256=_synced(file),
                frames=frames,
                state=name,
                place=place,
            )
            self._write_manifest([*self.segments, segment])
            self.segments.append(segment)
            if before:
                (self.folder / before).unlink(missing_ok=True)
        except OSError as exc:
            raise output_error(self.target, exc) from exc

    def seal(self) -> None:
        """Notes that the file in the making is whole, just before it is put in place.

        Raises OutputError.
        """
        self._settle()
        if self.segments:
            try:
                self._write_manifest(self.segments, sealed=True)
            except OSError as exc:
                raise output_error(self.target, exc) from exc

    def finish(self) -> None:
        """The output is in place: nothing is left to resume."""
        self._finished = True

    def _write_state(self, stem: str, state: State) -> str:
        path = self.folder / f"{stem}.npz"
        with path.open("wb") as file:
            np.savez(file, **state)  # type: ignore[arg-type]  # its stub takes the keys for options
            file.flush()
            os.fsync(file.fileno())
        return path.name

    def _write_manifest(self, segments: list[Segment], *, sealed: bool = False) -> None:
        data = {
            "format": FORMAT,
            "run": dict(self._identity),
            "sealed": sealed,
            "kept": sealed and self._keep,
            "segments": [_plain(segment) for segment in segments],
        }
        path, temporary = self.folder / _MANIFEST, self.folder / f"{_MANIFEST}.new"
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(data, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(self.folder)

    def begin(self, identity: Identity, segments: list[Segment], *, is_sealed: bool) -> None:
        """Takes these segments over and removes whatever else lies in the folder.

        `is_sealed` is what the manifest says that they come from.
        """
        self._identity, self.segments, self._begun = identity, segments, len(segments)
        if segments and is_sealed:  # before the part goes, without which `sweep` takes it for over
            self._write_manifest(segments)
        wanted = {_LOCK, _MANIFEST} if segments else {_LOCK}
        wanted |= {name for s in segments for name in (s.file, s.state)}
        for path in self.folder.iterdir():
            if path.name not in wanted:
                path.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._disk.shutdown()  # what is being added counts, or has failed
        # As it is on the disk, where a seal may have come though the disk refused something.
        found = _read(self.folder) or {}
        with suppress(OSError):
            if found.get("sealed") and not self._finished:  # it could not be put in place
                self._write_manifest(self.segments)
            self.part.unlink(missing_ok=True)
        counted = _frames(found)
        if counted and not (self._finished and not self._keep):
            if exc is not None:
                kept = "1 frame is" if counted == 1 else f"{counted} frames are"
                exc.add_note(f"{kept} kept: --resume goes on after them")
            self._lock.close()
        else:
            _remove(self.folder, self._lock)


class NoWork:
    """What stands for a Work where nothing can be kept: pipes and pictures."""

    part: Path | None = None
    place: ResumePoint | None = None
    frames = 0
    files: Sequence[Path] = ()
    cleaned: Sequence[ShotCleaning] = ()

    def state(self) -> State:
        """Nothing was carried over a border."""
        return {}

    def next_file(self) -> Path:
        """There is none; it is not asked for."""
        raise NotImplementedError

    def add(self, *, place: ResumePoint, frames: int, state: State) -> None:
        """Keeps nothing."""

    def seal(self) -> None:
        """Has nothing to note."""

    def finish(self) -> None:
        """Has nothing to remove."""


def open_work(target: Path, identity: Identity, *, resume: bool | None, keep: bool = False) -> Work:
    """The work folder of a run, with the segments of an earlier one where it is to go on.

    `resume` False drops what an earlier run left, None refuses to choose. Raises ResumeError if
    there is work that this run may not touch, OutputError if the folder cannot be written.
    """
    work = Work(target, _locked(target), keep=keep)
    try:
        found = _read(work.folder)
        segments = _taken_up(found, target, identity, resume=resume)
        work.begin(identity, segments, is_sealed=bool(found and found.get("sealed")))
    except BaseException as exc:
        work._lock.close()
        if isinstance(exc, OSError):
            raise output_error(target, exc) from exc
        raise
    return work


def check_work(target: Path, identity: Identity, *, resume: bool | None) -> None:
    """Raises ResumeError where `open_work` would."""
    _taken_up(_read(work_folder(target)), target, identity, resume=resume)


def unfinished(target: Path) -> int:
    """How many frames of a target an earlier run has kept, as its manifest says."""
    found = _read(work_folder(target))
    return 0 if found is None or _is_over(target, found) else _frames(found)


def sweep(target: Path) -> None:
    """Removes the work folder of a run that was killed after its output was in place."""
    folder = work_folder(target)
    if folder.is_dir() and _is_over(target, _read(folder)):
        with suppress(OutputError):
            _remove(folder, _locked(target))


def _is_over(target: Path, found: Mapping[str, Any] | None) -> bool:
    """Whether the run that left this manifest, or none, has put its output in place and needs its
    work no more.

    A target that is there beside the whole file in the making is an older one.
    """
    if found is not None and (found.get("kept") or not found.get("sealed")):
        return False
    part = work_folder(target) / f"{_PART}{target.suffix}"
    try:
        return part.samefile(target)
    except FileNotFoundError:
        return target.exists()


def _locked(target: Path, tries: int = _TRIES) -> IO[bytes]:
    """The folder's lock file, held. Creates the folder."""
    folder = work_folder(target)
    try:
        folder.mkdir(exist_ok=True)
        lock = (folder / _LOCK).open("ab")
    except (FileNotFoundError, FileExistsError) as exc:
        is_removed = isinstance(exc, FileNotFoundError) or not os.path.lexists(folder)
        if is_removed and target.parent.is_dir() and tries > 1:  # by the run before, just now
            return _locked(target, tries - 1)
        raise output_error(target, exc) from exc
    except OSError as exc:
        raise output_error(target, exc) from exc
    if not locks.hold(lock):
        lock.close()
        raise OutputError(f"{target} is being written by another run; wait for it")
    if os.fstat(lock.fileno()).st_nlink == 0:  # the run before removed it just now
        lock.close()
        return _locked(target, tries - 1)
    return lock


def _read(folder: Path) -> dict[str, Any] | None:
    """The manifest; None if there is none that can be read."""
    try:
        found = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("format") == FORMAT else None


def _frames(found: Mapping[str, Any]) -> int:
    """How many a manifest counts as done."""
    return sum(int(segment.get("frames", 0)) for segment in found.get("segments", ()))


def _segments(found: Mapping[str, Any], folder: Path) -> list[Segment]:
    """The segments that a manifest names. Raises ResumeError if one is not what it was."""
    try:
        segments = [_segment(entry) for entry in found["segments"]]
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as exc:
        raise ResumeError(
            f"{folder / _MANIFEST} cannot be understood ({exc}); use --no-resume to start anew"
        ) from exc
    for segment in segments:
        try:
            whole = _sha256(folder / segment.file) == segment.sha256
        except OSError:
            whole = False
        if not whole:
            raise ResumeError(
                f"the unfinished work in {folder} is damaged ({segment.file}); "
                "use --no-resume to start anew"
            )
    return segments


def _taken_up(
    found: Mapping[str, Any] | None, target: Path, identity: Identity, *, resume: bool | None
) -> list[Segment]:
    """The segments of a manifest that a run goes on after. Raises ResumeError if it may not touch
    them, as they are another's or damaged or it was not told."""
    if found is None or resume is False:
        return []
    segments = _segments(found, work_folder(target))
    if segments:
        state = f"{target} {'has kept work' if found.get('kept') else 'is unfinished'}"
        _check(found["run"], identity, state=f"{state} ({_done(segments)} done)")
        if resume is None:
            raise ResumeError(
                f"{state}: {_done(segments)} are done. Add --resume to go on, or --no-resume to "
                "start anew"
            )
    return segments


def _done(segments: Sequence[Segment]) -> str:
    frames = sum(segment.frames for segment in segments)
    return "1 frame" if frames == 1 else f"{frames} frames"


def _check(before: Mapping[str, str], now: Identity, *, state: str) -> None:
    """Raises ResumeError that names what differs; what was not said before may be said now.

    `state` is what has become of the run before, in words.
    """
    changed = [key for key in before if before[key] != now.get(key)]
    if not changed:
        return
    told = ", ".join(_difference(key, before.get(key), now.get(key)) for key in changed[:3])
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    raise ResumeError(
        f"{state} and this run differs: {told}{more}. "
        "Put that back and add --resume, or use --no-resume to start anew"
    )


def _difference(key: str, before: str | None, now: str | None) -> str:
    return f"{key} was {before or 'not given'} and is {now or 'not given'}"


def _plain(segment: Segment) -> dict[str, Any]:
    plain = asdict(segment)
    plain["place"]["time_s"] = str(segment.place.time_s)
    return plain


def _segment(entry: Mapping[str, Any]) -> Segment:
    place = entry["place"]
    shots = (ShotCleaning(**{**s, "passes": tuple(s["passes"])}) for s in place.get("cleaned", ()))
    made = ResumePoint(**{**place, "time_s": Fraction(place["time_s"]), "cleaned": tuple(shots)})
    return Segment(**{**entry, "place": made})


def _remove(folder: Path, lock: IO[bytes]) -> None:
    """Removes a folder that holds nothing to resume, its manifest first and its lock last."""
    first = folder / _MANIFEST
    with suppress(OSError):
        for path in (first, *folder.iterdir()):
            if path.name != _LOCK:
                path.unlink(missing_ok=True)
    locks.remove(lock, folder / _LOCK)
    with suppress(OSError):
        folder.rmdir()


def _sync_folder(folder: Path) -> None:
    """Makes a rename last through a power cut, where the system can."""
    if sys.platform != "win32":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _synced(path: Path) -> str:
    """The digest of a file, which is on the disk by then."""
    with path.open("rb+") as file:  # Windows syncs only what may be written
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
