"""A RealBasicVSR as a model folder: five graphs and a card, proved equal to the network."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import nn

from vsrcli.errors import WeightsError
from vsrcli.frames import IDENTITY, Color, Frame, Picture, frame_of
from vsrcli.lab.card import Card, read_card, replace_card
from vsrcli.lab.export import Exported, store
from vsrcli.lab.origin import OUR_STILLS, UNSAID, Origin, origin_of
from vsrcli.lab.restore.network import SCALE, RealBasicVsr
from vsrcli.lab.restore.parts import parts
from vsrcli.lab.restore.recipe import FAMILY, Recipe
from vsrcli.lab.restore.train import load_trained
from vsrcli.media.pixels import layout_of
from vsrcli.models import Model, Tuning, check_id
from vsrcli.models.model import read_model
from vsrcli.runtime.drivers import open_driver

TOLERANCE = 1e-3
"""Of the output, on a scale of 1: the proof goes through 16-bit planes and fp32 warps."""
HALO = 2
"""LR px around a place that the reconstruction looks at: 2 at 4x, 1 at 2x, 1 at 1x."""
TRAINED_ON = (
    f"sharp stills: {OUR_STILLS}; real clips under permissive licences; both blurred, scaled, made "
    "noisy and compressed once, some held back to validate"
)
_FRAMES, _SIDE = 3, 32
_LAYOUT = layout_of("gbrp16le")


def export_restoring(
    recipe: Recipe,
    checkpoint: Path,
    weights: Path,
    *,
    model_id: str | None = None,
    said: Origin = UNSAID,
) -> Exported:
    """The averaged weights of a checkpoint as `weights`/<id>, proved equal to torch."""
    if model_id is not None:
        check_id(model_id)
    if not checkpoint.exists():
        raise WeightsError(f"no checkpoint {checkpoint}; train {recipe.id} first")
    done = load_trained(recipe, checkpoint)
    origin = origin_of(done.data, TRAINED_ON, said)
    card = card_of(
        model_id or recipe.id,
        summary=recipe.summary,
        licence=origin.licence,
        trained_on=origin.trained_on,
        recipe=f"{recipe.id}.toml",
        threshold=recipe.threshold_after(done.lesson) / 255,
    )
    return write(done.net, card, weights, train_minutes=done.minutes)


def card_of(
    id_: str, *, summary: str, licence: str, trained_on: str, recipe: str, threshold: float
) -> Card:
    """The card of a restoring model, without its graphs."""
    return Card(
        id=id_,
        family=FAMILY,
        summary=summary,
        licence=licence,
        trained_on=trained_on,
        recipe=recipe,
        graphs=(),
        color="rgb",
        temporal="bidirectional",
        clean_threshold=threshold,
    )


def write(net: RealBasicVsr, card: Card, root: Path, *, train_minutes: float = 0.0) -> Exported:
    """`root`/<id> with the net's graphs. Raises WeightsError, and writes nothing, if what the
    driver makes of them differs from the network."""
    root.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=root) as place:
        folder = Path(place) / card.id
        counts = _params(net)
        for name, model in parts(net).items():
            stored = store(
                model,
                card,
                folder,
                scale=SCALE,
                config=net.shape.label,
                params=counts[name],
                border=HALO if name == "reconstruct" else 0,
                train_minutes=train_minutes,
                part=name,
            )
        error = parity(read_model(folder), net)
        if not error <= TOLERANCE:
            raise WeightsError(f"{card.id}: the graphs differ from the network by {error:.1e}")
        target = root / card.id
        target.mkdir(exist_ok=True)
        for file in folder.glob("*.onnx"):
            file.replace(target / file.name)
        replace_card(read_card(folder), target)
    return Exported(file=target / stored.file, graph=stored, error=error)


def parity(model: Model, net: RealBasicVsr, *, length: int = _FRAMES, side: int = _SIDE) -> float:
    """Largest difference, before rounding to 8 bit, between the driver in one chunk and the network
    over the whole clip, both with dynamic cleaning."""
    torch.manual_seed(0)
    coarse = torch.rand(1, length, 3, side // 4, side // 4).flatten(0, 1)
    large = nn.functional.interpolate(coarse, (side, side), mode="bilinear")
    clip = (large * 65535).round().view(1, length, 3, side, side)
    with torch.no_grad():
        wanted = net.restore(clip / 65535, model.clean_threshold)[0].clamp(0, 1).numpy()
    made = restored(model, clip[0].numpy().astype(np.uint16), Tuning(chunk=length))
    return float(np.abs(made - wanted).max())


def restored(
    model: Model, clip: np.ndarray, tuning: Tuning, *, precision: str = "fp32"
) -> np.ndarray:
    """RGB frames (T, 3, H, W), 16 bit, through the driver: (T, 3, 4H, 4W) in 0..1."""
    height, width = clip.shape[2:]
    color = Color(matrix=IDENTITY, full_range=True)
    picture = Picture(layout=_LAYOUT, color=color, width=width, height=height)
    driver = open_driver(
        model,
        SCALE,
        picture=picture,
        device="cpu",
        precision=precision,
        threads=1,
        tuning=tuning,
    )
    made: list[Frame] = []
    for index, image in enumerate(clip):
        made += driver.push(frame_of(tuple(image[[1, 2, 0]]), _LAYOUT, index))
    made += driver.flush()
    driver.close()
    return np.stack([np.stack([f.planes[i] for i in (2, 0, 1)]) for f in made]) / 65535


def _params(net: RealBasicVsr) -> dict[str, int]:
    """How many parameters each part has."""
    core = net.basicvsr
    tail = (core.fusion, core.upsample1, core.upsample2, core.conv_hr, core.conv_last)
    modules: dict[str, tuple[nn.Module, ...]] = {
        "clean": (net.image_cleaning,),
        "flow": (core.spynet,),
        "backward": (core.backward_resblocks,),
        "forward": (core.forward_resblocks,),
        "reconstruct": tail,
    }
    return {
        name: sum(p.numel() for module in held for p in module.parameters())
        for name, held in modules.items()
    }
