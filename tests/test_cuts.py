"""Where a cut is found: made clips with hard cuts, and with what only looks like one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from vsrcli.cuts import cut_scores
from vsrcli.frames import Frame, frame_of
from vsrcli.job import DEFAULT_SCENE_THRESHOLD
from vsrcli.media.pixels import layout_of
from vsrcli.sequences import Cut, split_shots

SIZE = (96, 160)


def scene(seed: int, length: int, size: tuple[int, int] = SIZE, speed: int = 1) -> list[np.ndarray]:
    """Soft blobs, 16..235, that the camera moves over, `speed` px a frame."""
    rng = np.random.default_rng(seed)
    height, width = size
    y, x = np.arange(height, dtype=float), np.arange(4 * width, dtype=float)
    land = np.zeros((height, 4 * width))
    for _ in range(150):
        at_y, at_x = rng.uniform(0, height), rng.uniform(0, 4 * width)
        reach = height * rng.uniform(0.04, 0.2)
        down, across = (
            np.exp(-((v - at) ** 2) / (2 * reach**2)) for v, at in ((y, at_y), (x, at_x))
        )
        land += rng.normal() * np.outer(down, across)
    land = 126 + 100 * np.tanh(land)
    starts = (speed * i % (3 * width) for i in range(length))
    return [land[:, start : start + width].round().astype(np.uint8) for start in starts]


def frames(planes: list[np.ndarray], name: str = "gray") -> Iterator[Frame]:
    for index, plane in enumerate(planes):
        yield frame_of((plane,), layout_of(name), index)


def cuts(planes: list[np.ndarray], name: str = "gray") -> list[int]:
    """The frames that start a new shot, by the default threshold."""
    found, is_cut = [], False
    for item in split_shots(frames(planes, name), threshold=DEFAULT_SCENE_THRESHOLD):
        if isinstance(item, Cut):
            is_cut = True
        else:
            found += [item.index] if is_cut else []
            is_cut = False
    return found


def mixed(one: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    return (one * (1 - share) + other * share).round().astype(np.uint8)


@pytest.mark.parametrize("size", [SIZE, (61, 37), (9, 16), (720, 1280)])
def test_hard_cuts_are_found_on_the_frame(size: tuple[int, int]) -> None:
    joined = scene(1, 5, size) + scene(2, 4, size) + scene(3, 3, size)
    assert cuts(joined) == [5, 9]


def test_shots_of_one_frame_and_of_ten_bits() -> None:
    joined = scene(1, 6) + scene(2, 1) + scene(3, 6)
    assert cuts(joined) == [6, 7]
    assert cuts([plane.astype(np.uint16) * 4 for plane in joined], "gray10le") == [6, 7]


@pytest.mark.parametrize("flash", [[235], [255], [16], [235, 235, 235]])
def test_a_flash_is_no_cut(flash: list[int]) -> None:
    shot = scene(1, 12)
    shot[5 : 5 + len(flash)] = [np.full(SIZE, level, np.uint8) for level in flash]
    assert cuts(shot) == []


def test_another_exposure_is_no_cut() -> None:
    shot = scene(1, 12)
    dark = [(plane * 0.5).astype(np.uint8) for plane in shot]
    assert cuts(shot[:6] + dark[6:]) == []
    assert cuts([*shot[:6], mixed(shot[6], np.full(SIZE, 255), 0.7), *shot[7:]]) == []


def test_a_wrong_frame_between_is_no_cut() -> None:
    """A subliminal or damaged picture, after which the old one goes on."""
    shot = scene(1, 12)
    assert cuts([*shot[:6], scene(2, 1)[0], *shot[7:]]) == []


@pytest.mark.parametrize("speed", [8, 20, 40])
def test_a_fast_pan_is_no_cut(speed: int) -> None:
    """Up to a quarter of the width a frame, from a standing camera and back to it."""
    pan = scene(1, 8, speed=speed)
    assert cuts([*[pan[0]] * 4, *pan, *[pan[-1]] * 4]) == []


def test_a_restless_picture_is_no_cut() -> None:
    """Something else in every frame before the same place, as in a crowd or a fire."""
    restless = [mixed(scene(1, 1)[0], scene(seed, 1)[0], 0.35) for seed in range(2, 10)]
    assert cuts(restless) == []
    assert cuts([*restless, *scene(20, 4)]) == [8]


def test_a_jump_by_nearly_half_the_width_is_a_cut() -> None:
    """The same place, but no camera moves so far from frame to frame."""
    here, there = scene(1, 2, speed=72)
    assert cuts([*[here] * 4, *[there] * 4]) == [4]


def test_a_cross_fade_is_no_cut() -> None:
    one, other = scene(1, 20), scene(2, 20)
    share = np.clip((np.arange(20) - 4) / 12, 0, 1)
    assert cuts([mixed(a, b, s) for a, b, s in zip(one, other, share, strict=True)]) == []


def test_a_fade_through_black_is_a_cut_where_the_new_picture_appears() -> None:
    black = np.full(SIZE, 16, np.uint8)
    one, other = scene(1, 8), scene(2, 8)
    out = [mixed(plane, black, (i + 1) / 8) for i, plane in enumerate(one)]
    back = [mixed(black, plane, (i + 1) / 8) for i, plane in enumerate(other)]
    assert cuts([*one, *out, black, black, *back, *other]) == [18]
    same = [mixed(black, plane, (i + 1) / 8) for i, plane in enumerate(one)]
    assert cuts([*one, *out, black, black, *same, *one]) == []


def test_pictures_without_a_picture() -> None:
    flat = [np.full(SIZE, level, np.uint8) for level in (16, 16, 235, 100, 16)]
    assert list(cut_scores(frames(flat))) == [0] * 5
    assert list(cut_scores(frames([np.zeros((1, 1), np.uint8)] * 3))) == [0] * 3
    assert list(cut_scores(frames([]))) == []
    assert cuts([*flat, *scene(1, 4), *flat]) == []


def test_what_is_no_frame_keeps_its_place() -> None:
    a, b, c = frames(scene(1, 2) + scene(2, 1))
    items = ["before", a, "sound", "words", b, c, "end"]  # the cut stands before c
    found = list(split_shots(iter(items), threshold=DEFAULT_SCENE_THRESHOLD))
    assert all(a is b for a, b in zip(found[:5] + found[6:], items, strict=True))
    assert isinstance(found[5], Cut)
    assert found[6] is c
    assert len(list(split_shots(iter(items), threshold=None))) == len(items)


def test_it_looks_no_more_than_one_frame_ahead() -> None:
    taken = []

    def source() -> Iterator[Frame]:
        for frame in frames(scene(1, 6)):
            taken.append(frame.index)
            yield frame

    shots = split_shots(source(), threshold=DEFAULT_SCENE_THRESHOLD)
    for index in range(4):
        assert next(shots).index == index
        assert len(taken) == index + 2
