"""Where weights come from: noted in a checkpoint while it is trained, said on the card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vsrcli.lab.checkpoints import load_checkpoint
from vsrcli.lab.clips import find_clips
from vsrcli.lab.data import pictures

OUR_PICTURES, OUR_CLIPS = 161, 43
"""What our own models were trained on."""
OUR_STILLS = (
    "61 pictures of T91 and General100 (published for research, taken from an MIT repository) and "
    "100 of the BSDS500 training set (non-commercial research terms)"
)
"""The pictures, as cards name them."""
UNKNOWN = "unknown"
Data = Mapping[str, str | int]
"""Of one training: folder, pictures, clips, and what it began from."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a card says; what is empty follows from the checkpoint."""

    trained_on: str = ""
    licence: str = ""


UNSAID = Origin()


def noted(
    before: Sequence[Data], stills: Path, clips: Path | None = None, begin: Path | None = None
) -> list[Data]:
    """The trainings before, and this one if its data is not among theirs. `begin` is what a new one
    starts from: those before are its own."""
    if begin and begin.suffix == ".pt":
        before = load_checkpoint(begin).get("data", [])
    now: Data = {
        "folder": stills.resolve().name,
        "pictures": len(pictures(stills)),
        "clips": len(find_clips(clips)) if clips else 0,
        "begin": begin.stem if begin else "",
    }
    is_known = any({**entry, "begin": now["begin"]} == now for entry in before)
    return [*before] if is_known else [*before, now]


def origin_of(
    data: Sequence[Data], ours: str, said: Origin = UNSAID, *, with_clips: bool = False
) -> Origin:
    """What was `said`; of the rest `ours` and MIT if every training had as many pictures, and clips
    where it needs them, as our own, else its folders and an unknown licence."""
    counts = (OUR_PICTURES, OUR_CLIPS if with_clips else 0)
    is_ours = bool(data) and all((d["pictures"], d["clips"]) == counts for d in data)
    there = "; ".join(map(_words, data)) or "data that the checkpoint does not name"
    return Origin(
        trained_on=said.trained_on or (ours if is_ours else there),
        licence=said.licence or ("MIT" if is_ours else UNKNOWN),
    )


def _words(entry: Data) -> str:
    clips = f" and {entry['clips']} clips" if entry["clips"] else ""
    begun = f", begun from {entry['begin']}" if entry["begin"] else ""
    return f"{entry['pictures']} pictures of {entry['folder']}{clips}{begun}"
