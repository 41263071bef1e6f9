"""Options that several commands share, and how their words become values."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from vsrcli.cli.process import escaped
from vsrcli.errors import UsageError

_NTSC, _ALIKE = Fraction(1001, 1000), 2e-6
"""From the rates of North American television to whole ones, and how well a decimal says one."""


class LogLevel(StrEnum):
    """FFmpeg's words for how much is said."""

    quiet = "quiet"
    panic = "panic"
    fatal = "fatal"
    error = "error"
    warning = "warning"
    info = "info"
    verbose = "verbose"
    debug = "debug"
    trace = "trace"


class ProgressKind(StrEnum):
    """How a run shows where it is."""

    bar = "bar"
    json = "json"
    none = "none"


def model_ids(incomplete: str) -> list[str]:
    """The models that begin so, for shell completion."""
    from vsrcli.models import model_folders

    return [folder.name for folder in model_folders() if folder.name.startswith(incomplete)]


Device = Annotated[
    str, typer.Option(help="auto, cpu, cuda[:N] or tensorrt[:N].", rich_help_panel="Engine")
]
EngineName = Annotated[
    str,
    typer.Option("--engine", help="auto, onnxruntime or openvino.", rich_help_panel="Engine"),
]
Precision = Annotated[
    str,
    typer.Option(
        help="auto, fp32, bf16 (OpenVINO), fp16 (CUDA), or int8 if the model has it.",
        rich_help_panel="Engine",
    ),
]
Threads = Annotated[
    int, typer.Option(min=0, help="In all; 0: one a core, each stage.", rich_help_panel="Engine")
]
Config = Annotated[
    Path | None,
    typer.Option(
        envvar="VSR_CONFIG",
        show_envvar=False,
        help="Default: vsr.toml here, then in the user's configuration folder.",
        rich_help_panel="Configuration",
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(
        envvar="VSR_PROFILE",
        show_envvar=False,
        metavar="NAME",
        help="Use [profile.NAME] of vsr.toml too.",
        rich_help_panel="Configuration",
    ),
]
Level = Annotated[
    LogLevel, typer.Option("-v", "-loglevel", "--loglevel", help="How much is said on stderr.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")]

_LONGEST_S = 10**9
"""What a clip's time may be: thirty years still fit a container's numbers."""
_HIGHEST_RATE = 10**12
"""Bits a second."""
_LEVELS = {
    LogLevel.quiet: logging.CRITICAL + 1,
    LogLevel.panic: logging.CRITICAL,
    LogLevel.fatal: logging.CRITICAL,
    LogLevel.error: logging.ERROR,
    LogLevel.warning: logging.WARNING,
    LogLevel.info: logging.INFO,
    LogLevel.verbose: logging.INFO,
    LogLevel.debug: logging.DEBUG,
    LogLevel.trace: logging.DEBUG,
}


class _Lines(logging.Handler):
    """One line a message on stderr: 'vsr: warning: …'."""

    def emit(self, record: logging.LogRecord) -> None:
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        print(f"vsr: {level}{escaped(record.getMessage())}", file=sys.stderr)  # noqa: T201


def set_log_level(level: LogLevel) -> None:
    """Makes the 'vsr' logger print on stderr at this level."""
    log = logging.getLogger("vsr")
    log.handlers = [_Lines()]
    log.propagate = False
    log.setLevel(_LEVELS[level])


def seconds(text: str | None, option: str) -> Fraction | None:
    """FFmpeg's time syntax as seconds: 90, 90.5, 1:30, 00:01:30.250, 1500ms."""
    if text is None:
        return None
    try:
        for unit, parts in (("ms", 1000), ("us", 1_000_000)):
            if text.endswith(unit):
                return Fraction(text[:-2]) / parts
        value = Fraction(0)
        for part in text.removesuffix("s").split(":"):
            value = value * 60 + Fraction(part)
        if abs(value) > _LONGEST_S:
            raise ValueError(text)
        return value
    except (ValueError, ZeroDivisionError) as exc:
        raise UsageError(f"{option} {text!r} is not a time; use seconds or HH:MM:SS.mmm") from exc


def frame_rate(text: str | None) -> Fraction | None:
    """FFmpeg's words for a frame rate: 25, 23.976, 30000/1001, ntsc, pal, film."""
    if text is None:
        return None
    named = {"ntsc": "30000/1001", "pal": "25", "film": "24", "ntsc-film": "24000/1001"}
    named |= {"23.98": "24000/1001"}  # which is not near enough to be known as such
    try:
        rate = Fraction(named.get(text, text))
        whole = round(rate * _NTSC)
        if "." in text and whole and abs(rate * _NTSC / whole - 1) < _ALIKE:
            rate = whole / _NTSC  # 23.976 and 23.976024 are 24000/1001
        # Containers hold no finer ones; what becomes 0 is refused with it.
        return rate.limit_denominator(1_000_000)
    except (ValueError, ZeroDivisionError) as exc:
        raise UsageError(f"--fps {text!r} is not a rate; use 25 or 30000/1001") from exc


def one_of(word: str, words: tuple[str, ...], option: str) -> str:
    """The word. Raises UsageError if it is none of those."""
    if word not in words:
        raise UsageError(f"{option} must be {' or '.join(words)}")
    return word


def bits_per_second(text: str | None) -> int | None:
    """4M, 800k or plain bits a second; 0 as ffmpeg has it: none, the quality alone says."""
    if text is None:
        return None
    factor = {"k": 1_000, "m": 1_000_000, "g": 1_000_000_000}.get(text[-1:].lower(), 1)
    try:
        rate = round(float(text[:-1] if factor > 1 else text) * factor)
        if not 0 <= rate <= _HIGHEST_RATE:
            raise ValueError(text)
        return rate
    except (ValueError, OverflowError) as exc:
        raise UsageError(f"--bitrate {text!r} is not a rate; use 4M or 800k") from exc


def pairs(entries: Iterable[str], option: str) -> dict[str, str]:
    """name=value entries as a dict; the last of one name counts. Raises UsageError."""
    found = {}
    for entry in entries:
        key, equals, value = entry.partition("=")
        if not key or not equals:
            raise UsageError(f"{option} {entry!r} is not of the form name=value")
        found[key] = value
    return found
