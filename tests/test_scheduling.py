"""Encoders leave the process where it was among others on the machine."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

import av
import pytest
from clips import Clip, make
from conftest import Vsr

from vsrcli.media.encode import StreamEncoder
from vsrcli.media.encoders import check_encoders
from vsrcli.media.packet import SidePacket
from vsrcli.media.scheduling import usual_scheduling

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="others do not let them change it")


def policies() -> set[int]:
    """Of all threads of this process."""
    found = set()
    for task in os.listdir("/proc/self/task"):
        with suppress(ProcessLookupError):  # it has ended
            found.add(os.sched_getscheduler(int(task)))
    return found


def test_all_threads_come_back() -> None:
    before, done = os.sched_getscheduler(0), threading.Event()
    with usual_scheduling():
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        heir = threading.Thread(target=done.wait)
        heir.start()
        assert os.sched_getscheduler(heir.native_id or 0) == os.SCHED_BATCH
    found = policies()
    done.set()
    heir.join()
    assert found == {before}


def test_svt_av1_gets_no_real_time_threads(
    upscale: Vsr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which it gives itself as root."""
    before, seen = policies(), list[set[int]]()
    encode = StreamEncoder.encode

    def watched(self: StreamEncoder, picture: av.VideoFrame | None) -> list[SidePacket]:
        seen.append(policies())
        return encode(self, picture)

    monkeypatch.setattr(StreamEncoder, "encode", watched)
    make(tmp_path / "in.mp4", Clip(frames=2))
    upscale(tmp_path / "in.mp4", "-o", tmp_path / "out.mkv", "-c:v", "libsvtav1", "--preset", "12")
    assert len(seen) == 3
    assert [check.works for check in check_encoders(["libsvtav1"])] == [True]
    assert [*seen, policies()] == [before] * 4
