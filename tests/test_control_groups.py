"""A container, a service or a batch job has less than the machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vsrcli.cores import usable_cores
from vsrcli.runtime import memory
from vsrcli.runtime.engines import Setup
from vsrcli.thread_shares import Shares, shares

Says = Callable[[str, dict[str, str]], None]
V1 = "4:memory:/a\n1:cpu,cpuacct:/a/b\n0::/\n"
CPU, MEMORY = "cpu/a/b/cpu.cfs_", "memory/a/memory."


@pytest.fixture
def linux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Says:
    """What /proc/self/cgroup and the files of /sys/fs/cgroup say."""
    own, root = tmp_path / "own", tmp_path / "root"
    monkeypatch.setattr("vsrcli.control_groups._OWN", own)
    monkeypatch.setattr("vsrcli.control_groups._ROOT", root)

    def say(lines: str, files: dict[str, str]) -> None:
        own.write_text(lines)
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(f"{text}\n")

    return say


@pytest.mark.parametrize(
    ("lines", "files", "cores"),
    [
        ("0::/\n", {"cpu.max": "200000 100000"}, 2),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "250000 100000"}, 3),
        ("0::/outside\n", {"cpu.max": "10000 100000"}, 1),
        ("0::/a\n", {"a/cpu.max": "max 100000"}, 8),
        ("0::/a\n", {"a/cpu.max": "6400000 100000"}, 8),
        (V1, {f"{CPU}quota_us": "-1", f"{CPU}period_us": "100000"}, 8),
        (V1, {f"{CPU}quota_us": "150000", f"{CPU}period_us": "50000"}, 3),
        ("", {}, 8),
    ],
)
def test_a_share_of_time_counts_as_cores(
    lines: str, files: dict[str, str], cores: int, linux: Says, monkeypatch: pytest.MonkeyPatch
) -> None:
    linux(lines, files)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert usable_cores() == cores == Setup().workers
    limit = 0 if cores == 8 else cores
    assert shares(0, light=True) == Shares(decode=limit, infer=limit, encode=limit)


@pytest.mark.parametrize(
    ("lines", "files", "free"),
    [
        ("0::/\n", {"memory.max": "5000", "memory.current": "3000"}, 2000),
        (
            "0::/a/b\n",
            {
                "a/b/memory.max": "max",
                "a/b/memory.current": "100",
                "a/memory.max": "5000",
                "a/memory.current": "4000",
                "a/memory.stat": "anon 3500\ninactive_file 500",
            },
            1500,
        ),
        (V1, {f"{MEMORY}limit_in_bytes": "900", f"{MEMORY}usage_in_bytes": "950"}, 0),
        (
            V1,
            {
                f"{MEMORY}limit_in_bytes": "5000",
                f"{MEMORY}usage_in_bytes": "4500",
                f"{MEMORY}stat": "inactive_file 1\ntotal_inactive_file 300",
            },
            800,
        ),
        ("", {}, 1 << 20),
    ],
)
def test_free_memory_is_what_the_smallest_limit_leaves(
    lines: str, files: dict[str, str], free: int, linux: Says, monkeypatch: pytest.MonkeyPatch
) -> None:
    linux(lines, files)
    real = memory._field
    monkeypatch.setattr(
        memory, "_field", lambda path, name: real(path, name) if "stat" in str(path) else 1 << 20
    )
    assert memory.free_bytes("cpu") == free
