"""`vsr upscale`."""

from __future__ import annotations

import gc
import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from vsrcli import stops
from vsrcli.cli.ffmpeg_words import place
from vsrcli.cli.options import Level, LogLevel, ProgressKind, set_log_level
from vsrcli.cli.run_options import RunOptions, takes_run_options
from vsrcli.errors import UsageError


@takes_run_options
def upscale(
    options: RunOptions,
    source: Annotated[
        Path | None,
        typer.Argument(metavar="IN", help="Any file FFmpeg reads. With -i IN: the output."),
    ] = None,
    inputs: Annotated[list[Path] | None, typer.Option("-i", help="The same as IN.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Default: IN_x4_MODEL beside IN.")
    ] = None,
    loglevel: Level = LogLevel.warning,
    progress: Annotated[
        ProgressKind, typer.Option(help="A bar, one JSON object a line, or nothing.")
    ] = ProgressKind.bar,
    progress_url: Annotated[
        str | None,
        typer.Option(
            "-progress", metavar="FILE", help="FFmpeg's key=value lines; - or pipe:1 is stdout."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
) -> None:
    """Upscale a video; audio, subtitles, chapters, attachments and tags come along."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # or numpy starts one a core, for nothing
    gc.disable()  # all that is loaded stays
    from vsrcli.cli.progress import shown
    from vsrcli.pipeline import upscale as run

    if not gc.get_freeze_count():  # once: what an earlier run left behind must not stay
        gc.freeze()  # nor does each segment's end look through it
    gc.enable()
    set_log_level(loglevel)
    given = inputs or []
    if len(given) == 1 and output is None:  # as ffmpeg has it: -i IN OUT
        output = source
    elif source is not None:
        given = [*given, source]
    if len(given) != 1:
        sound = (
            "the sound of another is added by ffmpeg -i OUT -i SOUND -map 0:v -map 1:a -c copy NEW"
        )
        raise UsageError(
            "name one input: vsr upscale IN, or -i IN; several go by vsr batch"
            + f", and {sound}" * bool(given)
        )
    named, output = place(given[0], "pipe:0"), output and place(output, "pipe:1")
    if dry_run:
        from vsrcli.cli.dry_run import dry_run as say

        say(options.job(named, output), as_json=progress is ProgressKind.json)
        return
    quiet = loglevel is LogLevel.quiet
    showing = shown(progress, named, target=output, url=progress_url, quiet=quiet)
    with stops.orderly(), showing as show:
        report = run(options.job(named, output), show.step, on_stage=show.stage)
        with suppress(stops.Stop):  # too late: the output is there, whoever hears of it
            show.done(report)
