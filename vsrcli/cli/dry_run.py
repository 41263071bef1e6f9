"""What --dry-run prints: what a run would do and take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vsrcli.batch import Result, State
from vsrcli.cli.batch_plan import Planned, failed_result
from vsrcli.cli.batch_report import plan_line, result_document
from vsrcli.cli.probe import clock, render_streams
from vsrcli.cli.probe_document import fate_document, stream_document
from vsrcli.cli.process import escaped
from vsrcli.cli.tables import print_json, print_lines, print_table
from vsrcli.dry_run import Prospect, rehearse
from vsrcli.errors import BatchError, VsrError
from vsrcli.job import Job


def dry_run(job: Job, *, as_json: bool) -> None:
    """Says what the run of a job would do. Raises what it would begin with."""
    prospect = rehearse(job)
    if as_json:
        print_json(_document(prospect))
    else:
        _render(prospect)


def dry_runs(planned: Sequence[Planned], *, as_json: bool) -> None:
    """A line for each source of a batch and, indented, what its run would do and take; or one JSON
    document. Raises BatchError where some would fail."""
    found = []
    for job in planned:
        found.append(_rehearsed(job))
        if not as_json:
            _say(plan_line(job))
        if isinstance(job, Job) and not as_json:
            _say(f"  {_about(found[-1])}")
    if as_json:
        print_json({"jobs": [_job_document(one) for one in found]})
    elif total := sum(one.seconds or 0 for one in found if not isinstance(one, Result)):
        _say(f"about {clock(total)} in all, one at a time; nothing was written")
    failed = sum(isinstance(one, Result) and one.state is State.FAILED for one in found)
    if failed:
        raise BatchError(f"{failed} of {len(found)} would fail")


def _rehearsed(job: Planned) -> Prospect | Result:
    """What a run would do; a result where there is nothing to do or it would fail."""
    if isinstance(job, Result):
        return job
    try:
        return rehearse(job, makes_folder=True)
    except VsrError as exc:
        return failed_result(job.source, job.target, exc)


def _about(found: Prospect | Result) -> str:
    if not isinstance(found, Result):
        return f"{_picture(found)}; {_time(found)}, {_memory(found)}"
    assert found.failure is not None
    return f"would fail with exit code {found.failure.code}: {found.failure.message}"


def _job_document(found: Prospect | Result) -> dict[str, Any]:
    return result_document(found) if isinstance(found, Result) else _document(found)


def _say(line: str) -> None:
    print(escaped(line))  # noqa: T201


def _render(prospect: Prospect) -> None:
    outcome = prospect.outcome
    print_lines(f"{prospect.info.path} -> {outcome.target}", "")
    render_streams(prospect.info, outcome)
    facts = {
        "picture": _picture(prospect),
        "model": f"{prospect.model} on {prospect.speed.device}",
        "time": _time(prospect),
        "memory": _memory(prospect),
    }
    if prospect.done:
        choice = "go on after them" if prospect.resumes else "start anew"
        facts["unfinished work"] = f"{prospect.done} frames are done: the run would {choice}"
    print_table((), facts.items())
    print_lines("", *(f"Warning: {text}" for text in prospect.warnings), "Nothing was written.")


def _picture(prospect: Prospect) -> str:
    video, outcome = prospect.info.video, prospect.outcome
    size = outcome.size
    return (
        f"{video.width}x{video.height} to {size.width}x{size.height}, {prospect.model} "
        f"x{size.scale}, {outcome.encoder} {outcome.pix_fmt}"
    )


def _time(prospect: Prospect) -> str:
    fps = f"{1 / prospect.speed.frame_s:.3g} fps"
    if prospect.seconds is None:
        return f"about {fps}, of unknown length"
    return f"{prospect.frames} frames in about {clock(prospect.seconds)} ({fps})"


def _memory(prospect: Prospect) -> str:
    text = f"about {prospect.peak_bytes / 2**20:.0f} MiB"
    free = prospect.free_bytes
    return text if free is None else f"{text} ({free / 2**20:.0f} MiB free)"


def _document(prospect: Prospect) -> dict[str, Any]:
    info, outcome = prospect.info, prospect.outcome
    streams = zip(info.streams, outcome.streams, strict=True)
    return {
        "source": str(info.path),
        "target": str(outcome.target),
        "container": outcome.container,
        "encoder": outcome.encoder,
        "pix_fmt": outcome.pix_fmt,
        "model": prospect.model,
        "device": prospect.speed.device,
        "scale": outcome.size.scale,
        "width": outcome.size.width,
        "height": outcome.size.height,
        "frames": prospect.frames or None,
        "frames_done": prospect.done,
        "fps": 1 / prospect.speed.frame_s,
        "seconds": prospect.seconds,
        "peak_bytes": prospect.peak_bytes,
        "free_bytes": prospect.free_bytes,
        "streams": [stream_document(stream) | fate_document(plan) for stream, plan in streams],
        "warnings": list(prospect.warnings),
    }
