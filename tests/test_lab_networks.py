"""Networks, their graphs, training, cards and imports: needs torch."""

import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch.optim import Optimizer

from vsrcli.errors import InputError, WeightsError
from vsrcli.lab.card import read_card
from vsrcli.lab.data import load_pairs
from vsrcli.lab.emit import product_range, to_onnx
from vsrcli.lab.export import export, parity, random_inputs
from vsrcli.lab.importers import import_checkpoint
from vsrcli.lab.importers.forms import FORMS
from vsrcli.lab.networks import FAMILIES, LumaNet, build
from vsrcli.lab.networks.sesr import LinearBlock
from vsrcli.lab.optim import OPTIMISERS, go_on, lr_factor, make_optimiser, orthogonal
from vsrcli.lab.recipe import load_recipe
from vsrcli.lab.train import average_net, start, train
from vsrcli.media.images import write_png
from vsrcli.models.model import read_model

REPO = Path(__file__).parents[1]
OFFICIAL = REPO.parent / "shared" / "upstream" / "esr"
SMALL = {
    "esr-max": {"kernel": 3, "channels": 3},
    "esr-tm": {"kernel": 5, "channels": 2},
    "esr-tr": {"kernel": 3, "channels": 4},
    "esr-cnn": {"channels": 2, "depth": 3, "features": 4},
    "espcn": {"depth": 5, "features": 4},
    "fsrcnn": {"depth": 6, "features": 4, "layers": 2},
    "sesr": {"blocks": 2, "features": 4},
}
PUBLISHED_PARAMS = [
    ("esr-max", 2, {"kernel": 7, "channels": 13}, 2548),
    ("esr-max", 4, {"kernel": 7, "channels": 6}, 4704),
    ("esr-tm", 4, {"kernel": 7, "channels": 16}, 25088),
    ("esr-tr", 2, {"kernel": 7, "channels": 13}, 7644),
    ("esr-tr", 4, {"kernel": 7, "channels": 16}, 37632),
    ("esr-cnn", 2, {"channels": 8, "depth": 3, "features": 9}, 5514),
    ("esr-cnn", 4, {"channels": 8, "depth": 9, "features": 6}, 14550),
    ("espcn", 4, {"depth": 40, "features": 32}, 17216),
]


@pytest.mark.parametrize(("family", "scale", "shape", "params"), PUBLISHED_PARAMS)
def test_parameters_are_the_published_number(family, scale, shape, params):
    assert build(family, scale, shape).params() == params


@pytest.mark.parametrize(
    ("scale", "numbers", "params"), [(2, (56, 12, 4), 12644), (4, (44, 12, 4), 11060)]
)
def test_published_fsrcnn_has_a_9x9_deconvolution(scale, numbers, params):
    form = next(f for f in FORMS if f.family == "fsrcnn")
    keys = form.keys(dict(zip("DSM", numbers, strict=True)) | {"s": scale})
    assert sum(int(np.prod(shape)) for shape in keys.values()) == params


@pytest.mark.parametrize("padding", ["replicate", "zeros"])
@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("family", SMALL)
def test_graph_equals_torch(family, scale, padding):
    torch.manual_seed(0)
    net = build(family, scale, SMALL[family], padding=padding)
    assert parity(to_onnx(net).SerializeToString(), net, random_inputs()) < 1e-5


@pytest.mark.parametrize("gain", [5.0, 200.0])
def test_attention_graph_holds_for_large_logits(gain):
    torch.manual_seed(0)
    net = build("esr-tr", 2, {"kernel": 3, "channels": 3})
    with torch.no_grad():
        net.filter.weight[12:].mul_(gain)
    low, high = product_range(list(np.split(net.filter.weight.detach().numpy(), 3))[1:], 0.0)
    assert (high - low > 160) or gain == 5
    assert parity(to_onnx(net).SerializeToString(), net, random_inputs()) < 1e-4


def test_sesr_has_its_published_size_when_it_is_collapsed():
    """The kernels of SESR-M3, M5 and M11 at x2 and M5 at x4; nothing is left of the wide ones."""
    for scale, blocks, kernels in ((2, 3, 8912), (2, 5, 13520), (2, 11, 27344), (4, 5, 18320)):
        net = build("sesr", scale, {"blocks": blocks})
        biases, slopes = 16 * (blocks + 1) + scale**2, blocks + 1
        assert net.params() == kernels + biases + slopes
        stored = [each for each in to_onnx(net).graph.initializer if len(each.dims) in (1, 4)]
        floats = sum(int(np.prod(each.dims)) for each in stored if each.data_type == 1)
        assert floats == kernels + biases  # slopes are attributes


def test_linear_block_is_one_convolution():
    """The collapsed kernel gives what the wide one, the narrow one and the way around them give."""
    torch.manual_seed(0)
    block = LinearBlock(6, 6, 3, padding="zeros", short=True)
    x = torch.rand(2, 6, 9, 7)
    wide = torch.nn.functional.conv2d(x, block.wide, padding=1)
    narrow = torch.nn.functional.conv2d(wide, block.narrow[:, :, None, None], block.bias)
    assert (block(x) - (narrow + x)).abs().max() < 1e-5


