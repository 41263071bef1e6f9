"""The options of a run, defined once for every command that makes one: upscale, batch, preview.

Each field is an option of the command line, `VSR_` and its name in capitals in the environment, and
a key of `vsr.toml` and of job lists.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

import typer

from vsrcli.cli.options import (
    Device,
    Precision,
    Threads,
    bits_per_second,
    frame_rate,
    one_of,
    pairs,
    seconds,
)
from vsrcli.errors import UsageError

if TYPE_CHECKING:
    from vsrcli.job import Job

_PICTURE, _TIME = "Picture encoding", "Part of the source"
_SOURCE = "Picture decoding"
_SHOTS = "Shots, for models that use neighbouring frames"


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What a user said about a run, in the words of the command line."""

    model: Annotated[
        str | None,
        typer.Option(
            "-m", "--model", help="An id of `vsr models`, a model folder or an .onnx file."
        ),
    ] = None
    scale: Annotated[int | None, typer.Option("-s", "--scale", help="2, 3 or 4.")] = None
    width: Annotated[int | None, typer.Option(help="Output width instead of --scale.")] = None
    height: Annotated[int | None, typer.Option(help="Output height instead of --scale.")] = None
    encoder: Annotated[
        str | None,
        typer.Option("-c:v", "--encoder", help="Default libx264.", rich_help_panel=_PICTURE),
    ] = None
    crf: Annotated[
        float | None, typer.Option("-crf", "--crf", help="Default 16.", rich_help_panel=_PICTURE)
    ] = None
    preset: Annotated[
        str | None,
        typer.Option("-preset", "--preset", help="Default medium.", rich_help_panel=_PICTURE),
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
    audio_codec: Annotated[
        str, typer.Option("-c:a", "--audio-codec", help="copy, aac or none.")
    ] = "copy"
    start: Annotated[
        str | None, typer.Option("-ss", help="Start, frame-exact.", rich_help_panel=_TIME)
    ] = None
    length: Annotated[str | None, typer.Option("-t", help="Length.", rich_help_panel=_TIME)] = None
    end: Annotated[
        str | None, typer.Option("-to", help="End, on the source's clock.", rich_help_panel=_TIME)
    ] = None
    overwrite: Annotated[bool, typer.Option("-y", help="Replace an existing output.")] = False
    keep: Annotated[bool, typer.Option("-n", help="Never replace one (the default).")] = False
    on_error: Annotated[
        str, typer.Option(help="fail or skip: what to do with packets that cannot be decoded.")
    ] = "fail"
    scene_threshold: Annotated[
        float | None,
        typer.Option(
            metavar="PERCENT",
            help="What makes a cut. Default 10.",
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
            help="Frames run backwards before each shot. Default 4.",
            rich_help_panel=_SHOTS,
        ),
    ] = None
    device: Device = "auto"
    precision: Precision = "auto"
    threads: Threads = 0

    def job(self, source: Path, target: Path | None) -> Job:
        """The run of one source. Raises UsageError for options that cannot be meant together."""
        from vsrcli.job import DEFAULT_MODEL, Job
        from vsrcli.media.encode import VideoOptions
        from vsrcli.media.intake import Intake

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
                extra=pairs(self.encoder_option or ()),
            ),
            intake=Intake(
                deinterlace=self.deinterlace,
                autorotate=self.autorotate,
                alpha=one_of(self.alpha, ("keep", "drop"), "--alpha") == "keep",
                cfr=self.cfr,
                rate=frame_rate(self.fps),
            ),
            audio=self.audio_codec,
            start_s=start_s,
            end_s=(start_s or 0) + length_s if length_s is not None else end_s,
            overwrite=self.overwrite,
            on_error=self.on_error,
            scene_cut=not self.no_scene_cut,
            scene_threshold=self.scene_threshold,
            warm_up=self.warm_up,
            device=self.device,
            precision=self.precision,
            threads=self.threads,
        )


_RIVALS = (
    ({"scale"}, {"width", "height"}),
    ({"crf"}, {"bitrate"}),
    ({"length"}, {"end"}),
    ({"overwrite"}, {"keep"}),
)
"""Options that exclude each other: what is said nearer to the command line drops the other."""


@cache
def _types() -> dict[str, Any]:
    """Field -> its annotation, resolved."""
    return get_type_hints(RunOptions, include_extras=True)


def changed(options: RunOptions, words: Mapping[str, object], where: str) -> RunOptions:
    """The options with those of a TOML, JSON or CSV table put over them.

    Keys are option names, with - or _. `where` names the table in errors. Raises UsageError.
    """
    values = {key.replace("-", "_"): word for key, word in words.items()}
    unknown = sorted(values.keys() - _types().keys())
    if unknown:
        raise UsageError(f"{where} has the unknown key {unknown[0]!r}; see vsr upscale --help")
    typed = {name: _typed(name, word, where) for name, word in values.items()}
    return replace(_without_rivals(options, typed), **typed)


def _without_rivals(options: RunOptions, nearer: Mapping[str, object]) -> RunOptions:
    defaults = {field.name: field.default for field in fields(RunOptions)}
    said = {name for name, value in nearer.items() if value != defaults[name]}
    dropped = set[str]()
    for pair in _RIVALS:
        for side, other in (pair, pair[::-1]):
            dropped |= other if said & side else set()
    return replace(options, **{name: defaults[name] for name in dropped})


def _typed(name: str, word: object, where: str) -> object:
    """A value of a table as the option's type; CSV gives text for everything."""
    wanted = get_args(_types()[name])[0]
    kinds = [kind for kind in get_args(wanted) or (wanted,) if kind is not type(None)]
    if get_origin(wanted) is list or any(get_origin(kind) is list for kind in kinds):
        return [str(entry) for entry in word] if isinstance(word, list) else str(word).split()
    try:
        return _CASTS[kinds[0]](word)
    except (ValueError, KeyError, TypeError) as exc:
        kind = {int: "a whole number", float: "a number", bool: "true or false"}.get(kinds[0])
        raise UsageError(f"{where}: {name} = {word!r} is not {kind or 'text'}") from exc


def _int(word: object) -> int:
    if isinstance(word, bool | float):
        raise ValueError(word)
    return int(str(word))


def _float(word: object) -> float:
    if isinstance(word, bool):
        raise ValueError(word)
    return float(str(word))


def _bool(word: object) -> bool:
    return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[
        str(word).lower()
    ]


def _str(word: object) -> str:
    if isinstance(word, bool | list | dict) or word is None:
        raise ValueError(word)
    return str(word)


_CASTS: dict[Any, Callable[[object], object]] = {
    int: _int,
    float: _float,
    bool: _bool,
    str: _str,
}


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
        given = {name: values.pop(name) for name in _types()}
        command(**values, options=RunOptions(**given))

    parameters = [context, *own, *(_option(name) for name in _types())]
    wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
    wrapper.__doc__ = command.__doc__
    return wrapper


def _option(name: str) -> inspect.Parameter:
    kind, info = get_args(_types()[name])
    info = copy(info)
    info.envvar, info.show_envvar = f"VSR_{name.upper()}", False
    default = next(field.default for field in fields(RunOptions) if field.name == name)
    return _parameter(name, Annotated[kind, info], default)


def _parameter(
    name: str, annotation: object, default: object = inspect.Parameter.empty
) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)
