"""`vsr-lab cuts`: precision and recall of the cut detector on joined clips."""

import argparse
import sys
from collections import Counter
from pathlib import Path

from vsrcli.errors import InputError, UsageError
from vsrcli.lab.commands import at_least


def add(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("folders", type=Path, nargs="+", help="clips without cuts at their start")
    parser.add_argument("--method", choices=("ours", "scdet"), default="ours")
    parser.add_argument("--thresholds", default="5,10,15,20,25,30,35,40,50")
    parser.add_argument("--sections", type=at_least(1), default=2, help="at most so many of a clip")
    parser.add_argument(
        "--rounds", type=at_least(1), default=4, help="orders in which they are joined"
    )


def run(args: argparse.Namespace) -> None:
    """Print one row a threshold, with the false calls by what was taken for a cut."""
    from vsrcli.lab import cuts

    thresholds = _numbers(args.thresholds)
    clips = [cuts.clip_sections(path, args.sections) for path in cuts.clip_paths(args.folders)]
    reels = [cuts.joined(clips, seed) for seed in range(args.rounds)]
    scored = [list(cuts.METHODS[args.method](cuts.frames_of(reel))) for reel in reels]
    kinds = Counter(event.kind for reel in reels for event in reel.events)
    if not kinds["cut"]:
        size = f"{cuts.SECTION} frames and {cuts.WIDTH}x{cuts.HEIGHT}"
        raise InputError(f"there is nothing to cut between; give three clips and more of {size}")
    there = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    sys.stdout.write(f"{sum(map(len, scored))} frames: {there}\n")
    sys.stdout.write("threshold  precision  recall     F1  false calls\n")
    for threshold in thresholds:
        pairs = zip(reels, scored, strict=True)
        found = cuts.summed([cuts.measured(reel, values, threshold) for reel, values in pairs])
        false = ", ".join(f"{count} {kind}" for kind, count in found.false.items() if count)
        figures = f"{found.precision:9.3f}  {found.recall:6.3f}  {found.f1:.3f}"
        sys.stdout.write(f"{threshold:9g}  {figures}  {false}\n")


def _numbers(words: str) -> list[float]:
    try:
        return [float(word) for word in words.split(",")]
    except ValueError as exc:
        raise UsageError(f"--thresholds takes numbers, as in 15,25,35, not {words!r}") from exc
