"""RealBasicVSR: its size, its parts as graphs, its lessons."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from clips import write_stills

from vsrcli.errors import InputError, UsageError, WeightsError
from vsrcli.lab import budget
from vsrcli.lab.evaluate import evaluate
from vsrcli.lab.restore import recipe as recipe_module
from vsrcli.lab.restore.discriminator import Discriminator, discriminator_step
from vsrcli.lab.restore.export import card_of, export_restoring, write
from vsrcli.lab.restore.network import RealBasicVsr, Shape
from vsrcli.lab.restore.parts import parts
from vsrcli.lab.restore.spynet import SpyNet, warp
from vsrcli.lab.restore.train import begin_from, load_trained, start, train
from vsrcli.models.model import read_model
from vsrcli.runtime.engines import open_engine

SMALL = Shape(
    features=8, blocks=1, cleaning=1, detail=8, flow_levels=3, flow_widths=(8, 8, 8, 8),
    flow_finest=2,
)  # fmt: skip


def random_net(shape, seed=0, std=0.1):
    torch.manual_seed(seed)
    net = RealBasicVsr(shape).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=std)
    return net


def test_published_size():
    count = sum(p.numel() for p in RealBasicVsr(Shape()).parameters())
    assert round(count / 1e6, 1) == 6.3


def test_warp_reads_where_the_flow_points():
    image = torch.arange(20.0).view(1, 1, 4, 5)
    right = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 4, 5)
    zeros, border = warp(image, right), warp(image, right, edges="border")
    np.testing.assert_allclose(zeros[..., :-1], image[..., 1:], atol=1e-4)
    np.testing.assert_allclose(zeros[..., -1], 0, atol=1e-4)
    np.testing.assert_allclose(border[..., -1], image[..., -1], atol=1e-4)


def test_flow_is_scaled_back_to_the_frame():
    """Each axis by its own factor: a net that says 1 px everywhere at the finest level."""
    net = SpyNet(levels=2, widths=(4, 4, 4, 4), kernel=3)
    for parameter in net.parameters():
        torch.nn.init.zeros_(parameter)
    torch.nn.init.ones_(net.basic_module[1].basic_module[-1].conv.bias)
    with torch.no_grad():
        flow = net(torch.rand(1, 3, 5, 7), torch.rand(1, 3, 5, 7))
    np.testing.assert_allclose(flow[0, 0], 7 / 8, atol=1e-6)
    np.testing.assert_allclose(flow[0, 1], 5 / 6, atol=1e-6)


def test_cleaning_stops_when_little_changes():
    net = random_net(SMALL)
    frames = torch.rand(1, 2, 3, 9, 11)
    with torch.no_grad():
        x, changes = frames, []
        for _ in range(3):
            residue = net.clean(x) - x
            changes.append(float(residue.abs().mean()))
            x = x + residue
        assert net.passes(frames, changes[0] * 1.01) == 1
        assert net.passes(frames, 0.0) == 3
        assert min(changes) > 0
        for parameter in net.image_cleaning.parameters():
            parameter.zero_()
        assert net.passes(frames, 0.1) == 0


@pytest.mark.parametrize("size", [(24, 32), (9, 13), (1, 2)])
def test_parts_make_the_whole(size, graphs):
    """Composed by hand over a short clip they equal the network, at any size."""
    net, engines = graphs
    frames = torch.rand(1, 3, 3, *size)
    with torch.no_grad():
        wanted, cleaned = (x[0].numpy() for x in net(frames))
    clean = [engines["clean"].run({"frame": f[None].numpy()}) for f in frames[0]]
    x = [c["cleaned"] for c in clean]
    np.testing.assert_allclose(np.concatenate(x), cleaned, atol=1e-5)
    change = np.abs(cleaned - frames[0].numpy()).mean(axis=(1, 2, 3))
    np.testing.assert_allclose([c["change"] for c in clean], change, atol=1e-5)

    def flow(now, other):
        return engines["flow"].run({"now": x[now], "other": x[other]})["motion"]

    def walk(name, order):
        feature = np.zeros((1, SMALL.features, *size), np.float32)
        made, last = {}, None
        for t in order:
            motion = np.zeros((1, 2, *size), np.float32) if last is None else flow(t, last)
            feeds = {"frame": x[t], "feature": feature, "motion": motion}
            feature = made[t] = engines[name].run(feeds)["feature_next"]
            last = t
        return made

    behind, before = walk("backward", (2, 1, 0)), walk("forward", (0, 1, 2))
    for t in range(3):
        feeds = {"frame": x[t], "behind": behind[t], "before": before[t]}
        y = engines["reconstruct"].run(feeds)["y"]
        np.testing.assert_allclose(y[0], wanted[t], atol=1e-4)


def test_a_training_may_begin_from_what_ships():
    """int8 graphs lie beside the ones that it reads."""
    weights = Path(__file__).parents[1] / "weights"
    recipe = recipe_module.load_recipe(recipe_module.shipped(Path("realbasicvsr-lite")))
    net, other = RealBasicVsr(recipe.shape), RealBasicVsr(recipe.shape)
    begin_from(weights / "realbasicvsr-lite", net)
    begin_from(weights / "realbasicvsr-lite-psnr", other)
    first, second = (next(n.image_cleaning.parameters()) for n in (net, other))
    assert 0 < (first - second).abs().mean() < 0.1


@pytest.fixture(scope="module")
def graphs():
    net = random_net(SMALL)
    engines = {n: open_engine(g.SerializeToString(), threads=1) for n, g in parts(net).items()}
    return net, engines


def test_every_recipe_learns_all_its_lessons(tmp_path, monkeypatch):
    """Each lesson takes steps, leaves its checkpoint, and a later run goes on from the last."""
    seconds = count(step=0.2)  # a step takes as long on any machine
    monkeypatch.setattr(budget.time, "process_time", lambda: next(seconds))
    stills = write_stills(tmp_path / "stills")
    paths = sorted((Path(recipe_module.__file__).parent / "recipes").glob("*.toml"))
    loaded = [recipe_module.load_recipe(path) for path in paths]
    assert [r.id for r in loaded] == [p.stem for p in paths]
    recipe = next(r for r in loaded if r.id == "realbasicvsr-lite")
    by_kind = {s.kind: s for r in loaded for s in r.stages}
    assert tuple(by_kind) == recipe_module.KINDS
    stages = tuple(
        replace(s, share=1 / len(by_kind), batch=1, length=2, patch=16) for s in by_kind.values()
    )
    small = replace(recipe, shape=SMALL, judge=4, shrinks=(1.0,), stages=stages)
    reports = []
    for _ in range(2):
        train(small, stills, tmp_path, minutes=0.04, total_minutes=0.08, on_report=reports.append)
    assert reports[1].step > reports[0].step
    assert reports[1].stage == "gan"
    train(small, stills, tmp_path, minutes=0.08, on_report=reports.append)
    assert len(reports) == 2, "it is done"
    with pytest.raises(UsageError, match="comes again after 'gan'"):
        train(small, stills, tmp_path, minutes=0.2, on_report=reports.append)
    assert {"output", "cleaning", "adversarial", "feature", "judge"} == set(reports[1].losses)
    assert all(np.isfinite(v) for r in reports for v in (*r.losses.values(), *r.figures.values()))
    for name in (*(f"-{kind}" for kind in by_kind), ""):
        done = load_trained(small, tmp_path / f"realbasicvsr-lite{name}.pt")
        assert done.net.shape == SMALL
        assert 0 < done.minutes < 1
        assert done.lesson == (name.removeprefix("-") or "gan")
    done = export_restoring(small, tmp_path / "realbasicvsr-lite-pixel.pt", tmp_path, model_id="x")
    assert done.error < 1e-4
    assert read_model(tmp_path / "x").clean_threshold == pytest.approx(1.5 / 255)
    found = evaluate(tmp_path / "x", stills, scale=4)
    assert (found.model, len(found.rows)) == ("x", 2)
    assert found.mean.psnr_y > found.mean.bicubic_psnr_y - 12


def test_a_net_begins_from_a_checkpoint_or_a_model_folder(tmp_path):
    net = random_net(SMALL)
    card = card_of("x", summary="", licence="MIT", trained_on="", recipe="", threshold=0.1)
    write(net, card, tmp_path)
    folder = tmp_path / "x"
    torch.save({"average": net.state_dict()}, tmp_path / "x.pt")
    for source in (folder, tmp_path / "x.pt"):
        other = RealBasicVsr(SMALL)
        begin_from(source, other)
        torch.testing.assert_close(other.state_dict(), net.state_dict())
        with pytest.raises(WeightsError, match="does not fit"):
            begin_from(source, RealBasicVsr(replace(SMALL, features=10)))
    recipe = recipe_module.load_recipe(recipe_module.shipped(Path("realbasicvsr-lite")))
    small, absent = replace(recipe, shape=SMALL), tmp_path / "absent.pt"
    begun = start(small, absent, torch.device("cpu"), folder)
    torch.testing.assert_close(begun.average, dict(net.state_dict()))
    with pytest.raises(WeightsError, match="cannot be read"):
        begin_from(tmp_path / "nothing", RealBasicVsr(SMALL))


def test_bad_recipe_is_named(tmp_path):
    path = tmp_path / "r.toml"
    head = 'id = "r"\nfamily = "realbasicvsr"\nsummary = ""\n'
    stage = "[[stage]]\nkind = '{}'\nshare = 1.0\nbatch = 1\nlength = 2\npatch = 8\nlr = 1e-3\n"
    path.write_text(head + stage.format("sleep"))
    with pytest.raises(InputError, match="sleep"):
        recipe_module.load_recipe(path)
    path.write_text(head + "[shape]\nfeature = 3\n" + stage.format("pixel"))
    with pytest.raises(InputError, match="feature"):
        recipe_module.load_recipe(path)


def test_discriminator_learns_to_tell_blurred_from_sharp():
    """In a few steps, because it sees detail; the mean error of chance is 2 ln 2."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    discriminator = Discriminator(8, detail=4.0)
    optimiser = torch.optim.Adam(
        discriminator.parameters(), 5e-4
    )  # at more, rounding decides how it ends
    errors = []
    for _ in range(80):
        coarse = torch.rand(2, 3, 16, 16, generator=generator)
        base = torch.nn.functional.interpolate(coarse, scale_factor=4, mode="bicubic").clamp(0, 1)
        sharp = (base + 0.05 * torch.randn(base.shape, generator=generator)).clamp(0, 1)
        errors.append(float(discriminator_step(discriminator, optimiser, base, sharp)[2]))
    assert np.mean(errors[-5:]) < 0.8 * np.mean(errors[:5])
