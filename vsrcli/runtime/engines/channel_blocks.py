"""Convolutions that onnxruntime's CPU can take in blocks of channels.

It does so where the channels of the input are a multiple of a block; the others it unfolds into
matrices, which takes up to half as long again. Where such a convolution takes a concat, some of
its channels are laid in twice, with weights of zero the second time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from vsrcli.runtime.onnx_wire import (
    INITIALIZER,
    INPUT,
    NODE,
    OUTPUT,
    Builder,
    Node,
    constants,
    declared,
    field,
    fields,
    graph_of,
    nodes,
    port_names,
    renamed,
    tensor_of,
    with_graph,
)

_ALIKE = {"Relu", "LeakyRelu", "PRelu", "Identity", "Cast", "Clip", "Tanh"}
"""Operators that give as many channels as they take. Not Add or Mul: one side may be stretched to
the other's."""


def blocked(model: bytes, block: int) -> bytes:
    """The model with input channels that are multiples of `block` where a concat can be filled up.
    What it gives changes in rounding alone."""
    graph = graph_of(model)
    every = list(nodes(graph))
    channels = {n: s[1] for n, (_, s) in declared(model, INPUT).items() if len(s) == 4 and s[1]}
    weights = constants(graph, {n.inputs[1] for n in every if n.op == "Conv"})
    shapes = {name: weight.shape for name, weight in weights.items()}
    found = dict(_filled(every, channels, shapes, block))
    ends = port_names(graph, OUTPUT)
    changed = {made: how for made, how in found.items() if made not in ends}
    if not changed:
        return model
    new, body, gone = Builder("block"), list[bytes](), set[str]()
    for node in every:
        if node.op == "Concat" and node.outputs[0] in changed:
            source, missing = changed[node.outputs[0]]
            again = new.slice(source, [0], [missing], [1])
            whole = renamed(node, [*node.inputs, again], node.outputs)
            body += [new.take(), field(NODE, whole)]
        elif node.op == "Conv" and node.inputs[0] in changed:
            weight = weights[node.inputs[1]]
            more = np.zeros((len(weight), changed[node.inputs[0]][1], *weight.shape[2:]))
            filled = np.concatenate([weight, more.astype(np.float32)], 1)
            inputs = [node.inputs[0], new.constant(filled), *node.inputs[2:]]
            body += [new.take(), field(NODE, renamed(node, inputs, node.outputs))]
            gone.add(node.inputs[1])
        else:
            body.append(field(NODE, node.payload))
    for number, payload in fields(graph):
        if number == INITIALIZER and isinstance(payload, bytes) and tensor_of(payload)[0] in gone:
            continue
        if number != NODE:
            body.append(field(number, payload))
    return with_graph(model, b"".join(body))


def _filled(
    every: list[Node], channels: dict[str, int], shapes: Mapping[str, tuple[int, ...]], block: int
) -> Iterator[tuple[str, tuple[str, int]]]:
    """Concats to fill up: (its output, (which of its inputs to take again, how many channels)).
    `channels` are those of the graph's inputs."""
    readers: dict[str, list[Node]] = {}
    for node in every:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    for node in every:
        made = node.outputs[0] if node.outputs else ""
        if node.op == "Conv" and node.inputs[1] in shapes:
            channels[made] = shapes[node.inputs[1]][0]
        elif node.op in _ALIKE and node.inputs[0] in channels:
            channels[made] = channels[node.inputs[0]]
        elif node.op == "Concat" and node.attributes.get("axis") == 1:
            taken = readers.get(made, [])
            total = _taken(taken, made, shapes, readers)
            unknown = [name for name in node.inputs if name not in channels]
            if total and len(unknown) == 1:
                channels[unknown[0]] = total - sum(channels.get(n, 0) for n in node.inputs)
            if not unknown or total:
                channels[made] = total or sum(channels[name] for name in node.inputs)
            missing = -total % block
            source = next((n for n in node.inputs if channels.get(n, 0) >= missing), None)
            if total > block and missing and source:
                yield made, (source, missing)


def _taken(
    taken: list[Node],
    made: str,
    shapes: Mapping[str, tuple[int, ...]],
    readers: Mapping[str, list[Node]],
) -> int:
    """The channels of a concat that plain convolutions alone take; else 0."""
    found = {
        shapes[node.inputs[1]][1]
        for node in taken
        if node.op == "Conv"
        and node.inputs[0] == made
        and node.inputs[1] in shapes
        and node.attributes.get("group", 1) == 1
        and len(readers[node.inputs[1]]) == 1
    }
    is_alone = all(node.op == "Conv" and node.inputs[1] in shapes for node in taken)
    return found.pop() if len(found) == 1 and is_alone else 0
