"""What a source is: the facts that decoding, the model and the encoder need, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from vsrcli.frames import Color, Layout, Picture
from vsrcli.media.hdr import Mastering
from vsrcli.media.rotation import Turn

_EVEN = 2
"""Pixels that a side is off at most, where it was rounded to an even number."""


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """The video stream that will be upscaled, as its first frame shows it."""

    index: int
    """Of the stream in the container."""
    codec: str
    width: int
    height: int
    pix_fmt: str
    """As decoded; `layout` is the planar form it is processed in."""
    layout: Layout
    color: Color
    time_base: Fraction
    rate: Fraction
    """Average or guessed frame rate; frames keep their own timestamps whatever it says."""
    frames: int
    """As the container declares or the duration suggests; 0 if unknown."""
    duration_s: float
    """0 if unknown."""
    sample_aspect: Fraction
    rotation: int
    """Degrees counter-clockwise that a player turns the picture."""
    turn: Turn | None
    """How exactly, mirroring included; None: not at all."""
    interlaced: bool
    hdr: bool
    """PQ or HLG transfer."""
    mastering: Mastering | None = None
    dynamic: tuple[str, ...] = ()
    """Kinds of HDR metadata that change from frame to frame: Dolby Vision, HDR10+."""

    @property
    def picture(self) -> Picture:
        """What every frame of the stream looks like."""
        return Picture(layout=self.layout, color=self.color, width=self.width, height=self.height)

    def shaped(self, width: int, height: int) -> VideoInfo:
        """For an output of this size: as in ffmpeg it is shown in the shape of the source, so its
        pixels have another where the sides are not as the source's, but for rounding."""
        stretch = Fraction(self.width * height, self.height * width)
        if abs(width * stretch - width) < _EVEN:
            return self
        return replace(self, sample_aspect=self.sample_aspect * stretch)


@dataclass(frozen=True, kw_only=True)
class StreamInfo:
    """One stream of the container."""

    index: int
    kind: str
    """video, audio, subtitle, data, attachment, unknown."""
    codec: str
    language: str = ""
    title: str = ""
    details: str = ""
    """1920x1080, 48000 Hz stereo …"""


@dataclass(frozen=True, kw_only=True)
class SourceInfo:
    """A source file and its streams."""

    path: Path
    container: str
    duration_s: float
    video: VideoInfo
    streams: tuple[StreamInfo, ...]
    chapters: int
