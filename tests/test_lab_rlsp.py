"""RLSP: its size, its cell as a graph, the import of the official form."""

from __future__ import annotations

from dataclasses import replace
from itertools import count, islice
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from clips import write_stills

from vsrcli.errors import InputError, WeightsError
from vsrcli.lab import budget
from vsrcli.lab.clips import read_frames
from vsrcli.lab.degrade import DEGRADATIONS, bd
from vsrcli.lab.importers import import_checkpoint
from vsrcli.lab.metrics import psnr
from vsrcli.lab.optim import make_optimiser
from vsrcli.lab.restore.texture import texture_distance
from vsrcli.lab.sequence import EngineOptions, recurrent
from vsrcli.lab.temporal import adversarial, carry
from vsrcli.lab.temporal import recipe as recipe_module
from vsrcli.lab.temporal.carry import Carried, backwards
from vsrcli.lab.temporal.cells import egvsr_cell, rlsp_cell
from vsrcli.lab.temporal.egvsr import Egvsr
from vsrcli.lab.temporal.export import export_recurrent
from vsrcli.lab.temporal.feed import GRIDS, Batch, Degrade, Sources
from vsrcli.lab.temporal.motion import Motion, Stills, sequences
from vsrcli.lab.temporal.recipe import WAYS, Recipe
from vsrcli.lab.temporal.revive import revive
from vsrcli.lab.temporal.rlsp import Ablation, Rlsp
from vsrcli.lab.temporal.train import build, picture_loss, train
from vsrcli.media.images import read_rgb
from vsrcli.models.model import read_model
from vsrcli.runtime.engines import open_engine

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.mark.parametrize(("features", "params"), [(48, 0.191), (64, 0.319), (128, 1.154)])
def test_published_size(features, params):
    count = sum(p.numel() for p in Rlsp(features=features).parameters())
    assert round(count / 1e6, 3) == params


def test_cell_equals_the_network_over_time():
    torch.manual_seed(0)
    net = Rlsp(layers=4, features=8).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    frames = torch.rand(1, 5, 3, 9, 14)
    with torch.no_grad():
        wanted = torch.nn.functional.pixel_shuffle(net(frames)[0], 4).numpy()
    engine = open_engine(rlsp_cell(net).SerializeToString(), threads=1)
    state = np.zeros((1, net.state_channels, 9, 14), np.float32)
    for t in range(5):
        window = [frames[:, min(max(i, 0), 4)] for i in (t - 1, t, t + 1)]
        feeds = {"frames": torch.cat(window, 1).numpy(), "state": state}
        made = engine.run(feeds)
        np.testing.assert_allclose(made["y"][0], wanted[t], atol=1e-5)
        state = made["state_next"]


def test_contrast_folds_away():
    """Training with amplified differences is the published cell in other words."""
    torch.manual_seed(0)
    net = Rlsp(layers=3, features=8, contrast=6.0).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.03)
    frames = torch.rand(1, 5, 3, 9, 14)
    with torch.no_grad():
        trained, plain = net(frames), net.folded()(frames)
    assert not net.folded().contrast
    np.testing.assert_allclose(trained.numpy(), plain.numpy(), atol=2e-5)


def test_egvsr_cell_equals_the_network_over_time():
    """At sides that are no multiples of 8 as well; there FNet sees a padded picture."""
    torch.manual_seed(0)
    net = Egvsr(blocks=1, features=16).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    engine = open_engine(egvsr_cell(net).SerializeToString(), threads=1)
    for height, width in ((16, 24), (9, 13)):
        frames = torch.rand(1, 4, 3, height, width)
        last = np.zeros((1, 3, 4 * height, 4 * width), np.float32)
        for t in range(4):
            window = torch.cat([frames[:, max(t - 1, 0)], frames[:, t]], 1)
            made = engine.run({"frames": window.numpy(), "last": last})
            if (height, width) == (16, 24):
                with torch.no_grad():
                    wanted = torch.nn.functional.pixel_shuffle(net(frames[:, : t + 1])[0], 4)[t]
                np.testing.assert_allclose(made["y"][0], wanted.numpy(), atol=1e-5)
            assert made["y"].shape == last.shape
            last = made["last_next"]


