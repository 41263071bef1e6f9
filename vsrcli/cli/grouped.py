"""Commands whose options are read as FFmpeg's are, and whose --help lists them in groups."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from typer.core import TyperCommand

from vsrcli.cli.ffmpeg_words import check_rate, instead, meaning
from vsrcli.errors import UsageError

_FIRST = "Options"
_WORD = re.compile(r"-[A-Za-z][A-Za-z_:][\w:-]*|-[A-Za-z]\d+-\w+")
"""A name after one dash; -j2 and -oout.mp4 are a letter and its value."""
_FFMPEGS = re.compile(r"-[A-Za-z][\w-]*(:\w+)*")
"""What a name may be in FFmpeg; files and --name=value are none."""


class Grouped(TyperCommand):
    """A command with long names after one dash, and with options in groups by `rich_help_panel`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  # click's, vendored
        """Raises UsageError for a word after one dash that is no option, not for its letters."""
        ctx.allow_extra_args = True  # to say more of them than click would
        more = list(super().parse_args(ctx, list(self._words(ctx, args))))
        if more and not ctx.resilient_parsing:
            raise UsageError(_too_many(more[0], ctx.command_path))
        return more

    def _words(self, ctx: Any, args: list[str]) -> Iterator[str]:  # noqa: ANN401
        """The arguments, with this tool's words for FFmpeg's."""
        takes = {
            name: not getattr(param, "is_flag", False)
            for param in self.get_params(ctx)
            if param.param_type_name == "option"
            for name in (*param.opts, *param.secondary_opts)
        }
        rest, last = deque(args), list[str]()
        while rest:
            arg = rest.popleft()
            value = rest[0] if rest else ""
            words: tuple[str, ...] = (arg,)
            if arg == "-r" and (source := _input_after(args, rest)):
                check_rate(value, source)
            if arg == "-f" and "--input-format" in takes and _input_after(args, rest):
                words = ("--input-format",)
            elif meant := meaning(arg, value, takes):
                words = meant.words
                if meant.wins:
                    last, words = [*last, *words], ()
                if meant.with_value and rest:
                    rest.popleft()
            elif arg not in takes and not ctx.resilient_parsing:
                _check_word(arg, value, takes, ctx.command_path)
            if arg == "--":
                yield from (*last, arg, *rest)
                return
            yield from words
            if len(words) == 1 and takes.get(words[0]) and rest:
                yield rest.popleft()
        yield from last

    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401
        """Arguments, then a section for each group."""
        groups: dict[str, list[tuple[str, str]]] = {"Arguments": [], _FIRST: []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            is_option = param.param_type_name == "option"
            group = getattr(param, "rich_help_panel", None) or _FIRST
            if record is not None:
                groups.setdefault(group if is_option else "Arguments", []).append(record)
        for name, records in groups.items():
            if records:
                with formatter.section(name):
                    formatter.write_dl(records)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401
        """The examples, line by line."""
        if self.epilog:
            formatter.write_paragraph()
            for line in self.epilog.splitlines():
                formatter.write(f"{line}\n")


def _too_many(name: str, command: str) -> str:
    if command.endswith("upscale"):
        return f"what is {name}? The output goes by -o {name}, several inputs by vsr batch"
    return f"what is {name}? See {command} --help"


def _input_after(args: Sequence[str], rest: Iterable[str]) -> str:
    """The input that an option here is of, as in ffmpeg, whose options stand before their file:
    -f FORMAT -i IN OUT. Empty where there is none, or -o says the output."""
    words = list(rest)
    if "-i" not in words[:-1] or any(arg.startswith(("-o", "--output")) for arg in args):
        return ""
    return words[words.index("-i") + 1]


def _check_word(word: str, value: str, options: Mapping[str, bool], command: str) -> None:
    """Raises UsageError for a name that is no option, with what does the same if FFmpeg has it."""
    is_run = "--encoder-option" in options
    other = instead(word, value) if is_run and _FFMPEGS.fullmatch(word) else ""
    if other:
        raise UsageError(f"there is no option {word}; {other}")
    if not _WORD.fullmatch(word):
        return
    names = [name for name in options if len(name) > len("-v")]
    near = get_close_matches(word, names, n=1, cutoff=0.75)
    if near and ":" not in word:
        raise UsageError(f"there is no option {word}; did you mean {near[0]}?")
    told = f"there is no option {word}; see {command} --help"
    if is_run:
        name, *_ = word[1:].split(":")
        told += f". What is the encoder's own goes by --encoder-option {name}={value or 'VALUE'}"
    raise UsageError(told)
