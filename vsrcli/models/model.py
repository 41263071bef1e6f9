"""The model card: everything the runtime needs to know about a model, read from `model.toml`."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from vsrcli.errors import ModelError, WeightsError

CARD = "model.toml"
BF16_CHANGE = "bf16_change_db"
"""Of a graph's measured figures; see `vsr-lab bf16`."""
SCHEMA = 1
PARTS = ("clean", "flow", "backward", "forward", "reconstruct")
"""Graphs of a bidirectional model."""


class Temporal(Enum):
    """How frames reach a model, and so which driver runs it."""

    FRAME = "frame"
    """One LR frame in, one HR frame out; no memory."""
    RECURRENT = "recurrent"
    """A window of LR frames and state tensors in, one HR frame and new states out."""
    BIDIRECTIONAL = "bidirectional"
    """Chunks of frames, propagated backward and forward."""


@dataclass(frozen=True, kw_only=True)
class Graph:
    """One ONNX file of a model."""

    scale: int
    precision: str
    file: Path
    sha256: str
    part: str = ""
    """What it does in a model of several graphs; empty where one graph is the whole model."""
    config: str = ""
    """The shape in the paper's letters: D22 S32."""
    params: int = 0
    border: int = 0
    """Receptive border, of one step of a recurrent cell; LR px. 0: not known."""
    align: int = 1
    """A piece of a picture gives the same as the whole only if it begins at a multiple, LR px."""
    train_minutes: float = 0.0
    """Core-minutes spent on training."""
    work: int = 0
    """Bytes an LR px of intermediate values that a run of it needs at once; 0: not known."""
    measured: Mapping[str, float] = field(default_factory=dict)
    """Figures that the lab measured, by name: set5_psnr_y, set5_gain_db, bf16_change_db …"""

    @property
    def bf16_change(self) -> float | None:
        """What bf16 changes pictures of 8 bits by, dB of PSNR-Y; None if nobody has measured."""
        return self.measured.get(BF16_CHANGE)

    def load(self) -> bytes:
        """The file's bytes. Raises WeightsError if it is missing or not the one on the card."""
        try:
            data = self.file.read_bytes()
        except OSError as exc:
            raise WeightsError(f"{self.file} cannot be read ({exc.strerror})") from exc
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise WeightsError(
                f"{self.file} is not the file its card describes (checksum differs); "
                "restore it or install vsr again"
            )
        return data


@dataclass(frozen=True, kw_only=True)
class State:
    """A tensor that a recurrent cell takes as `name` and gives as `name`_next; zero at first."""

    name: str
    channels: int
    scale: int = 1
    """Of its sides, against the LR frame."""
    only: int = 0
    """The scale whose graph alone has it; 0: all graphs do."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model as its card states it."""

    id: str
    family: str
    summary: str
    color: str
    """What goes through the net: "y" (luma; chroma is scaled bicubically) or "rgb"."""
    temporal: Temporal
    licence: str
    trained_on: str
    recipe: str
    folder: Path
    graphs: tuple[Graph, ...]
    levels: str = "any"
    """Luma a "y" model was trained on: "studio" (16 to 235 of 255, nothing beyond) or "any"."""
    window: tuple[int, int] = (0, 0)
    """LR frames before and after the current one that a recurrent cell sees."""
    states: tuple[State, ...] = ()
    """What recurrent cells hand on to the next frame; `states_of` picks those of one."""
    output: str = "rgb"
    """Of an RGB model: "rgb", or "y" for a net that gives luma only (chroma is then bicubic)."""
    peak: float = 1.0
    """White at the net's input and output."""
    warm_up: int = 0
    """Frames of a shot that are run backwards before its first, where that makes those better."""
    clean_threshold: float = 0.0
    """Of a bidirectional model: cleaning is repeated until it changes less, mean |residue|."""

    @property
    def scales(self) -> tuple[int, ...]:
        """The factors this model has graphs for, ascending."""
        return tuple(sorted({graph.scale for graph in self.graphs}))

    def states_of(self, scale: int) -> tuple[State, ...]:
        """What the cell of a scale hands on to the next frame."""
        return tuple(state for state in self.states if state.only in (0, scale))

    def graph(self, scale: int, precision: str = "fp32") -> Graph:
        """The graph of a scale. Raises ModelError naming what there is."""
        return next(iter(self.parts(scale, precision).values()))

    def parts(self, scale: int, precision: str = "fp32") -> dict[str, Graph]:
        """All graphs of a scale by part. Raises ModelError naming what there is."""
        found = {g.part: g for g in self.graphs if (g.scale, g.precision) == (scale, precision)}
        if found:
            return found
        if scale not in self.scales:
            has = ", ".join(f"x{s}" for s in self.scales)
            raise ModelError(f"{self.id} has no x{scale}; it has {has}. Use one of these --scale")
        has = ", ".join(sorted({g.precision for g in self.graphs if g.scale == scale}))
        raise ModelError(f"{self.id} x{scale} has no {precision} graph; it has {has}")


def read_model(folder: Path) -> Model:
    """The model in a folder. Raises WeightsError if the card is missing or not valid."""
    card = folder / CARD
    try:
        data = tomllib.loads(card.read_text(encoding="utf-8"))
        return _model(data, folder)
    except OSError as exc:
        raise WeightsError(f"{card} cannot be read ({exc.strerror})") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise WeightsError(f"{card} is not valid TOML: {exc}") from exc
    except KeyError as exc:
        raise WeightsError(f"{card} lacks the entry {exc}") from exc
    except (TypeError, ValueError) as exc:
        raise WeightsError(f"{card} has an entry of the wrong kind: {exc}") from exc


def _model(data: dict[str, Any], folder: Path) -> Model:
    if data["schema"] != SCHEMA:
        raise ValueError(f"schema {data['schema']}; this vsr reads schema {SCHEMA}")
    if data["color"] not in ("y", "rgb"):
        raise ValueError(f'color = "{data["color"]}"; it must be "y" or "rgb"')
    return Model(
        id=data["id"],
        family=data["family"],
        summary=data["summary"],
        color=data["color"],
        temporal=Temporal(data["temporal"]),
        licence=data["licence"],
        trained_on=data["trained_on"],
        recipe=data["recipe"],
        folder=folder,
        graphs=tuple(_graph(entry, folder) for entry in data["graph"]),
        levels=_one_of(data, "levels", ("any", "studio")),
        window=(int(data.get("before", 0)), int(data.get("after", 0))),
        states=tuple(State(**entry) for entry in data.get("state", ())),
        output=data.get("output", "rgb"),
        peak=float(data.get("peak", 1)),
        warm_up=int(data.get("warm_up", 0)),
        clean_threshold=float(data.get("clean_threshold", 0)),
    )


def _one_of(data: dict[str, Any], key: str, known: tuple[str, ...]) -> str:
    """The entry, or the first of the known words if there is none."""
    value = str(data.get(key, known[0]))
    if value not in known:
        raise ValueError(f'{key} = "{value}"; it must be one of {", ".join(known)}')
    return value


def _graph(entry: dict[str, Any], folder: Path) -> Graph:
    return Graph(
        scale=int(entry["scale"]),
        precision=entry["precision"],
        file=folder / entry["file"],
        sha256=entry["sha256"],
        config=entry.get("config", ""),
        params=int(entry.get("params", 0)),
        part=entry.get("part", ""),
        border=int(entry.get("border", 0)),
        align=int(entry.get("align", 1)),
        work=int(entry.get("work", 0)),
        train_minutes=float(entry.get("train_minutes", 0)),
        measured=entry.get("measured", {}),
    )
