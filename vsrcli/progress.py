"""What a run says of itself: at its start, after every frame, and at its end."""

from __future__ import annotations

import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vsrcli.frames import Frame
from vsrcli.runtime.cleaning import ShotCleaning


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is upscaled, by what, to what."""

    source: Path
    target: Path
    model: str
    """Its id."""
    device: str
    """What the model really runs on: onnxruntime cpu, openvino cpu bf16 …"""
    scale: int
    """The model's own factor."""
    width: int
    height: int
    """Of the output, px."""


@dataclass(frozen=True, kw_only=True)
class Started(Task):
    """Source, model and encoder are open; the first frame is next."""

    frames: int
    """Expected in all; 0 if unknown."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a run is. Times are in seconds."""

    frame: int
    """How many are out, those of an earlier run included."""
    frames: int
    """Expected in all; 0 if unknown."""
    fps: float
    """Frames a second since this run began."""
    out_time_s: float
    """Presentation time of the last frame in the output."""
    eta_s: float | None
    """Until the last frame; None if that is unknown."""
    out_bytes: int = 0
    """Of the file so far."""
    done_s: float = 0.0
    """How long the video is that this run has made so far."""


@dataclass(frozen=True, kw_only=True)
class Finishing:
    """The last frame is encoded; the file is closed, counted and put in its place."""

    frames: int


Stage = Started | Finishing


@dataclass(frozen=True, kw_only=True)
class Report(Task):
    """What a run did."""

    frames: int
    damaged: int
    """Frames that could not be decoded, or only in part, which was accepted."""
    replaced: int = 0
    """Frames shown again in place of some that could not be decoded, on request."""
    resumed: int = 0
    """Frames of the output that an earlier run had made."""
    dropped: int = 0
    repeated: int = 0
    """Frames that a constant rate left out, or showed once more."""
    cleaned: tuple[ShotCleaning, ...] = ()
    """What a bidirectional model did to each shot, in order."""
    seconds: float
    """From the call to the file in its place."""


class Meter:
    """Frame rate and time left, from the frames that came out: `done` of `frames` were there
    before. `shift_s` lies between the source's times and the output's."""

    def __init__(self, frames: int, done: int, shift_s: Fraction) -> None:
        self._frames, self._began = frames, time.perf_counter()
        self._done = self._before = done
        self._shift_s = float(shift_s)
        self._first_s: float | None = None

    def step(self, frame: Frame, out_bytes: int) -> Progress:
        """One more has come out."""
        self._done += 1
        elapsed = max(time.perf_counter() - self._began, 1e-6)
        fps = (self._done - self._before) / elapsed
        left = self._frames - self._done
        if self._first_s is None:
            self._first_s = frame.time_s
        return Progress(
            frame=self._done,
            frames=self._frames,
            fps=fps,
            out_time_s=frame.time_s + self._shift_s,
            eta_s=left / fps if self._frames and left >= 0 else None,
            out_bytes=out_bytes,
            done_s=frame.time_s - self._first_s + float(frame.duration * frame.time_base),
        )
