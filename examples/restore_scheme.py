"""What the stochastic degradation scheme saves: time an iteration, and the loss at equal steps.

    python examples/restore_scheme.py STILLS --steps 150 --length 14

A small RealBasicVSR learns twice from the same start, on sequences that are made and degraded in
the loop: once on whole ones, once on halves that run on and back (`mirrored`) under degradations
that wander on. Its loss on whole sequences that both never saw is measured at the end. Needs the
lab extra.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from ending import run_main
from torch import Tensor

from vsrcli.lab.losses import charbonnier
from vsrcli.lab.optim import make_optimiser
from vsrcli.lab.real import degraded, mirrored
from vsrcli.lab.restore.data import MOTION, shrunk
from vsrcli.lab.restore.network import SCALE, RealBasicVsr, Shape
from vsrcli.lab.temporal.feed import load_stills
from vsrcli.lab.temporal.motion import Stills, sequences
from vsrcli.lab.temporal.pack import ORDERS

SMALL = Shape(
    features=16, blocks=2, cleaning=2, detail=16, flow_levels=3, flow_widths=(8, 16, 8, 8),
    flow_finest=2,
)  # fmt: skip
HELD = 6


def main() -> None:
    """Prints a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stills", type=Path)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--length", type=int, default=14)
    parser.add_argument("--patch", type=int, default=48)
    parser.add_argument("--order", choices=tuple(ORDERS), default="first")
    args = parser.parse_args()
    torch.set_num_threads(1)
    train, held = load_stills(args.stills, (1.0,), torch.device("cpu"))
    generator = torch.Generator().manual_seed(7)
    tests = [pair(*made(held, args, generator, half=False)[:2]) for _ in range(HELD)]
    print("          load     degrade   step      iteration    loss, trained and held back")
    for half in (False, True):
        spent, losses, net = run(train, args, half=half)
        with torch.no_grad():
            unseen = fmean(float(loss_of(net, *test)) for test in tests)
        name, last = "mirrored" if half else "whole", losses[-len(losses) // 4 :]
        times = "  ".join(f"{1000 * s / args.steps:5.0f} ms" for s in (*spent, sum(spent)))
        print(f"{name:8s}  {times}    {fmean(last):.5f}  {unseen:.5f}")


def run(
    stills: Stills, args: argparse.Namespace, *, half: bool
) -> tuple[list[float], list[float], RealBasicVsr]:
    """Processor seconds for loading, degrading and learning; the losses; the net."""
    torch.manual_seed(0)
    net = RealBasicVsr(SMALL)
    optimiser = make_optimiser("muon", list(net.parameters()), 2e-3, 1.0)
    generator = torch.Generator().manual_seed(1)
    spent, losses = [0.0, 0.0, 0.0], []
    for _ in range(args.steps):
        hr, lr, *times = made(stills, args, generator, half=half)
        began = time.process_time()
        loss = loss_of(net, *pair(hr, lr))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        times.append(time.process_time() - began)
        spent = [a + b for a, b in zip(spent, times, strict=True)]
        losses.append(loss.item())
    return spent, losses, net


def made(
    stills: Stills, args: argparse.Namespace, generator: torch.Generator, *, half: bool
) -> tuple[list[np.ndarray], list[np.ndarray], float, float]:
    """HR and LR frames of a sequence of `length`, and what loading and degrading them took."""
    began = time.process_time()
    length = args.length // 2 if half else args.length
    frames, _ = sequences(stills, MOTION, 1, length, args.patch * SCALE, generator)
    images = (255 * frames[0]).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    loaded = time.process_time()
    shot = [np.ascontiguousarray(image) for image in images]
    shot = mirrored(shot) if half else shot
    seed = int(torch.randint(1 << 30, (1,), generator=generator))
    seen = list(degraded(shot, SCALE, ORDERS[args.order], seed))
    return shot, seen, loaded - began, time.process_time() - loaded


def pair(hr: list[np.ndarray], lr: list[np.ndarray]) -> tuple[Tensor, Tensor]:
    """(1, T, 3, H, W) each, 0..1."""
    planes = (torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)[None] for frames in (hr, lr))
    large, small = (part.float() / 255 for part in planes)
    return large, small


def loss_of(net: RealBasicVsr, hr: Tensor, lr: Tensor) -> Tensor:
    """Of stage 1: output and cleaning."""
    result, clean = net(lr)
    plain = hr.flatten(0, 1)
    output = charbonnier(result.flatten(0, 1) - plain)
    return output + 0.5 * charbonnier(clean.flatten(0, 1) - shrunk(plain))


if __name__ == "__main__":
    run_main(main)
