"""`vsr upscale`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vsrcli.cli.options import (
    Device,
    Level,
    LogLevel,
    Precision,
    ProgressKind,
    Threads,
    bits_per_second,
    pairs,
    seconds,
    set_log_level,
)
from vsrcli.errors import UsageError

_PICTURE, _TIME = "Picture encoding", "Part of the source"
_SHOTS = "Shots (recurrent models)"


def upscale(
    source: Annotated[
        Path | None, typer.Argument(metavar="IN", help="Any file FFmpeg reads.")
    ] = None,
    input_: Annotated[Path | None, typer.Option("-i", help="The same as IN.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Default: IN_x4_MODEL beside IN.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "-m", "--model", help="An id of `vsr models`, a model folder or an .onnx file."
        ),
    ] = None,
    scale: Annotated[int | None, typer.Option("-s", "--scale", help="2, 3 or 4.")] = None,
    width: Annotated[int | None, typer.Option(help="Output width instead of --scale.")] = None,
    height: Annotated[int | None, typer.Option(help="Output height instead of --scale.")] = None,
    codec: Annotated[
        str | None,
        typer.Option("-c:v", "--encoder", help="Default libx264.", rich_help_panel=_PICTURE),
    ] = None,
    crf: Annotated[
        float | None, typer.Option("-crf", "--crf", help="Default 16.", rich_help_panel=_PICTURE)
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option("-preset", "--preset", help="Default medium.", rich_help_panel=_PICTURE),
    ] = None,
    bitrate: Annotated[
        str | None,
        typer.Option(
            "-b:v", "--bitrate", help="4M, 800k; not with --crf.", rich_help_panel=_PICTURE
        ),
    ] = None,
    pix_fmt: Annotated[
        str | None,
        typer.Option(
            "-pix_fmt", "--pix-fmt", help="Default: the source's.", rich_help_panel=_PICTURE
        ),
    ] = None,
    encoder_option: Annotated[
        list[str] | None,
        typer.Option(metavar="K=V", help="May be given again.", rich_help_panel=_PICTURE),
    ] = None,
    audio: Annotated[
        str, typer.Option("-c:a", "--audio-codec", help="copy, aac or none.")
    ] = "copy",
    start: Annotated[
        str | None, typer.Option("-ss", help="Start, frame-exact.", rich_help_panel=_TIME)
    ] = None,
    length: Annotated[str | None, typer.Option("-t", help="Length.", rich_help_panel=_TIME)] = None,
    end: Annotated[
        str | None, typer.Option("-to", help="End, on the source's clock.", rich_help_panel=_TIME)
    ] = None,
    yes: Annotated[bool, typer.Option("-y", help="Replace an existing output.")] = False,
    no: Annotated[bool, typer.Option("-n", help="Never replace one (the default).")] = False,
    on_error: Annotated[
        str, typer.Option(help="fail or skip: what to do with packets that cannot be decoded.")
    ] = "fail",
    scene_threshold: Annotated[
        float | None,
        typer.Option(
            metavar="PERCENT",
            help="What makes a cut. Default 10.",
            rich_help_panel=_SHOTS,
        ),
    ] = None,
    no_scene_cut: Annotated[
        bool, typer.Option("--no-scene-cut", help="One shot, no cuts.", rich_help_panel=_SHOTS)
    ] = False,
    warm_up: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            help="Frames run backwards before each shot. Default 4.",
            rich_help_panel=_SHOTS,
        ),
    ] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = 0,
    loglevel: Level = LogLevel.warning,
    progress: Annotated[
        ProgressKind, typer.Option(help="A bar, one JSON object a line, or nothing.")
    ] = ProgressKind.bar,
) -> None:
    """Upscale a video; audio, subtitles, chapters, attachments and tags come along."""
    from vsrcli.cli.progress import shown
    from vsrcli.job import DEFAULT_MODEL, Job
    from vsrcli.media.encode import VideoOptions
    from vsrcli.pipeline import upscale as run

    set_log_level(loglevel)
    if (source is None) == (input_ is None):
        raise UsageError("name one input: vsr upscale IN, or -i IN")
    if yes and no:
        raise UsageError("give either -y or -n, not both")
    if length and end:
        raise UsageError("give either -t or -to, not both")
    start_s = seconds(start, "-ss")
    length_s, end_s = seconds(length, "-t"), seconds(end, "-to")
    job = Job(
        source=source or input_ or Path(),
        target=output,
        model=model or DEFAULT_MODEL,
        scale=scale,
        width=width,
        height=height,
        video=VideoOptions(
            codec=codec,
            crf=crf,
            preset=preset,
            bitrate=bits_per_second(bitrate),
            pix_fmt=pix_fmt,
            extra=pairs(encoder_option or ()),
        ),
        audio=audio,
        start_s=start_s,
        end_s=(start_s or 0) + length_s if length_s is not None else end_s,
        overwrite=yes,
        on_error=on_error,
        scene_cut=not no_scene_cut,
        scene_threshold=scene_threshold,
        warm_up=warm_up,
        device=device,
        precision=precision,
        threads=threads,
    )
    with shown(progress, quiet=loglevel is LogLevel.quiet) as show:
        show.done(run(job, show.step))
