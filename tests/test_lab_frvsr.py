"""Import of EGVSR, FRVSR and TecoGAN state dicts: parity over time through the driver, strict keys.

The networks here are written once more, from the description of the published ones.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

import torch.nn.functional as F
from conftest import Vsr

from vsrcli.errors import UsageError, WeightsError
from vsrcli.frames import Color, Picture, frame_of
from vsrcli.lab.importers import import_checkpoint
from vsrcli.lab.importers.frvsr import cubic_taps
from vsrcli.media.pixels import layout_of
from vsrcli.models.model import Temporal, read_model
from vsrcli.runtime.drivers import open_driver
from vsrcli.runtime.engines import open_engine

STAGES = (
    *(("encoder1", 6, 32), ("encoder2", 32, 64), ("encoder3", 64, 128)),
    *(("decoder1", 128, 256), ("decoder2", 256, 128), ("decoder3", 128, 64), ("flow", 64, 32)),
)


def state_dict(family: str, blocks: int = 10) -> dict[str, torch.Tensor]:
    """Random values, of a size that keeps pictures pictures and flows a few pixels long."""
    made: dict[str, torch.Tensor] = {}
    generator = torch.Generator().manual_seed(blocks)

    def conv(name: str, outputs: int, inputs: int, gain: float = 1.0) -> None:
        std = gain * (2 / (9 * inputs)) ** 0.5
        made[f"{name}.weight"] = std * torch.randn(outputs, inputs, 3, 3, generator=generator)
        made[f"{name}.bias"] = 0.05 * torch.randn(outputs, generator=generator)

    for stage, inputs, outputs in STAGES:
        conv(f"fnet.{stage}.0", outputs, inputs)
        last = 2 if stage == "flow" else outputs
        conv(f"fnet.{stage}.2", last, outputs, 0.2 if stage == "flow" else 1.0)
    conv("srnet.conv_in.0", 64, 51)
    for block in range(blocks):
        conv(f"srnet.resblocks.{block}.conv.0", 64, 64)
        conv(f"srnet.resblocks.{block}.conv.2", 64, 64, 0.1)
    if family != "egvsr":
        conv("srnet.conv_up.0", 64, 64)
        conv("srnet.conv_up.2", 64, 64)
    conv("srnet.conv_out", 3, 4 if family == "egvsr" else 64, 0.3)
    if family == "egvsr":  # which adds no picture to its output
        made["srnet.conv_out.bias"] += 0.4
    return made


def enlarged(x: torch.Tensor, degradation: str) -> torch.Tensor:
    """Four times as large, sample by sample."""
    if degradation == "bi":
        return F.interpolate(x, scale_factor=4, mode="bilinear", align_corners=False)
    a = -0.75
    for axis in (2, 3):
        lines = [x.select(axis, 0), *x.unbind(axis), x.select(axis, -1), x.select(axis, -1)]
        made = []
        for i in range(len(lines) - 3):
            for s in (0, 0.25, 0.5, 0.75):
                taps = (
                    a * (s - 2 * s**2 + s**3),
                    1 - (a + 3) * s**2 + (a + 2) * s**3,
                    -a * s + (2 * a + 3) * s**2 - (a + 2) * s**3,
                    a * (s**2 - s**3),
                )
                made.append(sum(t * lines[i + k] for k, t in enumerate(taps)))
        x = torch.stack(made, axis)
    return x


def flow_of(w: dict[str, torch.Tensor], now: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    height, width = now.shape[2:]
    x = torch.cat([now, before], 1)[:, :, : height // 8 * 8, : width // 8 * 8]
    for stage, _, _ in STAGES[:-1]:
        for i in (0, 2):
            name = f"fnet.{stage}.{i}"
            x = F.leaky_relu(F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], padding=1), 0.2)
        if "encoder" in stage:
            x = F.max_pool2d(x, 2, 2)
        else:
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    x = F.leaky_relu(F.conv2d(x, w["fnet.flow.0.weight"], w["fnet.flow.0.bias"], padding=1), 0.2)
    x = 24 * torch.tanh(F.conv2d(x, w["fnet.flow.2.weight"], w["fnet.flow.2.bias"], padding=1))
    return F.pad(x, (0, width % 8, 0, height % 8), mode="reflect")


def warped(image: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    height, width = image.shape[2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    x = (x + flow[:, 0]) / (width - 1) * 2 - 1
    y = (y + flow[:, 1]) / (height - 1) * 2 - 1
    grid = torch.stack([x, y], -1)
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=True)


def published(w, now, before, last, degradation):  # the step of the papers
    flow = 4 * enlarged(flow_of(w, now, before), degradation)
    image = warped(last, flow)
    n, c, height, width = image.shape
    cells = image.reshape(n, c, height // 4, 4, width // 4, 4).permute(0, 3, 5, 1, 2, 4)
    x = torch.cat([now, cells.reshape(n, 16 * c, height // 4, width // 4)], 1)
    x = F.relu(F.conv2d(x, w["srnet.conv_in.0.weight"], w["srnet.conv_in.0.bias"], padding=1))
    block = 0
    while f"srnet.resblocks.{block}.conv.0.weight" in w:
        name = f"srnet.resblocks.{block}.conv"
        y = F.relu(F.conv2d(x, w[f"{name}.0.weight"], w[f"{name}.0.bias"], padding=1))
        x = x + F.conv2d(y, w[f"{name}.2.weight"], w[f"{name}.2.bias"], padding=1)
        block += 1
    out = w["srnet.conv_out.weight"], w["srnet.conv_out.bias"]
    if out[0].shape[1] == 4:
        return F.conv2d(F.relu(F.pixel_shuffle(x, 4)), *out, padding=1)
    for i in (0, 2):
        weight, bias = w[f"srnet.conv_up.{i}.weight"], w[f"srnet.conv_up.{i}.bias"]
        x = F.relu(F.conv_transpose2d(x, weight, bias, stride=2, padding=1, output_padding=1))
    return F.conv2d(x, *out, padding=1) + enlarged(now, degradation)


CASES = [("egvsr", 10, "bd"), ("egvsr", 10, "bi"), ("frvsr", 10, "bd"), ("tecogan", 16, "bi")]


@pytest.mark.parametrize(("family", "blocks", "degradation"), CASES)
def test_parity_over_time(tmp_path: Path, family: str, blocks: int, degradation: str) -> None:
    """The graph against torch on the same states, and the driver against torch from zero on."""
    w = state_dict(family, blocks)
    torch.save(w, tmp_path / "net.pth")
    made = import_checkpoint(tmp_path / "net.pth", tmp_path, family, degradation=degradation)
    assert made.error <= 1e-4
    model = read_model(made.folder)
    assert (model.temporal, model.window, model.scales) == (Temporal.RECURRENT, (1, 0), (4,))
    w = {name: tensor.double() for name, tensor in w.items()}
    engine = open_engine(model.graph(4).load(), threads=1)
    layout = layout_of("gbrp16le")
    for height, width in ((16, 24), (13, 22), (9, 8)):
        rng = np.random.default_rng(width)
        codes = rng.integers(0, 65536, (4, 3, height, width)).astype(np.uint16)
        frames = torch.from_numpy(codes / 65535)
        picture = Picture(
            layout=layout, color=Color(matrix=0, full_range=True), width=width, height=height
        )
        driver = open_driver(model, 4, picture=picture, device="cpu", threads=1)
        last = torch.zeros(1, 3, 4 * height, 4 * width, dtype=torch.double)
        for t in range(4):
            pair = torch.cat([frames[max(t - 1, 0)], frames[t]])[None]
            feeds = {"frames": pair.float().numpy(), "last": last.float().numpy()}
            last = published(w, pair[:, 3:], pair[:, :3], last, degradation)
            found = engine.run(feeds)["y"]
            assert np.abs(found - last.numpy()).max() <= 1e-4 * max(1, float(last.abs().max()))
            (out,) = driver.push(frame_of(tuple(codes[t][[1, 2, 0]]), layout, t))
            shown = np.stack([out.planes[i] for i in (2, 0, 1)]) / 65535
            assert np.abs(shown - last[0].numpy().clip(0, 1)).max() <= 1e-4
        driver.close()
    engine.close()


def test_a_cubic_of_the_left_top_sample() -> None:
    taps = cubic_taps().reshape(4, 4, 4, 4)
    np.testing.assert_allclose(taps.sum((2, 3)), np.ones((4, 4)), atol=1e-6)
    assert float(taps[0, 0, 1, 1]) == 1
    a = -0.75
    at = 0.25
    near = (a + 2) * at**3 - (a + 3) * at**2 + 1
    assert float(taps[0, 1, 1, 1]) == pytest.approx(near)


def test_pictures_smaller_than_the_pyramid(tmp_path: Path) -> None:
    torch.save(state_dict("egvsr"), tmp_path / "net.pth")
    model = read_model(import_checkpoint(tmp_path / "net.pth", tmp_path, "egvsr").folder)
    engine = open_engine(model.graph(4).load(), threads=1)
    for height, width in ((1, 1), (7, 30), (3, 2)):
        last = np.zeros((1, 3, 4 * height, 4 * width), np.float32)
        frames = np.full((1, 6, height, width), 0.5, np.float32)
        made = engine.run({"frames": frames, "last": last})["y"]
        assert made.shape == last.shape
        assert np.isfinite(made).all()


@pytest.mark.parametrize(
    ("family", "change", "word"),
    [
        ("egvsr", lambda w: w.pop("fnet.flow.2.bias"), "lacks fnet.flow.2.bias"),
        ("egvsr", lambda w: w.clear(), "fnet.decoder1.2.bias and 69 more"),
        ("egvsr", lambda w: w.update({"srnet.extra.weight": torch.zeros(1)}), "srnet.extra.weight"),
        ("frvsr", lambda w: w.pop("srnet.conv_up.2.weight"), "lacks srnet.conv_up.2.weight"),
        ("tecogan", lambda w: w.pop("srnet.resblocks.4.conv.0.bias"), "resblocks.4.conv.0.bias"),
        ("egvsr", lambda w: w.update({"srnet.conv_out.weight": torch.zeros(3, 64, 3, 3)}), "is"),
    ],
)
def test_keys_are_strict(tmp_path: Path, vsr: Vsr, family: str, change, word: str) -> None:
    w = state_dict(family)
    change(w)
    torch.save(w, tmp_path / "net.pth")
    outcome = vsr("models", "import", tmp_path / "net.pth", "--as", family, "-o", tmp_path / "out")
    assert (outcome.code, len(outcome.lines)) == (6, 1)
    assert word in outcome.err
    assert not (tmp_path / "out").exists()


def test_layers_that_egvsr_skips_may_be_there(tmp_path: Path) -> None:
    w = state_dict("egvsr")
    plain = sum(tensor.numel() for tensor in w.values())
    w |= {k: v for k, v in state_dict("frvsr").items() if "conv_up" in k}
    torch.save(w, tmp_path / "net.pth")
    assert import_checkpoint(tmp_path / "net.pth", tmp_path, "egvsr").params == plain


def test_options_that_do_not_fit(tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(b"junk")
    with pytest.raises(UsageError, match="bd or bi"):
        import_checkpoint(tmp_path / "net.pth", tmp_path, "egvsr", degradation="real")
    with pytest.raises(UsageError, match="egvsr, frvsr, tecogan only"):
        import_checkpoint(tmp_path / "net.pth", tmp_path, "rlsp", degradation="bd")
    with pytest.raises(WeightsError, match="not a PyTorch checkpoint"):
        import_checkpoint(tmp_path / "net.pth", tmp_path, "egvsr")
    torch.save({1: torch.zeros(1)}, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match="something else than a dict of tensors"):
        import_checkpoint(tmp_path / "net.pth", tmp_path, "egvsr")


def test_weights_that_are_no_numbers(tmp_path: Path) -> None:
    tensors = state_dict("egvsr")
    tensors["srnet.conv_out.bias"][0] = torch.nan
    torch.save(tensors, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match="differs from the tensors by nan"):
        import_checkpoint(tmp_path / "net.pth", tmp_path / "out", "egvsr")
    assert not (tmp_path / "out").exists()
