"""`--map`: which streams come along, in FFmpeg's words."""

from __future__ import annotations

from pathlib import Path

import pytest
from clips import ASS, Clip, Text, Track, make
from conftest import Vsr
from facts import facts

from vsrcli.errors import UsageError
from vsrcli.media.mapping import check_map

RICH = Clip(
    frames=3,
    audio=(Track(language="eng"), Track(hz=880, language="fra", default=False)),
    subtitles=(Text(language="eng"), Text(suffix=".ass", content=ASS, language="jpn")),
    attachments={"font.ttf": b"not really a font"},
)
"""0 video, 1 and 2 audio, 3 and 4 subtitles, 5 a font."""
MAPS = {
    "everything": (("0",), [1, 2, 3, 4, 5]),
    "one track": (("0:a:1",), [2]),
    "by number": (("0:4", "0:1"), [4, 1]),
    "in this order": (("0:s", "0:a:1", "0:a"), [3, 4, 2, 1]),
    "none of a kind": (("-0:s",), [1, 2, 5]),
    "all but one": (("0", "-0:a:0"), [2, 3, 4, 5]),
    "by language": (("0:m:language:eng",), [1, 3]),
    "a kind by language": (("0:s:m:language:jpn",), [4]),
    "whatever has a file name": (("0:m:filename",), [5]),
    "fonts": (("0:t",), [5]),
    "only the picture": (("0:v",), []),
    "data, if any": (("0:d?",), []),
}


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("rich") / "in.mkv", RICH)


@pytest.mark.parametrize(("maps", "kept"), MAPS.values(), ids=MAPS.keys())
def test_mapped_streams_come_in_order(
    tmp_path: Path, rich: Path, upscale: Vsr, maps: tuple[str, ...], kept: list[int]
) -> None:
    options = [word for entry in maps for word in ("--map", entry)]
    outcome = upscale(rich, "-o", tmp_path / "out.mkv", *options)
    before, after = facts(rich), facts(tmp_path / "out.mkv")
    assert [s.packets or s.title for s in after.others] == [
        before.others[i - 1].packets or before.others[i - 1].title for i in kept
    ]
    assert after.size == (192, 128)
    assert outcome.err == ""


def test_the_mapped_picture_is_the_one_that_is_upscaled(tmp_path: Path, upscale: Vsr) -> None:
    import av

    big, small = (make(tmp_path / f"{n}.mkv", Clip(frames=3, size=(n, n), audio=()))
                  for n in (96, 32))  # fmt: skip
    both = tmp_path / "both.mkv"
    with av.open(str(both), "w") as out:
        sources = [av.open(str(p)) for p in (big, small)]
        tracks = [out.add_stream_from_template(s.streams.video[0]) for s in sources]
        for source, track in zip(sources, tracks, strict=True):
            for packet in source.demux(video=0):
                if packet.size:
                    packet.stream = track
                    out.mux(packet)
            source.close()
    upscale(both, "-o", tmp_path / "out.mkv", "--map", "0:v:1")
    with av.open(str(tmp_path / "out.mkv")) as file:
        assert [s.codec_context.width for s in file.streams.video] == [64]
    upscale(both, "-o", tmp_path / "all.mkv")
    with av.open(str(tmp_path / "all.mkv")) as file:
        assert [s.codec_context.width for s in file.streams.video] == [192, 32]


@pytest.mark.parametrize("word", ["1:a", "0:x", "a", "0:a:b", "0:m", "", "0:1:2", "0:a:m:k:v:w"])
def test_words_that_are_no_map(word: str) -> None:
    with pytest.raises(UsageError, match="--map"):
        check_map((word,))


def test_map_that_matches_nothing(tmp_path: Path, rich: Path, vsr: Vsr) -> None:
    order = ("--model", "bicubic", "--scale", 2, "-o", tmp_path / "out.mkv")
    outcome = vsr("upscale", rich, *order, "--map", "0:a:7")
    assert outcome.code == 3
    assert "--map 0:a:7 matches no stream" in outcome.err
    assert not (tmp_path / "out.mkv").exists()
    assert vsr("upscale", rich, *order, "--map", "sound").code == 2
