"""The figures as bars in a picture: lettering and rectangles are all it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vsrcli.benchmark.cases import Outcome
from vsrcli.dot_font import Dots, lettering
from vsrcli.frames import RgbU8
from vsrcli.media.images import write_png

_PAPER, _INK = 255, 30
_WIDTH, _ROW, _EDGE = 960, 30, 24
_LEAST = 200
"""Of the longest bar, px."""
_OURS, _FFMPEG = (52, 101, 164), (150, 150, 150)
_SIZE = 2


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One row: what, how much, and that in words."""

    label: str
    value: float
    text: str
    color: tuple[int, int, int] = _OURS


def write_plot(path: Path, outcome: Outcome) -> None:
    """A PNG of frames a second, end to end and of the models alone."""
    image = stacked([panel(title, bars) for title, bars in _panels(outcome)])
    write_png(path, image)


def _panels(outcome: Outcome) -> list[tuple[str, list[Bar]]]:
    machine = f"{outcome.machine.processor}, {outcome.machine.cores} cores"
    rows = [row for row in outcome.figures if not row.reason]
    whole = [
        _bar(f"ffmpeg {s.kernel} x{s.scale} {s.size[0]}x{s.size[1]}", s.fps, _FFMPEG)
        for s in outcome.scalers
    ]
    whole += [_bar(row.case.label, row.fps) for row in rows if row.fps]
    alone = [_bar(row.case.label, 1000 / row.model_ms) for row in rows if row.model_ms]
    panels = [("End to end, frames a second", whole), ("The model alone, frames a second", alone)]
    kept = [(title, bars) for title, bars in panels if bars]
    return [(f"{title}. {machine}", bars) for title, bars in kept]


def _bar(label: str, fps: float, color: tuple[int, int, int] = _OURS) -> Bar:
    return Bar(label=label, value=fps, text=f"{fps:.1f}", color=color)


def panel(title: str, bars: Sequence[Bar]) -> RgbU8:
    """Bars below each other on one scale that begins at 0, labels to their left. It is wider than
    others where words ask for it."""
    heading = lettering(title, _SIZE)
    labels = [lettering(bar.label, _SIZE) for bar in bars]
    left = 2 * _EDGE + max(dots.shape[1] for dots in labels)
    right = _EDGE + max(lettering(bar.text, _SIZE).shape[1] for bar in bars)
    width = max(_WIDTH, heading.shape[1] + 2 * _EDGE, left + _LEAST + right)
    image = np.full((_ROW * (len(bars) + 2), width, 3), _PAPER, np.uint8)
    _write(image, heading, _EDGE, _ROW // 4)
    room = width - left - right
    most = max(bar.value for bar in bars)
    for number, (bar, dots) in enumerate(zip(bars, labels, strict=True), 1):
        top = number * _ROW + _ROW // 4
        _write(image, dots, _EDGE, top)
        length = max(1, round(room * bar.value / most))
        image[top - 3 : top + 19, left : left + length] = bar.color
        _write(image, lettering(bar.text, _SIZE), left + length + 8, top)
    return image


def stacked(panels: Sequence[RgbU8]) -> RgbU8:
    """Panels below each other."""
    width = max((panel.shape[1] for panel in panels), default=_WIDTH)
    made = np.full((sum(len(panel) for panel in panels) or _ROW, width, 3), _PAPER, np.uint8)
    top = 0
    for panel in panels:
        made[top : top + len(panel), : panel.shape[1]] = panel
        top += len(panel)
    return made


def _write(image: RgbU8, dots: Dots, left: int, top: int) -> None:
    rows, columns = np.nonzero(dots[:, : image.shape[1] - left])
    image[rows + top, columns + left] = _INK
