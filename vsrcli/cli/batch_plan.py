"""What a batch will do: a job for each source, or the reason why there is none."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vsrcli.batch import Failure, Result, State
from vsrcli.cli.config import layered, typed
from vsrcli.cli.joblist import VIDEO, Entry, entries
from vsrcli.cli.run_options import RunOptions
from vsrcli.errors import InputError, OutputError, UsageError, VsrError
from vsrcli.job import Job
from vsrcli.paths import numbered
from vsrcli.runtime.bare_onnx import resolve_model
from vsrcli.targets import files_at, is_done, pattern_of, refuse_source, target_of

Planned = Job | Result
"""A run to do, or one that is over before it began."""


def plan(
    inputs: Sequence[str], output: str | None, options: RunOptions, *, redo: bool
) -> list[Planned]:
    """A job for each source, a result for those that cannot be or need not be run.

    A batch is there to be run again: its jobs go on with unfinished work unless told not to.
    A source that another one's run makes is left out, unless a list names it: a folder may be given
    again and again. Raises UsageError where the inputs or `output` say nothing that can be done.
    """
    _check_output(output)
    options.job(Path("any"), None)  # what cannot be meant together would fail every run
    pattern = pattern_of(output)
    found = entries(inputs)
    planned = [_job(i, entry, pattern, options) for i, entry in enumerate(found, 1)]
    made = {_place(job.target) for job in planned if isinstance(job, Job) and job.target}
    kept = [
        (entry, job)
        for entry, job in zip(found, planned, strict=True)
        if entry.where or _place(job.source) not in made
    ]
    _check_targets(kept)
    if redo:
        _check_sources(kept)
    return [_unless_done(job, redo=redo) if isinstance(job, Job) else job for _, job in kept]


def _check_output(output: str | None) -> None:
    """Raises UsageError for what would become the name of a folder and is not meant so."""
    if output == "-":
        raise UsageError("vsr batch does not write on the standard output; name a folder for -o")
    path = Path(output or "")
    if path.suffix.lower() in VIDEO and "{" not in str(path) and not path.is_dir():
        raise UsageError(
            f"-o {output} names one file; name a folder, or a pattern such as "
            f"'{path.with_stem('{stem}_{size}')}'"
        )


def _job(index: int, entry: Entry, pattern: str, options: RunOptions) -> Planned:
    own = layered(options, typed(entry.words, entry.where))
    try:
        job = own.job(entry.source, entry.target)
        if not os.path.exists(job.source) and not numbered(job.source):
            raise InputError(f"{job.source} does not exist")
        target = job.target or target_of(
            job, pattern, resolve_model(job.model), folder=entry.folder, index=index
        )
        refuse_source(target, job.source)
        return replace(job, target=target, resume=job.resume is not False)
    except VsrError as exc:
        return failed_result(entry.source, entry.target, exc)


def _place(path: Path) -> Path:
    """One path for all spellings of a name; a link has a path of its own."""
    return path.parent.resolve() / path.name


def _check_targets(planned: Sequence[tuple[Entry, Planned]]) -> None:
    taken: dict[Path, str] = {}
    for entry, job in planned:
        if not isinstance(job, Job) or job.target is None:
            continue
        name = _name(entry)
        other = taken.setdefault(_place(job.target), name)
        if other != name:
            raise UsageError(
                f"{other} and {name} would both become {job.target}; use {{folder}}, {{stem}} or "
                "{index} in -o"
            )


def _check_sources(planned: Sequence[tuple[Entry, Planned]]) -> None:
    """Raises UsageError where a job would replace what another one reads: --redo is no word for
    that, though -y is, where a list goes on with what it has made before."""
    read = {file: _name(entry) for entry, _ in planned for file in files_at(entry.source)}
    for entry, job in planned:
        if not isinstance(job, Job) or job.target is None or job.overwrite:
            continue
        for file in files_at(job.target) & read.keys():
            raise UsageError(
                f"{_name(entry)} would replace {job.target}, the input of {read[file]}; choose "
                "another output, or add -y to replace it all the same"
            )


def _name(entry: Entry) -> str:
    return f"{entry.source} ({entry.where})" if entry.where else str(entry.source)


def _unless_done(job: Job, *, redo: bool) -> Planned:
    if redo:
        return replace(job, overwrite=True)
    if is_done(job):
        return Result(source=job.source, target=job.target, state=State.SKIPPED)
    if job.target is not None and job.target.is_file() and not job.overwrite:
        message = f"{job.target} is older than its source; use -y to replace such, or --redo"
        return failed_result(job.source, job.target, OutputError(message))
    return job


def failed_result(source: Path, target: Path | None, exc: VsrError) -> Result:
    """A run that an error ends before it begins."""
    failure = Failure(code=exc.exit_code, message=str(exc))
    return Result(source=source, target=target, state=State.FAILED, failure=failure)
