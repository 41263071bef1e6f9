"""The published checkpoint forms: which keys, what shape they mean, and the network as published.

`published` functions restate each network the way its paper draws it (shuffle first, softmax of
the library, a real transposed convolution), so that parity against them proves our rearranged
graphs and the reading of the tensors at once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vsrcli.lab.networks.fsrcnn import deconv_padding, deconv_to_phases

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Form:
    """One family's checkpoint."""

    family: str
    label: str
    """The name checkpoints begin with."""
    letters: str
    """The shape letters of the name, in order."""
    keys: Callable[[Mapping[str, int]], dict[str, tuple[int, ...]]]
    """Tensor shapes by name, for the letters and s (scale)."""
    shape: Callable[[Mapping[str, int]], dict[str, int]]
    """Keyword arguments of our network."""
    published: Callable[[Tensors, Tensor, Mapping[str, int]], Tensor]
    """(N, 1, H, W) → (N, 1, rH, rW) as the paper says."""
    convert: Callable[[Tensors, int], dict[str, Tensor]] = lambda tensors, _: dict(tensors)
    """Our network's tensors."""


def _one_layer(maps: int) -> Callable[[Mapping[str, int]], dict[str, tuple[int, ...]]]:
    return lambda n: {"filter.weight": (maps * n["C"] * n["s"] ** 2, 1, n["K"], n["K"])}


def _one_layer_shape(n: Mapping[str, int]) -> dict[str, int]:
    return {"kernel": n["K"], "channels": n["C"]}


def _conv(tensors: Tensors, name: str, x: Tensor) -> Tensor:
    weight = tensors[f"{name}.weight"]
    return functional.conv2d(x, weight, tensors.get(f"{name}.bias"), padding=weight.shape[-1] // 2)


def _max(tensors: Tensors, x: Tensor, n: Mapping[str, int]) -> Tensor:
    return functional.pixel_shuffle(_conv(tensors, "filter", x), n["s"]).amax(1, keepdim=True)


def _tm(tensors: Tensors, x: Tensor, n: Mapping[str, int]) -> Tensor:
    shuffled = functional.pixel_shuffle(_conv(tensors, "filter", x), n["s"])
    value, key = torch.split(shuffled, n["C"], 1)
    return (value * key.softmax(1)).sum(1, keepdim=True)


def _tr(tensors: Tensors, x: Tensor, n: Mapping[str, int]) -> Tensor:
    shuffled = functional.pixel_shuffle(_conv(tensors, "filter", x), n["s"])
    value, query, key = torch.split(shuffled, n["C"], 1)
    return (value * (query * key).softmax(1)).sum(1, keepdim=True)


def _cnn_keys(n: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    return {
        "filter.0.weight": (n["D"], 1, 5, 5),
        "filter.0.bias": (n["D"],),
        "filter.2.weight": (n["S"], n["D"], 3, 3),
        "filter.2.bias": (n["S"],),
        "filter.4.weight": (2 * n["C"] * n["s"] ** 2, n["S"], 3, 3),
    }


def _cnn(tensors: Tensors, x: Tensor, n: Mapping[str, int]) -> Tensor:
    for name in ("filter.0", "filter.2"):
        x = _conv(tensors, name, x).tanh()
    shuffled = functional.pixel_shuffle(_conv(tensors, "filter.4", x), n["s"])
    value, key = torch.split(shuffled, n["C"], 1)
    return (value * (key * key).softmax(1)).sum(1, keepdim=True)


def _espcn_keys(n: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    return {
        "net.0.weight": (n["D"], 1, 5, 5),
        "net.0.bias": (n["D"],),
        "net.2.weight": (n["S"], n["D"], 3, 3),
        "net.2.bias": (n["S"],),
        "net.4.weight": (n["s"] ** 2, n["S"], 3, 3),
        "net.4.bias": (n["s"] ** 2,),
    }


def _espcn(tensors: Tensors, x: Tensor, n: Mapping[str, int]) -> Tensor:
    for name in ("net.0", "net.2"):
        x = _conv(tensors, name, x).tanh()
    return functional.pixel_shuffle(_conv(tensors, "net.4", x), n["s"]).sigmoid()


def _fsrcnn_keys(n: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    widths = [1, n["D"], n["S"], *[n["S"]] * n["M"], n["D"]]
    kernels = [5, 1, *[3] * n["M"], 1]
    keys: dict[str, tuple[int, ...]] = {}
    for i, kernel in enumerate(kernels):
        keys[f"net.{2 * i}.weight"] = (widths[i + 1], widths[i], kernel, kernel)
        keys[f"net.{2 * i}.bias"] = (widths[i + 1],)
        keys[f"net.{2 * i + 1}.weight"] = (1,)
    last = 2 * len(kernels)
    return keys | {f"net.{last}.weight": (n["D"], 1, 9, 9), f"net.{last}.bias": (1,)}


def _fsrcnn(tensors: Tensors, x: Tensor, n: Mapping[str, int]) -> Tensor:
    last = 2 * (n["M"] + 3)
    for i in range(0, last, 2):
        x = functional.prelu(_conv(tensors, f"net.{i}", x), tensors[f"net.{i + 1}.weight"])
    weight, bias = tensors[f"net.{last}.weight"], tensors[f"net.{last}.bias"]
    padding = deconv_padding(n["s"])
    extra = 2 * padding + n["s"] - 9
    return functional.conv_transpose2d(
        x, weight, bias, stride=n["s"], padding=padding, output_padding=extra
    )


def _fsrcnn_tensors(tensors: Tensors, scale: int) -> dict[str, Tensor]:
    ours = dict(tensors)
    weight = next(key for key, value in ours.items() if value.ndim == 4 and value.shape[-1] == 9)
    bias = weight.replace("weight", "bias")
    ours[weight] = deconv_to_phases(ours[weight], scale)
    ours[bias] = ours[bias].expand(scale**2).clone()
    return ours


FORMS = (
    Form(
        family="esr-max",
        label="eSR-MAX",
        letters="KC",
        keys=_one_layer(1),
        shape=_one_layer_shape,
        published=_max,
    ),
    Form(
        family="esr-tm",
        label="eSR-TM",
        letters="KC",
        keys=_one_layer(2),
        shape=_one_layer_shape,
        published=_tm,
    ),
    Form(
        family="esr-tr",
        label="eSR-TR",
        letters="KC",
        keys=_one_layer(3),
        shape=_one_layer_shape,
        published=_tr,
    ),
    Form(
        family="esr-cnn",
        label="eSR-CNN",
        letters="CDS",
        keys=_cnn_keys,
        shape=lambda n: {"channels": n["C"], "depth": n["D"], "features": n["S"]},
        published=_cnn,
    ),
    Form(
        family="espcn",
        label="ESPCN",
        letters="DS",
        keys=_espcn_keys,
        shape=lambda n: {"depth": n["D"], "features": n["S"]},
        published=_espcn,
    ),
    Form(
        family="fsrcnn",
        label="FSRCNN",
        letters="DSM",
        keys=_fsrcnn_keys,
        shape=lambda n: {"depth": n["D"], "features": n["S"], "layers": n["M"]},
        published=_fsrcnn,
        convert=_fsrcnn_tensors,
    ),
)
