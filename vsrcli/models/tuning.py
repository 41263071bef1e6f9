"""Options of how a model runs that only some kinds of model know."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields

from vsrcli.errors import UsageError
from vsrcli.models.model import Model, Temporal

CLEANING = ("auto", "0", "1", "2", "3")
_CHUNKED = {"kinds": (Temporal.BIDIRECTIONAL,)}
_TILED = {"kinds": (Temporal.FRAME, Temporal.RECURRENT)}
_TILE = re.compile(r"[1-9]\d{0,4}x[1-9]\d{0,4}")


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What a user set; None stands for the model's or the machine's own choice.

    Raises UsageError for values that cannot be meant.
    """

    chunk: int | None = field(default=None, metadata=_CHUNKED)
    """Frames that are restored together; None: what the memory holds, to a limit."""
    overlap: int | None = field(default=None, metadata=_CHUNKED)
    """Frames of the next chunk that are looked at from the one before."""
    clean: str | None = field(default=None, metadata=_CHUNKED)
    """Cleaning passes, or "auto" for what each shot needs."""
    clean_threshold: float | None = field(default=None, metadata=_CHUNKED)
    """`auto` repeats cleaning until it changes less than this on average, of 255."""
    strength: float | None = field(default=None, metadata=_CHUNKED)
    """1: the model's picture; 0: the clean frame, enlarged by bicubic; between: a blend."""
    tile: str | None = field(default=None, metadata=_TILED)
    """The pieces that pictures are cut into, WxH in LR px, or "off"; None: as memory needs it."""

    def __post_init__(self) -> None:
        _within("--chunk", self.chunk, 1, 10_000)
        _within("--overlap", self.overlap, 0, 1_000)
        _within("--clean-threshold", self.clean_threshold, 0, 255)
        _within("--strength", self.strength, 0, 1)
        if self.tile not in (None, "off") and not _TILE.fullmatch(self.tile):
            raise UsageError(f"--tile {self.tile!r}: it must be auto, off or WIDTHxHEIGHT")
        if self.clean not in (None, *CLEANING):
            raise UsageError(f"--clean {self.clean!r}: it must be one of {', '.join(CLEANING)}")
        if self.clean_threshold is not None and self.clean not in (None, "auto"):
            raise UsageError("--clean-threshold is for --clean auto; give one of them")

    def check(self, model: Model) -> None:
        """Raises UsageError if an option was set that this kind of model does not know."""
        for each in fields(self):
            kinds: tuple[Temporal, ...] = each.metadata["kinds"]
            if getattr(self, each.name) is not None and model.temporal not in kinds:
                wanted = " or ".join(kind.value for kind in kinds)
                option = f"--{each.name.replace('_', '-')}"
                raise UsageError(
                    f"{option} is for {wanted} models; {model.id} is a {model.temporal.value} one"
                )


def _within(option: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not low <= value <= high:
        raise UsageError(f"{option} must be {low} to {high}")


UNTUNED = Tuning()
"""Nothing is set."""
