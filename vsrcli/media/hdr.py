"""Static HDR metadata (SMPTE ST 2086 and content light level): read from a frame, told to encoders.

FFmpeg's encoders do not take it from frames through PyAV, so it goes in as their own options.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

_DISPLAY, _LIGHT = struct.Struct("22i"), struct.Struct("2I")
_XY, _NITS = 50_000, 10_000
"""Steps in one, of chromaticities and of luminances, as H.264 and H.265 write them."""
_KEYS = {
    "libx264": ("x264-params", "mastering-display", "cll"),
    "libx265": ("x265-params", "master-display", "max-cll"),
    "libsvtav1": ("svtav1-params", "mastering-display", "content-light"),
}
"""Where each encoder is told, and by what words."""
_DYNAMIC = {
    "DOVI_RPU_BUFFER": "Dolby Vision",
    "DOVI_METADATA": "Dolby Vision",
    "DYNAMIC_HDR_PLUS": "HDR10+",
    "DYNAMIC_HDR_VIVID": "HDR Vivid",
}


@dataclass(frozen=True, kw_only=True)
class Mastering:
    """The display that a film was graded on, and how bright the film gets."""

    display: tuple[Fraction, ...]
    """x and y of red, green, blue and white, least and most luminance in cd/m2; empty: unknown."""
    light: tuple[int, ...]
    """Brightest pixel and brightest mean of a frame, cd/m2; empty: unknown."""


def read_mastering(attached: Mapping[str, bytes]) -> Mastering | None:
    """What is attached to a frame says; None if that is nothing."""
    display = attached.get("MASTERING_DISPLAY_METADATA")
    light = attached.get("CONTENT_LIGHT_LEVEL")
    if not display and not light:
        return None
    return Mastering(
        display=_display(_DISPLAY.unpack_from(display)) if display else (),
        light=_LIGHT.unpack_from(light) if light else (),
    )


def dynamic_kinds(attached: Mapping[str, bytes]) -> tuple[str, ...]:
    """The kinds of metadata that describe each frame by itself, by their usual names."""
    return tuple(dict.fromkeys(_DYNAMIC[name] for name in attached if name in _DYNAMIC))


def _display(numbers: Sequence[int]) -> tuple[Fraction, ...]:
    """FFmpeg's struct: ten fractions, then whether the primaries and the luminances are known."""
    if not (numbers[20] and numbers[21] and all(numbers[1:20:2])):
        return ()
    return tuple(Fraction(a, b) for a, b in zip(numbers[:20:2], numbers[1:20:2], strict=True))


def encoder_parameters(encoder: str, mastering: Mastering | None) -> tuple[str, str]:
    """The option that tells an encoder, and its value; an empty one if the encoder has none."""
    key, display_word, light_word = _KEYS.get(encoder, ("", "", ""))
    parts = []
    if mastering and key:
        parts += ["hdr10=1", "repeat-headers=1"] if encoder == "libx265" else []
        if mastering.display:
            is_av1 = encoder == "libsvtav1"  # which takes the numbers themselves
            words = _words(mastering.display, *((1, 1) if is_av1 else (_XY, _NITS)))
            parts.append(f"{display_word}={words}")
        if mastering.light:
            parts.append(f"{light_word}={mastering.light[0]},{mastering.light[1]}")
    return key, ":".join(parts)


def _words(display: Sequence[Fraction], xy: int, nits: int) -> str:
    """The numbers in these steps; with 1 as decimals."""
    steps = [value * (xy if i < 8 else nits) for i, value in enumerate(display)]
    plain = (f"{float(v):.6g}" if xy == 1 else str(round(v)) for v in steps)
    rx, ry, gx, gy, bx, by, wx, wy, least, most = plain
    return f"G({gx},{gy})B({bx},{by})R({rx},{ry})WP({wx},{wy})L({most},{least})"
