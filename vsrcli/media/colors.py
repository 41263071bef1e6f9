"""FFmpeg's names of the colour codes of ITU-T H.273."""

from __future__ import annotations

from vsrcli.frames import UNSPECIFIED

_MATRICES = {
    0: "gbr",
    1: "bt709",
    4: "fcc",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "ycgco",
    9: "bt2020nc",
    10: "bt2020c",
    14: "ictcp",
}
_PRIMARIES = {
    1: "bt709",
    4: "bt470m",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "film",
    9: "bt2020",
    10: "smpte428",
    11: "smpte431",
    12: "smpte432",
    22: "ebu3213",
}
_TRANSFERS = {
    1: "bt709",
    4: "gamma22",
    5: "gamma28",
    6: "smpte170m",
    7: "smpte240m",
    8: "linear",
    11: "iec61966-2-4",
    13: "iec61966-2-1",
    14: "bt2020-10",
    15: "bt2020-12",
    16: "smpte2084",
    17: "smpte428",
    18: "arib-std-b67",
}


def matrix_name(code: int) -> str:
    """bt709, smpte170m … ; "unspecified" for 2."""
    return _name(_MATRICES, code)


def primaries_name(code: int) -> str:
    """bt709, bt2020 … ; "unspecified" for 2."""
    return _name(_PRIMARIES, code)


def transfer_name(code: int) -> str:
    """bt709, smpte2084 (PQ), arib-std-b67 (HLG) … ; "unspecified" for 2."""
    return _name(_TRANSFERS, code)


def range_name(full_range: bool | None) -> str:
    """full, limited or unspecified."""
    return {True: "full", False: "limited", None: "unspecified"}[full_range]


def _name(names: dict[int, str], code: int) -> str:
    return "unspecified" if code == UNSPECIFIED else names.get(code, f"code {code}")