@pytest.mark.parametrize(
    "net", [Rlsp(layers=3, features=8, contrast=6.0), Egvsr(blocks=1, features=16)]
)
def test_a_run_goes_on_from_the_state_of_another(net):
    """As if it were one; nothing flows back past its beginning."""
    torch.manual_seed(0)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.03)
    frames = torch.rand(1, 3, 3, 16, 16)
    there_and_back = torch.cat([frames, frames.flip(1)], 1)
    whole = net(there_and_back)[:, 3:]
    state = net.run(frames).state
    made = net.run(frames.flip(1), state.detach()).phases
    np.testing.assert_allclose(made.detach().numpy(), whole.detach().numpy(), atol=1e-6)
    assert not torch.allclose(made, net(frames.flip(1)), atol=1e-4)


def _numbered(index: int) -> Batch:
    frames = torch.arange(2.0).view(1, 2, 1, 1, 1) + 10 * index
    return Batch(lr=frames, hr=frames, flow=frames)


def test_what_is_carried_goes_on_to_and_fro_until_something_new_takes_its_place():
    generator = torch.Generator().manual_seed(0)
    carried, ages = Carried(0.8), []
    for step in range(2000):
        batch, age = carried.draw(generator) or (_numbered(step), torch.zeros(1))
        if age == 0:
            assert batch.flow is not None
        else:
            first, second = batch.lr.flatten().tolist()
            assert second - first == (-1) ** int(age)
            assert batch.flow is None
            assert first // 10 < step
        ages.append(int(age))
        carried.put(backwards(batch), age + 1)
    settled = ages[200:]
    assert np.mean([age == 0 for age in settled]) == pytest.approx(0.2, abs=0.03)
    assert max(settled) > 15
    nothing = Carried(0.0)
    for step in range(40):
        assert nothing.draw(generator) is None
        nothing.put(_numbered(step), torch.ones(1))


def test_ablation_closes_each_way_through_time():
    """With all three closed, a frame's output does not depend on any other frame."""
    torch.manual_seed(0)
    frames = torch.rand(1, 4, 3, 8, 8)
    other = frames.clone()
    other[:, :2] = torch.rand(1, 2, 3, 8, 8)
    closed = {"neighbours": False, "feedback": False, "hidden": False}
    for opened in (None, *closed):
        ablation = Ablation(**{k: k == opened for k in closed})
        net = Rlsp(layers=3, features=8, ablation=ablation).eval()
        for parameter in net.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        with torch.no_grad():
            same = torch.equal(net(frames)[:, 2:], net(other)[:, 2:])
        assert same == (opened is None), opened


