"""Precision and recall of the cut detector on real clips that are joined on purpose.

Each clip gives short sections that hold no cut of their own. Sections of different clips are joined
in a fixed random order by hard cuts, which are to be found, by cross-fades, which are not, and by
fades through black, where a cut is right only while the picture is gone. Within sections lie
flashes (one or two white frames, or an overexposed one), jumps of exposure, and fast pans over a
still.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vsrcli.cuts import cut_scores
from vsrcli.errors import InputError
from vsrcli.frames import Frame, frame_of
from vsrcli.lab.clips import CLIPS
from vsrcli.media.pixels import layout_of
from vsrcli.media.source import Source

Luma = NDArray[np.uint8]  # (H, W)
Score = Callable[[Iterable[Frame]], Iterator[float]]
"""Frames of a stream to their scores, 0..100: how likely each is the first of a shot."""
WIDTH, HEIGHT = 320, 180
SECTION, APART = 24, 72
"""Frames of a section, and from the start of one to that of the next."""
FADE, BLACK = 10, 3
PAN = 12
_GRAY = layout_of("gray")


@dataclass(frozen=True, kw_only=True)
class Event:
    """A span of frames in which a cut must, or must not, be called."""

    kind: str
    start: int
    end: int
    """The frame after the last."""


@dataclass(kw_only=True)
class Reel:
    """Joined sections, and what happens in them."""

    frames: list[Luma] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def add(self, kind: str, frames: Iterable[Luma]) -> None:
        """The frames at the end, as an event."""
        start = len(self.frames)
        self.frames += frames
        self.events.append(Event(kind=kind, start=start, end=len(self.frames)))


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a threshold finds in a reel."""

    threshold: float
    hits: int
    missed: int
    false: dict[str, int]
    """Kind of event → false calls in it."""

    @property
    def precision(self) -> float:
        """The share of all calls that is right."""
        calls = self.hits + sum(self.false.values())
        return self.hits / calls if calls else 1.0

    @property
    def recall(self) -> float:
        """The share of all hard cuts that is found, on the frame."""
        return self.hits / (self.hits + self.missed)

    @property
    def f1(self) -> float:
        """The harmonic mean of the two."""
        return 2 * self.hits / (2 * self.hits + self.missed + sum(self.false.values()))


