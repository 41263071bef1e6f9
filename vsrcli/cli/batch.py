"""`vsr batch`."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vsrcli.cli.options import Level, LogLevel, ProgressKind, set_log_level
from vsrcli.cli.run_options import RunOptions, takes_run_options
from vsrcli.errors import BatchError, OutputError, UsageError
from vsrcli.stops import Stop

if TYPE_CHECKING:
    from vsrcli.batch import Result
    from vsrcli.cli.batch_plan import Planned
    from vsrcli.cli.batch_report import Log


@takes_run_options
def batch(
    options: RunOptions,
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="IN...",
            help="Files, folders, quoted patterns, or job lists (.toml, .json, .csv).",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR",
            help="A folder, or a pattern: 'out/{folder}/{stem}_{size}_{model}{suffix}'.",
        ),
    ] = None,
    jobs: Annotated[int, typer.Option("-j", "--jobs", min=1, help="How many at a time.")] = 1,
    redo: Annotated[
        bool, typer.Option("--redo", help="Also those whose output is there and newer.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the report as JSON, too.")
    ] = None,
    loglevel: Level = LogLevel.warning,
    progress: Annotated[
        ProgressKind, typer.Option(help="A line a video, one JSON object a line, or nothing.")
    ] = ProgressKind.bar,
) -> None:
    """Upscale many videos: goes on when one fails, skips what is done, reports at the end.

    After a stop the same command goes on, within a video, too (--no-resume: not within one).
    Exit code 0 if all are done, now or before; 10 if some failed.
    """
    from vsrcli.cli.batch_plan import plan
    from vsrcli.cli.batch_report import check_report, open_log, write_report
    from vsrcli.cli.events import mark_told

    set_log_level(loglevel)
    began = time.time()
    if redo and options.keep:
        raise UsageError("give either --redo or -n, not both")
    planned = plan(inputs, output, options, redo=redo)
    if report:
        check_report(report, inputs, planned)
    if dry_run:
        from vsrcli.cli.dry_run import dry_runs

        try:
            dry_runs(planned, as_json=progress is ProgressKind.json)
        except BatchError as exc:
            mark_told(exc)
            raise
        return
    told = open_log(progress, planned, quiet=loglevel is LogLevel.quiet)
    results, cause = _run(planned, told, at_once=jobs)
    told.end(results)
    end = _StoppedError(cause, results, again=redo) if cause else _failure(results)
    if report:
        try:
            write_report(report, results, began=began)
        except OutputError as exc:
            if end is None:
                raise
            end.add_note(str(exc))
    if end:
        mark_told(end)
        raise end from cause


def _run(
    planned: Sequence[Planned], told: Log, *, at_once: int
) -> tuple[list[Result], BaseException | None]:
    """A result for each source, in order, and what stopped the batch if something did."""
    from vsrcli.batch import Interrupted, run_all
    from vsrcli.job import Job

    todo = {index: job for index, job in enumerate(planned) if isinstance(job, Job)}
    places = list(todo)
    cause: BaseException | None = None
    try:
        ended = run_all(
            list(todo.values()),
            at_once=at_once,
            on_event=lambda index, event: told.event(places[index], event),
        )
    except Interrupted as exc:
        ended, cause = exc.results, exc.cause
        told.stopped(cause)
    by_place = dict(zip(places, ended, strict=True))
    return [by_place[i] if isinstance(p, Job) else p for i, p in enumerate(planned)], cause


def _failure(results: Sequence[Result]) -> BatchError | None:
    failed = sum(result.failure is not None for result in results)
    told = f"{failed} of {len(results)} failed; those that are done are skipped next time"
    return BatchError(told) if failed else None


class _StoppedError(BatchError):
    """A signal ended the batch. Says what there is by then; `again`: the same command redoes it."""

    def __init__(self, cause: BaseException, results: Sequence[Result], *, again: bool) -> None:
        from vsrcli.cli.batch_report import counts, kept_frames

        found = counts(results)
        done = f"{found['done'] + found['skipped']} of {len(results)} done"
        parts = sum(kept_frames(result) > 0 for result in results)
        kept = f", {parts} in part, which is kept" if parts else ""
        hint = "" if again else "; the same command goes on"
        stop = cause if isinstance(cause, Stop) else Stop(signal.SIGINT)
        super().__init__(f"{stop.word}; {done}{kept}{hint}")
        self.exit_code = stop.code
