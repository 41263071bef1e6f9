"""How a run is shown: a bar for people, one JSON object a line for programs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from vsrcli.cli.options import ProgressKind
from vsrcli.pipeline import Progress, Report

_EVERY_S = 0.5


class Display(Protocol):
    """Shows a run."""

    def step(self, progress: Progress) -> None:
        """A frame was written."""
        ...

    def done(self, report: Report) -> None:
        """The file is in place."""
        ...


@contextmanager
def shown(kind: ProgressKind, *, quiet: bool = False) -> Iterator[Display]:
    """The display of this kind; a bar only where stderr is a terminal."""
    if kind is ProgressKind.json:
        yield _Json()
    elif kind is ProgressKind.none or quiet:
        yield _Nothing()
    elif not sys.stderr.isatty():
        yield _LastLine()
    else:
        yield from _bar()


class _Nothing:
    def step(self, progress: Progress) -> None:
        pass

    def done(self, report: Report) -> None:
        pass


class _LastLine(_Nothing):
    """Where no bar can be drawn: one line of what was done, without waiting for rich to load."""

    def done(self, report: Report) -> None:
        print(_summary(report), file=sys.stderr)  # noqa: T201


class _Json:
    """One object a line on stdout, flushed: events "progress" (at most two a second) and "done"."""

    def __init__(self) -> None:
        self._last = float("-inf")

    def step(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._last < _EVERY_S and progress.frame != progress.frames:
            return
        self._last = now
        _emit(
            event="progress",
            frame=progress.frame,
            frames=progress.frames or None,
            fps=round(progress.fps, 3),
            eta_s=None if progress.eta_s is None else round(progress.eta_s, 3),
            out_time_s=round(progress.out_time_s, 6),
        )

    def done(self, report: Report) -> None:
        _emit(
            event="done",
            source=str(report.source),
            target=str(report.target),
            model=report.model,
            device=report.device,
            scale=report.scale,
            width=report.width,
            height=report.height,
            frames=report.frames,
            damaged=report.damaged,
            seconds=round(report.seconds, 3),
        )


def _emit(**fields: object) -> None:
    print(json.dumps(fields), flush=True)  # noqa: T201


def _bar() -> Iterator[Display]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[fps]:.1f} fps  {task.fields[memory]}"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None, fps=0.0, memory="")

        class Drawn:
            def step(self, progress: Progress) -> None:
                bar.update(
                    task,
                    completed=progress.frame,
                    total=progress.frames or None,
                    fps=progress.fps,
                    memory=_memory(),
                )

            def done(self, report: Report) -> None:
                bar.stop()
                console.print(_summary(report), highlight=False, soft_wrap=True)

        yield Drawn()


def _summary(report: Report) -> str:
    rate = report.frames / max(report.seconds, 1e-6)
    size = f"{report.width}x{report.height}"
    made = f"{report.frames} frames, {size}, {report.model} x{report.scale}"
    return f"{report.target}: {made}, {report.seconds:.1f} s ({rate:.1f} fps)"


def _memory() -> str:
    """Peak resident memory so far."""
    if sys.platform == "win32":
        return ""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return f"{peak / (1024 if sys.platform == 'linux' else 1024**2):.0f} MiB"