def clip_sections(path: Path, most: int) -> list[list[Luma]]:
    """Up to `most` sections of a clip, in luma, cut to WIDTH x HEIGHT; none of a small clip."""
    with Source(path) as source:
        video = source.info.video
        shrink = min(video.width // WIDTH, video.height // HEIGHT)
        if not shrink:
            return []
        frames = (item for item in source.items() if isinstance(item, Frame))
        small = [
            _shrunk(frame, shrink)
            for index, frame in enumerate(islice(frames, most * APART))
            if index % APART < SECTION
        ]
    whole = [small[i : i + SECTION] for i in range(0, len(small), SECTION)]
    return [section for section in whole if len(section) == SECTION]


def _shrunk(frame: Frame, factor: int) -> Luma:
    """Means of factor x factor luma samples, the middle WIDTH x HEIGHT of them, as 8 bits."""
    plane = frame.planes[0]
    rows, columns = (side // factor for side in plane.shape)
    cells = plane[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor)
    small = cells.mean(axis=(1, 3)) * (255 / frame.layout.peak)
    top, left = (rows - HEIGHT) // 2, (columns - WIDTH) // 2
    middle: Luma = np.rint(small[top : top + HEIGHT, left : left + WIDTH]).astype(np.uint8)
    return middle


def clip_paths(folders: Sequence[Path]) -> list[Path]:
    """The clips of some folders. Raises InputError if there are none."""
    if wrong := [folder for folder in folders if not folder.is_dir()]:
        raise InputError(f"{wrong[0]} is not a folder of clips")
    found = [p for f in folders for p in sorted(f.iterdir()) if p.suffix.lower() in CLIPS]
    if not found:
        raise InputError("there are no clips in these folders")
    return found


def joined(clips: Sequence[Sequence[list[Luma]]], seed: int = 0) -> Reel:
    """The sections of all clips in one reel; neighbours are of different clips."""
    rng = np.random.default_rng(seed)
    pool = [(i, section) for i, sections in enumerate(clips) for section in sections]
    order = [pool[i] for i in rng.permutation(len(pool))]
    reel = Reel()
    last: int | None = None
    for turn, (clip, section) in enumerate(order):
        if clip != last:
            _join(reel, section, turn, rng)
        last = clip
    return reel


def _join(reel: Reel, section: list[Luma], turn: int, rng: np.random.Generator) -> None:
    """Adds a section, by the transition and with the event whose turn it is."""
    if turn == 0:
        reel.add("plain", section[:FADE])
    elif turn % 4 == 1:
        old = reel.frames[-FADE:]
        del reel.frames[-FADE:]
        reel.events[-1] = _shortened(reel.events[-1])
        blend = [
            _mix(a, b, (i + 1) / (FADE + 1))
            for i, (a, b) in enumerate(zip(old, section, strict=False))
        ]
        reel.add("cross-fade", blend)
    elif turn % 4 == 3:
        black = np.full_like(section[0], 16)
        tail = reel.frames[-1]
        reel.add("fade out", [_mix(tail, black, (i + 1) / FADE) for i in range(FADE - 1)])
        reel.add("black", [black] * BLACK)
        faded = [_mix(black, frame, (i + 1) / FADE) for i, frame in enumerate(section[:FADE])]
        reel.add("black", faded[:2])  # a cut is right from black to the first trace of a picture
        reel.add("fade in", faded[2:])
    else:
        reel.add("cut", section[:1])
        reel.add("plain", section[1:FADE])
    _rest(reel, section[FADE:], turn, rng)


def _rest(reel: Reel, rest: list[Luma], turn: int, rng: np.random.Generator) -> None:
    """The rest of a section: a flash, a jump of exposure, a pan over its first frame, or plain."""
    event = turn % 5
    reel.add("plain", rest[:2])
    if event == 0:
        length = 1 + int(rng.integers(2))
        reel.add("white flash", [*[np.full_like(rest[0], 235)] * length, *rest[2 + length : 6]])
    elif event == 1:
        reel.add("overexposed frame", [_exposed(rest[2], 1.9, 40), *rest[3:6]])
    elif event == 2:
        gain, lift = (0.55, 0.0) if rng.integers(2) else (1.4, 15.0)
        rest = [*rest[:2], *(_exposed(frame, gain, lift) for frame in rest[2:])]
        reel.add("exposure jump", rest[2:6])
    elif event == 3:
        reel.add("pan", _pan(rest[1], rng))
        return
    else:
        reel.add("plain", rest[2:6])
    reel.add("plain", rest[6:])


def _shortened(event: Event) -> Event:
    return Event(kind=event.kind, start=event.start, end=event.end - FADE)


def _mix(one: Luma, other: Luma, share: float) -> Luma:
    mixed = one.astype(np.float32) * (1 - share) + other.astype(np.float32) * share
    rounded: Luma = np.rint(mixed).astype(np.uint8)
    return rounded


def _exposed(frame: Luma, gain: float, lift: float) -> Luma:
    values = np.rint(frame.astype(np.float32) * gain + lift)
    exposed: Luma = np.clip(values, 0, 255).astype(np.uint8)
    return exposed


def _pan(still: Luma, rng: np.random.Generator) -> list[Luma]:
    """Over a still that goes on as its mirror image, 3 to 15 % of the width a frame."""
    speed = int(rng.integers(round(0.03 * WIDTH), round(0.15 * WIDTH)))
    wide = np.concatenate([still, still[:, ::-1]], axis=1)
    return [np.roll(wide, -speed * (i + 1), axis=1)[:, :WIDTH] for i in range(PAN)]


def frames_of(reel: Reel) -> Iterator[Frame]:
    """The reel as the product's frames."""
    for index, plane in enumerate(reel.frames):
        yield frame_of((plane,), _GRAY, index)


def scdet(frames: Iterable[Frame]) -> Iterator[float]:
    """FFmpeg's `scdet`: mean absolute difference, or how much that changed if it is less, %."""
    last: NDArray[np.int16] | None = None
    usual = 0.0
    for frame in frames:
        plane = frame.planes[0].astype(np.int16)
        change = 0.0 if last is None else float(np.abs(plane - last).mean()) * 100 / 255
        yield min(change, abs(change - usual))
        last, usual = plane, change


METHODS: dict[str, Score] = {"ours": cut_scores, "scdet": scdet}


def measured(reel: Reel, scores: Sequence[float], threshold: float) -> Found:
    """What is found where a score is at least `threshold`."""
    hits = missed = 0
    false: dict[str, int] = {}
    for event in reel.events:
        calls = sum(score >= threshold for score in scores[event.start : event.end])
        if event.kind == "cut":
            hits, missed = hits + calls, missed + 1 - calls
        elif event.kind != "black":
            false[event.kind] = false.get(event.kind, 0) + calls
    return Found(threshold=threshold, hits=hits, missed=missed, false=false)


def summed(rows: Sequence[Found]) -> Found:
    """What one threshold finds in several reels."""
    kinds = sorted({kind for row in rows for kind in row.false})
    return Found(
        threshold=rows[0].threshold,
        hits=sum(row.hits for row in rows),
        missed=sum(row.missed for row in rows),
        false={kind: sum(row.false.get(kind, 0) for row in rows) for kind in kinds},
    )
