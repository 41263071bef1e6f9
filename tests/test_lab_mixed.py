"""Training computes in bf16 where that is faster."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from vsrcli.lab import mixed as module
from vsrcli.lab.mixed import mixed


@pytest.mark.parametrize("narrow", [False, True])
def test_a_processor_without_bf16_trains_in_fp32(
    monkeypatch: pytest.MonkeyPatch, narrow: bool
) -> None:
    monkeypatch.setattr(module, "has_bf16", lambda: narrow)
    net, pixels = torch.nn.Conv2d(1, 1, 1), torch.zeros(1, 1, 2, 2)
    with mixed(torch.device("cpu")):
        assert net(pixels).dtype == (torch.bfloat16 if narrow else torch.float32)
    assert net(pixels).dtype == torch.float32
