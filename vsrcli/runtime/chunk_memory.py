"""How much memory a bidirectional model will take, and so how long its chunks can be."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from vsrcli.errors import WeightsError
from vsrcli.frames import Picture
from vsrcli.models import Model
from vsrcli.runtime.onnx_wire import input_sides

LONGEST = 30
"""Frames of a chunk by default, where memory allows."""
SHARE = 0.5
"""Of the free memory that a default chunk may take."""
MOST = 0.9
"""Of the free memory that a chunk may take which was asked for."""
_FLOAT = 4
_STRIP_BYTES = 128 << 20
"""What the reconstruction of one strip may take."""
_FEATURES_AT_ONCE = 6
_ENCODING = 3
"""Large RGB frames alive at once while one is turned into planes, besides itself."""
log = logging.getLogger("vsr")


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """Bytes that a model's driver takes."""

    fixed: int
    """Weights, states and the values inside the graphs."""
    frame: int
    """Each frame of a chunk."""
    ahead: int
    """Each look-ahead frame."""
    rows: int
    """Of a strip of the reconstruction."""

    def of(self, chunk: int, overlap: int) -> int:
        """Bytes of a run with chunks of this size."""
        return self.fixed + chunk * self.frame + overlap * self.ahead

    def chunk_in(self, free: int, overlap: int) -> int:
        """The longest chunk that fits; at least 1."""
        return max(1, (free - self.fixed - overlap * self.ahead) // self.frame)


def footprint(model: Model, scale: int, features: int, picture: Picture) -> Footprint:
    """Predicted from the card, the features' count and the picture's size."""
    graphs = model.parts(scale)
    pixels = picture.width * picture.height
    small = picture.samples * picture.layout.dtype.itemsize
    large = small * scale**2
    frame, motion, feature = (n * _FLOAT * pixels for n in (3, 2, features))
    row_bytes = max(1, graphs["reconstruct"].work) * picture.width
    rows = max(8, min(picture.height, _STRIP_BYTES // row_bytes))
    halo = 2 * graphs["reconstruct"].border
    inside = [g.work * pixels for name, g in graphs.items() if name != "reconstruct"]
    inside.append(row_bytes * min(picture.height, rows + halo))
    weights = sum(graph.file.stat().st_size for graph in graphs.values())
    return Footprint(
        fixed=2 * weights
        + sum(inside)
        + _FEATURES_AT_ONCE * feature
        + (1 + _ENCODING) * frame * scale**2,
        frame=feature + frame + 2 * motion + small + large,
        ahead=frame + 2 * motion + small,
        rows=rows,
    )


def features_of(model: Model, forward: bytes) -> int:
    """Channels of what is propagated. Raises WeightsError if the forward graph leaves it open."""
    features = input_sides(forward)["feature"][1]
    if features is None:
        raise WeightsError(f"{model.id}: the forward graph does not say how many features")
    return features


def foreseen(model: Model, scale: int, picture: Picture) -> Footprint:
    """The footprint of a model that is not open. Raises WeightsError if its files are not whole."""
    features = features_of(model, model.parts(scale)["forward"].load())
    return footprint(model, scale, features, picture)


def chunk_for(foot: Footprint, wanted: int | None, overlap: int, free: int | None) -> int:
    """Frames of a chunk: those asked for if they fit, else as many as do; a line says so."""
    if free is None:
        return wanted or LONGEST
    if wanted is None:
        fitting = foot.chunk_in(int(SHARE * free), overlap)
        if fitting < LONGEST:
            log.info("%.1f GiB are free: chunks of %d frames", free / 2**30, fitting)
        return min(LONGEST, fitting)
    fitting = foot.chunk_in(int(MOST * free), overlap)
    if wanted > fitting:
        log.warning(
            "--chunk %d needs %.1f GiB and %.1f GiB are free: going on with %d frames a chunk",
            wanted, foot.of(wanted, overlap) / 2**30, free / 2**30, fitting,
        )  # fmt: skip
    return min(wanted, fitting)
