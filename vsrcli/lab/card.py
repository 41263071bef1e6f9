"""`model.toml`: the card of a model folder, written from facts and never by hand."""

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from vsrcli.errors import WeightsError
from vsrcli.lab.files import whole
from vsrcli.models.model import CARD, SCHEMA

_BARE = re.compile(r"[A-Za-z0-9_-]+")
"""Keys that TOML takes without quotation marks."""


@dataclass(frozen=True, kw_only=True)
class GraphCard:
    """One ONNX file."""

    scale: int
    file: str
    sha256: str
    config: str = ""
    params: int = 0
    border: int = 0
    train_minutes: float = 0.0
    precision: str = "fp32"
    part: str = ""
    """Of a model of several graphs."""
    align: int = 1
    """Pieces of a picture must begin at multiples of it, LR px."""
    work: int = 0
    """Bytes an LR px of intermediate values."""
    measured: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Card:
    """A whole card; the order of the fields is the order in the file."""

    id: str
    family: str
    summary: str
    licence: str
    trained_on: str
    recipe: str
    graphs: tuple[GraphCard, ...]
    color: str = "y"
    temporal: str = "frame"
    levels: str = "any"
    output: str = "rgb"
    peak: float = 1.0
    before: int = 0
    after: int = 0
    state: tuple[Mapping[str, str | int], ...] = ()
    """Of recurrent cells: name, channels and, where it is not 1, scale of each state; `only` where
    the graph of one scale has it."""
    warm_up: int = 0
    """Of recurrent cells: frames that fill an empty state."""
    clean_threshold: float = 0.0
    """Of a bidirectional model."""

    def with_graph(self, graph: GraphCard) -> "Card":
        """The card with `graph` in place of one of the same scale, precision and part, sorted."""
        key = (graph.scale, graph.precision, graph.part)
        others = [g for g in self.graphs if (g.scale, g.precision, g.part) != key]
        order = sorted([*others, graph], key=lambda g: (g.scale, g.precision != "fp32"))
        return replace(self, graphs=tuple(order))

    def without_made(self, scale: int, part: str | None = None) -> "Card":
        """The card without what was made of a scale's fp32 graphs, or of one part's."""
        kept = (
            g
            for g in self.graphs
            if g.precision == "fp32" or g.scale != scale or part not in (None, g.part)
        )
        return replace(self, graphs=tuple(kept))

    def with_states_of(self, other: "Card", scale: int) -> "Card":
        """The card of a cell of `scale`, with what `other` says of the cells of other scales."""
        theirs = {g.scale for g in other.graphs} - {scale}
        kept = [
            {**state, "only": each}
            for each in sorted(theirs)
            for state in other.state
            if state.get("only", each) == each
        ]
        own = [{**state, "only": scale} if kept else state for state in self.state]
        return replace(self, state=tuple(sorted((*own, *kept), key=lambda s: s.get("only", 0))))

    def state_scales(self, scale: int) -> dict[str, int]:
        """How much larger than the LR frame each state of a scale's cell is, by name."""
        states = [s for s in self.state if s.get("only", scale) == scale]
        return {str(s["name"]): int(s.get("scale", 1)) for s in states}


def sha256_of(data: bytes) -> str:
    """Hexadecimal checksum."""
    return hashlib.sha256(data).hexdigest()


def read_card(folder: Path) -> Card:
    """The card of `folder`. Raises WeightsError if there is none or it is not valid."""
    try:
        table = tomllib.loads((folder / CARD).read_text(encoding="utf-8"))
        graphs = tuple(GraphCard(**entry) for entry in table.pop("graph"))
        states = tuple(table.pop("state", ()))
        del table["schema"]
        return Card(**table, graphs=graphs, state=states)
    except (OSError, tomllib.TOMLDecodeError, TypeError, KeyError) as exc:
        raise WeightsError(f"{folder / CARD} is not a card this version wrote: {exc}") from exc


def write_card(card: Card, folder: Path) -> Path:
    """`card` as `folder`/model.toml, written whole, then put in place."""
    top = ["id", "family", "summary", "color", "temporal", "licence", "trained_on", "recipe"]
    if card.levels != "any":
        top.append("levels")
    if card.temporal == "recurrent":
        top += ["output", "peak", "before", "after"]
    if card.warm_up:
        top.append("warm_up")
    if card.clean_threshold:
        top.append("clean_threshold")
    lines = [f"schema = {SCHEMA}", *(_entry(key, getattr(card, key)) for key in top)]
    for state in card.state:
        lines += ["", "[[state]]", *(_entry(key, value) for key, value in state.items())]
    for graph in card.graphs:
        lines += ["", "[[graph]]"]
        keys = ["scale", "precision", "file", "sha256", "config", "params", "border"]
        keys = ["part", *keys] if graph.part else keys
        keys += [key for key, none in (("align", 1), ("work", 0)) if getattr(graph, key) != none]
        lines += [_entry(key, getattr(graph, key)) for key in [*keys, "train_minutes"]]
        if graph.measured:
            lines += ["[graph.measured]", *(_entry(k, v) for k, v in graph.measured.items())]
    with whole(folder / CARD) as file:
        file.write(("\n".join(lines) + "\n").encode(errors="replace"))
    return folder / CARD


def replace_card(card: Card, folder: Path) -> None:
    """Writes `card`, and removes the files that only the card before it named."""
    old = read_card(folder).graphs if (folder / CARD).exists() else ()
    write_card(card, folder)
    for name in {g.file for g in old} - {g.file for g in card.graphs}:
        (folder / name).unlink(missing_ok=True)


def note_measured(
    folder: Path, scale: int, figures: Mapping[str, float], *, digits: int = 2
) -> None:
    """Adds figures, to so many decimals, to those on the card of the fp32 graph of a scale; of
    several parts the last."""
    card = read_card(folder)
    graph = [g for g in card.graphs if (g.scale, g.precision) == (scale, "fp32")][-1]
    rounded = {name: round(value, digits) + 0.0 for name, value in figures.items()}  # no -0.0
    write_card(card.with_graph(replace(graph, measured={**graph.measured, **rounded})), folder)


def _entry(key: str, value: str | int | float) -> str:
    name = key if _BARE.fullmatch(key) else _quoted(key)  # figures are called as their clips are
    return f"{name} = {_quoted(value)}"


def _quoted(value: str | int | float) -> str:
    """As TOML has it: JSON, but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
