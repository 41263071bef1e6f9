"""The bidirectional driver: equal to the network, in chunks of any size, in bounded memory."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from clips import Clip, make
from onnxruntime import InferenceSession

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from vsrcli.errors import DeviceError, OutOfMemoryError, UsageError, WeightsError
from vsrcli.frames import Color, Picture, frame_of
from vsrcli.lab.restore.export import card_of, parity, restored, write
from vsrcli.lab.restore.network import RealBasicVsr, Shape
from vsrcli.media.pixels import layout_of
from vsrcli.memory_needs import memory_needs
from vsrcli.models import Model, Temporal, Tuning, find_model
from vsrcli.models.model import read_model
from vsrcli.pipeline import run_model
from vsrcli.runtime import chunk_memory as footprint_module
from vsrcli.runtime.check import check_model
from vsrcli.runtime.cleaning import INVISIBLE, decided, revised, smoothed
from vsrcli.runtime.drivers import bidirectional, open_driver
from vsrcli.runtime.engines.onnx import OnnxEngine
from vsrcli.runtime.strips import strips_of
from vsrcli.sequences import Cut

SMALL = Shape(
    features=8, blocks=1, cleaning=1, detail=8, flow_levels=3, flow_widths=(8, 8, 8, 8),
    flow_finest=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def net():
    """Random, but strong enough that every part leaves its mark on the output."""
    torch.manual_seed(1)
    made = RealBasicVsr(SMALL).eval()
    for name, parameter in made.named_parameters():
        torch.nn.init.normal_(parameter, std=0.05 if "spynet" in name else 0.1)
    return made


@pytest.fixture(scope="module")
def model(net, tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    card = card_of("toy", summary="", licence="MIT", trained_on="", recipe="", threshold=0.05)
    write(net, card, root)
    return read_model(root / "toy")


def moving(length, height=24, width=32, seed=0):
    """A picture that drifts by half a pixel a frame: (T, 3, H, W), 16 bit."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, height // 4 + 8, width // 4 + 8, generator=generator)
    size = (2 * (height + 32), 2 * (width + 32))
    large = torch.nn.functional.interpolate(coarse, size, mode="bicubic").clamp(0, 1)
    views = [large[0, :, 1 : 2 * height : 2, t : t + 2 * width : 2] for t in range(length)]
    return (torch.stack(views).numpy() * 65535).round().astype(np.uint16)


def whole(net, clip, passes):
    frames = torch.from_numpy(clip.astype(np.float32) / 65535)[None]
    with torch.no_grad():
        return net(frames, passes)[0][0].clamp(0, 1).numpy()


def psnr(a, b):
    return -10 * np.log10(np.mean((a - b) ** 2, axis=(1, 2, 3)) + 1e-20)


def test_one_chunk_equals_the_network(net, model):
    assert parity(model, net, length=5, side=24) <= 1e-4


@pytest.mark.parametrize("passes", [0, 1, 2, 3])
def test_so_many_passes_as_asked_for(net, model, passes):
    clip = moving(3)
    made = restored(model, clip, Tuning(chunk=3, clean=str(passes)))
    np.testing.assert_allclose(made, whole(net, clip, passes), atol=1e-4)


def test_passes_matter_and_frames_look_both_ways(net, model):
    """What the other tests compare depends on cleaning, on the past and on the future."""
    clip = moving(5)
    base = whole(net, clip, 1)
    assert np.abs(whole(net, clip, 2) - base).max() > 0.01
    for other in (0, 4):
        changed = clip.copy()
        changed[other] = 65535 - changed[other]
        assert np.abs(whole(net, changed, 1)[2] - base[2]).max() > 1e-3


