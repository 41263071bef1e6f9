"""`vsr-lab degrade`: a pack of degraded sequences to train on."""

import argparse
import sys
from pathlib import Path

from vsrcli.lab.commands import at_least, share


def add(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("out", type=Path, help="folder of the pack")
    parser.add_argument("--data", type=Path, required=True, help="folder of sharp stills")
    parser.add_argument("--clips", type=Path, help="folder of video files")
    parser.add_argument("--cache", type=Path, help="where decoded clips are kept; beside the pack")
    parser.add_argument(
        "--order", choices=("ordinary", "squeezed", "first", "second"), default="first"
    )
    parser.add_argument("--sequences", type=at_least(1), default=260)
    parser.add_argument(
        "--versions", type=at_least(1), default=2, help="degraded ones of each sequence"
    )
    parser.add_argument("--length", type=at_least(1), default=12, help="frames of a sequence")
    parser.add_argument("--side", type=at_least(8), default=80, help="of low-resolution frames, px")
    parser.add_argument("--scale", type=at_least(2), choices=(2, 3, 4), default=4)
    parser.add_argument("--clean", type=share, default=0.1, help="share that is only scaled")
    parser.add_argument(
        "--mirror", action="store_true", help="run each sequence back again, degraded anew"
    )
    parser.add_argument("--seed", type=at_least(0), default=0)


def run(args: argparse.Namespace) -> None:
    """Make the pack; a line for each clip read and for every 20 sequences."""
    import torch

    from vsrcli.lab.temporal.clips import Clips, cache_clips
    from vsrcli.lab.temporal.feed import check_stills, load_stills
    from vsrcli.lab.temporal.pack import Packing, make_pack

    torch.set_num_threads(1)
    device, clips = torch.device("cpu"), None
    if args.clips:
        cache = args.cache or args.out.parent
        clips = Clips(cache_clips(args.clips, cache, on_clip=_show_clip), device)
    stills, _ = load_stills(args.data, (1.0, 0.7), device, clips)
    check_stills(args.data, stills)
    packing = Packing(
        sequences=args.sequences,
        versions=args.versions,
        length=args.length,
        side=args.side,
        scale=args.scale,
        clips=Packing.clips if clips else 0.0,
        order=args.order,
        clean=args.clean,
        mirror=args.mirror,
        seed=args.seed,
    )
    make_pack(args.out, stills, clips, packing, _show_sequence)
    sys.stdout.write(f"{args.out}\n")


def _show_clip(name: str, segments: int) -> None:
    sys.stderr.write(f"{name}: {segments} segments\n")


def _show_sequence(done: int) -> None:
    if done % 20 == 0:
        sys.stderr.write(f"{done} sequences\n")
