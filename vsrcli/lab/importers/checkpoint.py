"""One published checkpoint as a model folder of ours, with proof of parity."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vsrcli.errors import UsageError, WeightsError
from vsrcli.lab.card import Card, GraphCard
from vsrcli.lab.emit import to_onnx
from vsrcli.lab.export import checked, store
from vsrcli.lab.importers.forms import FORMS, Form
from vsrcli.lab.importers.frvsr import DEGRADATIONS, FAMILIES, import_frvsr
from vsrcli.lab.importers.realbasicvsr import FAMILY as REALBASICVSR
from vsrcli.lab.importers.realbasicvsr import import_realbasicvsr
from vsrcli.lab.importers.rlsp import import_rlsp
from vsrcli.lab.importers.tensors import listed, load_tensors
from vsrcli.lab.networks import LumaNet, build
from vsrcli.models import check_id
from vsrcli.runtime.engines import open_engine

NAME = re.compile(r"^(?P<label>[A-Za-z-]+)_s(?P<scale>\d+)_(?P<shape>(?:[A-Z]\d+_?)+)$")
SHAPE_LETTER = re.compile(r"([A-Z])(\d+)")
SCALES = (2, 3, 4)
RLSP = "rlsp"


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What an import wrote and how exact it is."""

    id: str
    family: str
    scale: int
    config: str
    params: int
    folder: Path
    file: Path
    error: float
    """Largest difference from the published network in torch, on a scale of 1."""


def import_checkpoint(
    path: Path,
    out_dir: Path,
    family: str | None = None,
    *,
    model_id: str | None = None,
    licence: str = "unknown",
    degradation: str | None = None,
    image: NDArray[np.uint8] | None = None,
) -> Imported:
    """`path` (a published checkpoint) as the folder `out_dir`/<id>.

    RLSP is an .npz of tensors. RealBasicVSR, EGVSR, FRVSR and TecoGAN are told by `family` alone;
    of the last three `degradation` is what they were trained on, bd (the default) or bi. Of eSR,
    ESPCN and FSRCNN the file's name tells scale and shape ("ESPCN_s4_D40_S32.model"), and `family`
    must agree with it when given; parity is taken on `image` (H, W, any values 0..255) or on noise.
    Raises WeightsError when the file is not such a checkpoint or the graph differs from it,
    UsageError for a wrong degradation, an id that is none, or a family that there is not.
    """
    known = (*FAMILIES, REALBASICVSR, RLSP, *dict.fromkeys(form.family for form in FORMS))
    if model_id is not None:
        check_id(model_id)
    if family not in (None, *known):
        raise UsageError(f"--as must be one of {', '.join(known)}, not {family}")
    if not path.exists():
        raise WeightsError(f"{path} cannot be read (No such file or directory)")
    if family in FAMILIES:
        if degradation not in (None, *DEGRADATIONS):
            raise UsageError(f"--degradation must be {' or '.join(DEGRADATIONS)}")
        made = import_frvsr(path, out_dir, family, degradation or "bd", model_id, licence)
        return _report(*made)
    if degradation is not None:
        raise UsageError(f"--degradation goes with --as {', '.join(FAMILIES)} only")
    if family == REALBASICVSR:
        return _report(*import_realbasicvsr(path, out_dir, model_id, licence))
    if family == RLSP or (family is None and path.suffix == ".npz"):
        return _report(*import_rlsp(path, out_dir, model_id, licence))
    form, numbers = _read_name(path, family)
    tensors = _load(path, form, numbers)
    scale = numbers["s"]
    net = build(form.family, scale, form.shape(numbers), padding="zeros")
    net.load_state_dict(form.convert(tensors, scale))
    model = to_onnx(net)
    error = checked(_parity(model.SerializeToString(), form, tensors, numbers, image), path.name)
    card = Card(
        id=model_id or _default_id(form, net),
        family=form.family,
        summary=f"imported from {path.name}",
        licence=licence,
        trained_on="see its authors",
        recipe="",
        graphs=(),
        levels="studio",
    )
    folder = out_dir / card.id
    graph = store(
        model,
        card,
        folder,
        scale=scale,
        config=net.config,
        params=sum(tensor.numel() for tensor in tensors.values()),
        border=net.border,
    )
    return _report(card, graph, folder, error)


def _report(card: Card, graph: GraphCard, folder: Path, error: float) -> Imported:
    return Imported(
        id=card.id,
        family=card.family,
        scale=graph.scale,
        config=graph.config,
        params=graph.params,
        folder=folder,
        file=folder / graph.file,
        error=error,
    )


def _default_id(form: Form, net: LumaNet) -> str:
    return "-".join(["imported", form.family, *net.config.lower().split()])


def _read_name(path: Path, family: str | None) -> tuple[Form, dict[str, int]]:
    match = NAME.match(path.stem)
    if match is None:
        raise WeightsError(
            f"{path.name} does not say what it is; name it like ESPCN_s4_D40_S32.model"
        )
    form = next((f for f in FORMS if f.label.lower() == match["label"].lower()), None)
    if form is None:
        known = ", ".join(f.label for f in FORMS)
        raise WeightsError(f"{path.name} is of an unknown family {match['label']}; known: {known}")
    if family not in (None, form.family):
        raise WeightsError(f"{path.name} is by its name a {form.family} checkpoint, not {family}")
    letters = dict(SHAPE_LETTER.findall(match["shape"]))
    scale = int(match["scale"])
    if "".join(letters) != form.letters or scale not in SCALES:
        raise WeightsError(
            f"{path.name}: {form.label} names give s2, s3 or s4 and "
            f"{', '.join(form.letters)} in this order"
        )
    return form, {key: int(value) for key, value in letters.items()} | {"s": scale}


def _load(path: Path, form: Form, numbers: Mapping[str, int]) -> dict[str, Tensor]:
    loaded = load_tensors(path)
    _check_keys(path.name, {k: tuple(v.shape) for k, v in loaded.items()}, form.keys(numbers))
    return {key: value.float() for key, value in loaded.items()}


def _check_keys(
    name: str, found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]
) -> None:
    missing, unknown = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    if missing:
        raise WeightsError(f"{name} lacks {listed(missing)}; it is not what its name says")
    if unknown:
        raise WeightsError(f"{name} has unknown tensors {listed(unknown)}")
    for key, shape in expected.items():
        if found[key] != shape:
            raise WeightsError(f"{name}: {key} is {found[key]}, its name says {shape}")


def _parity(
    model: bytes,
    form: Form,
    tensors: Mapping[str, Tensor],
    numbers: Mapping[str, int],
    image: NDArray[np.uint8] | None,
) -> float:
    rng = np.random.default_rng(0)
    plane = rng.integers(0, 256, (37, 53), np.uint8) if image is None else image
    x = (plane / np.float32(255)).astype(np.float32)[None, None]
    with torch.no_grad():
        expected = form.published(tensors, torch.from_numpy(x), numbers).numpy()
    engine = open_engine(model, device="cpu", threads=1)
    y = engine.run({"x": x})["y"]
    engine.close()
    return float(np.abs(y - expected).max())
