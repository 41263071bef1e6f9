"""The pixel aspect in the header of a y4m stream, a line of words.

FFmpeg's muxer takes it from a field of the stream that PyAV cannot set, and writes that it is
unknown.
"""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

Y4M = "yuv4mpegpipe"
"""FFmpeg's muxer."""
_UNKNOWN = b" A0:0 "
_REMARK = re.compile(rb" XYSCSS=\S+")
"""What the word C says, too, for old readers."""
_LINE_BYTES = 256


def with_aspect(data: bytes, aspect: Fraction) -> bytes:
    """The beginning of a stream, with this pixel aspect in its header."""
    line, end, rest = data.partition(b"\n")
    return line.replace(_UNKNOWN, _word(aspect), 1) + end + rest


def write_aspect(path: Path, aspect: Fraction) -> bool:
    """Puts the pixel aspect into the header of a file, whose length stays: a longer one takes the
    place of a remark. False if it does not fit; then the file is left as it was."""
    with path.open("rb+") as file:
        line = file.readline(_LINE_BYTES)
        longer = len(_word(aspect)) - len(_UNKNOWN)
        made = with_aspect(line, aspect)
        if longer > 0:
            made = _REMARK.sub(lambda found: _shortened(found[0], longer), made, count=1)
        if _UNKNOWN not in line or len(made) != len(line):
            return False
        file.seek(0)
        file.write(made)
    return True


def _word(aspect: Fraction) -> bytes:
    return f" A{aspect.numerator}:{aspect.denominator} ".encode()


def _shortened(remark: bytes, by: int) -> bytes:
    """A remark, which begins with X, of another length; as it was where it has not so many."""
    left = len(remark) - by
    return remark if left < 2 else b" X" + b"-" * (left - 2)
