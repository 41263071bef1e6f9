"""The distance in texture: strength counts, place does not."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from vsrcli.lab.restore.texture import strengths, texture_distance


def test_detail_of_the_right_strength_is_nearer_than_none():
    torch.manual_seed(0)
    true, other = (0.5 + 0.1 * torch.randn(2, 3, 72, 72) for _ in range(2))
    smooth = torch.nn.functional.avg_pool2d(true, 5, 1, 2)
    assert texture_distance(true, true) == 0
    near, far = texture_distance(other, true), texture_distance(smooth, true)
    assert near < 0.2 * far
    assert texture_distance(0.5 + 2 * (other - 0.5), true) > 2 * near  # too much is no better


def test_a_checkerboard_is_seen_as_the_finest_detail_in_both_directions_and_as_the_grid_s() -> None:
    at = torch.arange(72)
    board = 0.5 + 0.1 * ((at + at[:, None]) % 2 - 0.5)
    found = strengths(board.expand(1, 3, 72, 72))
    flat = strengths(torch.full((1, 3, 72, 72), 0.5))
    gaps = [(a - b).mean((0, 2, 3)) for a, b in zip(found, flat, strict=True)]
    assert gaps[0][2] > 2
    assert gaps[-1][0] > 2
    rest = torch.cat([gaps[0][:2], *gaps[1:-1]])
    assert float(rest.abs().max()) < 1e-3


def test_a_pattern_locked_to_the_grid_is_farther_than_one_that_is_not() -> None:
    torch.manual_seed(0)
    true, other = (0.5 + 0.1 * torch.randn(1, 3, 72, 72) for _ in range(2))
    tile = 0.5 + 0.1 * torch.randn(1, 3, 4, 4).repeat(1, 1, 18, 18)
    assert texture_distance(tile, true) > 3 * texture_distance(other, true)


def test_a_flat_picture_has_a_gradient():
    flat = torch.full((1, 3, 40, 40), 0.5, requires_grad=True)
    texture_distance(flat, torch.rand(1, 3, 40, 40)).backward()
    assert flat.grad.isfinite().all()


def test_teeth_along_an_edge_cost_more_than_their_lack():
    edge = torch.zeros(1, 3, 48, 48)
    edge[..., 24:26], edge[..., 26:] = 0.5, 1
    teeth = edge.clone()
    teeth[..., ::2, 24:26] += 0.1
    assert texture_distance(teeth, edge) > 1.4 * texture_distance(edge, teeth)
