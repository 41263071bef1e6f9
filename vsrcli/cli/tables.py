"""How commands that inform print: tables for people, one JSON document for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_WIDE = 10_000
"""Columns where stdout is no terminal, so that lines are not broken for a pipe."""


def print_json(document: object) -> None:
    """The document on stdout, and nothing else; in ASCII, as its encoding may be any."""
    print(json.dumps(document, indent=2))  # noqa: T201


def rounded(value: float, digits: int, sign: str = "") -> str:
    """The figure, without a minus where it rounds to nothing."""
    return f"{round(value, digits) + 0.0:{sign}.{digits}f}"


def columns() -> int:
    """How many characters fit in a line of stdout."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS"):
        from rich.console import Console

        return Console().width
    return _WIDE


def _stdout() -> Console:
    from rich.console import Console

    class Stdout(Console):
        def on_broken_pipe(self) -> None:  # rich would end the process with code 1
            raise BrokenPipeError

    return Stdout(width=columns(), highlight=False)


def print_lines(*lines: str) -> None:
    """Plain lines on stdout, wrapped between words; square brackets have no meaning."""
    from rich.text import Text

    console = _stdout()
    for line in lines:
        console.print(Text(line))


def print_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    right: Sequence[str] = (),
    title: str = "",
) -> None:
    """A table without lines on stdout. Headings named in `right` are set flush right; only the
    last column is wrapped. None is an empty cell; without headings the first cells are names.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        header_style="bold",
        show_header=bool(headings),
    )
    for heading in headings:
        table.add_column(
            heading,
            justify="right" if heading in right else "left",
            no_wrap=heading != headings[-1],
            overflow="fold",
        )
    if not headings:
        table.add_column(no_wrap=True)
    for row in rows:
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    console = _stdout()
    if title:
        console.print(Text(title, style="bold"))
    console.print(table)
