"""What the other examples share: words they read, and how they end where something is wrong."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Callable


def run_main(main: Callable[[], None]) -> None:
    """Runs an example. An error of vsr or of the system is one line; one of a process that it
    started has been said by that."""
    try:
        main()
    except subprocess.CalledProcessError as exc:
        sys.exit(exc.returncode)
    except OSError as exc:
        sys.exit(f"{exc.filename or 'a file'} cannot be read or written ({exc.strerror})")
    except Exception as exc:
        from vsrcli.errors import VsrError  # not before: startup.py counts what is imported

        if not isinstance(exc, VsrError):
            raise
        sys.exit(str(exc))


def size(word: str) -> tuple[int, int]:
    """Reads width and height."""
    if not re.fullmatch(r"[1-9][0-9]{0,4}x[1-9][0-9]{0,4}", word):
        raise argparse.ArgumentTypeError(f"{word} is not WIDTHxHEIGHT, as in 320x180")
    width, height = map(int, word.split("x"))
    return width, height


def numbers(word: str) -> list[int]:
    """Reads numbers between commas."""
    if not re.fullmatch(r"[0-9]{1,6}(,[0-9]{1,6})*", word):
        raise argparse.ArgumentTypeError(f"{word} is not numbers between commas, as in 2,4,8")
    return [int(part) for part in word.split(",")]
