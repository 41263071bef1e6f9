"""--help with options in groups and examples as they are typed, without rich."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

_FIRST = "Options"


class Grouped(TyperCommand):
    """A command whose help lists its options by `rich_help_panel`, in order of appearance."""

    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401  # click's, vendored
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
