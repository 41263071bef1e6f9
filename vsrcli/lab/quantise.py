"""int8 graphs: static quantisation on real clips, kept only where it costs next to nothing.

Weights are signed, a scale for each output channel; activations unsigned, a scale for each tensor,
from what real frames gave but for the outermost values (arXiv 2004.09602, §3): the least and the
most of all would cost RLSP 0.3 dB more. A recurrent cell is calibrated on what it meets in a run:
states that have grown over a shot, not zeros.

Weights have 7 bits: a processor without VNNI adds two products in 16 bits, which those of 8 bits
may not fit into. With them `egvsr` lost 1 dB there and nowhere else.
"""

import io
import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from vsrcli.errors import InputError
from vsrcli.frames import RgbU8
from vsrcli.lab.card import read_card, replace_card, sha256_of, write_card
from vsrcli.lab.clips import find_clips, read_frames
from vsrcli.lab.data import modcrop
from vsrcli.lab.degradations import degradation
from vsrcli.lab.evaluate import evaluate
from vsrcli.lab.files import whole
from vsrcli.lab.luma import luma
from vsrcli.lab.restore.calibrate import part_feeds
from vsrcli.lab.sequence import EngineOptions, net_input, window_at, zero_states
from vsrcli.models import Model, Temporal
from vsrcli.models.model import read_model
from vsrcli.runtime.engines import open_engine
from vsrcli.runtime.onnx_wire import single_ports

INT8 = "int8"
FLOW = "flow"
"""The part of a restoring model that says where a warp samples."""
MOST_LOSS_DB = 0.1
"""PSNR-Y that an int8 graph may cost and still be kept."""
EXACT: dict[str, tuple[int, ...]] = {"none": (), "first": (0,), "last": (-1,), "ends": (0, -1)}
"""Convolutions that stay in fp32, by their place: what they give or take spans the widest range."""
WEIGHT_BITS = 7
"""Of which two products with activations of 8 bits fit into 16."""
_EVERY = 3
"""Of the frames of a shot, one in so many calibrates."""
Feeds = dict[str, NDArray[np.float32]]
"""What a graph takes in one run."""


