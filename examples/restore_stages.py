"""Where a bidirectional model's time goes: milliseconds a frame of each of its graphs.

    python examples/restore_stages.py MODEL --size 320x180 --chunk 30 --overlap 5 --clean 1

The driver as a whole runs too: what it takes beyond the graphs is colour conversion and copying.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import closing
from statistics import median

import numpy as np
from ending import run_main, size

from vsrcli.frames import Color, Picture, frame_of
from vsrcli.media.pixels import layout_of
from vsrcli.models import Model, Tuning, find_model
from vsrcli.models.model import PARTS
from vsrcli.runtime.devices import choose_setup
from vsrcli.runtime.drivers import open_driver
from vsrcli.runtime.engines import Setup

SCALE = 4


def main() -> None:
    """Prints a line for each graph, their sum, and the driver."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--size", type=size, default="320x180")
    parser.add_argument("--chunk", type=int, default=30)
    parser.add_argument("--overlap", type=int, default=5)
    parser.add_argument("--clean", type=int, default=1)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--precision", default="auto")
    args = parser.parse_args()
    width, height = args.size
    model, ahead = find_model(args.model), args.overlap / args.chunk
    Tuning(chunk=args.chunk).check(model)
    # Look-ahead frames are cleaned and aligned once, but go backward in both chunks.
    times = {"clean": args.clean, "flow": 2.0, "backward": 1 + ahead}
    total = 0.0
    for part in PARTS:
        once = run_ms(model, part, height, width, args)
        count = times.get(part, 1.0)
        total += count * once
        print(f"{part:12s} {once:8.1f} ms x {count:.2f} = {count * once:8.1f} ms a frame")
    print(f"{'graphs':12s} {total:30.1f} ms a frame")
    print(f"{'driver':12s} {driver_ms(model, height, width, args):30.1f} ms a frame")


def run_ms(model: Model, part: str, height: int, width: int, args: argparse.Namespace) -> float:
    """Median of some runs, after one that warms up."""
    graph = model.parts(SCALE)[part].load()
    with closing(setup_of(model, args).open(graph, frugal=True)) as engine:
        rng = np.random.default_rng(0)
        feeds = {}
        for name, port in engine.inputs.items():
            channels = port.shape[1] or 1
            feeds[name] = rng.random((1, channels, height, width), np.float32)
        engine.run(feeds)
        return median(timed(lambda: engine.run(feeds)) for _ in range(args.runs))


def setup_of(model: Model, args: argparse.Namespace) -> Setup:
    """As a run would choose it."""
    return choose_setup(model, engine=args.engine, precision=args.precision, threads=args.threads)


def driver_ms(model: Model, height: int, width: int, args: argparse.Namespace) -> float:
    """Of a frame of YUV 4:2:0, over one chunk after one that warms up."""
    layout = layout_of("yuv420p")
    picture = Picture(
        layout=layout, color=Color(matrix=6, full_range=False), width=width, height=height
    )
    tuning = Tuning(chunk=args.chunk, overlap=args.overlap, clean=str(args.clean))
    rng = np.random.default_rng(0)
    sizes = [layout.size(i, width, height) for i in range(3)]
    planes = tuple(rng.integers(16, 236, size).astype(np.uint8) for size in sizes)
    with closing(
        open_driver(
            model,
            SCALE,
            picture=picture,
            engine=args.engine,
            precision=args.precision,
            threads=args.threads,
            tuning=tuning,
        )
    ) as driver:

        def push(count: int) -> int:
            return sum(len(driver.push(frame_of(planes, layout, i))) for i in range(count))

        push(args.chunk + args.overlap)
        return timed(lambda: push(args.chunk)) / float(args.chunk)


def timed(action: Callable[[], object]) -> float:
    """Milliseconds of one call."""
    began = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - began)


if __name__ == "__main__":
    run_main(main)
