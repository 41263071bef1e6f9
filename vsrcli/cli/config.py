"""Options from files: `vsr.toml` and its profiles, and the tables of job lists.

    model = "espcn"              keys are the long options of `vsr upscale`, with - or _
    crf = 18

    [profile.archive]            chosen by --profile archive; goes over the keys above
    encoder = "ffv1"

A profile is no `[preset.NAME]` because `preset` is a key: the encoder's preset.
The command line wins over the environment (VSR_CRF=18), that over a profile, that over the rest.
"""

from __future__ import annotations

import logging
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args, get_origin

import typer

from vsrcli.cli.run_options import RunOptions, option_types
from vsrcli.errors import UsageError

log = logging.getLogger("vsr")
_NAME = "vsr.toml"
_DEFAULTS = {field.name: field.default for field in fields(RunOptions)}
_RIVALS = (
    ({"scale"}, {"width", "height"}),
    ({"crf"}, {"bitrate"}),
    ({"length"}, {"end"}),
    ({"overwrite"}, {"keep"}),
    ({"scene_threshold"}, {"no_scene_cut"}),
)
"""Options that exclude each other: said in a nearer place, one drops the other."""
_OF_ENCODER = {"preset", "crf", "bitrate", "encoder_option"}
"""What is meant for an encoder: naming another in a nearer place drops these."""


def configured(path: Path | None, profile: str | None) -> RunOptions:
    """The options of a configuration file and a profile in it. Raises UsageError."""
    found = path or _find()
    tables = read_toml(found) if found else {}
    profiles = tables.pop("profile", {})
    if not isinstance(profiles, dict):
        raise UsageError(f"{found}: profile is a table, [profile.NAME]; choose one by --profile")
    options = layered(RunOptions(), typed(tables, str(found)))
    for name, words in profiles.items():
        if not isinstance(words, dict):
            raise UsageError(f"{found}: profile.{name} is not a table; write [profile.{name}]")
        values = typed(words, f"{found} [profile.{name}]")
        options = layered(options, values) if name == profile else options
    if profile is not None and profile not in profiles:
        known = ", ".join(profiles) or "none"
        where = f"{found} has no [profile.{profile}]" if found else f"there is no {_NAME}"
        raise UsageError(f"--profile {profile}: {where}; profiles there: {known}")
    return options


def _find() -> Path | None:
    for path in (Path(_NAME), Path(typer.get_app_dir("vsr")) / _NAME):
        if path.is_file():
            return path
    return None


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file's tables. Raises UsageError where it cannot be read as TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))  # PowerShell writes a mark first
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {exc.strerror}") from exc
    except ValueError as exc:  # TOML's and UTF-8's
        raise UsageError(f"{path} is not TOML: {exc}") from exc


def layered(options: RunOptions, said: Mapping[str, Any]) -> RunOptions:
    """The options with others put over them; what those exclude falls back to its default."""
    meant = {name for name, value in said.items() if value != _DEFAULTS[name]}
    dropped = set[str]()
    for pair in _RIVALS:
        for side, other in (pair, pair[::-1]):
            dropped |= other if meant & side else set()
    if "encoder" in meant and said["encoder"] != options.encoder:
        dropped |= _OF_ENCODER
    changes: dict[str, Any] = {name: _DEFAULTS[name] for name in dropped} | dict(said)
    return replace(options, **changes)


def typed(words: Mapping[str, object], where: str) -> dict[str, Any]:
    """The keys and values of a table as options. Raises UsageError, which names the table."""
    keys = dict[str, str]()
    for key in words:
        name = key.replace("-", "_")
        if name not in _DEFAULTS:
            raise UsageError(
                f"{where}: there is no option {key!r}; keys are the long options of "
                "vsr upscale, such as model, scale, crf"
            )
        if name in keys:
            raise UsageError(f"{where}: {keys[name]} and {key} are one option; leave one out")
        keys[name] = key
    return {name: _typed(name, words[key], where) for name, key in keys.items()}


def _typed(name: str, word: object, where: str) -> object:
    """One value as its option's type; CSV gives text for everything."""
    wanted = get_args(option_types()[name])[0]
    kind = next((k for k in get_args(wanted) if get_origin(wanted) is not list), wanted)
    try:
        return _CASTS[get_origin(kind) or kind](word)
    except (ValueError, KeyError) as exc:
        raise UsageError(f"{where}: {name} = {word!r} is not {_CALLED[kind]}") from exc


def _int(word: object) -> int:
    return int(str(word))


def _float(word: object) -> float:
    return float(str(word))


def _bool(word: object) -> bool:
    return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[
        str(word).lower()
    ]


def _str(word: object) -> str:
    if not isinstance(word, str | int | float) or isinstance(word, bool):
        raise ValueError(word)
    return str(word)


def _list(word: object) -> list[str]:
    return [_str(entry) for entry in word] if isinstance(word, list) else _str(word).split()


_CASTS: dict[Any, Callable[[object], object]] = {
    int: _int,
    float: _float,
    bool: _bool,
    str: _str,
    list: _list,
}
_CALLED = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    list[str]: "a list of texts",
}
