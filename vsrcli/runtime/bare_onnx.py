"""Models given as a bare ONNX file: what a card would say is found by looking and by trying."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsrcli.errors import ModelError, VsrError, WeightsError
from vsrcli.models import Graph, Model, Temporal, find_model
from vsrcli.runtime.engines import Port, open_engine
from vsrcli.runtime.graphs import SOURCE, TARGET, wrap_planes
from vsrcli.runtime.onnx_wire import lacks_weights, single_ports

_TINY = (29, 37)
"""Height and width of the trial picture: odd, and larger than the padding of common nets."""
_DEPTHS = (8, 10)
_Run = Callable[[NDArray[Any]], NDArray[Any]]
"""The graph by itself: (1, 1, height, width) in 0..1."""


def resolve_model(name: str) -> Model:
    """The model meant by an id, the path of a model folder, or that of a bare ONNX file.

    Raises ModelError if there is none, WeightsError if it cannot be used.
    """
    path = Path(name)
    return bare_model(path) if path.suffix.lower() == ".onnx" else find_model(name)


def bare_model(path: Path) -> Model:
    """A single-frame luma model from its ONNX file alone, named after it.

    Raises ModelError if there is no such file, WeightsError with the reason if it cannot be run.
    """
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise ModelError(f"the model {path} cannot be read ({exc.strerror})") from exc
    try:
        scale = luma_scale(data)
    except WeightsError as exc:
        raise WeightsError(f"{path} cannot be used as it is: {exc}") from exc
    graph = Graph(scale=scale, precision="fp32", file=path, sha256=hashlib.sha256(data).hexdigest())
    return Model(
        id=path.stem,
        family="unknown",
        summary=f"the bare file {path.name}",
        color="y",
        temporal=Temporal.FRAME,
        licence="unknown",
        trained_on="",
        recipe="",
        folder=path.parent,
        graphs=(graph,),
    )


def luma_scale(data: bytes) -> int:
    """The factor of a single-frame luma graph, from a tiny picture that it upscales.

    Raises WeightsError saying what keeps vsr from running the graph.
    """
    _check_whole(data)
    engine = open_engine(data, device="cpu", threads=1)
    try:
        source, target = single_ports(data)
        _check_input(engine.inputs[source])

        def run(values: NDArray[Any]) -> NDArray[Any]:
            return engine.run({source: values})[target]

        scale = _try(run)
        for bits in _DEPTHS:
            _try_planes(data, bits, scale, run)
    finally:
        engine.close()
    return scale


def _check_whole(data: bytes) -> None:
    try:
        is_whole = not lacks_weights(data)
    except (WeightsError, LookupError):  # an engine says better what is wrong with a broken file
        return
    if not is_whole:
        raise WeightsError("its weights lie in another file; save it as one, without external data")


def _check_input(port: Port) -> None:
    if port.dtype != np.float32:
        raise WeightsError(f"it takes {port.dtype}; export it with float32 input and output")
    if len(port.shape) != 4:
        raise WeightsError(
            f"it takes {len(port.shape)} dimensions; vsr gives (N, 1, height, width)"
        )
    _, channels, height, width = port.shape
    if channels == 3:
        raise WeightsError(
            'it takes 3 channels; RGB graphs need a model folder with color = "rgb" on its card'
        )
    if channels not in (None, 1):
        raise WeightsError(f"it takes {channels} channels; a bare graph must take 1, the luma")
    if height is not None or width is not None:
        raise WeightsError(
            f"it takes only pictures of {width or 'any'}x{height or 'any'}; "
            "export it with dynamic height and width"
        )


def _try(run: _Run) -> int:
    """The scale that a trial run shows."""
    height, width = _TINY
    try:
        result = run(_picture(8) / np.float32(255))
    except VsrError as exc:
        raise WeightsError(f"a {width}x{height} picture of 1 channel fails ({exc})") from exc
    if result.dtype != np.float32:
        raise WeightsError(f"it gives {result.dtype}; export it with float32 input and output")
    if result.ndim != 4 or result.shape[:2] != (1, 1):
        raise WeightsError(f"it gives {_shape(result.shape)} for one luma plane; not one plane")
    scale, rest = divmod(result.shape[2], height)
    if rest or not scale or result.shape[3] != width * scale:
        made = f"{result.shape[3]}x{result.shape[2]}"
        raise WeightsError(f"it makes {made} of {width}x{height}: no whole scale")
    if not np.isfinite(result).all():
        raise WeightsError("it gives values that are not numbers")
    return int(scale)


def _try_planes(data: bytes, bits: int, scale: int, run: _Run) -> None:
    """Raises WeightsError if the graph cannot be joined to the conversions of code values, or gives
    another picture then."""
    codes, unit = _picture(bits), np.float32(255 << bits - 8)
    try:
        made = _joined(data, bits, scale, codes)
    except VsrError as exc:
        raise WeightsError(f"it cannot be joined to vsr's own nodes ({exc}); use opset 17") from exc
    wanted = np.clip(run(codes / unit) * unit, 0, (1 << bits) - 1)
    if not np.abs(made - wanted).mean() <= 1 << bits - 8:
        raise WeightsError("joined to vsr's own nodes it gives another picture than alone")


def _joined(data: bytes, bits: int, scale: int, codes: NDArray[Any]) -> NDArray[Any]:
    """What becomes of code values (1, 1, H, W). Raises what an engine raises."""
    _, _, height, width = codes.shape
    engine = open_engine(
        wrap_planes(data, scale, bits=bits, shape=(1, height, width)), device="cpu", threads=1
    )
    try:
        return engine.run({SOURCE: codes})[TARGET]
    finally:
        engine.close()


def _picture(bits: int) -> NDArray[Any]:
    """A trial picture of code values, (1, 1, height, width)."""
    values = np.random.default_rng(0).integers(0, 1 << bits, (1, 1, *_TINY))
    return values.astype(np.uint8 if bits <= 8 else np.uint16)


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(str(side) for side in shape)
