"""Degradations of whole clips by name, for measuring: what `--degrade` takes.

bicubic, bd and bd-centred treat each frame alone. `real` is blur, scaling, noise and a codec as in
training (`real2`: twice over), seeded by the clip's name. `x264-28` is antialiased bicubic, then
x264 at that crf; so are x265 and, by quantiser, mpeg4 and mpeg2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from zlib import crc32

from vsrcli.errors import UsageError
from vsrcli.lab.degrade import DEGRADATIONS, ImageU8, bicubic
from vsrcli.lab.real import FIRST_ORDER, SECOND_ORDER, degraded
from vsrcli.media.recode import Coding, recode

Degrade = Callable[[Iterable[ImageU8], str], Iterator[ImageU8]]
"""HR frames of one shot, sides divisible by the scale, and its name → as many LR frames."""

STEPS = {"real": FIRST_ORDER, "real2": SECOND_ORDER}
CODECS = {"x264": "libx264", "x265": "libx265", "mpeg4": "mpeg4", "mpeg2": "mpeg2video"}
KNOWN = (*DEGRADATIONS, *STEPS, *(f"{name}-QUALITY" for name in CODECS))


def degradation(name: str, scale: int) -> Degrade:
    """The degradation of this name. Raises UsageError that lists what there is."""
    if name in DEGRADATIONS:
        return lambda frames, _: (DEGRADATIONS[name](frame, scale) for frame in frames)
    if name in STEPS:
        return lambda frames, clip: degraded(frames, scale, STEPS[name], crc32(clip.encode()))
    codec, _, quality = name.partition("-")
    if codec in CODECS and quality.isascii() and quality.isdecimal():
        least, most = (2, 31) if codec.startswith("mpeg") else (0, 51)
        if not least <= int(quality) <= most:
            raise UsageError(f"no degradation {name!r}; {codec} takes {least} to {most}")
        coding = Coding(codec=CODECS[codec], quality=int(quality))
        shrink = partial(bicubic, scale=scale)
        return lambda frames, _: recode(map(shrink, frames), coding)
    raise UsageError(f"no degradation {name!r}; there is {', '.join(KNOWN)}")
