"""Real-world training data: degradation steps, clips, packs, and nets that start from others."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

import av
from clips import write_stills

from vsrcli.errors import EncodeError, InputError, OutputError, UsageError, WeightsError
from vsrcli.lab.__main__ import main
from vsrcli.lab.degrade import bicubic
from vsrcli.lab.metrics import psnr
from vsrcli.lab.real import (
    CLEAN,
    FIRST_ORDER,
    KERNELS,
    SECOND_ORDER,
    SQUEEZED,
    Walk,
    degraded,
    mirrored,
    resize_matrix,
    resized,
)
from vsrcli.lab.temporal.cells import rlsp_cell
from vsrcli.lab.temporal.clips import Clips, Cutting, cache_clips
from vsrcli.lab.temporal.feed import Feed, Sources, load_stills
from vsrcli.lab.temporal.grow import begin_from, grown, pruned, rescaled, unfolded
from vsrcli.lab.temporal.motion import Stills
from vsrcli.lab.temporal.pack import Packing, Packs, make_pack
from vsrcli.lab.temporal.recipe import Recipe, load_recipe
from vsrcli.lab.temporal.rlsp import Rlsp
from vsrcli.lab.temporal.train import Report, train
from vsrcli.media.recode import Coding, recode

CPU = torch.device("cpu")


def moving(count: int, height: int = 64, width: int = 96, speed: int = 1) -> list[np.ndarray]:
    """Frames of a coloured texture that moves to the left."""
    y, x = np.mgrid[:height, : width + count * speed]
    wave = 60 * np.sin(x / 5 + y / 9)
    edge = ((x + 2 * y) // 17 % 2) * 80
    whole = np.stack([90 + wave, 60 + edge, 70 + wave / 2 + edge / 2], -1).astype(np.uint8)
    return [whole[:, t * speed : t * speed + width] for t in range(count)]


def blobs(count: int, seed: int) -> list[np.ndarray]:
    """Frames of soft spots, (300, 320), that move by 3 px a frame."""
    grid = np.random.default_rng(seed).integers(0, 256, (10, 13, 3)).astype(np.float32)
    whole = resized(grid, (300, 400), "cubic").clip(0, 255).astype(np.uint8)
    return [whole[:, 3 * t : 3 * t + 320] for t in range(count)]


def write_clip(path: Path, frames: list[np.ndarray]) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "5", "preset": "fast"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg4", "mpeg2video", "mjpeg"])
def test_recoding_keeps_order_size_and_grid(codec: str) -> None:
    """Every frame comes back in its place; more compression costs more."""
    frames = moving(7, 49, 75, speed=3)
    figures = []
    for quality in (4, 30):
        made = list(recode(frames, Coding(codec=codec, quality=quality, preset="ultrafast")))
        assert [f.shape for f in made] == [(49, 75, 3)] * 7
        for t, frame in enumerate(made):
            errors = [np.abs(frame.astype(int) - other).mean() for other in frames]
            assert int(np.argmin(errors)) == t
        figures.append(np.mean([psnr(a, b) for a, b in zip(frames, made, strict=True)]))
    assert figures[0] > figures[1] + 2


def test_recoding_refuses_what_it_does_not_know() -> None:
    with pytest.raises(EncodeError, match="libx264"):
        list(recode(moving(1), Coding(codec="theora")))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("size", "out"), [(96, 24), (96, 41), (24, 60)])
def test_scaling_is_centred(kernel: str, size: int, out: int) -> None:
    """A ramp stays a ramp about the same centre, away from the edges."""
    ramp = np.arange(size) - (size - 1) / 2
    made = resize_matrix(size, out, kernel) @ ramp
    wanted = (np.arange(out) - (out - 1) / 2) * size / out
    off = (made - wanted)[out // 4 : -(out // 4)]
    # Upwards, a box is nearest neighbour: right on average, off by up to half a pixel.
    assert np.abs(off).max() <= {"box": 0.51, "triangle": 0.05}.get(kernel, 0.02)
    assert abs(off.mean()) < 0.005


def test_clean_is_the_bicubic_of_the_measuring() -> None:
    frames = moving(2)
    made = list(degraded(frames, 4, CLEAN, seed=0))
    for ours, frame in zip(made, frames, strict=True):
        assert np.abs(ours.astype(int) - bicubic(frame, 4)).max() <= 1


@pytest.mark.parametrize("step", [FIRST_ORDER, SECOND_ORDER, SQUEEZED])
def test_degrading_is_seeded_and_keeps_count_and_place(step) -> None:
    """Same seed, same frames; other seeds differ; and on average nothing has moved."""
    frames = moving(6, 96, 128, speed=4)
    clean = np.stack(list(degraded(frames, 4, CLEAN, seed=0))).astype(float)
    first = np.stack(list(degraded(frames, 4, step, seed=1)))
    assert first.shape == (6, 24, 32, 3)
    again, other = (np.stack(list(degraded(frames, 4, step, seed=s))) for s in (1, 2))
    assert (first == again).all()
    assert (first != other).any()
    shifts = []
    for seed in range(8):
        made = np.stack(list(degraded(frames, 4, step, seed=seed))).astype(float)
        slope = np.gradient(clean, axis=2)
        shifts.append(-((made - clean) * slope).sum() / (slope**2).sum())
    assert abs(np.mean(shifts)) < 0.05
    assert not list(degraded([], 4, step, seed=0))


def test_parameters_walk_within_their_range() -> None:
    values = list(islice(Walk(low=2, high=4, pace=0.2).values(np.random.default_rng(0)), 500))
    assert 2 <= min(values) < 2.2
    assert 3.8 < max(values) <= 4
    assert np.abs(np.diff(values)).max() < 2


def test_mirrored_goes_back() -> None:
    frames = moving(3)
    assert [id(f) for f in mirrored(frames)] == [id(frames[i]) for i in (0, 1, 2, 2, 1, 0)]


def test_clips_are_cut_cached_and_read(tmp_path: Path) -> None:
    """No segment crosses the cut, a clip without motion gives none, the cache is used again."""
    folder = tmp_path / "clips"
    folder.mkdir()
    write_clip(folder / "a.mkv", [*blobs(9, seed=1), *blobs(9, seed=2)])
    write_clip(folder / "still.mkv", moving(1, 300, 320) * 12)
    heard: list[tuple[str, int]] = []
    cutting = Cutting(segments=5, length=4, side=200)
    paths = cache_clips(folder, tmp_path, cutting, on_clip=lambda *a: heard.append(a))
    assert heard == [("a.mkv", 4), ("still.mkv", 0)]
    segments = [np.load(path) for path in paths]
    assert [s.shape for s in segments] == [(4, 200, 200, 3)] * 4
    for segment in segments:
        steps = np.abs(np.diff(segment.astype(float), axis=0)).mean((1, 2, 3))
        assert steps.max() < 2 * steps.min()
    assert cache_clips(folder, tmp_path, cutting, on_clip=lambda *a: heard.append(a)) == paths
    assert len(heard) == 2
    clips = Clips(paths, CPU)
    made = clips.sequences(3, 6, 64, torch.Generator().manual_seed(0))
    assert made.shape == (3, 6, 3, 64, 64)
    assert 0 <= made.min() <= made.max() <= 1
    assert [s.shape for s in clips.stills()] == [(3, 200, 200)] * 4
    with pytest.raises(InputError, match="of no use"):
        cache_clips(folder, tmp_path, replace(cutting, length=99))
    with pytest.raises(InputError, match="no clips"):
        cache_clips(tmp_path / "gone", tmp_path)


def test_grey_stills_are_tinted() -> None:
    grey = torch.randint(0, 256, (1, 130, 130), dtype=torch.uint8).repeat(3, 1, 1)
    crops = Stills([grey], CPU).crops(4, 64, torch.Generator().manual_seed(0))
    assert ((crops[:, 0] - crops[:, 1]).abs().mean((1, 2)) > 0.01).all()
    colour = torch.randint(0, 256, (3, 130, 130), dtype=torch.uint8)
    kept = Stills([colour], CPU).crops(1, 130, torch.Generator().manual_seed(0))[0]
    assert torch.equal(kept.sort(0)[0].mean((1, 2)), (colour / 255).sort(0)[0].mean((1, 2)))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """Stills, a clip, and a mirrored pack of them that the command made."""
    root = tmp_path_factory.mktemp("data")
    stills, clips = write_stills(root / "stills"), root / "clips"
    clips.mkdir()
    write_clip(clips / "a.mkv", moving(14, 300, 320, speed=3))
    pack = root / "pack"
    numbers = ("--sequences", 14, "--versions", 2, "--length", 3, "--side", 24, "--mirror")
    code = main(["degrade", *map(str, (pack, "--data", stills, "--clips", clips, *numbers))])
    assert code == 0
    return Sources(stills=stills, clips=clips, packs=(pack,), cache=root)


def test_pack_pairs_belong_together(sources: Sources) -> None:
    """LR and HR show the same place at the same time, also on the way back and when turned."""
    pack = Packs(sources.packs, CPU)
    generator = torch.Generator().manual_seed(0)
    lr, hr = pack.batch(12, 5, 16, generator)
    assert lr.shape == (12, 5, 3, 16, 16)
    assert hr.shape == (12, 5, 3, 64, 64)
    small = torch.nn.functional.avg_pool2d(hr.flatten(0, 1), 4).view_as(lr)
    right = (small - lr).square().mean((2, 3, 4))
    elsewhere = (small.roll(5, -1) - lr).square().mean((2, 3, 4))
    assert (right < elsewhere).float().mean() > 0.9
    held = Packs(sources.packs, CPU, held=True)
    held_hr = held.batch(4, 5, 16, generator)[1]
    assert held_hr.shape == (4, 5, 3, 64, 64)
    with pytest.raises(InputError, match="vsr-lab degrade"):
        Packs([sources.stills], CPU)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"length": 7}, "has a length in frames of 6, and 7 is needed"),
        ({"patch": 32}, "has a side in px of 24, and 32 is needed"),
        ({"scale": 5}, "has a scale of 4, and 5 is needed"),
    ],
)
def test_a_pack_that_gives_no_such_batches_is_refused(
    sources: Sources, asked: dict[str, int], reason: str
) -> None:
    packs = Packs(sources.packs, CPU)
    most = {"scale": 4, "length": 6, "patch": 24}
    packs.check(**most)
    with pytest.raises(InputError, match=reason):
        packs.check(**most | asked)


def test_trainings_look_at_a_pack_before_they_begin(sources: Sources, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="side in px of 24"):
        train(replace(REAL, patch=32), sources, tmp_path, minutes=1, on_report=print)
    order = ("train", "realbasicvsr-lite", "--minutes", 1, "--data", sources.stills)
    words = [str(word) for word in (*order, "--out", tmp_path, "--pack", sources.packs[0])]
    assert main(words) == 3


def test_a_pack_of_one_sequence_is_refused(sources: Sources, tmp_path: Path) -> None:
    numbers = ("--sequences", 1, "--versions", 1, "--length", 2, "--side", 16)
    assert main(["degrade", *map(str, (tmp_path, "--data", sources.stills, *numbers))]) == 0
    with pytest.raises(InputError, match="holds one sequence"):
        Packs([tmp_path], CPU).check(scale=4, length=2, patch=16)


def test_a_pack_that_is_being_replaced_is_no_whole_one(sources: Sources, tmp_path: Path) -> None:
    pack = Path(shutil.copytree(sources.packs[0], tmp_path / "pack"))
    stills, _ = load_stills(sources.stills, (1.0,), CPU)

    def stopped(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_pack(pack, stills, None, Packing(sequences=2, length=2, side=16), stopped)
    with pytest.raises(InputError, match="not a whole pack"):
        Packs([pack], CPU)


def test_a_pack_without_room_is_refused(sources: Sources, tmp_path: Path) -> None:
    stills, _ = load_stills(sources.stills, (1.0,), CPU)
    with pytest.raises(OutputError, match=r"hr\.npy takes \d+ MiB"):
        make_pack(tmp_path, stills, None, Packing(side=1_000_000))
    assert not list(tmp_path.iterdir())


def test_several_packs_are_drawn_from_as_one(sources: Sources, tmp_path: Path) -> None:
    black = Path(shutil.copytree(sources.packs[0], tmp_path / "black"))
    np.lib.format.open_memmap(black / "hr.npy", "r+")[:] = 0
    packs = Packs([*sources.packs, black], CPU)
    _, hr = packs.batch(24, 5, 16, torch.Generator().manual_seed(0))
    share = (hr.flatten(1).amax(1) == 0).float().mean()
    assert 0.2 < share < 0.8


REAL = Recipe(
    id="real", layers=3, features=8, batch=2, length=3, patch=16, degrade="real", clips=0.5,
    contrast=4.0, shrinks=(1.0,),
)  # fmt: skip


@pytest.mark.parametrize(
    ("real", "judges_clean", "is_judged"),
    [(1.0, False, True), (0.0, False, False), (0.0, True, True)],
)
def test_clean_batches_go_unjudged_if_asked(
    sources: Sources, tmp_path: Path, real: float, judges_clean: bool, is_judged: bool
) -> None:
    """The optimiser of a discriminator that saw a batch has moments."""
    net = {"family": "egvsr", "layers": 1, "features": 16, "contrast": 0.0, "judge": 16}
    recipe = replace(REAL, **net, real=real, judges_clean=judges_clean)
    reports: list[Report] = []
    checkpoint = train(recipe, sources, tmp_path, minutes=0.001, on_report=reports.append)
    assert reports[-1].step > 0
    saved = torch.load(checkpoint, weights_only=True)
    assert bool(saved["court"]["optimiser"]["state"]) == is_judged


def test_a_recipe_mixes_its_sources(sources: Sources) -> None:
    feed = Feed(REAL, sources, CPU)
    generator = torch.Generator().manual_seed(0)
    batches = [feed.batch(0.5, generator) for _ in range(30)]
    known = [batch.flow is not None for batch in batches]
    assert 0 < sum(known) < 12
    assert {(b.lr.shape[-1], b.hr.shape[-1]) for b in batches} == {(16, 64)}
    assert torch.equal(feed.held().lr, feed.held().lr)
    with pytest.raises(UsageError, match="--pack"):
        Feed(REAL, replace(sources, packs=()), CPU)
    with pytest.raises(UsageError, match="--clips"):
        Feed(REAL, replace(sources, clips=None), CPU)


def test_training_on_a_pack_goes_on_from_another_net(sources: Sources, tmp_path: Path) -> None:
    """The first net's checkpoint, grown, is where the second begins; a slice then goes on."""
    reports = []
    first = train(REAL, sources, tmp_path, minutes=0.001, on_report=reports.append)
    wider = replace(REAL, id="wider", features=12)
    for _ in range(2):
        train(
            wider,
            sources,
            tmp_path,
            minutes=0.001,
            total_minutes=1,
            begin=first,
            on_report=reports.append,
        )
    assert reports[2].step > reports[1].step
    assert all(np.isfinite(r.recurrent) for r in reports)
    with pytest.raises(WeightsError, match="12 features"):
        begin_from(tmp_path / "wider.pt", Rlsp(layers=4, features=8))
    junk = tmp_path / "junk.pt"
    junk.write_bytes(b"no tensors at all")
    with pytest.raises(WeightsError, match="not a checkpoint"):
        begin_from(junk, Rlsp(layers=3, features=8))


