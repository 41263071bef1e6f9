"""RealBasicVSR checkpoints, in the author's and in mmcv's and mmagic's form.

The tensors lie in `state_dict` or at the top, under `generator_ema.` (which is taken where it is
there), `generator.` or bare. What only training needs is not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from vsrcli.errors import WeightsError
from vsrcli.lab.card import Card, GraphCard
from vsrcli.lab.importers.tensors import listed, load_saved
from vsrcli.lab.restore.export import card_of, write
from vsrcli.lab.restore.network import RealBasicVsr, Shape

FAMILY = "realbasicvsr"
THRESHOLD = 5 / 255
"""Published for the GAN model; 1.5 / 255 for the one without: --clean-threshold 1.5."""
_AVERAGED, _PLAIN = "generator_ema.", "generator."
_OF_TRAINING = ("discriminator", "perceptual")


def import_realbasicvsr(
    path: Path, out_dir: Path, model_id: str | None, licence: str
) -> tuple[Card, GraphCard, Path, float]:
    """`path` as a model folder: its card, graph, folder and error. Raises WeightsError."""
    net = RealBasicVsr(Shape()).eval()
    net.load_state_dict(_generator(path, net))
    card = card_of(
        model_id or f"imported-{FAMILY}",
        summary=f"imported from {path.name}",
        licence=licence,
        trained_on="see its authors",
        recipe="",
        threshold=THRESHOLD,
    )
    done = write(net, card, out_dir)
    params = sum(parameter.numel() for parameter in net.parameters())
    return card, replace(done.graph, params=params), out_dir / card.id, done.error


def _generator(path: Path, net: RealBasicVsr) -> dict[str, Tensor]:
    """The generator's tensors, checked for names and shapes."""
    found = _bare(_loaded(path))
    wanted = net.state_dict()
    if missing := sorted(wanted.keys() - found.keys()):
        raise WeightsError(f"{path.name} is no {FAMILY} checkpoint: it lacks {listed(missing)}")
    if unknown := sorted(found.keys() - wanted.keys()):
        raise WeightsError(f"{path.name} is no {FAMILY} checkpoint: {listed(unknown)} unknown")
    for name, tensor in wanted.items():
        if not isinstance(found[name], Tensor):
            raise WeightsError(f"{path.name}: {name} is no tensor")
        if found[name].shape != tensor.shape:
            shapes = tuple(found[name].shape), tuple(tensor.shape)
            raise WeightsError(f"{path.name}: {name} is {shapes[0]}, not {shapes[1]}")
    return {name: tensor.float() for name, tensor in found.items()}


def _bare(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The generator's entries without their prefix, and whatever else nobody knows."""
    prefix = next((p for p in (_AVERAGED, _PLAIN) if any(k.startswith(p) for k in tensors)), "")
    kept = {}
    for name, tensor in tensors.items():
        is_other = prefix == _AVERAGED and name.startswith(_PLAIN)
        if is_other or name == "step_counter" or name.startswith(_OF_TRAINING):
            continue
        kept[name.removeprefix(prefix)] = tensor
    return kept


def _loaded(path: Path) -> Mapping[str, Tensor]:
    loaded = load_saved(path)
    held = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(held, dict) or not all(isinstance(name, str) for name in held):
        raise WeightsError(f"{path.name} holds something else than a dict of tensors")
    return held
