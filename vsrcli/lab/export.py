"""From a checkpoint to `weights/<id>`: ONNX file, parity check, card, measured figures."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from vsrcli.errors import InputError, WeightsError
from vsrcli.lab.bicubic import BORDER, bicubic_onnx, upscale
from vsrcli.lab.card import Card, GraphCard, read_card, replace_card, sha256_of, write_card
from vsrcli.lab.emit import to_onnx
from vsrcli.lab.evaluate import evaluate
from vsrcli.lab.files import whole
from vsrcli.lab.networks import LumaNet
from vsrcli.lab.origin import OUR_STILLS, UNSAID, Origin, origin_of
from vsrcli.lab.recipe import Recipe
from vsrcli.lab.restore.footprint import work_bytes
from vsrcli.lab.sequence import EngineOptions
from vsrcli.lab.train import average_net, start
from vsrcli.models.model import CARD
from vsrcli.runtime.engines import open_engine

TOLERANCE = 1e-5
ODD_SIZES = ((1, 1, 17, 29), (2, 1, 8, 5), (1, 1, 1, 1))
TRAINED_ON = f"sharp stills: {OUR_STILLS}; one in twelve held back to validate"
BICUBIC_ID = "bicubic"
MEASURED_ON = {"set5": "set5", "bsd100_part": "bsd100-part"}
"""Names of figures on a card → folders of pictures."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What an export wrote."""

    file: Path
    graph: GraphCard
    error: float
    """Largest difference from torch (or float64), on a scale of 1."""


def parity(model: bytes, net: LumaNet, inputs: list[NDArray[np.float32]]) -> float:
    """Largest difference between the graph and the torch network, run in float64."""
    engine = open_engine(model, device="cpu", threads=1)
    error = _off(lambda x: np.asarray(engine.run({"x": x})["y"]), net, inputs)
    engine.close()
    return error


def rounding(net: LumaNet, inputs: list[NDArray[np.float32]]) -> float:
    """Largest difference of the torch network in float32 from itself in float64."""
    return _off(lambda x: net(torch.from_numpy(x)).numpy(), net, inputs)


@torch.no_grad()
def _off(
    run: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    net: LumaNet,
    inputs: list[NDArray[np.float32]],
) -> float:
    """Largest difference of what `run` gives from the network in float64."""
    exact = copy.deepcopy(net).double().eval()
    wanted = [exact(torch.from_numpy(x).double()).numpy() for x in inputs]
    return max(float(np.abs(run(x) - y).max()) for x, y in zip(inputs, wanted, strict=True))


def random_inputs() -> list[NDArray[np.float32]]:
    """Noise in 0..1 at odd sizes: further from a picture than anything a net will see."""
    rng = np.random.default_rng(0)
    return [rng.random(shape, dtype=np.float32) for shape in ODD_SIZES]


