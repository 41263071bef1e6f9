"""Prints where the time goes until the first frame has come out of a model.

    python examples/startup.py [--models espcn,esr-max] [--clip FILE] [--scale 4] [--rounds 3]

Each round runs in a process of its own. Of the times in milliseconds `wall` is what a user waits
and `cpu` what the process computed, which other work on the machine changes less; the medians are
printed. A session is with the import of its engine. The first frame of a recurrent model waits for
the frames it is warmed up with.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from ending import run_main

CLIP = Path(__file__).with_name("clip.mp4")
STAGES = ("command line", "pipeline", "probe", "model", "session", "first frame")


class Clock:
    """Milliseconds since the last mark, (wall, cpu)."""

    def __init__(self) -> None:
        self.stages: dict[str, tuple[float, float]] = {}
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def mark(self, stage: str) -> None:
        """The time until now belongs to this stage."""
        wall, cpu = time.perf_counter(), time.process_time()
        self.stages[stage] = (1000 * (wall - self._wall), 1000 * (cpu - self._cpu))
        self._wall, self._cpu = wall, cpu


def one_start(clip: Path, model_id: str, scale: int) -> dict[str, tuple[float, float]]:
    """One start, stage by stage, in this process, which must be fresh. Imports are part of it."""
    clock = Clock()

    clock.mark("command line")
    from vsrcli.frames import Frame
    from vsrcli.media.source import Source
    from vsrcli.runtime.bare_onnx import resolve_model
    from vsrcli.runtime.drivers import open_driver

    clock.mark("pipeline")
    source = Source(clip)
    clock.mark("probe")
    model = resolve_model(model_id)
    model.graph(scale).load()
    clock.mark("model")
    driver = open_driver(model, scale, picture=source.info.video.picture, warm_up=model.warm_up)
    clock.mark("session")
    frames = (item for item in source.items() if isinstance(item, Frame))
    while not driver.push(next(frames)):
        pass
    clock.mark("first frame")
    return clock.stages


def starts(clip: Path, model: str, scale: int, rounds: int) -> list[dict[str, tuple[float, float]]]:
    """Several starts, each in a process of its own."""
    order = [sys.executable, __file__, "--one", "--models", model, "--clip", clip, "--scale", scale]
    made = []
    for _ in range(rounds):
        words = [str(word) for word in order]
        env = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # as vsr upscale sets it
        done = subprocess.run(words, check=True, stdout=subprocess.PIPE, env=env)
        made.append(json.loads(done.stdout))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description="Prints where the time of a start goes.")
    parser.add_argument("--models", default="espcn,esr-max")
    parser.add_argument("--clip", type=Path, default=CLIP)
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", action="store_true", help="one start, as JSON")
    arguments = parser.parse_args()
    models = arguments.models.split(",")
    if arguments.one:
        print(json.dumps(one_start(arguments.clip, models[0], arguments.scale)))
        return
    for model in models:
        made = starts(arguments.clip, model, arguments.scale, arguments.rounds)
        print(f"{model:14} {'wall':>8} {'cpu':>8}   ms")
        total = [0.0, 0.0]
        for stage in STAGES:
            spent = [median(each[stage][kind] for each in made) for kind in (0, 1)]
            total = [a + b for a, b in zip(total, spent, strict=True)]
            print(f"  {stage:12} {spent[0]:8.0f} {spent[1]:8.0f}")
        print(f"  {'in all':12} {total[0]:8.0f} {total[1]:8.0f}")


if __name__ == "__main__":
    run_main(main)
