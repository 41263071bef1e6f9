"""The options of a run, defined once for every command that makes one: upscale, batch, preview.

Each field is an option of the command line, `VSR_` and its name in capitals in the environment, and
a key of `vsr.toml` and of job lists.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

import typer

from vsrcli.cli.options import (
    Config,
    Device,
    EngineName,
    Precision,
    Profile,
    Threads,
    bits_per_second,
    frame_rate,
    model_ids,
    one_of,
    pairs,
    seconds,
)
from vsrcli.errors import UsageError

if TYPE_CHECKING:
    from vsrcli.job import Job

_PICTURE, _TIME = "Picture encoding", "Part of the source"
_SOURCE = "Picture decoding"
_WORK = "Unfinished work"
_SHOTS = "Shots, for models that use neighbouring frames"
_RESTORE = "Restoring, for bidirectional models"


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What a user said about a run, in the words of the command line."""

    model: Annotated[
        str | None,
        typer.Option(
            "-m",
            "--model",
            help="An id of `vsr models`, a model folder or an .onnx file.",
            autocompletion=model_ids,
        ),
    ] = None
    scale: Annotated[
        int | None,
        typer.Option("-s", "--scale", help="2, 3 or 4; by default 4 if the model has it."),
    ] = None
    width: Annotated[int | None, typer.Option(help="Output width instead of --scale.")] = None
    height: Annotated[int | None, typer.Option(help="Output height instead of --scale.")] = None
    encoder: Annotated[
        str | None,
        typer.Option(
            "-c:v",
            "--encoder",
            help="Default libx264, where the container takes it.",
            rich_help_panel=_PICTURE,
        ),
    ] = None
    crf: Annotated[
        float | None,
        typer.Option(
            "-crf", "--crf", help="Default 16 for libx264, 19 for NVENC.", rich_help_panel=_PICTURE
        ),
    ] = None
    preset: Annotated[
        str | None,
        typer.Option(
            "-preset",
            "--preset",
            help="Default medium for libx264 and libx265.",
            rich_help_panel=_PICTURE,
        ),
    ] = None
    bitrate: Annotated[
        str | None,
        typer.Option(
            "-b:v", "--bitrate", help="4M, 800k; not with --crf.", rich_help_panel=_PICTURE
        ),
    ] = None
    pix_fmt: Annotated[
        str | None,
        typer.Option(
            "-pix_fmt", "--pix-fmt", help="Default: the source's.", rich_help_panel=_PICTURE
        ),
    ] = None
    encoder_option: Annotated[
        list[str] | None,
        typer.Option(metavar="K=V", help="May be given again.", rich_help_panel=_PICTURE),
    ] = None
    ffmpeg: Annotated[
        str | None,
        typer.Option(
            metavar="auto|PATH",
            help="Encode with this ffmpeg binary; auto: what PyAV lacks with the one that is "
            "installed along.",
            rich_help_panel=_PICTURE,
        ),
    ] = None
    deinterlace: Annotated[
        str,
        typer.Option(
            metavar="MODE",
            help="auto, off, send_frame or send_field (two frames for each).",
            rich_help_panel=_SOURCE,
        ),
    ] = "auto"
    autorotate: Annotated[
        bool,
        typer.Option(
            "--autorotate",
            help="Turn the picture itself, not by a tag.",
            rich_help_panel=_SOURCE,
        ),
    ] = False
    alpha: Annotated[
        str,
        typer.Option(help="Transparency: keep or drop.", rich_help_panel=_SOURCE),
    ] = "keep"
    cfr: Annotated[
        bool,
        typer.Option(
            "--cfr",
            help="Constant frame rate; frames are repeated or left out.",
            rich_help_panel=_SOURCE,
        ),
    ] = False
    fps: Annotated[
        str | None,
        typer.Option(
            "--fps",
            metavar="RATE",
            help="The rate of --cfr: 25, 30000/1001, ntsc …",
            rich_help_panel=_SOURCE,
        ),
    ] = None
    map: Annotated[
        list[str] | None,
        typer.Option(
            "-map",
            "--map",
            metavar="STREAMS",
            help="FFmpeg's words: 0:a:1, 0:s:m:language:eng, -0:s. May be given again.",
        ),
    ] = None
    format: Annotated[
        str | None,
        typer.Option(
            "-f", "--format", help="Of the output: nut, matroska, y4m ... Needed for -o -."
        ),
    ] = None
    input_format: Annotated[
        str | None,
        typer.Option(help="Of the input, if it cannot be seen: rawvideo.", rich_help_panel=_SOURCE),
    ] = None
    input_option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="K=V",
            help="The demuxer's: video_size=320x180. May be given again.",
            rich_help_panel=_SOURCE,
        ),
    ] = None
    hwaccel: Annotated[
        str,
        typer.Option(
            "-hwaccel",
            "--hwaccel",
            help="Decode on a device: none, auto, cuda (NVDEC) ...",
            rich_help_panel=_SOURCE,
        ),
    ] = "none"
    audio_codec: Annotated[
        str, typer.Option("-c:a", "--audio-codec", help="copy, aac or none.")
    ] = "copy"
    start: Annotated[
        str | None, typer.Option("-ss", help="Start, frame-exact.", rich_help_panel=_TIME)
    ] = None
    length: Annotated[str | None, typer.Option("-t", help="Length.", rich_help_panel=_TIME)] = None
    end: Annotated[
        str | None,
        typer.Option(
            "-to", help="End, counted from the source's start as -ss is.", rich_help_panel=_TIME
        ),
    ] = None
    overwrite: Annotated[bool, typer.Option("-y", help="Replace an existing output.")] = False
    keep: Annotated[bool, typer.Option("-n", help="Never replace one (the default).")] = False
    on_error: Annotated[
        str,
        typer.Option(help="What to do about undecodable frames: fail, skip, or repeat the last."),
    ] = "fail"
    scene_threshold: Annotated[
        float | None,
        typer.Option(
            metavar="PERCENT",
            help="What makes a cut. Default 25.",
            rich_help_panel=_SHOTS,
        ),
    ] = None
    no_scene_cut: Annotated[
        bool, typer.Option("--no-scene-cut", help="One shot, no cuts.", rich_help_panel=_SHOTS)
    ] = False
    warm_up: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            help="Frames run backwards before each shot. Default: as the model needs; ours none.",
            rich_help_panel=_SHOTS,
        ),
    ] = None
    segment: Annotated[
        int | None,
        typer.Option(
            metavar="FRAMES",
            help="A killed run goes on after its last whole segment. Default 250; 0: it cannot.",
            rich_help_panel=_WORK,
        ),
    ] = None
    resume: Annotated[
        bool | None,
        typer.Option(
            "--resume/--no-resume",
            help="Go on with unfinished work, if there is any, or drop it.",
            show_default=False,
            rich_help_panel=_WORK,
        ),
    ] = None
    keep_work: Annotated[
        bool,
        typer.Option(
            "--keep-work",
            help="Leave the segments beside the finished output.",
            rich_help_panel=_WORK,
        ),
    ] = False
    chunk: Annotated[
        int | None,
        typer.Option(
            metavar="FRAMES",
            help="Frames restored together. Default what the memory holds, 30 at most.",
            rich_help_panel=_RESTORE,
        ),
    ] = None
    overlap: Annotated[
        int | None,
        typer.Option(
            metavar="FRAMES",
            help="Of the next chunk, looked at from this one. Default 5.",
            rich_help_panel=_RESTORE,
        ),
    ] = None
    clean: Annotated[
        str | None,
        typer.Option(
            metavar="PASSES",
            help="0 to 3, or auto (the default): what each shot needs.",
            rich_help_panel=_RESTORE,
        ),
    ] = None
    clean_threshold: Annotated[
        float | None,
        typer.Option(
            metavar="CHANGE",
            help="auto repeats cleaning until it changes less, of 255. Default the model's.",
            rich_help_panel=_RESTORE,
        ),
    ] = None
    strength: Annotated[
        float | None,
        typer.Option(
            metavar="0..1",
            help="Blend with the cleaned frame enlarged by bicubic: 0 is that alone. Default 1.",
            rich_help_panel=_RESTORE,
        ),
    ] = None
    tile: Annotated[
        str | None,
        typer.Option(
            metavar="auto|off|WxH",
            help="Pieces, source px, of pictures too large for memory. Default auto.",
            rich_help_panel="Engine",
        ),
    ] = None
    device: Device = "auto"
    engine: EngineName = "auto"
    precision: Precision = "auto"
    threads: Threads = 0

    def job(self, source: Path, target: Path | None) -> Job:
        """The run of one source. Raises UsageError for options that cannot be meant together."""
        from vsrcli.job import DEFAULT_MODEL, DEFAULT_SEGMENT, Job
        from vsrcli.media.inlet import Reading
        from vsrcli.media.intake import Intake
        from vsrcli.media.settings import VideoOptions
        from vsrcli.models import Tuning

        if self.overwrite and self.keep:
            raise UsageError("give either -y or -n, not both")
        if self.length and self.end:
            raise UsageError("give either -t or -to, not both")
        start_s = seconds(self.start, "-ss")
        length_s, end_s = seconds(self.length, "-t"), seconds(self.end, "-to")
        return Job(
            source=source,
            target=target,
            model=self.model or DEFAULT_MODEL,
            scale=self.scale,
            width=self.width,
            height=self.height,
            video=VideoOptions(
                codec=self.encoder,
                crf=self.crf,
                preset=self.preset,
                bitrate=bits_per_second(self.bitrate),
                pix_fmt=self.pix_fmt,
                extra=pairs(self.encoder_option or (), "--encoder-option"),
                ffmpeg=self.ffmpeg,
            ),
            intake=Intake(
                deinterlace=self.deinterlace,
                autorotate=self.autorotate,
                alpha=one_of(self.alpha, ("keep", "drop"), "--alpha") == "keep",
                cfr=self.cfr,
                rate=frame_rate(self.fps),
            ),
            reading=Reading(
                format=self.input_format,
                options=pairs(self.input_option or (), "--input-option"),
                rate=frame_rate(self.fps),
                hwaccel=self.hwaccel,
            ),
            format=self.format,
            maps=tuple(self.map or ()),
            audio=self.audio_codec,
            start_s=start_s,
            end_s=(start_s or 0) + length_s if length_s is not None else end_s,
            overwrite=self.overwrite,
            on_error=self.on_error,
            segment=DEFAULT_SEGMENT if self.segment is None else self.segment,
            resume=self.resume,
            keep_work=self.keep_work,
            scene_cut=not self.no_scene_cut,
            scene_threshold=self.scene_threshold,
            warm_up=self.warm_up,
            tuning=Tuning(
                chunk=self.chunk,
                overlap=self.overlap,
                clean=self.clean,
                clean_threshold=self.clean_threshold,
                strength=self.strength,
                tile=None if self.tile == "auto" else self.tile,
            ),
            device=self.device,
            engine=self.engine,
            precision=self.precision,
            threads=self.threads,
        )


