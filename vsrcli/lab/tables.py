"""Dataclasses from TOML tables: every value checked against the type that its field says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from math import inf, nextafter
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from vsrcli.models import is_id

T = TypeVar("T")
_FROM_1 = {
    *("batch", "length", "patch", "layers", "features", "depth", "channels", "kernel"),
    *("detail", "flow_levels", "flow_kernel", "flow_finest", "judged"),
}
"""Whole numbers that are at least 1; others may be 0."""
_ABOVE_0 = ("lr", "share", "shrinks", "jpeg_shrinks")
_BELOW_1 = ("ema", "warmup")


def made(kind: type[T], table: Mapping[str, Any]) -> T:
    """A dataclass of type `kind`. Fields are dataclasses, tuples, dicts and plain values; no number
    is below 0. Raises ValueError that says what a field takes, TypeError if one is missing."""
    hints = get_type_hints(kind)
    if unknown := sorted(table.keys() - hints.keys()):
        raise ValueError(f"there is no {unknown[0]}; there is {', '.join(hints)}")
    return kind(**{key: _read(hints[key], value, key) for key, value in table.items()})


def _read(kind: object, value: object, name: str) -> object:
    inside = get_args(kind)
    if isinstance(kind, type) and is_dataclass(kind):
        return made(kind, _typed(dict, value, name, "a table"))
    if get_origin(kind) is dict:
        table = _typed(dict, value, name, "a table")
        if inside[0] is int:
            return {int(key): _read(inside[1], each, name) for key, each in table.items()}
        return {key: _read(inside[1], each, key) for key, each in table.items()}
    if get_origin(kind) is tuple:
        listed = _typed(list, value, name, "a list")
        kinds = inside[:1] * len(listed) if inside[-1] is ... else inside
        if len(kinds) != len(listed):
            raise ValueError(f"{name} must be {len(kinds)} values, not {value!r}")
        return tuple(_read(each, one, name) for each, one in zip(kinds, listed, strict=True))
    if kind is int:
        lowest = int(name in _FROM_1)
        words = f"a whole number from {lowest} on"
        return _between(lowest, inf, _typed(int, value, name, words), name, words)
    if kind is float:
        least, below, words = _span(name)
        return _between(least, below, _typed((int, float), value, name, words), name, words)
    if kind is bool:
        return _typed(bool, value, name, "true or false")
    if name == "id" and not is_id(str(value)):
        raise ValueError(f"id must be letters, digits, dots and hyphens, not {value!r}")
    return _typed(str, value, name, "text")


def _span(name: str) -> tuple[float, float, str]:
    if name in _BELOW_1:
        return 0, 1, "a share below 1"
    if name in _ABOVE_0:
        return nextafter(0, 1), inf, "a number above 0"
    return 0, inf, "a number from 0 on"


def _between(least: float, below: float, value: float, name: str, words: str) -> float:
    if not least <= value < below:
        raise ValueError(f"{name} must be {words}, not {value!r}")
    return value


def _typed(kind: Any, value: Any, name: str, words: str) -> Any:  # noqa: ANN401  # of that type
    if isinstance(value, bool) != (kind is bool) or not isinstance(value, kind):
        raise ValueError(f"{name} must be {words}, not {value!r}")
    return value
