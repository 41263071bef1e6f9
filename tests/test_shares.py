"""`--threads` is of all stages together."""

from __future__ import annotations

from pathlib import Path

import pytest
from clips import Clip, make

from vsrcli import Job, pipeline, upscale
from vsrcli.thread_shares import Shares, shares


@pytest.mark.parametrize("light", [True, False])
def test_every_stage_has_a_thread_and_together_no_more_than_asked(light: bool) -> None:
    assert shares(0, light=light) == Shares(decode=0, infer=0, encode=0)
    for threads in range(1, 65):
        share = shares(threads, light=light)
        parts = (share.decode, share.infer, share.encode)
        assert min(parts) >= 1
        assert sum(parts) == threads or threads < 8


def test_a_model_with_memory_gets_more_than_one_without() -> None:
    assert shares(8, light=True) == Shares(decode=1, infer=3, encode=4)
    assert shares(8, light=False) == Shares(decode=1, infer=5, encode=2)
    assert shares(2, light=False).infer == 2


def test_a_run_gives_each_stage_its_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, int] = {}

    def noting(name: str) -> None:
        real = getattr(pipeline, name)

        def opened(*args: object, **options: object) -> object:
            given[name] = int(str(options["threads"]))
            return real(*args, **options)

        monkeypatch.setattr(pipeline, name, opened)

    for name in ("Source", "open_driver", "Sink"):
        noting(name)
    clip = make(tmp_path / "in.mp4", Clip(frames=3))
    upscale(Job(source=clip, target=tmp_path / "out.mp4", model="bicubic", scale=2, threads=8))
    assert given == {"Source": 1, "open_driver": 3, "Sink": 4}