@pytest.mark.parametrize("contrast", [0.0, 8.0])
@pytest.mark.parametrize("opened", [0, 1, 2, 3])
def test_folding_keeps_closed_ways_closed(opened, contrast):
    torch.manual_seed(0)
    ablation = Ablation(**{way: i < opened for i, way in enumerate(WAYS)})
    net = Rlsp(layers=3, features=8, ablation=ablation, contrast=contrast).eval()
    torch.nn.init.normal_(net.head.weight, std=0.02)
    frames = torch.rand(1, 4, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(net.folded()(frames), net(frames), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_training_degrades_as_the_measuring_does(name):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (64, 96, 3)).astype(np.uint8)
    image = np.repeat(np.repeat(image, 2, 0), 2, 1)
    frames = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    made = (
        Degrade(GRIDS.get(name), 4, torch.device("cpu"))(frames)[0].permute(1, 2, 0).numpy() * 255
    )
    assert np.abs(made - DEGRADATIONS[name](image, 4)).max() <= 1.01


def test_sequences_move_by_what_was_asked():
    """A still under pure translation of 1 px a frame to the right comes back shifted so."""
    still = torch.randint(0, 256, (3, 200, 200), dtype=torch.uint8)
    still = torch.nn.functional.avg_pool2d(still.float(), 5, 1, 2).to(torch.uint8)
    motion = Motion(speed=(1.0, 1.0), directions=0.0)
    generator = torch.Generator().manual_seed(3)
    stills = Stills([still], torch.device("cpu"))
    frames, flow = sequences(stills, motion, 1, 5, 64, generator)
    made = frames[0]
    assert torch.allclose(flow[0, 1:, 0].abs(), torch.ones(4, 64, 64), atol=0.2)
    assert made.shape == (5, 3, 64, 64)
    for t in range(4):
        moved, stayed = made[t][:, :, 2:], made[t + 1][:, :, 1:-1]
        still_error = (made[t] - made[t + 1]).abs().mean()
        assert (moved - stayed).abs().mean() < 0.5 * still_error


def official_form(features, seed=0):
    rng = np.random.default_rng(seed)
    tensors = {}
    for layer in range(8):
        inputs = 9 + features + 16 if layer == 0 else features
        outputs = 16 if layer == 7 else features
        kernel = rng.normal(0, 0.3 / np.sqrt(9 * inputs), (3, 3, inputs, outputs))
        tensors[f"layer{layer}/kernel"] = kernel.astype(np.float32)
        tensors[f"layer{layer}/bias"] = rng.normal(0, 0.1, outputs).astype(np.float32)
    return tensors


def test_import_of_the_official_form(tmp_path):
    np.savez(tmp_path / "net.npz", **official_form(8))
    made = import_checkpoint(tmp_path / "net.npz", tmp_path, "rlsp", licence="CC0")
    assert read_model(made.folder).warm_up == 4
    assert made.error < 1e-4
    model = read_model(made.folder)
    assert (model.color, model.output, model.window) == ("rgb", "y", (1, 1))
    assert {s.name: s.channels for s in model.states} == {"hidden": 8, "last": 16}
    frames = [np.full((12, 16, 3), v, np.uint8) for v in (10, 100, 200)]
    out = list(recurrent(model, 4, EngineOptions(threads=1))(frames))
    assert [o.shape for o in out] == [(48, 64)] * 3


@pytest.mark.parametrize("broken", ["missing", "unknown", "shape", "nan", "junk"])
def test_import_refuses_what_is_not_rlsp(tmp_path, broken):
    tensors = official_form(8)
    if broken == "missing":
        del tensors["layer6/bias"]
    if broken == "unknown":
        tensors["layer9/bias"] = np.zeros(3, np.float32)
    if broken == "shape":
        tensors["layer3/kernel"] = np.zeros((3, 3, 8, 9), np.float32)
    if broken == "nan":
        tensors["layer6/bias"][:] = np.nan
    path = tmp_path / "net.npz"
    np.savez(path, **tensors)
    if broken == "junk":
        path.write_bytes(b"not a zip file at all")
    with pytest.raises(WeightsError, match=r"layer|npz|by nan"):
        import_checkpoint(path, tmp_path / "out", "rlsp")
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not SHARED.exists(), reason="needs the shared data")
def test_official_checkpoint_gives_the_authors_frames(tmp_path):
    """The authors' own output of RLSP 7-64 on Vid4 city, to 60 dB and more on every frame."""
    source = SHARED / "upstream/rlsp/rlsp-7-64-official.npz"
    model = read_model(import_checkpoint(source, tmp_path, "rlsp").folder)
    wanted = [read_rgb(p)[..., 0] for p in sorted((SHARED / "upstream/rlsp/frames").iterdir())]
    clip = list(read_frames(SHARED / "data/eval/vid4/city.mkv"))[: len(wanted) + 1]
    out = recurrent(model, 4, EngineOptions())(bd(frame, 4) for frame in clip)
    compared = list(zip(islice(out, len(wanted)), wanted, strict=True))
    assert compared
    for ours, theirs in compared:
        inner = (slice(0, theirs.shape[0]), slice(0, theirs.shape[1]))
        assert psnr(theirs.astype(np.float32), np.round(ours[inner])) >= 60


