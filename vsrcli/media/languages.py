"""Codes of languages (ISO 639-2), of which FFmpeg's mov muxer knows some, each by one name alone.

It writes the numbers of QuickTime's own list and loses what it does not find there. Names and list
are those of FFmpeg's libavformat/isom.c, `sve` for Swedish among them.
"""

from __future__ import annotations

_TWINS = (
    *("sqi alb", "hye arm", "eus baq", "mya bur", "zho chi", "cze ces", "nld dut", "fre fra"),
    *("kat geo", "deu ger", "ell gre", "isl ice", "mkd mac", "msa may", "fas per", "rum ron"),
    *("slo slk", "nob nor", "swe sve", "bod tib", "cym wel"),
)
_IN_MOV = dict(twins.split() for twins in _TWINS)
"""How the mov muxer calls the languages that it knows by their other name."""
_NAMES = (
    "alb amh ara arm asm aym aze baq bel ben bul bur cat ces chi dan dut dzo eng epo est",
    "fin fra geo ger gre grn guj heb hin hun ice ind iri ita jav jpn kan kas kaz khm kin",
    "kir kor kur lao lat lav lit mac mal mar may mlg mlt mol mon nep nor nya ori orm per",
    "pol por pus que ron run rus san sin slk slv smi snd som spa sve swa tam tat tel tgk",
    "tgl tha tib tir tuk tur uig ukr und urd uzb vie wel yid",
)
_KNOWN = frozenset(name for line in _NAMES for name in line.split())


def language_in(container: str, code: str) -> str:
    """What a muxer calls the language of a code; "" where it has no name for it."""
    if container != "mov":
        return "swe" if code == "sve" else code
    name = _IN_MOV.get(code, code)
    return name if name in _KNOWN else ""
