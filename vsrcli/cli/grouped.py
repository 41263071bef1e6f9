"""Commands whose options are read as FFmpeg's are, and whose --help lists them in groups."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from itertools import islice
from typing import Any

from typer.core import TyperCommand

from vsrcli.errors import UsageError

_FIRST = "Options"
_FFMPEG: Mapping[str, tuple[str, ...]] = {
    "-an": ("-c:a", "none"),
    "-sn": ("-map", "-0:s"),
    "-acodec": ("-c:a",),
    "-codec:a": ("-c:a",),
    "-vcodec": ("-c:v",),
    "-codec:v": ("-c:v",),
    "-r": ("--fps",),
    "-threads": ("--threads",),
    "-hide_banner": (),
    "-nostdin": (),
    "-stats": (),
    "-nostats": ("--progress", "none"),
}
"""What FFmpeg has other words for."""
_WORD = re.compile(r"-[A-Za-z][A-Za-z_:][\w:-]*|-[A-Za-z]\d+-\w+")
"""A name after one dash; -j2 and -oout.mp4 are a letter and its value."""


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
        rest = iter(args)
        for arg in rest:
            words: tuple[str, ...] = (arg,)
            if arg not in takes:
                known = _FFMPEG.get(arg)
                if known is not None and (not known or known[0] in takes):
                    words = known
                elif _WORD.fullmatch(arg) and not ctx.resilient_parsing:
                    raise UsageError(_unknown(arg, takes, ctx.command_path))
            yield from words
            if arg == "--":
                yield from rest
            elif len(words) == 1 and takes.get(words[0]):
                yield from islice(rest, 1)

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


def _unknown(word: str, options: Mapping[str, bool], command: str) -> str:
    names = [name for name in options if len(name) > len("-v")]
    near = get_close_matches(word, names, n=1, cutoff=0.75)
    if near and ":" not in word:
        return f"there is no option {word}; did you mean {near[0]}?"
    told = f"there is no option {word}; see {command} --help"
    if "--encoder-option" in options:
        name, *_ = word[1:].split(":")
        told += f". What is the encoder's own goes by --encoder-option {name}=VALUE"
    return told