def test_a_recipe_of_each_kind_trains_a_step(tmp_path, monkeypatch):
    """All load; of three the loop runs, writes a checkpoint and goes on from it."""
    stills = write_stills(tmp_path / "stills")
    recipes = sorted((Path(recipe_module.__file__).parent / "recipes").glob("*.toml"))
    assert recipes
    loaded = [recipe_module.load_recipe(path) for path in recipes]
    assert [r.id for r in loaded] == [p.stem for p in recipes]
    assert all(abs(sum(s.share for s in r.stages) - 1) < 1e-9 for r in loaded)
    sources = Sources(stills=stills)
    monkeypatch.setattr(carry, "KEPT", 1)
    seconds = count(step=0.02)  # a step takes as long on any machine
    monkeypatch.setattr(budget.time, "process_time", lambda: next(seconds))
    tiny = {"layers": 3, "features": 16, "batch": 1, "length": 3, "patch": 16, "clips": 0.0}
    by_id = {recipe.id: recipe for recipe in loaded}
    for recipe in (by_id[id_] for id_ in ("rlsp-7-48-bd", "egvsr-psnr-bd", "egvsr")):
        small = replace(recipe, **tiny, shrinks=(1.0,), degrade="bd", carry=0.5)
        reports = []
        for _ in range(2):
            train(
                small,
                sources,
                tmp_path,
                minutes=0.001,
                total_minutes=0.002,
                on_report=reports.append,
            )
        assert reports[1].step > reports[0].step
        assert all(np.isfinite(r.recurrent) for r in reports)


@pytest.mark.parametrize(("kind", "least", "most"), [("mse", 0.001, 0.02), ("psnr", 0.9, 1.0)])
def test_a_smooth_sequence_counts_as_much_by_the_psnr(kind, least, most):
    """The part that a sequence has in the gradient for a fault of the same share of its error."""
    smooth, rough = torch.tensor(0.01, requires_grad=True), torch.tensor(0.1, requires_grad=True)
    error = torch.ones(2, 3, 16, 8, 8) * torch.stack([smooth, rough]).view(2, 1, 1, 1, 1)
    picture_loss(error, kind).backward()
    share = (smooth.grad * smooth / (rough.grad * rough)).item()
    assert least < share < most


def test_the_judge_sees_neighbours_where_the_middle_is():
    """A picture that moves by a whole LR pixel a frame: the three must coincide."""
    scale, length = 4, 5
    still = torch.rand(1, 3, 48, 80)
    hr = torch.stack([torch.roll(still, (4 * t, 8 * t), (2, 3)) for t in range(length)], 1)
    to_former = torch.tensor([-2.0, -1.0]).view(1, 1, 2, 1, 1).expand(1, length, 2, 12, 20)
    flows = torch.cat([to_former, -to_former[:, 1:]], 1)
    triples = adversarial.triples(hr, flows, scale)[..., 16:-16, 24:-24]
    assert triples.shape[:2] == (length - 2, 9)
    for part in (triples[:, :3], triples[:, 6:]):
        torch.testing.assert_close(part, triples[:, 3:6], atol=1e-4, rtol=0)


def test_texture_is_a_part_of_the_adversarial_lesson():
    torch.manual_seed(0)
    net = Egvsr(blocks=1, features=16)
    lr, hr = torch.rand(1, 3, 3, 16, 16), torch.rand(1, 3, 3, 64, 64)
    batch = Batch(lr=lr, hr=hr, flow=None)
    found = []
    for texture in (0.0, 0.5):
        torch.manual_seed(1)
        lesson = adversarial.AdversarialLoss(16, torch.device("cpu"))
        recipe = Recipe(id="r", family="egvsr", judge=16, texture=texture)
        found.append(lesson.loss(net, batch, recipe)[0].item())
    with torch.autocast("cpu", torch.bfloat16):
        phases = net(torch.cat([batch.lr, batch.lr[:, :-1].flip(1)], 1))
    made = torch.nn.functional.pixel_shuffle(phases.float(), 4)[:, :3].flatten(0, 1)
    distance = texture_distance(made, batch.hr.flatten(0, 1)).item()
    assert distance > 0.1
    assert found[1] - found[0] == pytest.approx(0.5 * distance, rel=1e-3)