def test_chunks_do_not_show(net, model):
    """Chunks of 6 with look-ahead against the whole clip, in the middle and at the borders."""
    clip = moving(20)
    wanted = whole(net, clip, 1)
    made = restored(model, clip, Tuning(chunk=6, overlap=4, clean="1"))
    level = psnr(made, wanted)
    borders = [i for i in range(20) if i % 6 in (0, 5)]
    middle = [i for i in range(20) if i % 6 in (2, 3)]
    assert level.min() >= 45
    assert level[borders].mean() >= level[middle].mean() - 2 or level[borders].min() > 90
    blind = psnr(restored(model, clip, Tuning(chunk=6, overlap=0, clean="1")), wanted)
    assert blind.min() < level.min() - 6


def in_chunks(model, clip, chunk, overlap):
    """What the model's parts give for a clip cleaned once, each chunk written out in full."""
    parts = {name: InferenceSession(graph.file) for name, graph in model.parts(4).items()}

    def part(name, **feeds):
        return parts[name].run(None, feeds)[0]

    clean = [part("clean", frame=frame[None].astype(np.float32) / 65535) for frame in clip]
    sides = clean[0].shape[2:]
    still, nothing = np.zeros((1, 2, *sides), np.float32), np.zeros((1, 8, *sides), np.float32)
    made, before = [], nothing
    for start in range(0, len(clip), chunk):
        behind = {start + chunk + overlap: nothing, len(clip): nothing}
        last = min(behind) - 1
        for i in range(last, start - 1, -1):
            motion = still if i == last else part("flow", now=clean[i], other=clean[i + 1])
            behind[i] = part("backward", frame=clean[i], feature=behind[i + 1], motion=motion)
        for i in range(start, min(start + chunk, len(clip))):
            motion = part("flow", now=clean[i], other=clean[i - 1]) if i else still
            before = part("forward", frame=clean[i], feature=before, motion=motion)
            made.append(part("reconstruct", frame=clean[i], behind=behind[i], before=before)[0])
    return np.stack(made).clip(0, 1)


@pytest.mark.parametrize(("chunk", "overlap"), [(1, 0), (1, 3), (3, 0), (4, 1), (4, 5), (9, 2)])
def test_a_chunk_goes_on_from_the_last_and_looks_as_far_ahead_as_asked(model, chunk, overlap):
    clip = moving(9)
    made = restored(model, clip, Tuning(chunk=chunk, overlap=overlap, clean="1"))
    np.testing.assert_allclose(made, in_chunks(model, clip, chunk, overlap), atol=1e-4)


@pytest.mark.parametrize("chunk", [1, 4])
def test_strips_equal_the_whole(net, model, monkeypatch, chunk):
    clip = moving(4, height=37, width=19)
    before = restored(model, clip, Tuning(chunk=4, overlap=0))
    monkeypatch.setattr(footprint_module, "_STRIP_BYTES", 1)
    np.testing.assert_array_equal(restored(model, clip, Tuning(chunk=4, overlap=0)), before)


def test_strips_cover_every_row_once():
    strips = strips_of(37, 8, 2)
    assert (strips[0].top, strips[-1].bottom) == (0, 37)
    assert all(a.bottom == b.top for a, b in pairwise(strips))
    assert all(s.bottom - s.top <= 8 for s in strips)
    assert all(0 <= s.above <= max(0, s.top - 2) for s in strips)
    assert all(min(37, s.bottom + 2) <= s.below <= 37 for s in strips)
    assert len({s.below - s.above for s in strips}) == 1


PICTURE = Picture(
    layout=layout_of("yuv420p"), color=Color(matrix=6, full_range=False), width=13, height=9
)


def frames_of(picture, length, seed=0, start=0):
    rng = np.random.default_rng(seed)
    layout = picture.layout

    def noise(plane):
        return rng.integers(16, 236, picture.size(plane)).astype(layout.dtype)

    planes = range(len(layout.roles))
    return [frame_of(tuple(map(noise, planes)), layout, start + i) for i in range(length)]