@dataclass(frozen=True, kw_only=True)
class Shots:
    """Clips, and how much of them is looked at."""

    folder: Path
    degrade: str = "bicubic"
    clips: int = 6
    frames: int = 10
    """Of each clip, from its first."""
    side: int = 480
    """Of the piece that is cut from them, HR px at most."""

    def small(self, scale: int) -> list[list[RgbU8]]:
        """The LR frames of each clip, all as large as the smallest: the calibration's histograms
        need that. Raises InputError if there is no clip."""
        paths = find_clips(self.folder)
        if not paths:
            raise InputError(f"{self.folder} holds no clips to calibrate on")
        ways = degradation(self.degrade, scale)
        shots = []
        for path in paths[:: max(1, len(paths) // self.clips)][: self.clips]:
            frames = islice(read_frames(path), self.frames)
            pieces = (modcrop(f[: self.side, : self.side], scale) for f in frames)
            shots.append(list(ways(pieces, path.stem)))
        height, width = (min(f.shape[axis] for shot in shots for f in shot) for axis in (0, 1))
        return [[frame[:height, :width] for frame in shot] for shot in shots]


@dataclass(frozen=True, kw_only=True)
class Quantised:
    """An int8 graph, and what it costs."""

    file: Path
    exact_psnr_y: float
    psnr_y: float
    """dB, by the rule of `evaluate`."""
    is_kept: bool

    @property
    def loss_db(self) -> float:
        """PSNR-Y below fp32."""
        return self.exact_psnr_y - self.psnr_y


def quantise(
    folder: Path,
    scale: int,
    shots: Shots,
    measure: Path,
    *,
    frames: int = 0,
    most_loss_db: float = MOST_LOSS_DB,
    exact: str = "none",
    weight_bits: int = WEIGHT_BITS,
) -> Quantised:
    """Adds int8 graphs to the model in `folder` if they lose no more than that on `measure`; else
    removes those that it had.

    Measured in onnxruntime, which runs int8 everywhere. `frames` > 0 limits the clips measured on;
    `exact` is one of EXACT, `weight_bits` 7 or 8. The flow of a restoring model stays as it is.
    Raises InputError without clips, ModelError for a model that has no fp32 graph of the scale.
    """
    model = read_model(folder)
    data = {
        part: int8_graph(graph.load(), feeds_of(model, scale, shots, part), exact, weight_bits)
        for part, graph in model.parts(scale).items()
        if part != FLOW
    }
    with tempfile.TemporaryDirectory() as scratch:
        trial = Path(shutil.copytree(folder, Path(scratch) / folder.resolve().name))
        file = _add(trial, scale, data)
        fp32, int8 = (
            evaluate(
                trial,
                measure,
                scale=scale,
                degrade=shots.degrade,
                frames=frames,
                options=EngineOptions(engine="onnxruntime", precision=way),
            ).mean.psnr_y
            for way in ("fp32", INT8)
        )
    found = Quantised(
        file=folder / file,
        exact_psnr_y=fp32,
        psnr_y=int8,
        is_kept=fp32 - int8 <= most_loss_db,
    )
    if found.is_kept:
        _add(folder, scale, data, loss_db=found.loss_db)
    elif (kept := read_card(folder).without_made(scale)) != read_card(folder):
        replace_card(kept, folder)
    return found


def feeds_of(model: Model, scale: int, shots: Shots, part: str = "") -> Iterator[Feeds]:
    """What the fp32 graph of a model, or a part of it, takes when the clips go through it."""
    data = model.graph(scale).load()
    if model.temporal is Temporal.BIDIRECTIONAL:
        small = [[net_input(frame, model) for frame in frames] for frames in shots.small(scale)]
        yield from part_feeds(model, scale, part, small, _EVERY)
        return
    if model.temporal is Temporal.FRAME:
        source = single_ports(data)[0]
        for frames in shots.small(scale):
            for frame in frames[::_EVERY]:
                yield {source: np.asarray(luma(frame)[None, None] / 255, np.float32)}
        return
    engine = open_engine(data)
    for frames in shots.small(scale):
        shot = [net_input(frame, model) for frame in frames]
        states = zero_states(model, scale, shot[0])
        for t in range(len(shot)):
            feeds = {"frames": np.concatenate(window_at(shot, t, model), 1), **states}
            if t % _EVERY == 0:
                yield feeds
            made = engine.run(feeds)
            states = {name: np.array(made[f"{name}_next"]) for name in states}
    engine.close()


def int8_graph(
    data: bytes, feeds: Iterator[Feeds], exact: str = "none", weight_bits: int = WEIGHT_BITS
) -> bytes:
    """The graph with its convolutions in int8 between QuantizeLinear and DequantizeLinear."""
    graph = onnx.load_from_string(data)
    for number, node in enumerate(graph.graph.node):
        node.name = node.name or f"node_{number}"  # the tool tells nodes apart by name
    convolutions = [node.name for node in graph.graph.node if node.op_type == "Conv"]
    with tempfile.TemporaryDirectory() as scratch, _quiet():
        made = Path(scratch) / "int8.onnx"
        quantize_static(
            graph,
            str(made),
            _Reader(feeds),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=weight_bits == WEIGHT_BITS,
            calibrate_method=CalibrationMethod.Percentile,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=[convolutions[i] for i in EXACT[exact]],
        )
        return made.read_bytes()


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    def __init__(self, feeds: Iterator[Feeds]) -> None:
        self._feeds = feeds

    def get_next(self) -> Feeds | None:
        return next(self._feeds, None)


@contextmanager
def _quiet() -> Iterator[None]:
    """onnxruntime's tool prints what it does, and gives advice on the root logger."""
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)


def _add(folder: Path, scale: int, data: Mapping[str, bytes], **measured: float) -> str:
    """Writes the graphs, by part, and their entries on the card; the name of the last file. A part
    that is not given shares its fp32 file."""
    card = read_card(folder)
    figures = {key: round(value, 3) for key, value in measured.items()}
    name = ""
    for graph in [g for g in card.graphs if (g.scale, g.precision) == (scale, "fp32")]:
        entry = replace(graph, precision=INT8, train_minutes=0.0, measured=figures)
        if graph.part in data:
            made = data[graph.part]
            name = f"{Path(graph.file).stem}-{INT8}.onnx"
            with whole(folder / name) as file:
                file.write(made)
            entry = replace(entry, file=name, sha256=sha256_of(made))
        card = card.with_graph(entry)
    write_card(card, folder)
    return name
