"""How a run is shown: a bar for people, events for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Protocol

from vsrcli.cli.events import JsonEvents, KeyValueEvents, fate, key_value_stream, mark_told
from vsrcli.cli.options import ProgressKind
from vsrcli.cli.process import escaped
from vsrcli.errors import OutputError, UsageError
from vsrcli.paths import PIPE, is_same
from vsrcli.progress import Progress, Report, Stage
from vsrcli.stops import Stop


class Display(Protocol):
    """Shows a run."""

    def stage(self, stage: Stage) -> None:
        """The run begins, or is about to end."""
        ...

    def step(self, progress: Progress) -> None:
        """A frame was written."""
        ...

    def done(self, report: Report) -> None:
        """The file is in place."""
        ...

    def failed(self, code: int, message: str) -> None:
        """The run has failed and will end with this exit code."""
        ...


@contextmanager
def shown(
    kind: ProgressKind,
    source: Path,
    *,
    target: Path | None = None,
    url: str | None = None,
    quiet: bool = False,
) -> Iterator[Display]:
    """The display of this kind, and FFmpeg's -progress to `url`; a bar only on a terminal.

    A failure inside is told to the displays before it goes on. Raises UsageError where stdout is
    asked to take more than one thing, OutputError where `url` is a file of the run.
    """
    _check_stdout(kind, url, target)
    if url is not None:
        _check_file(url, {"input": source, "output": target})
    with ExitStack() as stack:
        displays = [stack.enter_context(_display(kind, source, quiet=quiet))]
        if url is not None:
            displays.append(KeyValueEvents(stack.enter_context(key_value_stream(url))))
        both = _All(displays)
        try:
            yield both
        except BaseException as exc:
            with suppress(OSError, OutputError, Stop):  # which may be the failure itself
                both.failed(*fate(exc))
            mark_told(exc)
            raise


def _check_stdout(kind: ProgressKind, url: str | None, target: Path | None) -> None:
    wants = {
        "--progress json": kind is ProgressKind.json,
        "-progress": url in ("-", "pipe:", "pipe:1"),
        "-o -": target == PIPE,
    }
    writers = [option for option, is_given in wants.items() if is_given]
    if len(writers) > 1:
        raise UsageError(
            f"{' and '.join(writers)} both write on stdout; use -progress FILE or pipe:2"
        )


def _check_file(url: str, others: Mapping[str, Path | None]) -> None:
    for what, path in others.items():
        if path is not None and is_same(Path(url), path):
            raise OutputError(f"-progress {url} is the {what} itself; name another file")


@contextmanager
def _display(kind: ProgressKind, source: Path, *, quiet: bool) -> Iterator[Display]:
    if kind is ProgressKind.json:
        yield JsonEvents(sys.stdout, source)
    elif kind is ProgressKind.none or quiet:
        yield _Nothing()
    elif not sys.stderr.isatty():
        yield _LastLine()
    else:
        yield from _bar()


class _All:
    """Several displays as one."""

    def __init__(self, displays: Sequence[Display]) -> None:
        self._displays = displays

    def stage(self, stage: Stage) -> None:
        for display in self._displays:
            display.stage(stage)

    def step(self, progress: Progress) -> None:
        for display in self._displays:
            display.step(progress)

    def done(self, report: Report) -> None:
        for display in self._displays:
            display.done(report)

    def failed(self, code: int, message: str) -> None:
        for display in self._displays:
            display.failed(code, message)


class _Nothing:
    def stage(self, stage: Stage) -> None:
        pass

    def step(self, progress: Progress) -> None:
        pass

    def done(self, report: Report) -> None:
        pass

    def failed(self, code: int, message: str) -> None:
        pass


class _LastLine(_Nothing):
    """One line of what was done; nothing else where no bar can be drawn, so that rich, which takes
    a while, need not load."""

    def done(self, report: Report) -> None:
        print(summary(report), file=sys.stderr)  # noqa: T201


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

        class Drawn(_LastLine):
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
                super().done(report)

        yield Drawn()


def summary(report: Report) -> str:
    """What a run did, on one line."""
    rate = report.frames / max(report.seconds, 1e-6)
    size = f"{report.width}x{report.height}"
    count = "1 frame" if report.frames == 1 else f"{report.frames} frames"
    made = f"{count}, {size}, {report.model} x{report.scale}"
    return f"{escaped(str(report.target))}: {made}, {report.seconds:.1f} s ({rate:.1f} fps)"


def _memory() -> str:
    """Peak resident memory so far."""
    from vsrcli.runtime.memory import peak_bytes

    peak = peak_bytes()
    return f"{peak / 2**20:.0f} MiB" if peak else ""