@cache
def option_types() -> dict[str, Any]:
    """Field -> its annotation, resolved."""
    return get_type_hints(RunOptions, include_extras=True)


def takes_run_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the options of a run added; it gets them as `options: RunOptions`.

    What the command line and the environment leave open is taken from the configuration file.
    """
    signature = inspect.signature(command, eval_str=True)
    own = [
        _parameter(p.name, p.annotation, p.default)
        for p in signature.parameters.values()
        if p.name != "options"
    ]
    context = _parameter("context", typer.Context)

    def wrapper(context: typer.Context, **values: Any) -> None:  # noqa: ANN401  # typer parsed
        from vsrcli.cli.config import configured, layered

        given = {name: values.pop(name) for name in option_types()}
        options = configured(values.pop("config"), values.pop("profile"))
        variables, words = (
            {name: given[name] for name in given if _place(context, name) == place}
            for place in ("ENVIRONMENT", "COMMANDLINE")
        )
        options = layered(layered(options, variables), words)  # the nearer drops what it excludes
        _check_variables(options, variables)
        command(**values, options=options)

    files = [_parameter("config", Config, None), _parameter("profile", Profile, None)]
    parameters = [context, *own, *(_option(name) for name in option_types()), *files]
    wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
    wrapper.__doc__ = command.__doc__
    return wrapper


def _check_variables(options: RunOptions, variables: Mapping[str, Any]) -> None:
    """Raises UsageError, which names the variable, for one that counts and cannot be meant."""
    for name, value in variables.items():
        if getattr(options, name) == value:
            try:
                RunOptions(**{name: value}).job(Path("any"), None)
            except UsageError as exc:
                raise UsageError(f"{_variable(name)}: {exc}") from exc


def _place(context: typer.Context, name: str) -> str:
    """Where an option was given, in click's words; empty: nowhere."""
    source = context.get_parameter_source(name)
    return "" if source is None else source.name


def _variable(name: str) -> str:
    return f"VSR_{name.upper()}"


def _option(name: str) -> inspect.Parameter:
    kind, info = get_args(option_types()[name])
    info = copy(info)
    info.envvar, info.show_envvar = _variable(name), False
    default = next(field.default for field in fields(RunOptions) if field.name == name)
    return _parameter(name, Annotated[kind, info], default)


def _parameter(
    name: str, annotation: object, default: object = inspect.Parameter.empty
) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)
