"""What can go wrong, sorted by what the user can do about it.

    VsrError                 1  anything else that vsr itself noticed
    ├── UsageError           2  the options contradict each other or name nothing
    ├── InputError           3  the source is missing, no video, damaged, or of an unsupported kind
    ├── OutputError          4  the target exists, cannot be written, or the disk is full
    │   └── ReaderGoneError  141  it was for the standard output, which nobody reads any more
    ├── ModelError           5  no such model, or it lacks the scale asked for
    ├── WeightsError         6  a weights file is missing, altered or not what its card says
    ├── DeviceError          7  the engine or device asked for is not usable here
    ├── EncodeError          8  the encoder is missing or refused the settings
    ├── ResumeError          9  unfinished work does not belong to this run
    └── BatchError          10  some runs of a batch failed

The number is the process's exit code. 129, 130, 143 and 149 mean that SIGHUP (the terminal was
closed), SIGINT, SIGTERM or Windows' SIGBREAK stopped the run, 141 that nobody reads its standard
output, of which nothing is said.
Every message is one line: what is wrong, then what to do.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path


class VsrError(Exception):
    """Base of all errors that are shown to a user as one line."""

    exit_code = 1

    def __str__(self) -> str:
        """The message on one line, whatever of a library's own it quotes."""
        return one_line(super().__str__())


class UsageError(VsrError):
    """Options that contradict each other or are out of range."""

    exit_code = 2


class InputError(VsrError):
    """The source cannot be read as video."""

    exit_code = 3


class OutputError(VsrError):
    """The target cannot be written, or must not be."""

    exit_code = 4


class ReaderGoneError(OutputError):
    """Nobody reads the standard output any more, which is what `-o - | head` is meant to do."""

    exit_code = 141


class ModelError(VsrError):
    """There is no such model, or it cannot do what was asked."""

    exit_code = 5


class WeightsError(VsrError):
    """A weights file is missing, altered, or does not fit its card."""

    exit_code = 6


class DeviceError(VsrError):
    """The engine or device asked for is not usable on this machine."""

    exit_code = 7


class OutOfMemoryError(DeviceError):
    """An engine could not get the memory for a run; what it took is free again."""


class EncodeError(VsrError):
    """The encoder is missing, or refused the settings or a frame."""

    exit_code = 8


class ResumeError(VsrError):
    """Unfinished work on disk does not belong to this run."""

    exit_code = 9


class BatchError(VsrError):
    """Some runs of a batch failed; its report says which, and why."""

    exit_code = 10


def one_line(message: str) -> str:
    """A message whose lines follow each other on one."""
    return " ".join(line.strip() for line in message.splitlines())


def is_reader_gone(exc: OSError) -> bool:
    """Whether a write failed because nobody reads; Windows calls that an invalid argument, too."""
    numbers = (errno.EPIPE, errno.EINVAL) if sys.platform == "win32" else (errno.EPIPE,)
    return exc.errno in numbers


def output_error(target: Path, exc: Exception) -> OutputError:
    """What a failure of the system while writing `target` means to the user."""
    number = getattr(exc, "errno", None)
    reason = getattr(exc, "strerror", None) or str(exc)
    if number in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(f"the disk is full while writing {target}; free space and run it again")
    if str(target) == "-" and number != errno.EPIPE:
        return OutputError(f"the standard output cannot be written ({reason}); try another -f")
    if sys.platform == "win32" and number == errno.EACCES and target.exists():
        return OutputError(f"{target} cannot be replaced; close the program that has it open")
    # A muxer says EPERM of streams that it does not take, too.
    is_shut = number == errno.EPERM and not os.access(target.parent, os.W_OK)
    if is_shut or number in (errno.EACCES, errno.EROFS):
        return OutputError(f"{target.parent} may not be written to; choose another -o")
    if isinstance(exc, FileNotFoundError) and not target.parent.is_dir():
        return OutputError(
            f"the folder {target.parent} does not exist; create it or choose another -o"
        )
    if number == errno.ENAMETOOLONG:
        return OutputError(f"the file name {target.name} is too long; choose another -o")
    if number == errno.EPIPE:
        kind = ReaderGoneError if str(target) == "-" else OutputError
        return kind("the program that reads the output has ended before it was whole")
    return OutputError(f"{target} cannot be written ({reason})")
