"""`vsr-lab quantise`: an int8 graph beside the fp32 one, where it costs little."""

import argparse
import sys
from pathlib import Path

from vsrcli.lab.commands import at_least, loss


def add(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("model", help="id or model folder")
    parser.add_argument("--clips", type=Path, required=True, help="folder of clips to calibrate on")
    parser.add_argument("--measure", type=Path, required=True, help="folder to measure the loss on")
    parser.add_argument("--scale", type=at_least(2), choices=(2, 3, 4), default=4)
    parser.add_argument("--degrade", default="bicubic", help="bicubic, bd, real, x264-28, ...")
    parser.add_argument(
        "--frames", type=at_least(0), default=0, help="measured of each clip; 0 = all"
    )
    parser.add_argument(
        "--exact",
        choices=("none", "first", "last", "ends"),
        default="none",
        help="convolutions left in fp32",
    )
    parser.add_argument(
        "--weight-bits",
        type=at_least(2),
        choices=(7, 8),
        default=7,
        help="8: exacter, but perhaps not on a processor without VNNI",
    )
    parser.add_argument("--most-loss", type=loss, default=0.1, help="PSNR-Y it may cost, dB")


def run(args: argparse.Namespace) -> None:
    """Quantise, measure, and say in one line whether the graph was kept."""
    from vsrcli.lab.quantise import Shots, quantise
    from vsrcli.models import find_folder

    done = quantise(
        find_folder(args.model),
        args.scale,
        Shots(folder=args.clips, degrade=args.degrade),
        args.measure,
        frames=args.frames,
        most_loss_db=args.most_loss,
        exact=args.exact,
        weight_bits=args.weight_bits,
    )
    verdict = "kept" if done.is_kept else f"not kept: more than {args.most_loss} dB"
    sys.stdout.write(
        f"{done.file.name}  fp32 {done.exact_psnr_y:.3f} dB  int8 {done.psnr_y:.3f} dB  "
        f"loss {done.loss_db:.3f} dB  {verdict}\n"
    )
