"""Commands by name, and the one place where errors become text and exit codes."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from importlib import import_module
from itertools import pairwise
from typing import Annotated, Any

import typer

from vsrcli import __version__, stops
from vsrcli.cli.grouped import Grouped
from vsrcli.cli.process import READER_GONE, say
from vsrcli.errors import ReaderGoneError, VsrError, one_line

_HELP = """Video super-resolution that treats media as FFmpeg does.

Exit codes: 0 done, 1 other error, 2 usage, 3 input, 4 output, 5 model, 6 weights, 7 device,
8 encoder, 9 resume, 10 some of a batch, 129 terminal closed, 130 interrupted, 141 reader gone,
143 terminated, 149 Ctrl-Break.
VSR_DEBUG=1 shows tracebacks.
"""

_UPSCALE = """Examples:
  vsr upscale in.mp4                                 in_x4_rlsp-7-128.mp4, sound copied
  vsr upscale in.mkv -o out.mkv -m esr-max -s 2
  vsr upscale in.mp4 --height 1080 -c:v libx265 --crf 20 --preset slow
  vsr upscale in.mp4 -ss 1:30 -t 10                  a cut, frame-exact

Options can also stand in vsr.toml and the environment: vsr help config.
What --progress json and -progress write: vsr help progress."""
_BATCH = """Examples:
  vsr batch holiday/ -o out --jobs 2                 a folder and all below it
  vsr batch '*.mov' -o 'out/{stem}_{size}.mp4' -y
  vsr batch list.csv --report report.json            a job list

Job lists, names and the report: vsr help batch."""
_PREVIEW = """Examples:
  vsr preview in.mp4 --at 1:20 -m espcn -m fsrcnn    a grid, in_preview.png
  vsr preview in.mp4 --at 1:20 -m espcn --clip 3s    strips, in_preview.mp4"""
_BENCH = """Examples:
  vsr bench -m bicubic -m esr-max --compare-ffmpeg   end to end, beside ffmpeg
  vsr bench -m rlsp-7-64 --size 320x180 --engine onnxruntime --engine openvino
  vsr bench -m espcn --frames 0 --precision fp32 --precision bf16 --engine openvino"""
_USAGE, _INTERRUPTED = 2, 130

_COMMANDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "upscale": ("upscale.upscale", "Upscale a video.", {"cls": Grouped, "epilog": _UPSCALE}),
    "batch": ("batch.batch", "Upscale many videos.", {"cls": Grouped, "epilog": _BATCH}),
    "preview": (
        "preview.preview",
        "Compare models in one picture or clip.",
        {"cls": Grouped, "epilog": _PREVIEW},
    ),
    "probe": ("probe.probe", "Say what a file is, and what it becomes.", {"cls": Grouped}),
    "models": ("models.app", "List, show, verify and import models.", {}),
    "doctor": ("doctor.doctor", "Say what works on this machine.", {}),
    "bench": ("bench.bench", "Measure speed here.", {"cls": Grouped, "epilog": _BENCH}),
    "eval": ("evaluate.evaluate", "Measure the quality of a model.", {"cls": Grouped}),
    "help": ("help.help_", "Explain a topic.", {}),
    "completion": ("help.completion", "Print a completion script.", {}),
}
"""Name -> module and function (or Typer app) in this package, a line on it, and what typer is told
besides."""


def _app(arguments: list[str]) -> typer.Typer:
    """The command that is asked for, or all of them: it takes 20 ms to load and look into all."""
    app = typer.Typer(
        name="vsr",
        help=_HELP,
        rich_markup_mode=None,  # rich takes 0.12 s to load, and --help should not wait for it
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_root)
    for name in arguments[:1] if arguments and arguments[0] in _COMMANDS else _COMMANDS:
        place, line, options = _COMMANDS[name]
        module, _, attribute = place.partition(".")
        command = getattr(import_module(f"vsrcli.cli.{module}"), attribute)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name, short_help=line)
        else:
            app.command(name, short_help=line, **options)(command)
    return app


def _root(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print(f"vsr {__version__}")  # noqa: T201
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        print(ctx.get_help(), file=sys.stderr)  # noqa: T201
        raise typer.Exit(_USAGE)


def run(arguments: list[str]) -> int:
    """The exit code of a command line; errors are one line on stderr."""
    debug = os.environ.get("VSR_DEBUG", "0") not in ("", "0")
    try:
        # typer.Exit comes back as a number here; Ctrl-C as 130 with newer typers, Abort with older.
        code = _app(arguments)(arguments, prog_name="vsr", standalone_mode=False) or 0
    except ReaderGoneError:
        return READER_GONE
    except VsrError as exc:
        if debug:
            traceback.print_exc()
        _tell(arguments, exc, exc.exit_code, str(exc))
        return say(_with_notes(str(exc), exc), exc.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except stops.Stop as exc:
        _tell(arguments, exc, exc.code, exc.word)
        written = "there is no output yet" if hasattr(exc, "__notes__") else "nothing was written"
        return say(_with_notes(f"{exc.word}; {written}", exc), exc.code)
    except SystemExit as exc:
        if not isinstance(exc.__context__, BrokenPipeError):  # typer's answer to that
            raise
        return READER_GONE
    except BrokenPipeError:
        return READER_GONE
    except Exception as exc:
        message, code = _usage_message(exc), _USAGE
        if not message:
            if debug:
                traceback.print_exc()
            said = f"internal error: {type(exc).__name__}: {exc}"
            message, code = f"{said}; VSR_DEBUG=1 shows more", 1
        _tell(arguments, exc, code, message)
        return say(message, code)
    return say("interrupted; nothing was written", code) if code == _INTERRUPTED else int(code)


def _usage_message(exc: Any) -> str:  # noqa: ANN401  # click's errors are vendored
    """What click says of a command line that it refuses; empty for an exception of another kind."""
    if not hasattr(exc, "format_message"):
        return ""
    context, param = exc.ctx, getattr(exc, "param", None)
    if context and param:
        source = context.get_parameter_source(param.name)
        if source is not None and source.name == "ENVIRONMENT":
            exc.param_hint = param.envvar  # else the option would be named, which nobody gave
    command = context.command_path if context else "vsr"
    return f"{exc.format_message().rstrip('.')}; see {command} --help"


def _tell(arguments: list[str], exc: BaseException, code: int, message: str) -> None:
    """Writes the JSON event of what failed before a run began, where such events are wanted."""
    is_json = "--progress=json" in arguments or ("--progress", "json") in pairwise(arguments)
    if not is_json or arguments[0] not in ("upscale", "batch"):
        return
    from vsrcli.cli.events import JsonEvents, is_told

    if not is_told(exc):
        with suppress(OSError, VsrError, stops.Stop):  # as it could not be written before
            JsonEvents(sys.stdout, None).failed(code, one_line(message))


def _with_notes(message: str, exc: BaseException) -> str:
    """The message and what the stages on the way out had to add."""
    return "; ".join((message, *getattr(exc, "__notes__", ())))
