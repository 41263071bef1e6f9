"""ONNX graphs built and joined without the onnx package: uint8 planes in, uint8 planes out.

A model file maps float to float. The runtime puts the conversion from and to code values into the
same graph, so an engine receives and returns planes only. Chroma gets a bicubic graph made for its
own siting. Both need a dozen nodes, written here in protobuf's wire format: two serialised messages
joined end to end are their merge (protobuf encoding guide, "Last One Wins"), so nodes put before
and after a model's own bytes extend its graph. The onnx package would cost 60 MB for that.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vsrcli.errors import WeightsError
from vsrcli.frames import Siting

_FLOAT, _UINT8, _UINT16, _INT64 = 1, 2, 4, 7  # TensorProto.DataType
_GRAPH, _OPSET, _IR = 7, 8, 1  # ModelProto fields
_NODE, _INITIALIZER, _INPUT, _OUTPUT = 1, 5, 11, 12  # GraphProto fields
_OPSET_VERSION = 17


def wrap_planes(model: bytes, *, bits: int) -> bytes:
    """A float model (one input, one output, (N, 1, H, W), code / 255) as a graph of code values.

    The new graph takes and gives planes of `bits` bits: uint8 up to 8, uint16 above. Rounded to
    nearest, clipped to what the bits hold. Above 8 bits a code value is divided by
    255 * 2**(bits - 8), so that studio white is the same number at every depth.
    """
    graph = _graph_bytes(model)
    source, target = single_ports(model)
    nodes = list(_nodes(graph))
    shuffle = nodes[-1] if nodes and nodes[-1].op == "DepthToSpace" else None
    body = b"".join(
        _field(number, payload)
        for number, payload in _fields(graph)
        if number not in (_INPUT, _OUTPUT)
        and not (shuffle and number == _NODE and payload == shuffle.payload)
    )
    ends = _Builder(bits)
    ends.decode("planes_in", source)
    head = ends.take()
    # Rounded before the shuffle, where there is one: it then moves bytes instead of floats.
    if shuffle and bits <= 8:
        ends.encode(shuffle.inputs[0], "vsr_codes")
        ends.node("DepthToSpace", ["vsr_codes"], ["planes_out"], raw=shuffle.attributes)
    else:
        if shuffle:
            ends.nodes.append(shuffle.payload)
        ends.encode(target, "planes_out")
    joined = head + body + ends.take() + ends.ports()
    rest = b"".join(_field(n, p) for n, p in _fields(model) if n != _GRAPH)
    return rest + _field(_GRAPH, joined)


def single_ports(model: bytes) -> tuple[str, str]:
    """The names of a graph's only input and only output. Raises WeightsError if it has more."""
    fields = list(_messages(_graph_bytes(model)))
    weights = {_name(p, 8) for n, p in fields if n == _INITIALIZER}
    inputs = [name for n, p in fields if n == _INPUT and (name := _name(p, 1)) not in weights]
    outputs = [_name(p, 1) for n, p in fields if n == _OUTPUT]
    if len(inputs) != 1 or len(outputs) != 1:
        raise WeightsError(
            f"the graph has {len(inputs)} inputs and {len(outputs)} outputs; "
            "a single-frame model has one of each"
        )
    return inputs[0], outputs[0]


def _name(message: bytes, field: int) -> str:
    return next(p.decode() for n, p in _messages(message) if n == field)


def bicubic_graph(
    scale: int, *, bits: int, siting: Siting | None = None, sub: tuple[int, int] = (1, 1)
) -> bytes:
    """Bicubic by polyphase convolution and depth-to-space, in code values.

    `sub` is the plane's (horizontal, vertical) subsampling and `siting` where its samples lie; the
    phases are shifted so that samples keep their place on the luma grid. Keys' kernel, a = -0.5;
    edges repeat. Source of "filter, then shuffle": edge-SR, arXiv 2108.10335, §3.
    """
    rows = phases(scale, _shift(scale, sub[1], siting.top if siting else False))
    columns = phases(scale, _shift(scale, sub[0], siting.left if siting else False))
    kernel = np.einsum("iy,jx->ijyx", rows, columns).reshape(scale * scale, 1, *rows.shape[1:] * 2)
    graph = _Builder(bits)
    graph.cast("planes_in", "codes_in", _FLOAT)
    graph.constant("pads", np.array([0, 0, 2, 2, 0, 0, 2, 2], np.int64))
    graph.node("Pad", ["codes_in", "pads"], ["padded"], mode="edge")
    graph.constant("kernel", kernel.astype(np.float32))
    # Truncation of v + 0.5 rounds; the clip keeps it inside the range.
    graph.constant("half", np.full(scale * scale, 0.5, np.float32))
    graph.constant("floor", np.float32(0))
    graph.constant("ceiling", np.float32(2**bits - 0.5))
    graph.node("Conv", ["padded", "kernel", "half"], ["phases"])
    graph.node("Clip", ["phases", "floor", "ceiling"], ["clipped"])
    last = "clipped" if bits > 8 else "codes"
    if bits <= 8:
        graph.cast("clipped", "codes", _UINT8)
    graph.node("DepthToSpace", [last], ["shuffled"], blocksize=scale, mode="CRD")
    graph.cast("shuffled", "planes_out", graph.kind)
    opset = _field(_OPSET, _field(1, b"") + _varint_field(2, _OPSET_VERSION))
    return _varint_field(_IR, 8) + opset + _field(_GRAPH, graph.take() + graph.ports())