def run(model, items, picture=PICTURE, **tuning):
    shots = []
    driver = open_driver(
        model, 4, picture=picture, device="cpu", threads=1, tuning=Tuning(**tuning),
        on_shot=shots.append,
    )  # fmt: skip
    made = list(run_model(iter(items), driver))
    driver.close()
    return made, shots


def same(a, b):
    return all(
        np.array_equal(p, q) for x, y in zip(a, b, strict=True)
        for p, q in zip(x.planes, y.planes, strict=True)
    )  # fmt: skip


@pytest.mark.parametrize("size", [(13, 9), (1, 1), (2, 33)])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "gray10le", "gbrap"])
def test_any_size_and_format(model, size, pix_fmt):
    picture = replace(PICTURE, layout=layout_of(pix_fmt), width=size[0], height=size[1])
    made, _ = run(model, frames_of(picture, 3), picture, chunk=2, overlap=1)
    assert [f.pts for f in made] == [0, 1, 2]
    for frame in made:
        assert (frame.width, frame.height, frame.layout) == (
            4 * size[0],
            4 * size[1],
            picture.layout,
        )
        for index, plane in enumerate(frame.planes):
            assert plane.shape == picture.layout.size(index, 4 * size[0], 4 * size[1])
            assert plane.dtype == picture.layout.dtype


def test_a_cut_makes_the_next_shot_as_if_alone(model, caplog):
    caplog.set_level(logging.INFO, logger="vsr")
    first, second = frames_of(PICTURE, 5), frames_of(PICTURE, 4, seed=1, start=5)
    made, shots = run(model, [*first, Cut(score=50), *second], chunk=3, overlap=2)
    alone, _ = run(model, second, chunk=3, overlap=2)
    assert [f.index for f in made] == list(range(9))
    assert same(made[5:], alone)
    assert [(s.first, s.frames) for s in shots] == [(0, 5), (5, 4)]
    assert all(len(s.passes) >= 1 and s.change > 0 for s in shots)
    told = [r.message for r in caplog.records if r.message.startswith("frames 5 to 8: cleaning")]
    assert len(told) == 2  # in this run and in that of the shot alone


def test_nothing_in_gives_nothing_out(model):
    made, shots = run(model, [])
    assert (made, shots) == ([], [])


def test_a_clean_shot_is_left_as_it_is(model, monkeypatch):
    """Chunk after chunk, though a pass is tried in each."""
    monkeypatch.setattr("vsrcli.runtime.cleaning.INVISIBLE", 1.0)
    frames = frames_of(PICTURE, 7)
    made, (shot,) = run(model, frames, chunk=3, overlap=1)
    wanted, _ = run(model, frames, chunk=3, overlap=1, clean="0")
    assert shot.passes == (0,)
    assert shot.change > 0
    assert same(made, wanted)


def test_passes_are_revised_from_chunk_to_chunk(model, monkeypatch):
    monkeypatch.setattr("vsrcli.runtime.cleaning.INVISIBLE", 1.0)
    monkeypatch.setattr(bidirectional, "revised", lambda passes, *_: passes + 1)
    _, (shot,) = run(model, frames_of(PICTURE, 12), chunk=3, overlap=0)
    assert shot.passes == (0, 1, 2)


@pytest.mark.parametrize("at", [0, 1, 6, 7, 9])
def test_goes_on_from_what_was_saved(model, at):
    """With the same chunks, at the start of a shot, too."""
    frames = frames_of(PICTURE, 14)
    tuning = Tuning(chunk=4, overlap=2)
    wanted, _ = run(model, frames, chunk=4, overlap=2)

    def fresh(tuning):
        return open_driver(model, 4, picture=PICTURE, device="cpu", threads=1, tuning=tuning)

    driver = fresh(tuning)
    made = [out for frame in frames[:at] for out in driver.push(frame)]
    kept = driver.save()
    other = fresh(Tuning())
    other.load(kept.arrays, frames[at - kept.held : at])
    made += [out for frame in frames[at:] for out in other.push(frame)]
    made += other.flush()
    assert same(made, wanted)


