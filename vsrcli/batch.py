"""Many runs, some at a time, each in a process of its own: what one does cannot stop the others.

A run's progress, warnings and end come back over a pipe. A process that dies without a word, by
lack of memory or a fault in a library, is a failed run like any other.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from vsrcli import stops
from vsrcli.errors import OutputError, VsrError
from vsrcli.job import Job
from vsrcli.pipeline import upscale
from vsrcli.progress import Progress, Report, Stage

log = logging.getLogger("vsr")
_GRACE_S = 10.0
"""What a run may take to clean up when it is stopped."""
_FOR_THE_BATCH = set(stops.SIGNALS) - {signal.SIGTERM}
"""Signals that a terminal sends to all of its processes."""


class State(StrEnum):
    """How one run of a batch ended."""

    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    """The output was there already."""
    STOPPED = "stopped"
    """The batch was interrupted before or while it ran."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a run failed: its exit code and its one line."""

    code: int
    message: str


@dataclass(frozen=True, kw_only=True)
class Warned:
    """A line of a run's log."""

    level: int
    message: str


Event = Progress | Stage | Report | Failure | Warned
"""What a run says of itself. Report and Failure are its last word."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """One run of a batch when all is over."""

    source: Path
    target: Path | None
    """None where it failed before it had one."""
    state: State
    report: Report | None = None
    failure: Failure | None = None


class Interrupted(BaseException):
    """The batch was stopped by a signal. `results` tells what had been done by then."""

    def __init__(self, cause: BaseException, results: list[Result]) -> None:
        super().__init__(str(cause))
        self.cause, self.results = cause, results


@stops.orderly()
def run_all(
    jobs: Sequence[Job],
    *,
    at_once: int = 1,
    on_event: Callable[[int, Event], None] = lambda _, __: None,
) -> list[Result]:
    """Runs every job, `at_once` at a time, in order; gives a result for each.

    `on_event` gets the index of the job. Runs warn as much as this process's "vsr" logger does. On
    Ctrl-C or another exception that is no Exception the runs are stopped cleanly and Interrupted
    carries the results.
    """
    ends: dict[int, Report | Failure] = {}
    running: dict[int, _Run] = {}
    waiting = list(enumerate(jobs))[::-1]
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                index, job = waiting.pop()
                running[index] = _Run(job)
            stops.check()
            for index in _ready(running):
                event = running[index].read()
                if isinstance(event, Report | Failure):
                    ends[index] = event
                    running.pop(index).join()
                on_event(index, event)
    except BaseException as exc:
        _stop(list(running.values()))
        if isinstance(exc, Exception):
            raise
        raise Interrupted(exc, _results(jobs, ends)) from exc
    return _results(jobs, ends)


def _results(jobs: Sequence[Job], ends: dict[int, Report | Failure]) -> list[Result]:
    results = []
    for index, job in enumerate(jobs):
        end = ends.get(index)
        report = end if isinstance(end, Report) else None
        failure = end if isinstance(end, Failure) else None
        state = State.DONE if report else State.FAILED if failure else State.STOPPED
        target = report.target if report else job.target
        results.append(
            Result(source=job.source, target=target, state=state, report=report, failure=failure)
        )
    return results


class _Run:
    """A job in a process of its own."""

    def __init__(self, job: Job) -> None:
        # Not fork: a copy of this process would hold libraries whose threads are gone.
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe(duplex=False)
        self.process: BaseProcess = context.Process(
            target=_work, args=(job, log.getEffectiveLevel(), theirs), daemon=True
        )
        with _interrupts_held():
            self.process.start()
        theirs.close()

    def read(self) -> Event:
        """The next thing it says; Failure if it can say nothing any more."""
        try:
            event: Event = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode or 0
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            message = f"the run ended without a word ({how}); is there enough memory?"
            return Failure(code=1, message=message)
        return event

    def join(self) -> None:
        self.process.join()
        self.pipe.close()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """A process that is started inside never gets what a terminal sends, Ctrl-C or its close: it
    would end while it still imports, with a traceback, and count as failed."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # it lets them through when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _FOR_THE_BATCH)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _ready(running: dict[int, _Run]) -> list[int]:
    heard = set(wait([run.pipe for run in running.values()], stops.POLL_S))
    return [index for index, run in running.items() if run.pipe in heard]


def _stop(runs: Sequence[_Run]) -> None:
    """Ends processes as SIGTERM would; those that do not obey are killed."""
    for run in runs:
        run.pipe.close()  # nobody reads any more, and a full pipe would hold the run up
        if sys.platform != "win32":  # which knows no such signal: the run ends by the closed pipe
            run.process.terminate()
    for run in runs:
        run.process.join(_GRACE_S)
        if run.process.is_alive():
            run.process.kill()
            run.process.join()


def _work(job: Job, level: int, pipe: Connection) -> None:
    """A run's process. What a terminal sends is for the batch, which then asks its runs to stop."""
    for number in _FOR_THE_BATCH:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, _: stops.ask(number))
    outbox = _Outbox(pipe)
    log.handlers, log.propagate = [_Told(outbox)], False
    log.setLevel(level)
    try:
        if job.target is not None:
            job.target.parent.mkdir(parents=True, exist_ok=True)
        outbox.send(upscale(job, outbox.send, on_stage=outbox.send))
    except VsrError as exc:
        outbox.send(Failure(code=exc.exit_code, message=str(exc)))
    except Exception as exc:
        with suppress(OSError):  # the batch has gone
            outbox.send(_unexpected(exc))
    except stops.Stop as exc:
        raise SystemExit(exc.code) from None


def _unexpected(exc: Exception) -> Failure:
    if isinstance(exc, OSError) and exc.filename is not None:  # mkdir's
        message = f"the folder {exc.filename} cannot be made: {exc.strerror}"
        return Failure(code=OutputError.exit_code, message=message)
    return Failure(code=1, message=f"internal error: {type(exc).__name__}: {exc}")


class _Outbox:
    """The pipe to the batch. Stages on other threads warn while this one tells of frames."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe, self._lock = pipe, threading.RLock()

    def send(self, event: Event) -> None:
        with self._lock:
            self._pipe.send(event)


class _Told(logging.Handler):
    """Sends log lines to the batch."""

    def __init__(self, outbox: _Outbox) -> None:
        super().__init__()
        self._outbox = outbox

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            self._outbox.send(Warned(level=record.levelno, message=record.getMessage()))
