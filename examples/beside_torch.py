"""Times models beside PyTorch running the same networks on the same machine, in the same run.

    python examples/beside_torch.py MODEL ... [--size 480x270 960x540] [--device auto]
        [--precision auto] [--rounds 5] [--frames 4] [--planes] [--no-compile]

On a GPU PyTorch computes in fp16 and on a CPU in bf16 (autocast, channels last), but in fp32 where
the CPU has no units for that, as it is (eager) and through torch.compile. vsr runs whatever it
chooses by itself, or in the precision asked for, planes on the host to planes on the host; PyTorch
is given floats where it computes and keeps its result, so the conversions are for vsr alone to pay,
but with --planes. Restoring models clean once and take the sequence as one chunk. The networks are
the recipes', of random weights. The rounds take turns and the medians are shown, in milliseconds a
frame, and of vsr in frames a second and in per cent of what its engine's convolutions reach here.
Needs the lab extra, and a C++ compiler for torch.compile.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from statistics import median

import onnxruntime
import torch
from ending import run_main
from ending import size as size_of
from torch import Tensor, nn
from torch.nn import functional

from vsrcli.benchmark.alone import gflop_of, made_frames, picture_of
from vsrcli.benchmark.cases import Case
from vsrcli.benchmark.roofline import peak_gflops
from vsrcli.frames import Frame, landed
from vsrcli.lab import networks, recipe
from vsrcli.lab.restore import recipe as restoring
from vsrcli.lab.restore.network import RealBasicVsr
from vsrcli.lab.temporal import recipe as recurrent
from vsrcli.lab.temporal.train import build
from vsrcli.lab.weights import channels_last
from vsrcli.models import Model, Temporal, Tuning, find_model
from vsrcli.runtime.cpu import has_bf16
from vsrcli.runtime.devices import choose_setup
from vsrcli.runtime.drivers import open_driver
from vsrcli.runtime.engines import Setup

Size = tuple[int, int]
Net = Callable[[Tensor], Tensor]
Run = Callable[[], None]
"""So many frames, to the last one's end."""
_STEP = 8
"""Sides of a network's input are multiples of it: EGVSR's flow net halves them thrice."""
_LAPS = 12
"""How often a GPU is given the sequence without a pause: the first frame and the last have nothing
to overlap with."""
HEAD = (
    *("model", "from", "vsr runs on", "fps", "of its best"),
    *("ms", "PyTorch eager", "compiled", "best of these / vsr"),
)


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


