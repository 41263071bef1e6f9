"""What of a graph a GPU computes in fp16: convolutions, and what lies between them.

fp16 has steps of half a pixel at column 1000, so warps and all that leads to their positions stay
in float32. So does what lies between an exponential and the division after it, which fp16 could not
hold, and what follows the last convolution on the way to an output. Where the two meet there are
casts; an engine folds those of weights when it loads the graph.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from vsrcli.runtime.onnx_wire import (
    BOOL,
    FLOAT,
    FLOAT16,
    INITIALIZER,
    INPUT,
    INT64,
    NODE,
    OUTPUT,
    Builder,
    Node,
    declared,
    field,
    fields,
    graph_of,
    messages,
    nodes,
    of_kind,
    port_names,
    renamed,
    tensor_of,
    with_graph,
)

_WIDE = 4
"""Channels from which on a convolution, or a tensor that is handed on, is worth fp16: fewer are
colours, positions or luma."""
_CONVOLUTIONS = {"Conv": 1, "ConvTranspose": 0}
"""And the axis of their weights that counts the input's channels."""
_HALF = {
    *_CONVOLUTIONS,
    *("Add", "Sub", "Mul", "Max", "Min", "Relu", "PRelu", "LeakyRelu", "Clip", "Sigmoid", "Tanh"),
    *("Concat", "Split", "Slice", "Gather", "Reshape", "Transpose", "Squeeze", "Unsqueeze"),
    *("DepthToSpace", "SpaceToDepth", "MaxPool", "AveragePool", "Pad", "Identity"),
}
"""Operators that may run in fp16."""
_OTHER_KINDS = {
    **dict.fromkeys(("Shape", "Size", "NonZero", "ArgMax", "ArgMin"), INT64),
    **dict.fromkeys(("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Not"), BOOL),
}
"""Of what operators give that do not give what they take."""


def halved(model: bytes, held: Mapping[str, str] | None = None) -> bytes:
    """The model with what it can in fp16. What is handed on from run to run (`held`, input: output)
    and wide tensors from graph to graph are fp16 as well; other ports stay as they are."""
    graph = _Graph.read(model)
    ports = {INPUT: declared(model, INPUT), OUTPUT: declared(model, OUTPUT)}
    handed = {
        name
        for sides in ports.values()
        for name, (kind, shape) in sides.items()
        if kind == FLOAT and len(shape) == 4 and (shape[1] or 0) >= _WIDE
    }
    for source, target in (held or {}).items():  # a tensor has one type
        handed = handed | {target} if source in handed else handed - {target}
    exact = graph.exact(ends=ports[OUTPUT].keys() - handed)
    body = [_cast(graph, exact, handed, ports[OUTPUT].keys())]
    for number, payload in fields(graph_of(model)):
        if number in (INPUT, OUTPUT) and isinstance(payload, bytes):
            is_handed = not handed.isdisjoint(port_names(field(number, payload), number))
            payload = of_kind(payload, FLOAT16) if is_handed else payload
        if number != NODE:
            body.append(field(number, payload))
    return with_graph(model, b"".join(body))