def random_net(features: int, contrast: float) -> Rlsp:
    net = Rlsp(layers=4, features=features, contrast=contrast).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return net


def test_a_smaller_scale_begins_as_the_larger_ones_mean() -> None:
    torch.manual_seed(0)
    large = Rlsp(layers=3, features=8, scale=4, contrast=8.0).eval()
    torch.nn.init.normal_(large.head.weight, std=0.02)
    small = Rlsp(layers=3, features=8, scale=2, contrast=8.0).eval()
    small.load_state_dict(rescaled(large.state_dict(), 2))
    frames = torch.rand(1, 1, 3, 8, 8)
    with torch.no_grad():
        wanted, made = (
            torch.nn.functional.pixel_shuffle(net(frames)[0], net.scale) for net in (large, small)
        )
    torch.testing.assert_close(made, torch.nn.functional.avg_pool2d(wanted, 2))


def test_growing_changes_nothing_at_first() -> None:
    torch.manual_seed(0)
    small, large = random_net(8, 4.0), random_net(20, 4.0)
    large.load_state_dict(grown(small.state_dict(), large))
    frames = torch.rand(1, 6, 3, 9, 14)
    with torch.no_grad():
        np.testing.assert_allclose(large(frames).numpy(), small(frames).numpy(), atol=1e-5)
    loss = large(frames).square().mean()
    loss.backward()
    assert large.head.weight.grad[:, 8:].abs().max() > 0


