"""How a batch is told: a line a video or JSON events while it runs, a table and JSON at the end."""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from vsrcli.batch import Event, Failure, Result, State, Warned
from vsrcli.cli.batch_plan import Planned
from vsrcli.cli.events import SCHEMA, JsonEvents, fate
from vsrcli.cli.options import ProgressKind
from vsrcli.cli.process import escaped
from vsrcli.errors import OutputError, UsageError
from vsrcli.job import Job
from vsrcli.paths import PIPE, is_same, takes_files
from vsrcli.progress import Progress, Report
from vsrcli.resume import unfinished
from vsrcli.stops import Stop

log = logging.getLogger("vsr")
_EVERY_S = 0.2
_NOT_REPLACED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.EXDEV)
"""What the system says of a file that may be written to where none can take its place."""


class Log(Protocol):
    """Tells of a batch while it runs."""

    def event(self, index: int, event: Event) -> None:
        """Something happened in the run of this index."""
        ...

    def stopped(self, cause: BaseException) -> None:
        """The batch was stopped, and with it the runs that had begun."""
        ...

    def end(self, results: Sequence[Result]) -> None:
        """All is over."""
        ...


def open_log(kind: ProgressKind, planned: Sequence[Planned], *, quiet: bool) -> Log:
    """The log of this kind."""
    if kind is ProgressKind.json:
        return _Events(planned)
    if quiet:
        return _Silent(planned)
    return _Lines(planned) if kind is ProgressKind.bar else _Table(planned)


class _Silent:
    def __init__(self, planned: Sequence[Planned]) -> None:
        self._sources = [job.source for job in planned]
        self._count = len(planned)

    def event(self, index: int, event: Event) -> None:
        if isinstance(event, Warned):
            log.log(event.level, "%s: %s", self._sources[index], event.message)

    def stopped(self, cause: BaseException) -> None:
        pass

    def end(self, results: Sequence[Result]) -> None:
        pass


class _Table(_Silent):
    """Nothing but the report."""

    def end(self, results: Sequence[Result]) -> None:
        for line in table(results):
            print(line, file=sys.stderr)  # noqa: T201


class _Lines(_Table):
    """A line for each run that ends and, on a terminal, one that shows those going on."""

    def __init__(self, planned: Sequence[Planned]) -> None:
        super().__init__(planned)
        self._over = sum(not isinstance(job, Job) for job in planned)
        self._live = sys.stderr.isatty()
        self._going: dict[int, Progress] = {}
        self._last = 0.0

    def event(self, index: int, event: Event) -> None:
        if isinstance(event, Progress):
            self._going[index] = event
            self._show()
            return
        self._clear()
        if isinstance(event, Report | Failure):
            self._going.pop(index, None)
            self._over += 1
            self._tell(self._sources[index], event)
        super().event(index, event)

    def _tell(self, source: Path, end: Report | Failure) -> None:
        rate = end.frames / max(end.seconds, 1e-6) if isinstance(end, Report) else 0
        how = f"{end.target}, {rate:.1f} fps" if isinstance(end, Report) else end.message
        word = "done" if isinstance(end, Report) else "failed"
        line = escaped(f"[{self._over}/{self._count}] {word} {source}: {how}")
        print(line, file=sys.stderr)  # noqa: T201

    def _show(self) -> None:
        now = time.monotonic()
        if not self._live or now - self._last < _EVERY_S:
            return
        from rich.cells import set_cell_size

        self._last = now
        parts = [
            f"{self._sources[i].name} {p.frame}/{p.frames or '?'} {p.fps:.1f} fps"
            for i, p in self._going.items()
        ]
        line = escaped(f"[{self._over}/{self._count}] {', '.join(parts)}")
        fitting = set_cell_size(line, _columns() - 1)
        print(f"\r{fitting}", end="", flush=True, file=sys.stderr)  # noqa: T201

    def _clear(self) -> None:
        """The line that shows runs goes: by blanks, as not every terminal knows a code for it."""
        if self._live:
            print(f"\r{'':{_columns() - 1}}\r", end="", file=sys.stderr)  # noqa: T201

    def end(self, results: Sequence[Result]) -> None:
        self._clear()
        super().end(results)


def _columns() -> int:
    try:
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
    except OSError:  # the terminal was closed
        columns = 0
    return columns or 80  # some do not know how wide they are