def torch_run(
    net: Net, model: Model, size: Size, frames: int, device: str, *, planes: bool = False
) -> Run:
    """The network over a sequence: of floats that lie there already, or of `planes` of 8 bits."""
    kind = device.split(":")[0]
    on_cpu = torch.bfloat16 if has_bf16() else torch.float32
    dtype = torch.float16 if kind == "cuda" else on_cpu
    channels = 1 if model.color == "y" else 3
    width, height = (-(-side // _STEP) * _STEP for side in size)
    clip = torch.rand(1, frames, channels, height, width).to(device, dtype)
    codes = (clip * 255).to("cpu", torch.uint8)
    if kind == "cuda":
        codes = codes.pin_memory()

    def run() -> None:
        with torch.inference_mode(), torch.autocast(kind, dtype, dtype != torch.float32):
            if planes:
                made = net(codes.to(device, non_blocking=True).to(dtype) / 255)
                made = (made * 255).round_().clamp_(0, 255).to(torch.uint8).cpu()
            else:
                made = net(clip)
        made[(0,) * made.ndim].item()  # waits for a GPU

    return run


@contextmanager
def vsr_run(
    model: Model, scale: int, size: Size, frames: int, args: argparse.Namespace
) -> Iterator[tuple[str, Run]]:
    """What it runs on, and the driver over a sequence."""
    clip = made_frames(size, frames)
    is_restoring = model.temporal is Temporal.BIDIRECTIONAL
    tuning = Tuning(clean="1", chunk=frames, overlap=0) if is_restoring else Tuning()
    opened = open_driver(
        model,
        scale,
        picture=picture_of(size),
        device=args.device,
        precision=args.precision,
        tuning=tuning,
    )
    with closing(opened) as driver:

        def run() -> None:
            flying: list[Frame] = []
            for _ in range(laps(driver.device)):
                for frame in clip:
                    made = driver.push(frame)
                    landed(flying)
                    flying = made
            landed(flying + driver.flush())
            driver.reset()

        yield driver.device, run


def laps(where: str) -> int:
    """How often a run takes the sequence."""
    return 1 if "cpu" in where.split() else _LAPS


def timed(run: Run, frames: int) -> float:
    """Milliseconds a frame."""
    began = time.perf_counter()
    run()
    return (time.perf_counter() - began) * 1000 / frames


def row(model: Model, size: Size, args: argparse.Namespace, device: str) -> tuple[str, ...]:
    """The cells of one model."""
    scale = model.scales[-1]
    torch.manual_seed(0)
    torch.compiler.reset()  # else a second size is compiled for any size
    net = channels_last(network(model, scale).eval().to(device))
    nets: dict[str, Net] = {"eager": net}
    if not args.no_compile:
        nets["compiled"] = torch.compile(net, dynamic=False)
    with vsr_run(model, scale, size, args.frames, args) as (name, ours):
        runs = {
            way: torch_run(one, model, size, args.frames, device, planes=args.planes)
            for way, one in nets.items()
        }
        count = {**dict.fromkeys(runs, args.frames), "vsr": args.frames * laps(name)}
        runs["vsr"] = ours
        for run in runs.values():
            run()
        times: dict[str, list[float]] = {way: [] for way in runs}
        for _ in range(args.rounds):
            for way, run in runs.items():
                times[way].append(timed(run, count[way]))
    found = {way: median(values) for way, values in times.items()}
    cells = [f"{found[way]:.2f}" if way in found else "" for way in ("vsr", "eager", "compiled")]
    share = share_of_best(model, scale, size, args, found["vsr"])
    fps = f"{1000 / found['vsr']:.1f}"
    ratio = min(ms for way, ms in found.items() if way != "vsr") / found["vsr"]
    return (f"`{model.id}`", f"{size[0]}x{size[1]}", name, fps, share, *cells, f"{ratio:.2f}")


def share_of_best(model: Model, scale: int, size: Size, args: argparse.Namespace, ms: float) -> str:
    """Of the operations a second that the same engine reaches in the same precision; empty for
    models of several graphs."""
    setup = choose_setup(model, scale=scale, device=args.device, precision=args.precision)
    case = Case(
        model=model.id, scale=scale, engine=setup.engine, precision=setup.precision, size=size
    )
    gflop = gflop_of(case, model)
    return f"{100 * gflop / ms * 1000 / best(setup):.1f} %" if gflop else ""


@cache
def best(setup: Setup) -> float:
    """10^9 operations a second, measured once."""
    return peak_gflops(setup)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--size", nargs="+", default=[(480, 270)], type=size_of)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda[:N]")
    parser.add_argument("--precision", default="auto", help="vsr's")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=4, help="of a sequence")
    parser.add_argument("--planes", action="store_true", help="PyTorch starts and ends as vsr does")
    parser.add_argument("--no-compile", action="store_true")
    args = parser.parse_args()
    on_gpu = args.device.startswith("cuda") or (args.device == "auto" and torch.cuda.is_available())
    device = args.device if ":" in args.device else "cuda" if on_gpu else "cpu"
    torch.backends.cudnn.benchmark = True
    where = torch.cuda.get_device_name(device) if on_gpu else f"{torch.get_num_threads()} threads"
    print(f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__}, {where}\n")
    for cells in (HEAD, ("---",) * len(HEAD)):
        print(f"| {' | '.join(cells)} |")
    for name in args.models:
        for size in args.size:
            print(f"| {' | '.join(row(find_model(name), size, args, device))} |", flush=True)


if __name__ == "__main__":
    run_main(main)
