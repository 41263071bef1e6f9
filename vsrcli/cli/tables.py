"""How commands that inform print: tables for people, one JSON document for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from vsrcli.cli.process import escaped

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_WIDE = 10_000
"""Columns where stdout is no terminal, so that lines are not broken for a pipe."""
_GAP, _LEAST = 2, 16
"""Characters between columns, and those of the last one, which is wrapped, at least."""


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
        console.print(Text(escaped(line)))


def print_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    right: Sequence[str] = (),
    title: str = "",
) -> None:
    """A table without lines on stdout. Headings named in `right` are set flush right. The last
    column is wrapped, and any that takes more than half of a line; those that do not fit go into
    tables below, beside the first ones again. None is an empty cell; without headings the first
    cells are names.
    """
    from rich.table import Table
    from rich.text import Text

    console = _stdout()
    if title:
        console.print(Text(title, style="bold"))
    cells = [[_text(cell) for cell in row] for row in rows]
    lines = [[Text(heading) for heading in headings], *cells] if headings else cells
    widths = [max(_width(cell) for cell in column) for column in zip(*lines, strict=True)]
    half = console.width // 2
    is_left = [not headings or headings[index] not in right for index in range(len(widths))]
    for number, part in enumerate(_parts(widths, is_left, console.width)):
        table = Table(
            box=None,
            pad_edge=False,
            padding=(0, _GAP, 0, 0),
            header_style="bold",
            show_header=bool(headings),
        )
        for index in part:
            table.add_column(
                headings[index] if headings else "",
                justify="left" if is_left[index] else "right",
                no_wrap=index < len(widths) - 1 and widths[index] <= half,
                overflow="fold",
            )
        for row in cells:
            table.add_row(*(row[index] for index in part))
        if number:
            print_lines("")
        console.print(table)


def _text(cell: object) -> Text:
    from rich.text import Text

    lines = [] if cell is None else str(cell).split("\n")
    return Text("\n".join(map(escaped, lines)))


def _width(cell: Text) -> int:
    return max((line.cell_len for line in cell.split()), default=0)


def _parts(widths: Sequence[int], is_left: Sequence[bool], room: int) -> list[list[int]]:
    """The columns of each table. The first ones of each are the leading ones that are flush left
    and leave two fifths of the line, or the first."""
    needs = [min(width, room // 2) + _GAP for width in widths]
    needs[-1:] = [min(need, _LEAST) for need in needs[-1:]]
    first = 1
    while first < len(needs) - 1 and is_left[first] and sum(needs[: first + 1]) <= room * 3 // 5:
        first += 1
    parts = [list(range(len(needs)))[:first]]
    for index in range(first, len(needs)):
        if len(parts[-1]) > first and sum(needs[i] for i in (*parts[-1], index)) - _GAP > room:
            parts.append(parts[0][:first])
        parts[-1].append(index)
    return parts
