"""`--threads` is of all stages together."""

from __future__ import annotations

from pathlib import Path

import pytest
from clips import Clip, make

from vsrcli import Job, pipeline, upscale
from vsrcli.cores import usable_cores
from vsrcli.runtime.engines import Setup
from vsrcli.thread_shares import Shares, shares


def control_groups(folder: Path, lines: str, files: dict[str, str]) -> None:
    """What /proc and /sys say of them, there."""
    (folder / "own").write_text(lines)
    for name, text in files.items():
        (folder / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "groups" / name).write_text(f"{text}\n")


V1 = "4:memory:/a\n1:cpu,cpuacct:/a/b\n0::/\n"


@pytest.mark.parametrize(
    ("lines", "files", "cores"),
    [
        ("0::/\n", {"cpu.max": "200000 100000"}, 2),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "250000 100000"}, 3),
        ("0::/outside\n", {"cpu.max": "10000 100000"}, 1),
        ("0::/a\n", {"a/cpu.max": "max 100000"}, 8),
        ("0::/a\n", {"a/cpu.max": "6400000 100000"}, 8),
        (V1, {"cpu/a/b/cpu.cfs_quota_us": "-1", "cpu/a/b/cpu.cfs_period_us": "100000"}, 8),
        (V1, {"cpu/a/cpu.cfs_quota_us": "150000", "cpu/a/cpu.cfs_period_us": "50000"}, 3),
        ("", {}, 8),
    ],
)
def test_a_container_s_share_of_time_counts_as_cores(
    lines: str, files: dict[str, str], cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control_groups(tmp_path, lines, files)
    monkeypatch.setattr("vsrcli.cores._OWN", tmp_path / "own")
    monkeypatch.setattr("vsrcli.cores._GROUPS", tmp_path / "groups")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert usable_cores() == cores == Setup().workers
    limit = 0 if cores == 8 else cores
    assert shares(0, light=True) == Shares(decode=limit, infer=limit, encode=limit)


@pytest.mark.parametrize("light", [True, False])
def test_every_stage_has_a_thread_and_together_no_more_than_asked(light: bool) -> None:
    assert shares(0, light=light) == Shares(decode=0, infer=0, encode=0)
    for threads in range(1, 65):
        share = shares(threads, light=light)
        parts = (share.decode, share.infer, share.encode)
        assert min(parts) >= 1
        assert sum(parts) == threads or threads < 8


def test_a_model_with_memory_gets_more_than_one_without() -> None:
    assert shares(8, light=True) == Shares(decode=1, infer=3, encode=4)
    assert shares(8, light=False) == Shares(decode=1, infer=5, encode=2)
    assert shares(2, light=False).infer == 2


def test_a_run_gives_each_stage_its_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, int] = {}

    def noting(name: str) -> None:
        real = getattr(pipeline, name)

        def opened(*args: object, **options: object) -> object:
            given[name] = int(str(options["threads"]))
            return real(*args, **options)

        monkeypatch.setattr(pipeline, name, opened)

    for name in ("Source", "open_driver", "Sink"):
        noting(name)
    clip = make(tmp_path / "in.mp4", Clip(frames=3))
    upscale(Job(source=clip, target=tmp_path / "out.mp4", model="bicubic", scale=2, threads=8))
    assert given == {"Source": 1, "open_driver": 3, "Sink": 4}