def test_strength_blends_with_the_bicubic_of_the_clean_frame(net, model):
    clip = moving(3)
    full, none, half = (
        restored(model, clip, Tuning(chunk=3, clean="1", strength=s)) for s in (1.0, 0.0, 0.5)
    )
    with torch.no_grad():
        clean = net.clean(torch.from_numpy(clip.astype(np.float32) / 65535)[None], 1)[0]
    plain = torch.nn.functional.interpolate(clean, scale_factor=4, mode="bicubic", antialias=True)
    inner = np.s_[..., 8:-8, 8:-8]
    np.testing.assert_allclose(none[inner], plain.clamp(0, 1).numpy()[inner], atol=2e-3)
    inside = (full > 0) & (full < 1) & (none > 0) & (none < 1)
    np.testing.assert_allclose(half[inside], ((full + none) / 2)[inside], atol=1e-4)


def test_memory_that_runs_out_makes_chunks_smaller(model, monkeypatch, caplog):
    frames = frames_of(PICTURE, 9)
    wanted, _ = run(model, frames, chunk=2, overlap=1, clean="1")
    real, calls = bidirectional.BidirectionalDriver._reconstruct, []

    def failing(driver, *arguments):
        calls.append(driver.chunk)
        if driver.chunk > 2 and len(calls) % 3 == 2:
            raise OutOfMemoryError("failed to allocate")
        return real(driver, *arguments)

    monkeypatch.setattr(bidirectional.BidirectionalDriver, "_reconstruct", failing)
    with caplog.at_level(logging.WARNING, logger="vsr"):
        made, _ = run(model, frames, chunk=8, overlap=4, clean="1")
    assert [f.index for f in made] == list(range(9))
    assert same(made, wanted)
    assert [r.message.split("chunks of ")[1] for r in caplog.records] == ["4 frames", "2 frames"]


def test_frames_ahead_are_given_up_before_the_run_is(model, monkeypatch):
    real = bidirectional.BidirectionalDriver._reconstruct

    def failing(driver, *arguments):
        if driver.overlap:
            raise OutOfMemoryError("failed to allocate")
        return real(driver, *arguments)

    monkeypatch.setattr(bidirectional.BidirectionalDriver, "_reconstruct", failing)
    made, _ = run(model, frames_of(PICTURE, 3), chunk=1, overlap=2)
    assert [f.index for f in made] == [0, 1, 2]


def test_memory_that_never_suffices_is_an_error(model, monkeypatch):
    def failing(*_):
        raise OutOfMemoryError("failed to allocate")

    monkeypatch.setattr(bidirectional.BidirectionalDriver, "_reconstruct", failing)
    with pytest.raises(DeviceError, match="not even one 13x9 frame"):
        run(model, frames_of(PICTURE, 3), chunk=2, overlap=1)


def test_chunk_follows_the_memory(model, monkeypatch, caplog):
    def driver(free, **tuning):
        monkeypatch.setattr(bidirectional, "free_bytes", lambda _: free)
        made = open_driver(
            model, 4, picture=PICTURE, device="cpu", threads=1, tuning=Tuning(**tuning)
        )
        made.close()
        return made

    foot = driver(None).footprint
    assert driver(None).chunk == driver(1 << 40).chunk == footprint_module.LONGEST
    assert driver(2 * foot.of(7, 5)).chunk == 7
    assert driver(0).chunk == 1
    assert driver(None, chunk=50).chunk == 50
    free = int(foot.of(9, 5) / footprint_module.MOST) + 100
    with caplog.at_level(logging.INFO, logger="vsr"):
        assert driver(free, chunk=50).chunk == 9
        assert "--chunk 50" in caplog.text
        assert driver(2 * foot.of(7, 5)).chunk == 7
    assert "chunks of 7 frames" in caplog.text


