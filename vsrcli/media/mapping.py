"""Which streams of the source are wanted, in the words of FFmpeg's `-map`."""

from __future__ import annotations

import re
from collections.abc import Sequence

import av
from av.stream import Disposition

from vsrcli.errors import InputError, UsageError

_KINDS = {
    "v": "video",
    "V": "video",
    "a": "audio",
    "s": "subtitle",
    "d": "data",
    "t": "attachment",
}
_WORD = re.compile(r"(?P<minus>-?)0(?::(?P<rest>.+?))?(?P<optional>\??)$")


def check_map(words: Sequence[str]) -> None:
    """Raises UsageError for words that cannot be a map."""
    for word in words:
        match = _WORD.match(word)
        if not match or not _is_specifier(match["rest"] or ""):
            raise UsageError(
                f"--map {word!r} is not understood; use 0, 0:a, 0:a:1, 0:3, 0:s:m:language:eng, "
                "and - before it to leave streams out"
            )


def select(container: av.container.InputContainer, words: Sequence[str]) -> list[int]:
    """The indices of the wanted streams, in the order of the maps; all of them without maps.

    A map that starts with - takes streams away; where the first one does, it takes them from all.
    Raises InputError for a map that matches nothing and does not end in ?.
    """
    everything = [stream.index for stream in container.streams]
    chosen = everything if not words or words[0].startswith("-") else []
    for word in words:
        match = _WORD.match(word)
        assert match  # check_map was asked
        found = [s.index for s in _matching(list(container.streams), match["rest"] or "")]
        if match["minus"]:
            chosen = [index for index in chosen if index not in found]
        elif found or match["optional"]:
            chosen = chosen + [index for index in found if index not in chosen]
        else:
            raise InputError(f"--map {word} matches no stream; `vsr probe` lists them, {word}? may")
    return chosen


def picture(
    container: av.container.InputContainer, words: Sequence[str]
) -> av.stream.Stream | None:
    """The video to upscale: the best one, or the first that the maps name."""
    best = container.streams.best("video")
    wanted = select(container, words)
    if not words or best is None or best.index in wanted:
        return best
    streams = [container.streams[index] for index in wanted]
    return next((s for s in streams if s.type == "video" and not is_cover(s)), best)


def _is_specifier(text: str) -> bool:
    parts = text.split(":") if text else []
    if parts[:1] and parts[0] in _KINDS:
        parts = parts[1:]
    if parts[:1] == ["m"]:
        return 2 <= len(parts) <= 3
    return not parts or (len(parts) == 1 and parts[0].isdigit())


def _matching(streams: list[av.stream.Stream], text: str) -> list[av.stream.Stream]:
    parts = text.split(":") if text else []
    if parts and parts[0] in _KINDS:
        letter, *parts = parts
        streams = [s for s in streams if s.type == _KINDS[letter]]
        streams = [s for s in streams if letter != "V" or not is_cover(s)]
    if parts and parts[0] == "m":
        key, value = parts[1], parts[2:]
        return [s for s in streams if key in s.metadata and value in ([], [s.metadata[key]])]
    if parts:
        number = int(parts[0])
        return streams[number : number + 1]
    return streams


def is_cover(stream: av.stream.Stream) -> bool:
    """Whether it is a cover picture."""
    return bool(stream.disposition & Disposition.attached_pic)