@dataclass(frozen=True, kw_only=True)
class _Graph:
    """Operators and the types of what they give."""

    nodes: tuple[Node, ...]
    kinds: Mapping[str, int]
    """Element types of all tensors."""
    shapes: Mapping[str, tuple[int, ...]]
    """Of weights and constants."""

    @classmethod
    def read(cls, model: bytes) -> _Graph:
        """The graph of a model file."""
        graph = graph_of(model)
        every = tuple(nodes(graph))
        kinds = {name: kind for name, (kind, _) in declared(model, INPUT).items()}
        shapes: dict[str, tuple[int, ...]] = {}
        for number, payload in messages(graph):
            if number == INITIALIZER:
                name, kind, shape = tensor_of(payload)
                kinds[name], shapes[name] = kind, shape
        for node in every:
            if node.op == "Constant" and node.tensor:
                _, kind, shape = tensor_of(node.tensor)
                shapes[node.outputs[0]] = shape
            else:
                kind = _kind(node, kinds)
            kinds |= dict.fromkeys(node.outputs, kind)
        return cls(nodes=every, kinds=kinds, shapes=shapes)

    def is_wide(self, node: Node) -> bool:
        """Whether it is a convolution of many channels."""
        shape = self.shapes.get(node.inputs[1], ()) if node.op in _CONVOLUTIONS else ()
        return bool(shape) and shape[_CONVOLUTIONS[node.op]] >= _WIDE

    def exact(self, ends: Iterable[str]) -> set[str]:
        """The outputs of the operators that stay in float32, of those that could run in fp16."""
        makers = {name: node for node in self.nodes for name in node.outputs}
        warps = [node.inputs[1] for node in self.nodes if node.op == "GridSample"]
        found = self._before(makers, warps, until_wide=False)
        found |= self._before(makers, ends, until_wide=True)
        large: set[str] = set()
        for node in self.nodes:
            if node.op == "Exp" or large.intersection(node.inputs):
                found.update(node.outputs)
                large.update(() if node.op == "Div" else node.outputs)
            if node.op in _CONVOLUTIONS and not self.is_wide(node):
                found.update(node.outputs)
        return found

    def _before(
        self, makers: Mapping[str, Node], values: Iterable[str], *, until_wide: bool
    ) -> set[str]:
        """What these values are made by, as far as the last wide convolutions or all of it."""
        found: set[str] = set()
        open_ = [makers[value] for value in values if value in makers]
        while open_:
            node = open_.pop()
            if node.outputs[0] in found or (until_wide and self.is_wide(node)):
                continue
            found.update(node.outputs)
            open_ += [makers[value] for value in node.inputs if value in makers]
        return found


def _kind(node: Node, kinds: Mapping[str, int]) -> int:
    """Of what an operator gives."""
    if node.op == "Cast":
        to = node.attributes["to"]
        assert isinstance(to, int)
        return to
    if node.op == "ConstantOfShape":
        return tensor_of(node.tensor)[1] if node.tensor else FLOAT
    if node.op in _OTHER_KINDS:
        return _OTHER_KINDS[node.op]
    given: Sequence[str] = node.inputs[1:] if node.op == "Where" else node.inputs
    return kinds.get(given[0], FLOAT) if given else FLOAT


def _cast(
    graph: _Graph, exact: Collection[str], handed: Collection[str], outputs: Collection[str]
) -> bytes:
    """The operators, each on floats of its own type."""
    casts, body = Builder("half"), b""
    now = {name: FLOAT16 for name in handed if name not in outputs}
    known: dict[tuple[str, int], str] = {}

    def given(name: str, kind: int) -> str:
        nonlocal body
        if graph.kinds.get(name) != FLOAT or now.get(name, FLOAT) == kind:
            return name
        if (name, kind) not in known:
            known[name, kind] = casts.node("Cast", [name], to=kind)
            body += casts.take()
        return known[name, kind]

    for node in graph.nodes:
        is_half = node.op in _HALF and node.outputs[0] not in exact
        floats = [name for name in node.outputs if graph.kinds[name] == FLOAT]
        kind = FLOAT16 if is_half and floats else FLOAT
        inputs = [given(name, kind) for name in node.inputs]
        names = {name: name for name in node.outputs}
        now |= dict.fromkeys(floats, kind)
        ends = [n for n in floats if n in outputs and (n in handed) != (kind == FLOAT16)]
        names |= {name: f"{name}_made" for name in ends}
        body += field(NODE, renamed(node, inputs, [names[name] for name in node.outputs]))
        for name in ends:
            now[name] = FLOAT16 if name in handed else FLOAT
            casts.node("Cast", [names[name]], name, to=now[name])
            body += casts.take()
    return body
