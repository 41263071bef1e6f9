"""`vsr preview`."""

from __future__ import annotations

import re
import sys
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from vsrcli.cli.ffmpeg_words import place
from vsrcli.cli.options import (
    Device,
    EngineName,
    Level,
    LogLevel,
    Threads,
    bits_per_second,
    model_ids,
    seconds,
    set_log_level,
)
from vsrcli.cli.process import escaped
from vsrcli.errors import InputError, UsageError
from vsrcli.paths import is_picture, numbered

_STILL, _CLIP = "Still", "Clip"
_POINT = re.compile(r"(\d+),(\d+)")


def preview(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Any file FFmpeg reads.")],
    at: Annotated[str, typer.Option("--at", "-ss", metavar="TIME", help="The instant.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Default: IN_preview.png, .mp4 with --clip."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "-m",
            "--model",
            help="May be given again; bicubic is always shown.",
            autocompletion=model_ids,
        ),
    ] = None,
    scale: Annotated[int | None, typer.Option("-s", "--scale", help="2, 3 or 4.")] = None,
    zoom: Annotated[
        int | None,
        typer.Option(help="How much the pieces are enlarged. Default 3.", rich_help_panel=_STILL),
    ] = None,
    piece: Annotated[
        list[str] | None,
        typer.Option(
            metavar="X,Y",
            help="Middle of a piece in source pixels; again for more. Default: most detail.",
            rich_help_panel=_STILL,
        ),
    ] = None,
    clip: Annotated[
        str | None,
        typer.Option(
            metavar="LENGTH", help="A video in strips instead of a still.", rich_help_panel=_CLIP
        ),
    ] = None,
    encoder: Annotated[str | None, typer.Option("-c:v", "--encoder", rich_help_panel=_CLIP)] = None,
    crf: Annotated[float | None, typer.Option("-crf", "--crf", rich_help_panel=_CLIP)] = None,
    preset: Annotated[
        str | None, typer.Option("-preset", "--preset", rich_help_panel=_CLIP)
    ] = None,
    bitrate: Annotated[str | None, typer.Option("-b:v", "--bitrate", rich_help_panel=_CLIP)] = None,
    overwrite: Annotated[bool, typer.Option("-y", help="Replace an existing output.")] = False,
    device: Device = "auto",
    engine: EngineName = "auto",
    threads: Threads = 0,
    loglevel: Level = LogLevel.warning,
) -> None:
    """Compare models before a run: a grid of one instant, enlarged, or a clip in strips.

    The ten frames before the instant are run too, so that recurrent models show their best.
    """
    from vsrcli.job import DEFAULT_MODEL
    from vsrcli.media.settings import VideoOptions
    from vsrcli.preview import View, make_clip, make_still

    set_log_level(loglevel)
    source, output = place(source), output and place(output)
    length_s = seconds(clip, "--clip")
    if length_s is not None and length_s <= 0:
        raise UsageError("--clip must be longer than 0 s")
    of_clip = {"-c:v": encoder, "--crf": crf, "--preset": preset, "--bitrate": bitrate}
    given = [name for name, value in of_clip.items() if value is not None]
    if length_s is None and given:
        raise UsageError(f"{given[0]} goes with --clip; a still is a PNG")
    if length_s is not None and (piece or zoom is not None):
        name = "--piece" if piece else "--zoom"
        raise UsageError(f"{name} goes with a still; a --clip shows the whole picture")
    at_s = seconds(at, "--at") or Fraction(0)
    if at_s < 0:
        raise UsageError("--at must not be negative")
    suffix = ".png" if length_s is None else ".mp4"
    if not source.name:
        raise InputError(f"{source} names no file; name a video file")
    pictures = numbered(source)
    stem = pictures.stem if pictures else source.stem
    target = output or source.with_name(f"{stem}{'_' if stem else ''}preview{suffix}")
    if length_s is None and target.suffix.lower() != ".png":
        raise UsageError(f"a still is a PNG; end {target} in .png, or ask for --clip 3s")
    if length_s is not None and is_picture(target) and not numbered(target):
        raise UsageError(f"{target} is one picture; leave out --clip, or end it in .mp4")
    view = View(
        source=source,
        target=target,
        at_s=at_s,
        models=tuple(model or (DEFAULT_MODEL,)),
        scale=scale,
        device=device,
        engine=engine,
        threads=threads,
        overwrite=overwrite,
        zoom=View.zoom if zoom is None else zoom,
        centres=tuple(_point(word) for word in piece or ()),
    )
    options = VideoOptions(codec=encoder, crf=crf, preset=preset, bitrate=bits_per_second(bitrate))
    shown = make_still(view) if length_s is None else make_clip(view, length_s, options)
    size = f"{shown.width}x{shown.height}"
    line = f"{shown.target}: {', '.join(shown.names)} at {shown.time_s:.3f} s, {size}"
    print(escaped(line), file=sys.stderr)  # noqa: T201


def _point(word: str) -> tuple[int, int]:
    match = _POINT.fullmatch(word)
    if not match:
        raise UsageError(f"--piece {word!r} is not a point; use X,Y in pixels of the source")
    return int(match[1]), int(match[2])
