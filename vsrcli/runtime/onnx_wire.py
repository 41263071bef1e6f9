"""ONNX graphs read and written in protobuf's wire format, without the onnx package.

The runtime puts a dozen nodes before and after a model's own; the onnx package would cost 60 MB for
that. Two serialised messages joined end to end are their merge (protobuf encoding guide, "Last One
Wins"), so nodes before and after a graph's own bytes extend it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsrcli.errors import WeightsError

FLOAT, UINT8, INT8, UINT16, INT64, BOOL, FLOAT16 = 1, 2, 3, 4, 7, 9, 10  # TensorProto.DataType
GRAPH = 7  # of ModelProto
NODE, INITIALIZER, INPUT, OUTPUT = 1, 5, 11, 12  # of GraphProto
_ELSEWHERE = (14, 1)  # data_location of TensorProto: EXTERNAL
_IR_VERSION, _OPSET_VERSION = 8, 17
_KINDS = {"float32": FLOAT, "uint8": UINT8, "int8": INT8, "uint16": UINT16, "int64": INT64}


@dataclass(frozen=True)
class Node:
    """One operator of a graph."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, int | str | tuple[int, ...]]
    """Those that are whole numbers or text."""
    tensor: bytes
    """The attribute that is a tensor; empty if none is."""
    payload: bytes


def nodes(graph: bytes) -> Iterator[Node]:
    """The operators of a graph in order."""
    for number, payload in messages(graph):
        if number == NODE:
            parts = list(messages(payload))
            yield Node(
                op=next(p.decode() for n, p in parts if n == 4),
                inputs=tuple(p.decode() for n, p in parts if n == 1),
                outputs=tuple(p.decode() for n, p in parts if n == 2),
                attributes=dict(_attributes(p for n, p in parts if n == 5)),
                tensor=next((t for n, p in parts if n == 5 for m, t in messages(p) if m == 5), b""),
                payload=payload,
            )


def _attributes(messages_: Iterable[bytes]) -> Iterator[tuple[str, int | str | tuple[int, ...]]]:
    for message in messages_:
        parts = list(fields(message))
        name = _name(message, 1)
        for number, value in parts:
            if number == 3 and isinstance(value, int):
                yield name, value
            elif number == 4 and isinstance(value, bytes):
                yield name, value.decode()
        if several := tuple(v for n, v in parts if n == 8 and isinstance(v, int)):
            yield name, several


