"""The instruction sets of this processor that matter to a model's speed."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_KNOWN = (
    *("avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_bf16", "amx_int8"),
    *("asimd", "bf16", "i8mm", "sve"),
)
_BF16 = {"avx512_bf16", "amx_bf16"}


@cache
def cpu_features() -> tuple[str, ...]:
    """Those that this processor has, in a fixed order; none where the system does not say."""
    facts = colon_file("/proc/cpuinfo")
    words = (facts.get("flags") or facts.get("Features") or "").split()
    return tuple(name for name in _KNOWN if name in words)


def has_bf16() -> bool:
    """Whether it multiplies bf16 numbers faster than float32."""
    return not _BF16.isdisjoint(cpu_features())


def has_avx2() -> bool:
    """Whether it works on 8 float32 numbers at once, and on 32 of 8 bits."""
    return "avx2" in cpu_features()


def has_avx512() -> bool:
    """Whether it works on 16 float32 numbers at once."""
    return "avx512f" in cpu_features()


def colon_file(path: str) -> dict[str, str]:
    """A /proc file's "name : value" lines, the first of equal names; empty where there is none."""
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    parts = (line.partition(":") for line in reversed(lines))
    return {name.strip(): value.strip() for name, _, value in parts}
