"""Times models beside PyTorch running the same networks on the same machine, in the same run.

    python examples/beside_torch.py MODEL ... [--size 480x270] [--device auto] [--rounds 5]
        [--frames 4] [--no-compile]

On a GPU PyTorch computes in fp16 and on a CPU in bf16 (autocast, channels last), as it is (eager)
and through torch.compile. vsr runs whatever it chooses by itself, planes to planes; PyTorch is
given floats and keeps its result, so the conversions are for vsr alone to pay. Restoring models
clean once and take the sequence as one chunk. The networks are the recipes', of random weights. The
rounds take turns and the medians are shown, in milliseconds a frame. Needs the lab extra, and a C++
compiler for torch.compile on a CPU.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsrcli.benchmark.alone import made_frames, picture_of
from vsrcli.frames import landed
from vsrcli.lab import networks, recipe
from vsrcli.lab.restore import recipe as restoring
from vsrcli.lab.restore.network import RealBasicVsr
from vsrcli.lab.temporal import recipe as recurrent
from vsrcli.lab.temporal.train import build
from vsrcli.lab.weights import channels_last
from vsrcli.models import Model, Temporal, Tuning, find_model
from vsrcli.runtime.drivers import open_driver

Size = tuple[int, int]
Net = Callable[[Tensor], Tensor]
Run = Callable[[], None]
"""So many frames, to the last one's end."""
_STEP = 8
"""Sides of a network's input are multiples of it: EGVSR's flow net halves them thrice."""
HEAD = ("model", "vsr runs on", "vsr", "PyTorch eager", "compiled", "eager / vsr")


class Luma(nn.Module):
    """A single-frame net over (B, T, 1, H, W)."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, frames: Tensor) -> Tensor:
        """(T, 1, rH, rW), a frame at a time as vsr takes them."""
        return torch.cat([self.net(frames[:, t]) for t in range(frames.shape[1])])


class Shuffled(nn.Module):
    """A recurrent net, phases put in their places."""

    def __init__(self, net: nn.Module, scale: int) -> None:
        super().__init__()
        self.net, self.scale = net, scale

    def forward(self, frames: Tensor) -> Tensor:
        """(T, 3, rH, rW)."""
        return functional.pixel_shuffle(self.net(frames).flatten(0, 1), self.scale)


class Restored(nn.Module):
    """A bidirectional net with one pass of cleaning."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, frames: Tensor) -> Tensor:
        """(B, T, 3, rH, rW)."""
        made: Tensor = self.net(frames)[0]
        return made


def network(model: Model, scale: int) -> nn.Module:
    """The model's network by its recipe."""
    path = Path(model.recipe)
    if model.temporal is Temporal.BIDIRECTIONAL:
        return Restored(RealBasicVsr(restoring.load_recipe(restoring.shipped(path)).shape))
    if model.temporal is Temporal.RECURRENT:
        return Shuffled(build(recurrent.load_recipe(recurrent.shipped(path))), scale)
    found = recipe.load_recipe(recipe.shipped(path))
    return Luma(networks.build(found.family, scale, found.shapes[scale]))


def torch_run(net: Net, model: Model, size: Size, frames: int, device: str) -> Run:
    """The network over a sequence."""
    kind = device.split(":")[0]
    dtype = torch.float16 if kind == "cuda" else torch.bfloat16
    channels = 1 if model.color == "y" else 3
    width, height = (-(-side // _STEP) * _STEP for side in size)
    clip = torch.rand(1, frames, channels, height, width, device=device)

    def run() -> None:
        with torch.inference_mode(), torch.autocast(kind, dtype):
            made = net(clip)
        float(made.flatten()[-1])  # waits for a GPU

    return run


@contextmanager
def vsr_run(
    model: Model, scale: int, size: Size, frames: int, device: str
) -> Iterator[tuple[str, Run]]:
    """What it runs on, and the driver over a sequence."""
    clip = made_frames(size, frames)
    is_restoring = model.temporal is Temporal.BIDIRECTIONAL
    tuning = Tuning(clean="1", chunk=frames, overlap=0) if is_restoring else Tuning()
    opened = open_driver(model, scale, picture=picture_of(size), device=device, tuning=tuning)
    with closing(opened) as driver:

        def run() -> None:
            made = [out for frame in clip for out in driver.push(frame)]
            landed(made + driver.flush())
            driver.reset()

        yield driver.device, run


def timed(run: Run, frames: int) -> float:
    """Milliseconds a frame."""
    began = time.perf_counter()
    run()
    return (time.perf_counter() - began) * 1000 / frames


def row(model: Model, args: argparse.Namespace, device: str) -> tuple[str, ...]:
    """The cells of one model."""
    scale = model.scales[-1]
    torch.manual_seed(0)
    net = channels_last(network(model, scale).eval().to(device))
    with vsr_run(model, scale, args.size, args.frames, args.device) as (name, ours):
        runs = {"vsr": ours, "eager": torch_run(net, model, args.size, args.frames, device)}
        if not args.no_compile:
            compiled = torch.compile(net)
            runs["compiled"] = torch_run(compiled, model, args.size, args.frames, device)
        for run in runs.values():
            run()
        times: dict[str, list[float]] = {way: [] for way in runs}
        for _ in range(args.rounds):
            for way, run in runs.items():
                times[way].append(timed(run, args.frames))
    found = {way: median(values) for way, values in times.items()}
    cells = [f"{found[way]:.1f}" if way in found else "" for way in ("vsr", "eager", "compiled")]
    return (f"`{model.id}`", name, *cells, f"{found['eager'] / found['vsr']:.1f}")


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--size", default="480x270", type=size_of)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda[:N]")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=4, help="of a sequence")
    parser.add_argument("--no-compile", action="store_true")
    args = parser.parse_args()
    on_gpu = args.device.startswith("cuda") or (args.device == "auto" and torch.cuda.is_available())
    device = args.device if ":" in args.device else "cuda" if on_gpu else "cpu"
    where = torch.cuda.get_device_name(device) if on_gpu else f"{torch.get_num_threads()} threads"
    print(f"torch {torch.__version__}, {where}, {args.size[0]}x{args.size[1]}, ms a frame\n")
    for cells in (HEAD, ("---",) * len(HEAD)):
        print(f"| {' | '.join(cells)} |")
    for name in args.models:
        print(f"| {' | '.join(row(find_model(name), args, device))} |", flush=True)


def size_of(word: str) -> Size:
    """(width, height)."""
    width, height = word.split("x")
    return int(width), int(height)


if __name__ == "__main__":
    main()
