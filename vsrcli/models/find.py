"""Where models are found: by id on a search path, or by the path of a folder."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from vsrcli.errors import ModelError, UsageError, WeightsError
from vsrcli.models.model import CARD, Model, read_model

_PACKAGE = Path(__file__).resolve().parent.parent
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def is_id(word: str) -> bool:
    """Whether a model may be called so: its folder and its files are."""
    return bool(_ID.fullmatch(word))


def check_id(id_: str) -> None:
    """Raises UsageError for what no new model may be called."""
    if not is_id(id_):
        raise UsageError(f"--id {id_!r} is no model id; use letters, digits, dots and hyphens")


def search_path() -> tuple[Path, ...]:
    """Folders that hold models, first match wins: $VSR_MODELS, the user's own, the shipped ones."""
    named = [Path(p) for p in os.environ.get("VSR_MODELS", "").split(os.pathsep) if p]
    # A wheel carries weights/ inside the package; a checkout has it beside the package.
    shipped = (_PACKAGE / "weights", _PACKAGE.parent / "weights")
    return (*named, user_models(), *shipped)


def user_models() -> Path:
    """Where imported models go by default."""
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return data / "vsr" / "models"


def list_models(on_broken: Callable[[WeightsError], object] = lambda _: None) -> list[Model]:
    """Every model on the search path, by id; the first of equal ids. Broken cards are left out:
    `on_broken` hears of each."""
    found: dict[str, Model] = {}
    for folder in model_folders():
        try:
            model = read_model(folder)
        except WeightsError as exc:  # `vsr models verify` names it; the other models still work
            on_broken(exc)
            continue
        found.setdefault(model.id, model)
    return [found[key] for key in sorted(found)]


def find_model(name: str) -> Model:
    """The model of this id or in this folder.

    Raises ModelError with the nearest name if there is none, WeightsError if its card is broken.
    """
    return read_model(find_folder(name))


def find_folder(name: str) -> Path:
    """The folder meant by an id or a path. Raises ModelError with the nearest name if none is."""
    path = Path(name)
    if "/" in name or os.sep in name or (path / CARD).is_file():
        return path
    for folder in model_folders():
        if folder.name == name:
            return folder
    raise ModelError(_unknown(name))


def model_ids() -> list[str]:
    """The ids of all folders with a card, sorted."""
    return sorted({folder.name for folder in model_folders()})


def model_folders() -> Iterator[Path]:
    """Every folder with a card on the search path, in its order; broken ones too."""
    for root in search_path():
        if root.is_dir():
            yield from sorted(card.parent for card in root.glob(f"*/{CARD}"))


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name.lower(), model_ids(), n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else "`vsr models` lists them"
    return f"there is no model {name!r}; {hint}"