def renamed(node: Node, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """An operator's bytes with other names for what it takes and gives."""
    names = [field(1, n.encode()) for n in inputs] + [field(2, n.encode()) for n in outputs]
    return b"".join([*names, *(field(n, p) for n, p in fields(node.payload) if n not in (1, 2))])


def tensor_of(message: bytes) -> tuple[str, int, tuple[int, ...]]:
    """(name, element type, shape) of a stored tensor."""
    parts = list(fields(message))
    shape = tuple(v for n, v in parts if n == 1 and isinstance(v, int))
    kind = next(v for n, v in parts if n == 2 and isinstance(v, int))
    return next((p.decode() for n, p in messages(message) if n == 8), ""), kind, shape


def constants(graph: bytes, names: Container[str]) -> dict[str, NDArray[Any]]:
    """The tensors of a graph that have these names, those of them that are float32 or int64."""
    found = {}
    for number, payload in messages(graph):
        if number == INITIALIZER and (name := _name(payload, 8)) in names:
            parts = list(fields(payload))
            dtype = next((k for k, v in _KINDS.items() if (2, v) in parts), "")
            data = next((v for n, v in parts if n == 9), None)
            if dtype in ("float32", "int64") and isinstance(data, bytes):
                shape = [v for n, v in parts if n == 1 and isinstance(v, int)]
                found[name] = np.frombuffer(data, np.dtype(dtype).newbyteorder("<")).reshape(shape)
    return found


def graph_of(model: bytes) -> bytes:
    """The graph of a model file. Raises WeightsError if there is none."""
    try:
        return next(payload for number, payload in messages(model) if number == GRAPH)
    except (StopIteration, IndexError, KeyError) as exc:
        raise WeightsError(
            "the file is not an ONNX model; restore it or install vsr again"
        ) from exc


def lacks_weights(model: bytes) -> bool:
    """Whether weights of a model file lie in another one."""
    tensors = (p for n, p in messages(graph_of(model)) if n == INITIALIZER)
    return any(_ELSEWHERE in fields(tensor) for tensor in tensors)


def living(graph: bytes) -> bytes:
    """A graph without the operators that no output depends on, which an engine would run."""
    needed = port_names(graph, OUTPUT)
    dead = set()
    for node in reversed(list(nodes(graph))):
        if needed.isdisjoint(node.outputs):
            dead.add(node.payload)
        else:
            needed.update(node.inputs)
    kept = ((n, p) for n, p in fields(graph) if n != NODE or p not in dead)
    return b"".join(field(n, p) for n, p in kept)


def port_names(graph: bytes, number: int) -> set[str]:
    """The names of the INPUTs or OUTPUTs of a graph."""
    return {_name(payload, 1) for each, payload in messages(graph) if each == number}


def single_ports(model: bytes) -> tuple[str, str]:
    """The names of a graph's only input and only output. Raises WeightsError if it has more."""
    parts = list(messages(graph_of(model)))
    weights = {_name(p, 8) for n, p in parts if n == INITIALIZER}
    inputs = [name for n, p in parts if n == INPUT and (name := _name(p, 1)) not in weights]
    outputs = [_name(p, 1) for n, p in parts if n == OUTPUT]
    if len(inputs) != 1 or len(outputs) != 1:
        raise WeightsError(
            f"the graph has {len(inputs)} inputs and {len(outputs)} outputs; "
            "a single-frame model has one of each"
        )
    return inputs[0], outputs[0]


def input_kinds(model: bytes) -> dict[str, int]:
    """The element type of each graph input that is a tensor."""
    return {name: kind for name, (kind, _) in declared(model, INPUT).items()}


def input_sides(model: bytes) -> dict[str, tuple[int | None, ...]]:
    """The shape of each graph input that is a tensor; None where a side is free."""
    return {name: sides for name, (_, sides) in declared(model, INPUT).items()}


def declared(model: bytes, number: int) -> dict[str, tuple[int, tuple[int | None, ...]]]:
    """Element type and shape, as `input_sides` has it, of each INPUT or OUTPUT of a graph that is a
    tensor and says so."""
    found = {}
    for payload in (p for n, p in messages(graph_of(model)) if n == number):
        types = [p for n, p in messages(payload) if n == 2]
        for tensor in (p for type_ in types for n, p in messages(type_) if n == 1):
            shape = next((p for n, p in messages(tensor) if n == 2), b"")
            dims = [dict(fields(p)).get(1) for n, p in messages(shape) if n == 1]
            sides = tuple(side if isinstance(side, int) else None for side in dims)
            found[_name(payload, 1)] = next(int(v) for n, v in fields(tensor) if n == 1), sides
    return found


def of_kind(port_: bytes, kind: int) -> bytes:
    """A declared tensor of another element type."""
    (tensor,) = (p for n, p in messages(_part(port_, 2)) if n == 1)
    rest = b"".join(field(n, p) for n, p in fields(tensor) if n != 1)
    return field(1, _name(port_, 1).encode()) + field(2, field(1, field(1, kind) + rest))


def without_ports(graph: bytes) -> bytes:
    """A graph but for its declared inputs and outputs."""
    return b"".join(field(n, p) for n, p in fields(graph) if n not in (INPUT, OUTPUT))


def with_graph(model: bytes, graph: bytes) -> bytes:
    """The model file around another graph."""
    return b"".join(field(n, p) for n, p in fields(model) if n != GRAPH) + field(GRAPH, graph)


def with_sides(model: bytes, sides: Mapping[str, Sequence[int]]) -> bytes:
    """The model with inputs of these shapes."""
    graph, kinds = b"", input_kinds(model)
    for number, payload in fields(graph_of(model)):
        if number == INPUT and isinstance(payload, bytes) and (name := _name(payload, 1)) in sides:
            payload = port(name, kinds[name], sides[name])
        graph += field(number, payload)
    return with_graph(model, graph)


class Builder:
    """Nodes and constants of a graph under construction; names it makes begin with `prefix`."""

    def __init__(self, prefix: str = "vsr") -> None:
        self._prefix = prefix
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []
        self._count = 0

    def node(
        self,
        op: str,
        inputs: Sequence[str | NDArray[Any] | np.generic],
        output: str = "",
        **attributes: int | str | Sequence[int],
    ) -> str:
        """Adds an operator; arrays among the inputs become constants. The name of its output."""
        names = [i if isinstance(i, str) else self.constant(i) for i in inputs]
        output = output or self._fresh()
        ends = [field(1, n.encode()) for n in names] + [field(2, output.encode())]
        given = [field(5, _attribute(k, v)) for k, v in attributes.items()]
        self._nodes.append(b"".join(ends) + field(4, op.encode()) + b"".join(given))
        return output

    def slice(
        self,
        values: str,
        starts: Sequence[int],
        ends: Sequence[int],
        axes: Sequence[int],
        output: str = "",
    ) -> str:
        """Adds a Slice from `starts` to before `ends` along `axes`. The name of its output."""
        limits = (np.array(numbers, np.int64) for numbers in (starts, ends, axes))
        return self.node("Slice", [values, *limits], output)

    def take(self) -> bytes:
        """The graph fields gathered so far; starts anew."""
        parts = [field(NODE, n) for n in self._nodes]
        parts += [field(INITIALIZER, c) for c in self._constants]
        self._nodes, self._constants = [], []
        return b"".join(parts)

    def _fresh(self) -> str:
        self._count += 1
        return f"{self._prefix}_{self._count}"

    def constant(self, value: NDArray[Any] | np.generic) -> str:
        """Adds a constant; its name."""
        array, name = np.asarray(value), self._fresh()
        dims = b"".join(field(1, d) for d in array.shape)
        body = dims + field(2, _KINDS[array.dtype.name]) + field(8, name.encode())
        little = array.astype(array.dtype.newbyteorder("<"))
        self._constants.append(body + field(9, little.tobytes()))
        return name


def port(name: str, kind: int, shape: Sequence[int | str]) -> bytes:
    """A declared graph input or output; a str is a free size."""
    dims = [field(1, d) if isinstance(d, int) else field(2, d.encode()) for d in shape]
    body = field(1, kind) + field(2, b"".join(field(1, d) for d in dims))
    return field(1, name.encode()) + field(2, field(1, body))


def model_of(graph: bytes) -> bytes:
    """A model file around a graph."""
    opset = field(8, field(1, b"") + field(2, _OPSET_VERSION))
    return field(1, _IR_VERSION) + opset + field(GRAPH, field(2, b"vsr") + graph)


def field(number: int, payload: bytes | int) -> bytes:
    """One field: bytes length-delimited, an int as a varint."""
    if isinstance(payload, int):
        return _varint(number << 3) + _varint(payload)
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
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


def messages(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields that hold bytes: strings and submessages."""
    for number, payload in fields(message):
        if isinstance(payload, bytes):
            yield number, payload


def _part(message: bytes, number: int) -> bytes:
    return next(p for n, p in messages(message) if n == number)


def _name(message: bytes, number: int) -> str:
    return next(p.decode() for n, p in messages(message) if n == number)


def _attribute(name: str, value: int | str | Sequence[int]) -> bytes:
    head = field(1, name.encode())
    if isinstance(value, str):
        return head + field(4, value.encode()) + field(20, 3)
    if isinstance(value, int):
        return head + field(3, value) + field(20, 2)
    return head + b"".join(field(8, v) for v in value) + field(20, 7)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
