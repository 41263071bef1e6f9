"""What the parts of a restoring model take when shots go through them, to quantise them by.

    frame ─► clean ─► flow both ways ─► backward, forward ─► reconstruct

As the driver runs a shot that is one chunk, with one pass of cleaning.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing

import numpy as np
from numpy.typing import NDArray

from vsrcli.models import Model
from vsrcli.models.model import PARTS
from vsrcli.runtime.chunk_memory import features_of
from vsrcli.runtime.engines import Engine, open_engine

Feeds = dict[str, NDArray[np.float32]]


def part_feeds(
    model: Model, scale: int, part: str, shots: Sequence[Sequence[NDArray[np.float32]]], every: int
) -> Iterator[Feeds]:
    """The inputs of one part at every so many-th frame of the shots, RGB (1, 3, H, W) in 0..1."""
    graphs = {name: graph.load() for name, graph in model.parts(scale).items()}
    features = features_of(model, graphs["forward"])
    with ExitStack() as stack:
        engines = {name: stack.enter_context(closing(open_engine(graphs[name]))) for name in PARTS}
        for shot in shots:
            taken = [feeds for name, feeds in _run(engines, shot, features) if name == part]
            yield from taken[::every]


def _run(
    engines: dict[str, Engine], shot: Sequence[NDArray[np.float32]], features: int
) -> Iterator[tuple[str, Feeds]]:
    def made(name: str, output: str, feeds: Feeds) -> NDArray[np.float32]:
        return np.array(engines[name].run(feeds)[output])

    clean = []
    for frame in shot:
        yield "clean", {"frame": frame}
        clean.append(made("clean", "cleaned", {"frame": frame}))
    size = shot[0].shape[2:]
    none, still = np.zeros((1, features, *size), np.float32), np.zeros((1, 2, *size), np.float32)

    def along(name: str, order: Sequence[int], step: int) -> Iterator[tuple[Feeds, Feeds | None]]:
        """Of each frame what the branch takes, and what the flow towards it took."""
        feature = none
        for place, t in enumerate(order):
            pair = {"now": clean[t], "other": clean[t - step]} if place else None
            motion = made("flow", "motion", pair) if pair else still
            feeds = {"frame": clean[t], "feature": feature, "motion": motion}
            yield feeds, pair
            feature = made(name, "feature_next", feeds)
            kept[name][t] = feature

    kept: dict[str, dict[int, NDArray[np.float32]]] = {"backward": {}, "forward": {}}
    last = len(shot)
    for name, order, step in (
        ("backward", range(last - 1, -1, -1), -1),
        ("forward", range(last), 1),
    ):
        for feeds, pair in along(name, order, step):
            if pair:
                yield "flow", pair
            yield name, feeds
    for t in range(last):
        behind, before = kept["backward"][t], kept["forward"][t]
        yield "reconstruct", {"frame": clean[t], "behind": behind, "before": before}
