"""A resumed run reads on to where it was: of what sources, and how much it takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from clips import Clip, make

from vsrcli import Job, upscale
from vsrcli.frames import Frame
from vsrcli.media import inlet
from vsrcli.media.inlet import Reading
from vsrcli.media.source import Source
from vsrcli.progress import Progress


def test_a_source_that_needs_its_format_is_taken_up(tmp_path: Path) -> None:
    source, target = tmp_path / "in.yuv", tmp_path / "out.mkv"
    pixels = np.random.default_rng(0).integers(0, 255, 30 * 64 * 48 * 3 // 2, dtype=np.uint8)
    source.write_bytes(pixels.tobytes())
    options = {"video_size": "64x48", "pixel_format": "yuv420p", "framerate": "25"}
    reading = Reading(format="rawvideo", options=options)
    job = Job(source=source, target=target, model="bicubic", scale=2, segment=10, reading=reading)

    def stop(progress: Progress) -> None:
        if progress.frame == 25:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upscale(job, stop)
    report = upscale(Job(**{**vars(job), "resume": True}))
    assert (report.frames, report.resumed) == (30, 20)


def test_what_is_passed_over_of_a_transport_stream_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make(tmp_path / "in.ts", Clip(frames=100, audio=(), options={"g": "10"}))
    between, sizes = inlet._File.between, list[int]()

    def noting(self: inlet._File, begin: int, end: int | None) -> bytes:
        data = between(self, begin, end)
        sizes.append(len(data))
        return data

    monkeypatch.setattr(inlet._File, "between", noting)
    with Source(clip) as source:
        assert source.skip(80, 80)
        assert sum(isinstance(item, Frame) for item in source.items()) == 20
    assert 0 < max(sizes) < clip.stat().st_size / 10
