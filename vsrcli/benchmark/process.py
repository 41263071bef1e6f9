"""A command run to its end: how long it took, and the most memory it had."""

from __future__ import annotations

import errno
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vsrcli.errors import OutputError, VsrError
from vsrcli.runtime.memory import peak_bytes

_LOOK_EVERY_S = 0.02
_FULL = (OutputError.exit_code, 256 - errno.ENOSPC)
"""What vsr and ffmpeg end with where the disk is full."""


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What a command took."""

    seconds: float
    peak_mib: float | None
    """None where the system does not say."""


def run(command: Sequence[object], environment: Mapping[str, str] | None = None) -> Ran:
    """Raises VsrError with the command's last line if it fails, OutputError where the disk is full.
    None is the environment of this process."""
    words = [str(word) for word in command]
    began, peak = time.perf_counter(), 0
    with subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
    ) as child:
        try:
            while child.poll() is None:
                peak = max(peak, peak_bytes(child.pid))
                time.sleep(_LOOK_EVERY_S)
        except BaseException:  # a stop does not wait for what may run for hours
            child.terminate()
            raise
        seconds = time.perf_counter() - began
        said = child.stderr.read().decode(errors="replace") if child.stderr else ""
    if child.returncode:
        last = (said.strip().splitlines() or ["it said nothing"])[-1]
        kind = OutputError if child.returncode in _FULL else VsrError
        raise kind(f"{Path(words[0]).name} failed: {last.removeprefix('vsr: ')}")
    return Ran(seconds=seconds, peak_mib=peak / 2**20 if peak else None)
