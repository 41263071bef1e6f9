"""What other systems do otherwise, played here: vsr was run on Linux alone."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from clips import Clip, make

from vsrcli.cli.process import _named
from vsrcli.media.outlet import _Stream

ODD = "ä→日本"


def invalid(*_: object) -> int:
    raise OSError(errno.EINVAL, "Invalid argument")


def vsr_in(encoding: str, *arguments: object) -> tuple[int, bytes, bytes]:
    """A `vsr` whose standard streams have this encoding, as Windows' have that of its language."""
    order = [sys.executable, "-m", "vsrcli", *map(str, arguments)]
    env = os.environ | {"PYTHONIOENCODING": encoding}
    done = subprocess.run(order, env=env, capture_output=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_what_an_encoding_lacks_is_told_all_the_same(tmp_path: Path) -> None:
    source = make(tmp_path / f"{ODD}.mp4", Clip(frames=2))
    code, out, err = vsr_in("cp1252", "probe", source)
    assert (code, err) == (0, b"")
    assert "ä\\u2192\\u65e5\\u672c.mp4: mp4".encode("cp1252") in out
    code, out, err = vsr_in("cp1252", "probe", source, "--json")
    assert (code, err) == (0, b"")
    assert json.loads(out)["source"] == str(source)


def test_reader_that_has_gone_is_an_invalid_argument_on_windows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as windows:
        windows.setattr(sys, "platform", "win32")
        with pytest.raises(BrokenPipeError), _named():
            invalid()
        for call in ("dup", "dup2", "write"):
            windows.setattr(os, call, invalid if call == "write" else lambda *_: 1)
        with pytest.raises(BrokenPipeError):
            _Stream().write(b"data")
