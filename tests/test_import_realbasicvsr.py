"""Import of published RealBasicVSR checkpoints: made-up ones of exactly their keys and shapes."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from vsrcli.errors import WeightsError
from vsrcli.lab.importers import import_checkpoint
from vsrcli.lab.importers.realbasicvsr import _generator
from vsrcli.lab.restore.network import RealBasicVsr, Shape
from vsrcli.models.model import read_model


def published():
    """Every tensor of the published generator, spelt out, with random values."""
    generator = torch.Generator().manual_seed(0)

    def conv(name, *shape, gain=0.8):
        """Residues and details stay small, so that outputs are not clipped to black and white."""
        fan = shape[1] * shape[2] * shape[3]
        weight = torch.randn(shape, generator=generator) * gain / fan**0.5
        bias = 0.02 * torch.randn(shape[0], generator=generator)
        return {f"{name}.weight": weight, f"{name}.bias": bias}

    def trunk(name, inputs):
        made = conv(f"{name}.main.0", 64, inputs, 3, 3)
        for block in range(20):
            for layer in (1, 2):
                made |= conv(f"{name}.main.2.{block}.conv{layer}", 64, 64, 3, 3)
        return made

    made = trunk("image_cleaning.0", 3) | conv("image_cleaning.1", 3, 64, 3, 3, gain=0.01)
    made["basicvsr.spynet.mean"] = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    made["basicvsr.spynet.std"] = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    widths = (8, 32, 64, 32, 16, 2)
    for level in range(6):
        for layer in range(5):
            name = f"basicvsr.spynet.basic_module.{level}.basic_module.{layer}.conv"
            made |= conv(name, widths[layer + 1], widths[layer], 7, 7)
    made |= trunk("basicvsr.backward_resblocks", 67) | trunk("basicvsr.forward_resblocks", 67)
    made |= conv("basicvsr.fusion", 64, 128, 1, 1)
    for step in (1, 2):
        made |= conv(f"basicvsr.upsample{step}.upsample_conv", 256, 64, 3, 3)
    return (
        made
        | conv("basicvsr.conv_hr", 64, 64, 3, 3)
        | conv("basicvsr.conv_last", 3, 64, 3, 3, gain=0.03)
    )


@pytest.fixture(scope="module")
def tensors():
    return published()


def saved(path, tensors, prefix, **more):
    held = {f"{prefix}{name}": value for name, value in tensors.items()}
    torch.save({"state_dict": held | more, "meta": {"epoch": 1}}, path)
    return path


def test_imported_pipeline_equals_the_network(tensors, tmp_path):
    """The averaged generator, beside the plain one and what training leaves, over a whole clip."""
    other = {f"generator.{name}": torch.zeros_like(value) for name, value in tensors.items()}
    training = {
        "step_counter": torch.zeros(1),
        "discriminator.conv0.weight": torch.zeros(2),
        "perceptual_loss.vgg.mean": torch.zeros(3),
    }
    path = saved(tmp_path / "RealBasicVSR_x4.pth", tensors, "generator_ema.", **other, **training)
    done = import_checkpoint(path, tmp_path / "models", "realbasicvsr", licence="Apache-2.0")
    assert (done.id, done.scale, done.config) == ("imported-realbasicvsr", 4, "F64 B20 C20")
    assert round(done.params / 1e6, 1) == 6.3
    assert 0 < done.error <= 1e-3
    assert read_model(done.folder).licence == "Apache-2.0"


@pytest.mark.parametrize("prefix", ["generator.", "generator_ema.", ""])
def test_every_form_gives_the_same_tensors(tensors, tmp_path, prefix):
    path = saved(tmp_path / "c.pth", tensors, prefix, step_counter=torch.zeros(1))
    found = _generator(path, RealBasicVsr(Shape()))
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


def test_a_bare_state_dict_is_taken_too(tensors, tmp_path):
    torch.save(tensors, tmp_path / "c.pth")
    assert _generator(tmp_path / "c.pth", RealBasicVsr(Shape())).keys() == tensors.keys()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("basicvsr.fusion.bias"), "lacks basicvsr.fusion.bias"),
        (lambda t: t.update(novelty=torch.zeros(1)), "novelty unknown"),
        (lambda t: t.update({"basicvsr.fusion.bias": torch.zeros(3)}), "fusion.bias is (3,)"),
        (lambda t: t.clear(), "lacks"),
    ],
)
def test_other_keys_are_named(tensors, tmp_path, change, said):
    changed = dict(tensors)
    change(changed)
    path = saved(tmp_path / "c.pth", changed, "generator.")
    with pytest.raises(WeightsError) as error:
        import_checkpoint(path, tmp_path / "models", "realbasicvsr")
    assert said in str(error.value)
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("junk", [b"no checkpoint", None])
def test_junk_is_refused(tmp_path, junk):
    path = tmp_path / "c.pth"
    if junk is None:
        torch.save([torch.zeros(1)], path)
    else:
        path.write_bytes(junk)
    with pytest.raises(WeightsError, match=r"c\.pth"):
        import_checkpoint(path, tmp_path / "models", "realbasicvsr")
