"""How much memory a program has had."""

from __future__ import annotations

import subprocess
import sys

import pytest

from vsrcli.runtime.memory import peak_bytes

TELL = "from vsrcli.runtime.memory import peak_bytes; {}; print(peak_bytes())"


def told(does: str) -> int:
    return int(subprocess.check_output([sys.executable, "-c", TELL.format(does)]))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is the system's own count")
def test_the_peak_is_not_that_of_the_parent() -> None:
    here = bytearray(b"\1") * (256 << 20)
    assert peak_bytes() > len(here)
    plain = told("pass")
    assert 1 << 20 < plain < len(here)
    assert told(f"b = bytearray(b'1') * {128 << 20}; del b") > plain + (100 << 20)
