"""The command line: reads options, builds a Job, calls the library, renders what comes back."""

from __future__ import annotations

from vsrcli.cli.process import main

__all__ = ["main"]
