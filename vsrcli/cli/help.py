"""`vsr help` and `vsr completion`."""

from __future__ import annotations

from enum import StrEnum
from importlib.resources import files
from typing import Annotated

import typer

from vsrcli.errors import UsageError

TOPICS = {
    "batch": "many videos, job lists, names of outputs",
    "config": "vsr.toml, profiles, the environment, model folders",
    "ffmpeg": "what becomes of a script around ffmpeg",
    "files": "pictures and pipes",
    "progress": "what --progress json and -progress write",
}


class Shell(StrEnum):
    """Shells that complete."""

    bash = "bash"
    zsh = "zsh"
    fish = "fish"
    powershell = "powershell"


def help_(
    topic: Annotated[
        str | None,
        typer.Argument(metavar="[TOPIC]", help=", ".join(TOPICS), autocompletion=lambda: [*TOPICS]),
    ] = None,
) -> None:
    """Explain a topic: batch, config, ffmpeg, files, progress."""
    if topic is None:
        lines = [f"  {name:<10}{about}" for name, about in TOPICS.items()]
        text = "\n".join(("vsr help TOPIC:", *lines, "", "vsr COMMAND --help lists options."))
    elif topic in TOPICS:
        text = files("vsrcli.cli.topics").joinpath(f"{topic}.txt").read_text("utf-8").rstrip()
    else:
        raise UsageError(f"there is no help on {topic!r}; topics are {', '.join(TOPICS)}")
    print(text)  # noqa: T201


def completion(shell: Annotated[Shell, typer.Argument(metavar="SHELL")]) -> None:
    """Print a completion script: eval "$(vsr completion bash)"."""
    from typer import completion as scripts

    print(  # noqa: T201
        scripts.get_completion_script(  # type: ignore[attr-defined]  # not in its stubs
            prog_name="vsr", complete_var="_VSR_COMPLETE", shell=shell.value
        )
    )