def test_no_more_tensors_for_more_frames(model, monkeypatch):
    """As many are made, of any kind, for a short film as for a long one."""
    real, made = OnnxEngine.put, []

    def counting(engine, array):
        made.append(array.shape)
        return real(engine, array)

    monkeypatch.setattr(OnnxEngine, "put", counting)
    counts = []
    for length in (12, 40):
        made.clear()
        run(model, frames_of(PICTURE, length), chunk=4, overlap=2, clean="1")
        counts.append(len(made))
    assert counts[0] == counts[1] > 0


def test_memory_is_foreseen(model, vsr, tmp_path, monkeypatch):
    """By the driver's own rule, with a lower limit set by what a run certainly keeps."""
    monkeypatch.setattr("vsrcli.memory_needs.free_bytes", lambda _: None)
    models = [find_model("bicubic"), model]
    (short,) = memory_needs(PICTURE, models, scale=4, tuning=Tuning(chunk=5, overlap=2))
    (long,) = memory_needs(PICTURE, models, scale=4, tuning=Tuning(chunk=9, overlap=2))
    assert (short.model, short.chunk, short.overlap) == ("toy", 5, 2)
    samples = 13 * 9
    kept = samples * 4 * (8 + 3 + 2 + 2) + 16 * samples  # feature, frame, motions; large luma
    assert (long.peak_bytes - short.peak_bytes) / 4 > kept
    with monkeypatch.context() as little:
        little.setattr("vsrcli.memory_needs.free_bytes", lambda _: short.peak_bytes // 100)
        (scarce,) = memory_needs(PICTURE, models, scale=4)
    assert 1 <= scarce.chunk < 30
    monkeypatch.setenv("VSR_MODELS", str(model.folder.parent))
    source = make(tmp_path / "in.mkv", Clip(frames=3, size=(36, 20)))
    foreseen = json.loads(vsr("probe", source, "--json", "--no-speed").out)["memory"]
    (said,) = (entry for entry in foreseen if entry["model"] == "toy")
    assert said["peak_bytes"] > 100e6
    assert "toy takes about" in vsr("probe", source, "--no-speed").out


def test_footprint_grows_as_the_frames_do(model):
    small = footprint_module.footprint(model, 4, 8, PICTURE)
    large = footprint_module.footprint(model, 4, 8, replace(PICTURE, width=26, height=18))
    assert 3.9 < large.frame / small.frame < 4.1
    assert small.of(10, 2) - small.of(5, 2) == 5 * small.frame
    assert small.chunk_in(small.of(10, 2), 2) == 10


def test_options_of_another_kind_are_refused(model):
    frame_model = find_model("bicubic")
    for name, value in (("chunk", 4), ("overlap", 1), ("clean", "auto"), ("strength", 0.5)):
        with pytest.raises(UsageError, match=f"--{name} is for bidirectional models"):
            Tuning(**{name: value}).check(frame_model)
        Tuning(**{name: value}).check(model)
    Tuning().check(frame_model)
    for wrong in ({"chunk": 0}, {"strength": 1.5}, {"clean": "4"}, {"clean_threshold": -1}):
        with pytest.raises(UsageError):
            Tuning(**wrong)
    with pytest.raises(UsageError, match="clean-threshold"):
        Tuning(clean="2", clean_threshold=3)


def test_verify_looks_at_every_part(model, tmp_path):
    assert check_model(model.folder).problems == ()
    assert check_model(model.folder).graphs == 5
    folder = tmp_path / "toy"
    folder.mkdir()
    for file in model.folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    card = (folder / "model.toml").read_text()
    (folder / "model.toml").write_text(card.replace('part = "flow"', 'part = "float"'))
    assert check_model(folder).problems == ("the card names no part flow of x4",)
    with pytest.raises(WeightsError, match="no graph flow"):
        open_driver(read_model(folder), 4, picture=PICTURE, device="cpu")
    (folder / "model.toml").write_text(card)
    (folder / "toy-x4-clean.onnx").write_bytes(b"junk")
    assert "checksum" in check_model(folder).problems[0]


def test_card_says_what_the_driver_needs(model):
    assert isinstance(model, Model)
    assert model.temporal is Temporal.BIDIRECTIONAL
    assert model.clean_threshold == 0.05
    parts = model.parts(4)
    assert parts["reconstruct"].border == 2
    assert all(part.work > 0 and part.params > 0 for part in parts.values())


def test_passes_follow_the_published_rule():
    assert decided([], 0.02) is None
    assert decided([INVISIBLE / 2], 0.02) == 0
    assert decided([0.01], 0.02) == 1
    assert decided([0.03], 0.02) is None
    assert decided([0.03, 0.01], 0.02) == 2
    assert decided([0.05, 0.04, 0.03], 0.02) == 3


def test_passes_do_not_flicker():
    """Changes that hover about the threshold move nothing; clear ones move it by one a chunk."""
    passes, changes = 1, [0.02]
    for noise in (0.022, 0.018, 0.023, 0.017) * 5:
        changes = smoothed(changes, [noise])
        assert revised(passes, changes, 0.02) == 1
    assert revised(1, [0.03], 0.02) == 2
    assert revised(2, [0.03, 0.019], 0.02) == 2
    assert revised(2, [0.012, 0.01], 0.02) == 1
    assert revised(3, [0.5, 0.4, 0.3], 0.02) == 3
    assert revised(1, [0.012], 0.02) == 1  # the last pass goes only where nobody sees it
    assert revised(1, [INVISIBLE / 2], 0.02) == 0
    assert revised(0, [INVISIBLE], 0.02) == 0
    assert revised(0, [0.01], 0.02) == 1
    assert smoothed([0.02], [0.04, 0.01]) == pytest.approx([0.03, 0.01])


def test_a_run_of_the_command_line(model, vsr, tmp_path):
    """Every frame comes out, the options arrive, and the shots' cleaning is reported."""
    source, target = make(tmp_path / "in.mkv", Clip(frames=7, size=(36, 20))), tmp_path / "out.mkv"
    line = ("upscale", source, "-o", target, "--model", model.folder, "--preset", "ultrafast")
    told = vsr(*line, "--chunk", 3, "--overlap", 1, "--clean", 2, "--progress", "json")
    assert told.code == 0, told.err
    done = json.loads(told.out.splitlines()[-1])
    assert (done["frames"], done["width"], done["height"]) == (7, 144, 80)
    (shot,) = done["cleaned"]
    assert (shot["first"], shot["frames"], shot["passes"]) == (0, 7, [2])
    refused = vsr("upscale", source, "-o", target, "-y", "--strength", 0.5)
    assert refused.code == 2
    assert refused.lines == [
        "vsr: --strength is for bidirectional models; rlsp-7-128 is a recurrent one"
    ]


def test_eval_takes_the_options(model, vsr, tmp_path):
    """Each changes the figures; those of another kind of model are refused."""
    folder = tmp_path / "clips"
    folder.mkdir()
    make(folder / "a.mkv", Clip(frames=3, size=(96, 80)))

    def figures(*options):
        told = vsr("eval", model.folder, folder, "--json", *options)
        assert told.code == 0, told.err
        return json.loads(told.out)["mean"]["psnr_y"]

    found = [figures("--clean", n) for n in (0, 1, 3)]
    found += [figures("--clean", 1, "--strength", 0), figures("--clean", 1, "--chunk", 1,
              "--overlap", 0)]  # fmt: skip
    assert len(set(found)) == 5
    refused = vsr("eval", "bicubic", folder, "--clean", 1)
    assert refused.code == 2
    assert "--clean is for bidirectional models" in refused.err
