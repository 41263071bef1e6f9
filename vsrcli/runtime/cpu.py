"""The instruction sets of this processor that matter to a model's speed."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

_KNOWN = (
    *("avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_bf16", "amx_int8"),
    *("asimd", "bf16", "i8mm", "sve"),
)
_OF_NUMPY = {
    "AVX2": ("avx2",),
    "FMA3": ("fma",),
    "X86_V3": ("avx2", "fma"),
    "AVX512F": ("avx512f",),
    "X86_V4": ("avx512f",),
    "AVX512_CLX": ("avx512_vnni",),
    "AVX512_ICL": ("avx512_vnni",),
    "AVX512_SPR": ("avx512_bf16", "avx512_fp16"),
}
"""What is in those that NumPy looks for, by its names, old and new."""
_BF16 = {"avx512_bf16", "amx_bf16"}


@cache
def cpu_features() -> tuple[str, ...]:
    """Those that this processor has, in a fixed order. Linux knows all of them; elsewhere they are
    the ones that NumPy found: of those with bf16, Sapphire Rapids and later."""
    facts = colon_file("/proc/cpuinfo")
    words = (facts.get("flags") or facts.get("Features") or "").split() or _found_by_numpy()
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


def _found_by_numpy() -> list[str]:
    found = np.show_config(mode="dicts").get("SIMD Extensions", {})
    names = (*found.get("baseline", ()), *found.get("found", ()))
    return [feature for name in names for feature in _OF_NUMPY.get(name, ())]


def colon_file(path: str) -> dict[str, str]:
    """A /proc file's "name : value" lines, the first of equal names; empty where there is none."""
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    parts = (line.partition(":") for line in reversed(lines))
    return {name.strip(): value.strip() for name, _, value in parts}