def test_filters_that_never_fire_are_drawn_anew():
    torch.manual_seed(0)
    net = Rlsp(layers=5, features=16, contrast=8.0)
    optimiser = make_optimiser("muon", net.parameters(), 1e-3, 1.0)
    frames = torch.rand(2, 4, 3, 24, 24)

    def learn() -> None:
        for _ in range(2):
            optimiser.zero_grad()
            net(frames).square().mean().backward()
            optimiser.step()

    with torch.no_grad():
        for layer in net.body:
            layer.bias[:5] = -1e3
        net.head.bias[net.phases : net.phases + 4] = -1e3
    learn()
    average = {key: value.clone() for key, value in net.state_dict().items()}
    with torch.no_grad():
        before = net(frames)
        assert revive(net, [frames], average, optimiser) == 24
        assert torch.equal(net(frames), before)
    assert all(torch.equal(average[key], value) for key, value in net.state_dict().items())
    assert revive(net, [frames], average, optimiser) == 0
    unread = [net.body[1].weight[:, :5], net.body[0].weight[:, 9:13]]
    learn()
    assert all((part != 0).any() for part in unread)


@pytest.mark.parametrize(
    ("family", "key", "reason"), [("rlsp", "judge", "flow"), ("egvsr", "revive", "rlsp")]
)
def test_a_key_of_the_other_family_is_refused(tmp_path, family, key, reason):
    path = tmp_path / "r.toml"
    path.write_text(f'id = "r"\nfamily = "{family}"\n{key} = 8\n')
    with pytest.raises(InputError, match=reason):
        recipe_module.load_recipe(path)


def test_a_recipe_that_would_only_carry_is_refused(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text('id = "r"\nfamily = "egvsr"\ncarry = 1.0\n')
    with pytest.raises(InputError, match="nothing new"):
        recipe_module.load_recipe(path)


def test_a_recipe_names_a_loss_that_exists(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text('id = "r"\nfamily = "rlsp"\nloss = "ssim"\n')
    with pytest.raises(InputError, match="mse, psnr"):
        recipe_module.load_recipe(path)


def test_a_checkpoint_of_another_contrast_is_refused(tmp_path):
    """Its weights fit, and would mean something else."""
    made = {"layers": 3, "features": 8, "contrast": 8.0}
    weights = Rlsp(**made).state_dict()
    saved = {"net": weights, "average": weights, "contrast": 8.0, "spent_s": 1.0}
    torch.save(saved, tmp_path / "r.pt")
    recipe = recipe_module.Recipe(id="r", **made)
    assert export_recurrent(recipe, tmp_path / "r.pt", tmp_path).error < 1e-5
    with pytest.raises(WeightsError, match=r"r\.pt does not fit .* contrast of 8\.0, not 2\.0"):
        export_recurrent(replace(recipe, contrast=2.0), tmp_path / "r.pt", tmp_path)


def test_unknown_recipe_key_is_named(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text('id = "r"\nfamily = "rlsp"\nlayer = 7\n')
    with pytest.raises(InputError, match="layer"):
        recipe_module.load_recipe(path)


def test_cells_of_two_scales_share_a_card(tmp_path):
    """Each keeps its own state, whichever is exported again."""
    x4 = Recipe(id="tiny", layers=2, features=4)
    x2 = Recipe(id="tiny-x2", model="tiny", layers=2, features=8, scale=2)
    for recipe in (x4, x2):
        saved = {"average": build(recipe).state_dict(), "spent_s": 60.0}
        torch.save(saved, tmp_path / f"{recipe.id}.pt")
    with pytest.raises(WeightsError, match="export that first"):
        export_recurrent(x2, tmp_path / "tiny-x2.pt", tmp_path)
    for recipe in (x4, x2, x4):
        export_recurrent(recipe, tmp_path / f"{recipe.id}.pt", tmp_path)
    model = read_model(tmp_path / "tiny")
    assert model.scales == (2, 4)
    assert [s.channels for s in model.states_of(2)] == [8 + 12]
    assert [s.channels for s in model.states_of(4)] == [4 + 48]