def phases(scale: int, shift: float = 0.0) -> NDArray[np.float64]:
    """(scale, 5) taps of Keys' cubic for each output phase over inputs i-2 … i+2; rows sum to 1.

    Output j lies at input coordinate (j + 0.5) / scale - 0.5 + shift.
    """
    position = (np.arange(scale) + 0.5) / scale - 0.5 + shift
    distance = np.abs(position[:, None] - np.arange(-2, 3))
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


def _shift(scale: int, sub: int, cosited: bool) -> float:
    """How far co-sited samples lie from the centred grid, in input samples."""
    return (scale - 1) / (2 * scale) * (1 - 1 / sub) if cosited else 0.0


class _Builder:
    """Nodes and constants of a graph under construction."""

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.kind = _UINT8 if bits <= 8 else _UINT16
        self.nodes: list[bytes] = []
        self.constants: list[bytes] = []

    def take(self) -> bytes:
        """The graph fields gathered so far; starts anew."""
        fields = [_field(_NODE, n) for n in self.nodes]
        fields += [_field(_INITIALIZER, c) for c in self.constants]
        self.nodes, self.constants = [], []
        return b"".join(fields)

    def ports(self) -> bytes:
        """The graph's declared input and output planes, and its name."""
        name = _field(2, b"vsr")
        source = _field(_INPUT, _plane_port("planes_in", self.kind))
        return name + source + _field(_OUTPUT, _plane_port("planes_out", self.kind))

    def decode(self, source: str, target: str) -> None:
        """Code values to float, white at the same value for every depth."""
        self.constant("vsr_unit", np.float32(1 / (255 << max(self.bits - 8, 0))))
        self.cast(source, "vsr_float", _FLOAT)
        self.node("Mul", ["vsr_float", "vsr_unit"], [target])

    def encode(self, source: str, target: str) -> None:
        """Float to code values: scaled, rounded, clipped."""
        if self.bits == 8:
            self.constant("vsr_step", np.float32(1 / 255))
            self.constant("vsr_zero", np.uint8(0))
            self.node("QuantizeLinear", [source, "vsr_step", "vsr_zero"], [target])
            return
        self.constant("vsr_gain", np.float32(255 << max(self.bits - 8, 0)))
        self.constant("vsr_floor", np.float32(0))
        self.constant("vsr_ceiling", np.float32(2**self.bits - 1))
        self.node("Mul", [source, "vsr_gain"], ["vsr_scaled"])
        self.node("Clip", ["vsr_scaled", "vsr_floor", "vsr_ceiling"], ["vsr_clipped"])
        self.node("Round", ["vsr_clipped"], ["vsr_rounded"])
        self.cast("vsr_rounded", target, self.kind)

    def cast(self, source: str, target: str, kind: int) -> None:
        self.node("Cast", [source], [target], to=kind)

    def node(
        self,
        op: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        raw: bytes = b"",
        **attributes: int | str,
    ) -> None:
        """One operator; `raw` holds attributes that are serialised already."""
        names = [_field(1, i.encode()) for i in inputs] + [_field(2, o.encode()) for o in outputs]
        given = [_field(5, _attribute(k, v)) for k, v in attributes.items()]
        self.nodes.append(b"".join(names) + _field(4, op.encode()) + b"".join(given) + raw)

    def constant(self, name: str, value: NDArray[np.generic] | np.generic) -> None:
        array = np.asarray(value)
        kind = {"float32": _FLOAT, "uint8": _UINT8, "int64": _INT64}[array.dtype.name]
        dims = b"".join(_varint_field(1, d) for d in array.shape)
        body = dims + _varint_field(2, kind) + _field(8, name.encode())
        self.constants.append(
            body + _field(9, array.astype(array.dtype.newbyteorder("<")).tobytes())
        )


@dataclass(frozen=True)
class _Node:
    op: str
    inputs: tuple[str, ...]
    attributes: bytes
    payload: bytes


def _nodes(graph: bytes) -> Iterator[_Node]:
    for number, payload in _messages(graph):
        if number == _NODE:
            parts = list(_messages(payload))
            yield _Node(
                op=next(p.decode() for n, p in parts if n == 4),
                inputs=tuple(p.decode() for n, p in parts if n == 1),
                attributes=b"".join(_field(n, p) for n, p in parts if n == 5),
                payload=payload,
            )


def _graph_bytes(model: bytes) -> bytes:
    try:
        return next(payload for number, payload in _messages(model) if number == _GRAPH)
    except (StopIteration, IndexError, struct.error) as exc:
        raise WeightsError(
            "the file is not an ONNX model; restore it or install vsr again"
        ) from exc


def _plane_port(name: str, kind: int) -> bytes:
    dims = [_field(2, b"n"), _varint_field(1, 1), _field(2, b"h"), _field(2, b"w")]
    shape = b"".join(_field(1, d) for d in dims)
    return _field(1, name.encode()) + _field(
        2, _field(1, _varint_field(1, kind) + _field(2, shape))
    )


def _attribute(name: str, value: int | str) -> bytes:
    head = _field(1, name.encode())
    if isinstance(value, str):
        return head + _field(4, value.encode()) + _varint_field(20, 3)
    return head + _varint_field(3, value) + _varint_field(20, 2)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def _varint_field(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _field(number: int, payload: bytes | int) -> bytes:
    if isinstance(payload, int):
        return _varint_field(number, payload)
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """(field number, payload) of one message, in order; the payload of a varint is an int."""
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _read_varint(message, at)
            yield number, value
            continue
        size, at = _read_varint(message, at) if wire == 2 else ({1: 8, 5: 4}[wire], at)
        yield number, message[at : at + size]
        at += size


def _messages(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields that hold bytes: strings and submessages."""
    for number, payload in _fields(message):
        if isinstance(payload, bytes):
            yield number, payload


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