class _Events(_Silent):
    """The JSON events of every run, with `job`, its place in the batch; then one "report".

    What need not or cannot be run is told first, by "skipped" and "error".
    """

    def __init__(self, planned: Sequence[Planned]) -> None:
        super().__init__(planned)
        self._runs = [
            JsonEvents(sys.stdout, job.source, job=index) for index, job in enumerate(planned)
        ]
        self._begun: set[int] = set()
        for run, job in zip(self._runs, planned, strict=True):
            if isinstance(job, Result) and job.failure:
                run.failed(job.failure.code, job.failure.message)
            elif isinstance(job, Result):
                run.write(job.state.value, target=str(job.target))

    def event(self, index: int, event: Event) -> None:
        run = self._runs[index]
        if isinstance(event, Report | Failure):
            self._begun.discard(index)
        if isinstance(event, Progress):
            run.step(event)
        elif isinstance(event, Report):
            run.done(event)
        elif isinstance(event, Failure):
            run.failed(event.code, event.message)
        elif isinstance(event, Warned):
            super().event(index, event)
        else:
            self._begun.add(index)
            run.stage(event)

    def stopped(self, cause: BaseException) -> None:
        with suppress(Stop):  # nobody reads
            for index in sorted(self._begun):
                self._runs[index].failed(*fate(cause))

    def end(self, results: Sequence[Result]) -> None:
        with suppress(Stop):  # nobody reads
            JsonEvents(sys.stdout, None).write("report", **counts(results))


def table(results: Sequence[Result]) -> list[str]:
    """The report for people: one line a source, and what it adds up to."""
    sources = [escaped(str(result.source)) for result in results]
    wide = max(map(len, sources), default=0)
    lines = [
        f"{result.state.value:<8} {source:<{wide}}  {escaped(_remark(result))}".rstrip()
        for result, source in zip(results, sources, strict=True)
    ]
    total = ", ".join(f"{number} {word}" for word, number in counts(results).items() if number)
    return [*lines, total]


def _remark(result: Result) -> str:
    if result.report:
        report = result.report
        return f"{report.frames} frames, {report.seconds:.1f} s -> {report.target}"
    if result.failure:
        return f"exit code {result.failure.code}: {result.failure.message}"
    if result.state is State.SKIPPED:
        return f"{result.target} is there and newer"
    kept = kept_frames(result)
    return f"frames kept: {kept}" if kept else ""


def kept_frames(result: Result) -> int:
    """How many frames a run that was stopped has left to go on after."""
    if result.state is not State.STOPPED or result.target is None:
        return 0
    return unfinished(result.target)


def counts(results: Sequence[Result]) -> dict[str, int]:
    """How many runs ended in each way."""
    found = Counter(result.state for result in results)
    return {state.value: found[state] for state in State}


def check_report(path: Path, inputs: Sequence[str], planned: Sequence[Planned]) -> None:
    """Before all runs. Raises OutputError where a report cannot be written, or is a file of the
    batch, its job list too, and UsageError for what elsewhere is the standard output."""
    if path == PIPE:
        raise UsageError("--report takes a file; --progress json writes on the standard output")
    if path.is_dir():
        raise OutputError(f"the report {path} cannot be written: it is a folder")
    is_there = path.exists()
    if not (is_there and os.access(path, os.W_OK)):  # in place, or else by another in its place
        if not takes_files(path.parent):
            raise OutputError(f"the report {path} cannot be written: {path.parent} takes no files")
        if is_there and not path.is_file():
            raise OutputError(f"the report {path} may not be written to")
    videos = (other for job in planned for other in (job.source, job.target) if other is not None)
    if any(is_same(path, other) for other in (*map(Path, inputs), *videos)):
        raise OutputError(f"--report {path} is a file of the batch itself; name another")


def write_report(path: Path, results: Sequence[Result], *, began: float) -> None:
    """The report for programs, put in its place when whole; a device or a pipe, and a file that
    cannot be replaced, gets it as it is. Raises OutputError."""
    document = {
        "v": SCHEMA,
        "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)),
        "seconds": round(time.time() - began, 3),
        **counts(results),
        "jobs": [result_document(result) for result in results],
    }
    text = json.dumps(document, indent=2) + "\n"
    try:
        if os.path.exists(path) and not path.is_file():
            path.write_text(text, encoding="utf-8")
        else:
            _replace(path, text)
    except OSError as exc:
        raise OutputError(f"the report {path} cannot be written: {exc.strerror}") from exc


def _replace(path: Path, text: str) -> None:
    """A file with this text, whole or not at all; written in place where its folder takes no files
    or it is mounted by itself. Raises OSError."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as exc:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        if exc.errno not in _NOT_REPLACED or not path.is_file():
            raise
        path.write_text(text, encoding="utf-8")


def result_document(result: Result) -> dict[str, Any]:
    """One run of the report."""
    report, failure = result.report, result.failure
    return {
        "source": str(result.source),
        "target": None if result.target is None else str(result.target),
        "state": result.state.value,
        "code": failure.code if failure else None if result.state is State.STOPPED else 0,
        "message": failure.message if failure else None,
        "model": report.model if report else None,
        "scale": report.scale if report else None,
        "width": report.width if report else None,
        "height": report.height if report else None,
        "frames": report.frames if report else None,
        "seconds": round(report.seconds, 3) if report else None,
    }


def plan_line(job: Planned) -> str:
    """What would be done with a source."""
    if isinstance(job, Job):
        return f"upscale {job.source} -> {job.target}"
    return f"{job.state.value} {job.source}: {_remark(job)}"
