"""Linux's control groups: what a container, a service or a batch job may take of the machine.

Source: Linux's Documentation/admin-guide/cgroup-v2.rst and cgroup-v1.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_OWN = Path("/proc/self/cgroup")
_ROOT = Path("/sys/fs/cgroup")


def control_groups(controller: str) -> Iterator[Path]:
    """Folders of this process's group and of each around it, of both versions; none elsewhere.

    Which files of a version's lie there, if any, is to be seen. In a container the root is its own,
    and the path may be that of the machine outside.
    """
    try:
        lines = _OWN.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _upwards(_ROOT, path)
        elif controller in controllers.split(","):
            yield from _upwards(_ROOT / controller, path)


def _upwards(root: Path, path: str) -> Iterator[Path]:
    inside = PurePosixPath(path.lstrip("/"))
    for part in (inside, *inside.parents):
        yield root / part
