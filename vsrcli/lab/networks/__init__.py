"""The single-frame luma families, by the name a recipe or a checkpoint gives."""

from collections.abc import Mapping

from vsrcli.lab.networks.base import LumaNet, Padding
from vsrcli.lab.networks.espcn import Espcn
from vsrcli.lab.networks.esr import EsrCnn, EsrMax, EsrTm, EsrTr
from vsrcli.lab.networks.fsrcnn import Fsrcnn
from vsrcli.lab.networks.sesr import Sesr

FAMILIES: dict[str, type[LumaNet]] = {
    net.family: net for net in (EsrMax, EsrTm, EsrTr, EsrCnn, Espcn, Fsrcnn, Sesr)
}


def build(
    family: str, scale: int, shape: Mapping[str, int], padding: Padding = "replicate"
) -> LumaNet:
    """A new net of `family`; `shape` holds its keyword arguments (kernel, channels, depth ...)."""
    return FAMILIES[family](scale=scale, padding=padding, **shape)


__all__ = [
    "FAMILIES",
    "Espcn",
    "EsrCnn",
    "EsrMax",
    "EsrTm",
    "EsrTr",
    "Fsrcnn",
    "LumaNet",
    "Sesr",
    "build",
]
