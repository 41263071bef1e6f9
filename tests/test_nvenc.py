"""What NVENC is told; whether it does as it is told, a GPU alone can say."""

from __future__ import annotations

from pathlib import Path

import pytest
from clips import Clip, make

from vsrcli.media.settings import VideoOptions, private_options
from vsrcli.media.source import Source


@pytest.mark.parametrize("name", ["h264_nvenc", "hevc_nvenc", "av1_nvenc"])
def test_a_quality_is_kept_at_any_size(name: str, tmp_path: Path) -> None:
    """Its own default is 2 Mbit/s, and it does not know of crf."""
    with Source(make(tmp_path / "in.mp4", Clip(frames=2))) as source:
        info = source.info.video

    def told(**options: object) -> dict[str, str]:
        return private_options(name, VideoOptions(**options), info, "yuv420p")  # type: ignore[arg-type]

    free = {"rc": "vbr", "b": "0"}
    assert told() == {"cq": "19", **free}
    assert told(crf=25.0, preset="p7") == {"cq": "25", "preset": "p7", **free}
    assert told(bitrate=8_000_000) == {}
    assert told(extra={"rc": "constqp", "qp": "20"}) == {"rc": "constqp", "qp": "20"}
    assert told(extra={"tune": "hq"}) == {"cq": "19", "tune": "hq", **free}
    assert told(extra={"tune": "lossless"}) == {"tune": "lossless"}