def made_pictures() -> list[NDArray[np.float32]]:
    """Black to white with edges and detail of every size: noise of all octaves, equally strong."""
    rng, made = np.random.default_rng(0), []
    for count, _, height, width in (*ODD_SIZES, (2, 1, 96, 130)):
        total = np.zeros((count, 1, height, width))
        for step in (1, 2, 4, 8, 16):
            coarse = rng.random((count, 1, -(-height // step), -(-width // step)))
            total += coarse.repeat(step, 2).repeat(step, 3)[..., :height, :width] / 5
        made.append(total.astype(np.float32))
    return made


def checked(error: float, what: str) -> float:
    """`error`, or WeightsError when it is above the tolerance."""
    if not error <= TOLERANCE:
        raise WeightsError(f"{what}: the graph differs from the network by {error:.1e}")
    return error


def store(
    model: onnx.ModelProto,
    card: Card,
    folder: Path,
    *,
    scale: int,
    config: str,
    params: int,
    border: int,
    train_minutes: float = 0.0,
    part: str = "",
    align: int = 1,
) -> GraphCard:
    """Write one graph and put it on the card in `folder`; what was made of the last one goes.
    Raises WeightsError where the folder holds a model of another family."""
    old = read_card(folder) if (folder / CARD).exists() else card
    if old.family != card.family:
        raise WeightsError(f"{folder} holds a model of the family {old.family}; take another id")
    folder.mkdir(parents=True, exist_ok=True)
    data = model.SerializeToString(deterministic=True)
    name = "-".join(filter(None, (card.id, f"x{scale}", part)))
    file = folder / f"{name}.onnx"
    with whole(file) as stream:
        stream.write(data)
    graph = GraphCard(
        scale=scale,
        file=file.name,
        sha256=sha256_of(data),
        config=config,
        params=params,
        border=border,
        train_minutes=round(train_minutes, 1),
        part=part,
        align=align,
        work=work_bytes(model, card.state_scales(scale)),
    )
    kept = replace(card, graphs=old.graphs).without_made(scale, part)
    replace_card(kept.with_graph(graph), folder)
    return graph


def export(
    recipe: Recipe, scale: int, checkpoint: Path, weights: Path, *, said: Origin = UNSAID
) -> Exported:
    """The averaged weights of a checkpoint as `weights`/<id>, proved equal to torch."""
    if not checkpoint.exists():
        raise WeightsError(f"no checkpoint {checkpoint}; train {recipe.id} x{scale} first")
    state = start(recipe, scale, checkpoint)
    net = average_net(state, recipe, scale)
    model = to_onnx(net)
    data, noise = model.SerializeToString(), random_inputs()
    error = checked(parity(data, net, made_pictures()), checkpoint.name)
    if parity(data, net, noise) > TOLERANCE + 2 * rounding(net, noise):  # torch rounds there, too
        raise WeightsError(f"{checkpoint.name}: the graph differs from the network on noise")
    origin = origin_of(state.data, TRAINED_ON, said)
    card = Card(
        id=recipe.id,
        family=recipe.family,
        summary=recipe.summary,
        licence=origin.licence,
        trained_on=origin.trained_on,
        recipe=recipe.name,
        graphs=(),
        levels="studio",
    )
    folder = weights / recipe.id
    graph = store(
        model,
        card,
        folder,
        scale=scale,
        config=net.config,
        params=net.params(),
        border=net.border,
        train_minutes=state.spent_s / 60,
    )
    return Exported(file=folder / graph.file, graph=graph, error=error)


def export_bicubic(scale: int, weights: Path) -> Exported:
    """The bicubic graph, proved equal to a float64 polyphase filter."""
    model = bicubic_onnx(scale)
    engine = open_engine(model.SerializeToString(), device="cpu", threads=1)
    x = random_inputs()[0]
    error = float(np.abs(engine.run({"x": x})["y"][0, 0] - upscale(x[0, 0], scale)).max())
    card = Card(
        id=BICUBIC_ID,
        family=BICUBIC_ID,
        summary="plain cubic interpolation, the baseline of every gain",
        licence="MIT",
        trained_on="nothing: a formula",
        recipe="",
        graphs=(),
    )
    folder = weights / BICUBIC_ID
    graph = store(
        model,
        card,
        folder,
        scale=scale,
        config="a -0.5",
        params=25 * scale**2,
        border=BORDER,
    )
    return Exported(file=folder / graph.file, graph=graph, error=checked(error, BICUBIC_ID))


def eval_folders(data: Path) -> dict[str, Path]:
    """Those of MEASURED_ON that are in `data`. Raises InputError if none is."""
    found = {name: data / place for name, place in MEASURED_ON.items() if (data / place).is_dir()}
    if not found:
        raise InputError(f"{data} holds no folder {' or '.join(MEASURED_ON.values())}")
    return found


def measure(folder: Path, scale: int, data: Path) -> Mapping[str, float]:
    """Evaluate one graph on the folders of `data` that are there; figures go on the card."""
    card = read_card(folder)
    graph = next(g for g in card.graphs if g.scale == scale)
    figures: dict[str, float] = {}
    for name, place in eval_folders(data).items():
        mean = evaluate(folder, place, scale=scale, options=EngineOptions(threads=1)).mean
        figures[f"{name}_psnr_y"] = round(mean.psnr_y, 2)
        figures[f"{name}_gain_db"] = round(mean.gain_db, 2) + 0.0
        figures[f"{name}_ssim"] = round(mean.ssim, 4)
    write_card(card.with_graph(replace(graph, measured=figures)), folder)
    return figures