def test_pruning_drops_what_nobody_reads() -> None:
    torch.manual_seed(1)
    large, small = Rlsp(layers=4, features=8), Rlsp(layers=4, features=5)
    kept = torch.tensor([0, 2, 3, 5, 7])
    unread = [i for i in range(8) if i not in kept]
    with torch.no_grad():
        large.body[0].weight[:, [9 + i for i in unread]] = 0
        large.head.weight[:, unread] = 0
        for layer in large.body[1:]:
            layer.weight[:, unread] = 0
    small.load_state_dict(pruned(large.state_dict(), small))
    frames = torch.rand(1, 4, 3, 12, 12)
    with torch.no_grad():
        torch.testing.assert_close(small(frames), large(frames))


@pytest.mark.parametrize("contrast", [0.0, 6.0])
def test_a_net_begins_from_a_shipped_cell(tmp_path: Path, contrast: float) -> None:
    """The folded graph, unfolded again, computes the same."""
    torch.manual_seed(0)
    trained = random_net(8, 6.0)
    (tmp_path / "net-x4.onnx").write_bytes(rlsp_cell(trained.folded()).SerializeToString())
    (tmp_path / "net-x4-int8.onnx").write_bytes(b"not what a training reads")
    net = random_net(8, contrast)
    begin_from(tmp_path, net)
    frames = torch.rand(1, 5, 3, 9, 14)
    with torch.no_grad():
        np.testing.assert_allclose(net(frames).numpy(), trained(frames).numpy(), atol=1e-4)
    back = unfolded(trained.folded().state_dict(), 6.0)
    for key, value in trained.state_dict().items():
        np.testing.assert_allclose(back[key].numpy(), value.numpy(), atol=1e-5)
    with pytest.raises(WeightsError, match="layers"):
        begin_from(tmp_path, Rlsp(layers=5, features=8))


def test_a_recipe_names_a_degradation_that_exists(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('id = "r"\nfamily = "rlsp"\ndegrade = "reel"\n')
    with pytest.raises(InputError, match="bicubic"):
        load_recipe(path)