def test_receptive_border_is_exact():
    for family, shape in SMALL.items():
        net = build(family, 2, shape).eval()
        x = torch.rand(1, 1, 4 + 2 * net.border, 4 + 2 * net.border)
        assert net.phases(x).shape == (1, 4, 4, 4)


def test_orthogonal_draws_singular_values_to_one():
    torch.manual_seed(0)
    for shape in ((16, 49), (64, 9)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
        assert values.min() > 0.6
        assert values.max() < 1.3


def test_rate_rises_and_falls():
    assert lr_factor(0, 0.1) < lr_factor(0.05, 0.1) < lr_factor(0.1, 0.1)
    assert lr_factor(0.1, 0.1) > lr_factor(0.5, 0.1) > lr_factor(1.0, 0.1) > 0


def stills(folder: Path) -> Path:
    """Three small pictures of waves."""
    y, x = np.mgrid[:64, :80]
    for i in range(3):
        wave = 128 + 60 * np.sin(x / (3 + i) + y / 4)
        write_png(folder / f"{i}.png", np.repeat(wave[..., None], 3, 2).astype(np.uint8))
    return folder


def recipe_file(folder: Path) -> Path:
    """A tiny ESPCN."""
    path = folder / "tiny.toml"
    path.write_text(
        'id = "tiny"\nfamily = "espcn"\nsummary = "a test"\nbatch = 2\nshrinks = [1.0]\n'
        "[patch]\n2 = 8\n[shapes]\n2 = { depth = 4, features = 4 }\n"
    )
    return path


@pytest.mark.parametrize("name", OPTIMISERS)
def test_steps_after_a_checkpoint_are_those_of_a_run_that_never_stopped(name: str):
    torch.manual_seed(0)
    pictures = torch.rand(6, 2, 1, 12, 12)

    def begun() -> tuple[LumaNet, Optimizer]:
        torch.manual_seed(1)
        net = build("espcn", 2, SMALL["espcn"])
        return net, make_optimiser(name, net.parameters(), 1e-2, 3.0)

    def walked(net: LumaNet, optimiser: Optimizer, steps: range) -> None:
        for step in steps:
            optimiser.zero_grad()
            net(pictures[step]).square().mean().backward()
            optimiser.step()

    whole, first, second = begun(), begun(), begun()
    walked(*whole, range(6))
    walked(*first, range(3))
    second[0].load_state_dict(first[0].state_dict())
    go_on(second[1], first[1].state_dict())
    walked(*second, range(3, 6))
    for ours, theirs in zip(second[0].parameters(), whole[0].parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(("trained", "now"), [OPTIMISERS, OPTIMISERS[::-1]])
def test_an_optimiser_goes_on_from_its_own_kind_alone(trained: str, now: str):
    kernel = torch.nn.Parameter(torch.ones(2, 2))
    saved = make_optimiser(trained, [kernel], 1e-2, 1.0).state_dict()
    with pytest.raises(ValueError, match="another optimiser"):
        go_on(make_optimiser(now, [kernel], 1e-2, 1.0), saved)


def test_training_resumes_and_exports(tmp_path: Path):
    recipe = load_recipe(recipe_file(tmp_path))
    (tmp_path / "stills").mkdir()
    data, out, reports = stills(tmp_path / "stills"), tmp_path / "out", []
    torch.set_num_threads(1)
    checkpoint = train(recipe, 2, data, out, minutes=0.01, on_report=reports.append)
    steps = start(recipe, 2, checkpoint).step
    train(recipe, 2, data, out, minutes=0.02, on_report=reports.append)
    assert reports[-1].step > steps > 0
    last = len(reports)
    train(recipe, 2, data, out, minutes=0.02, on_report=reports.append)
    assert len(reports) == last, "it is done"
    done = export(recipe, 2, checkpoint, tmp_path / "weights")
    model = read_model(tmp_path / "weights" / "tiny")
    assert model.graph(2).load() == done.file.read_bytes()
    assert model.graph(2).config == "D4 S4"
    assert (model.licence, read_card(done.file.parent).trained_on) == (
        "unknown",
        "3 pictures of stills",
    )
    net = average_net(start(recipe, 2, checkpoint), recipe, 2)
    assert parity(done.file.read_bytes(), net, random_inputs()) < 1e-5


def test_pictures_of_one_name_are_told_apart(tmp_path: Path):
    files = [tmp_path / folder / "a.png" for folder in ("one", "two")]
    for level, file in enumerate(files):
        file.parent.mkdir()
        write_png(file, np.full((16, 16, 3), 100 * level, np.uint8))
    dark, light = (load_pairs([(file, 1.0)], 2, 0, tmp_path)[0].hr.mean() for file in files)
    assert dark < light
    write_png(files[0], np.full((16, 16, 3), 100, np.uint8))
    assert load_pairs([(files[0], 1.0)], 2, 0, tmp_path)[0].hr.mean() == light


def test_too_few_patches_for_a_batch_are_refused(tmp_path: Path):
    recipe = replace(load_recipe(recipe_file(tmp_path)), batch=500)
    (tmp_path / "stills").mkdir()
    with pytest.raises(InputError, match="patches"):
        train(recipe, 2, stills(tmp_path / "stills"), tmp_path, minutes=1, on_report=print)


def test_recipe_refuses_unknown_keys(tmp_path: Path):
    path = tmp_path / "r.toml"
    path.write_text('id = "a"\nspeed = 3\n')
    with pytest.raises(InputError, match="speed"):
        load_recipe(path)


def luma_recipes() -> list[Path]:
    """The shipped recipes of single-frame families."""
    paths = sorted((REPO / "vsrcli" / "lab" / "recipes").glob("*.toml"))
    return [path for path in paths if tomllib.loads(path.read_text())["family"] in FAMILIES]


@pytest.mark.parametrize("path", luma_recipes(), ids=lambda path: path.stem)
def test_shipped_recipe_has_weights(path: Path):
    recipe = load_recipe(path)
    card = read_card(REPO / "weights" / recipe.id)
    assert card.recipe == path.name
    exact = [graph for graph in card.graphs if graph.precision == "fp32"]
    assert [graph.scale for graph in exact] == sorted(recipe.shapes)
    for graph in card.graphs:
        net = build(recipe.family, graph.scale, recipe.shapes[graph.scale])
        assert (net.config, net.params()) == (graph.config, graph.params)


def checkpoint_of(form, numbers, folder: Path) -> Path:
    """A random state dict in the published form."""
    torch.manual_seed(1)
    tensors = {key: torch.randn(shape) * 0.2 for key, shape in form.keys(numbers).items()}
    letters = "_".join(f"{letter}{numbers[letter]}" for letter in form.letters)
    path = folder / f"{form.label}_s{numbers['s']}_{letters}.model"
    torch.save(tensors, path)
    return path


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.family)
def test_import_equals_the_published_network(form, scale, tmp_path: Path):
    numbers = {letter: 3 for letter in form.letters} | {"s": scale}
    done = import_checkpoint(checkpoint_of(form, numbers, tmp_path), tmp_path, licence="GPL-3.0")
    assert done.error < 1e-5
    card = read_card(done.folder)
    assert (card.licence, card.family, done.scale) == ("GPL-3.0", form.family, scale)


def test_import_of_official_files(tmp_path: Path):
    files = sorted(OFFICIAL.glob("*.model"))
    if not files:
        pytest.skip("no official checkpoints here")
    for path in files:
        assert import_checkpoint(path, tmp_path).error < 1e-5


def test_import_leaves_a_model_of_another_family_as_it_is(tmp_path: Path):
    espcn, tm = (next(f for f in FORMS if f.family == name) for name in ("espcn", "esr-tm"))
    path = checkpoint_of(espcn, {"D": 3, "S": 3, "s": 2}, tmp_path)
    folder = import_checkpoint(path, tmp_path, model_id="mine").folder
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    other = checkpoint_of(tm, {"K": 3, "C": 2, "s": 4}, tmp_path)
    with pytest.raises(WeightsError, match="family espcn; take another id"):
        import_checkpoint(other, tmp_path, model_id="mine")
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_import_refuses(tmp_path: Path):
    form = next(f for f in FORMS if f.family == "espcn")
    good = checkpoint_of(form, {"D": 3, "S": 3, "s": 2}, tmp_path)
    cases = {
        "nothing.model": (b"", "does not say what it is"),
        "ESPCN_s2_D1_S1.model": (b"no pickle", "not a PyTorch checkpoint"),
        "ESPCN_s2_D9_S3.model": (good.read_bytes(), "its name says"),
        "eSR-MAX_s2_K3_C1.model": (good.read_bytes(), "lacks filter.weight"),
        "eSR-MAX_s5_K3_C1.model": (good.read_bytes(), "s2, s3 or s4"),
        "XYZ_s2_D1.model": (good.read_bytes(), "unknown family"),
    }
    for name, (data, message) in cases.items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(WeightsError, match=message):
            import_checkpoint(path, tmp_path / "out")
    with pytest.raises(WeightsError, match="not fsrcnn"):
        import_checkpoint(good, tmp_path / "out", "fsrcnn")
    with pytest.raises(WeightsError, match="cannot be read"):
        import_checkpoint(tmp_path / "ESPCN_s2_D7_S7.model", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_command_line_lists_its_verbs():
    run = subprocess.run(
        [sys.executable, "-m", "vsrcli.lab", "--help"], capture_output=True, text=True, check=True
    )
    assert all(verb in run.stdout for verb in ("train", "export", "import"))
