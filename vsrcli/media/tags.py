"""What files and streams say of themselves, and which of it a container has a place for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import av
from av.stream import Disposition

from vsrcli.media.languages import language_in
from vsrcli.media.mapping import is_cover

_ALL = ("chapters", "tags", "titles", "languages", "dispositions")
_LOSES = {
    "mpegts": ("chapters", "tags", "titles", "dispositions"),
    "avi": ("chapters", "languages", "dispositions"),
    "mov": ("dispositions",),
    **dict.fromkeys(("ipod", "f4v", "asf"), ("titles", "dispositions")),
    **dict.fromkeys(("3gp", "3g2"), ("tags", "titles", "dispositions")),
    "flv": ("chapters", "languages", "titles", "dispositions"),
    **dict.fromkeys(("mxf", "mpeg", "vob", "svcd", "dvd", "vcd"), _ALL),
    "ogv": ("dispositions",),
}
"""What a container has no place for, of all that a source may say about itself."""
_NO_TIMECODE = {
    *("mpegts", "avi", "asf", "flv", "ipod", "f4v", "3gp", "3g2"),
    *("mpeg", "vob", "svcd", "dvd", "vcd"),
}
"""Containers that hold no timecode of a picture, some of them not even as a tag of the whole."""
_DEFAULT_ALONE = {"mov", "ipod", "f4v", "3gp", "3g2"}
"""Containers that hold no disposition but default."""
_LOST_MARKS = {
    "mp4": (Disposition.original,),
    "nut": (Disposition.forced, Disposition.hearing_impaired, Disposition.visual_impaired),
    "webm": (
        *(Disposition.dub, Disposition.original, Disposition.comment),
        *(Disposition.hearing_impaired, Disposition.visual_impaired),
    ),
}
"""Dispositions that containers that hold some do not, and Matroska does."""
_CONTAINER_TAGS = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration"}
"""What a file says of its own form."""
_OWN_TAGS = _CONTAINER_TAGS | {"handler_name", "creation_time", "vendor_id", "software"}
"""Tags that every muxer writes anew."""
_MOV_TAGS = {
    *("title", "artist", "album", "album_artist", "composer", "genre", "date", "track", "disc"),
    *("comment", "description", "synopsis", "copyright", "grouping", "lyrics", "show"),
    *("episode_id", "network", "keywords", "episode_sort", "season_number", "media_type"),
    *("hd_video", "gapless_playback", "compilation", "location", "location-eng", "timecode"),
}
"""What mp4 and mov write where every player looks."""


def losses(
    source: av.container.InputContainer, kept: Sequence[av.stream.Stream], container: str
) -> list[str]:
    """What the source says about itself and its kept streams that the container cannot say."""
    plain = Disposition.default | Disposition.attached_pic
    has = {
        "chapters": bool(source.chapters()),
        "tags": any(key.lower() not in _OWN_TAGS for key in source.metadata),
        "titles": any("title" in s.metadata or "name" in s.metadata for s in kept),
        "languages": any(_languages(kept)),
        "dispositions": any(s.disposition & ~plain for s in kept)
        or (container not in _DEFAULT_ALONE and _has_choice(kept)),
    }
    lost = [thing for thing in _LOSES.get(container, ()) if has[thing]]
    if container in _NO_TIMECODE and _has_timecode(source, kept, of_file="tags" in lost):
        lost.append("timecode")
    return lost + [f"{kind} such as {', '.join(names)}" for kind, names in _some(kept, container)]


def _some(kept: Sequence[av.stream.Stream], container: str) -> Iterator[tuple[str, list[str]]]:
    """What is lost of kinds of which the container holds some."""
    nameless = [code for code in _languages(kept) if not language_in(container, code)]
    if nameless:
        yield "languages", nameless
    marks = [m for m in _LOST_MARKS.get(container, ()) if any(s.disposition & m for s in kept)]
    if marks:
        yield "dispositions", [str(mark.name) for mark in marks]


def _has_timecode(
    source: av.container.InputContainer, kept: Sequence[av.stream.Stream], *, of_file: bool
) -> bool:
    """Whether a stream has a timecode or, if it is asked for, the file."""
    tags = [*(s.metadata for s in kept), *([source.metadata] if of_file else [])]
    return any(key.lower() == "timecode" for told in tags for key in told)


def _languages(streams: Sequence[av.stream.Stream]) -> list[str]:
    """Each once, but for what is undetermined."""
    codes = dict.fromkeys(s.metadata.get("language", "und") for s in streams)
    return [code for code in codes if code != "und"]


def kept_tags(metadata: Mapping[str, str]) -> dict[str, str]:
    """The tags without what the source's container says of itself. Matroska's are upper case: those
    that all know are given their common names."""
    found = {}
    for key, value in metadata.items():
        if key.lower() not in _CONTAINER_TAGS:
            found[key.lower() if key.lower() in _MOV_TAGS else key] = value
    return found


def own_tags(metadata: Mapping[str, str]) -> list[str]:
    """The tags that are not among those that mp4 and mov have a place for."""
    return [key for key in metadata if key.lower() not in _OWN_TAGS | _MOV_TAGS]


def has_cover(source: av.container.InputContainer, wanted: Sequence[int]) -> bool:
    """Whether one of the selected streams is a cover picture."""
    return any(is_cover(source.streams[i]) for i in wanted)


def _has_choice(streams: Sequence[av.stream.Stream]) -> bool:
    """Some tracks of a kind are default and some are not."""
    marks = {(s.type, bool(s.disposition & Disposition.default)) for s in streams}
    return any((kind, not is_default) in marks for kind, is_default in marks)


def copy_tags(source: av.stream.Stream, target: av.stream.Stream) -> None:
    """The tags and the disposition of a stream, in the words of the target's container."""
    own = ("encoder", "alpha_mode")  # what the muxer says itself
    tags = {k: v for k, v in source.metadata.items() if k.lower() not in own}
    if "name" in tags:  # what mp4 calls a title, when read and not when written
        tags.setdefault("title", tags.pop("name"))
    if "language" in tags:
        tags["language"] = language_in(target.container.format.name, tags["language"])
    target.metadata.update(tags)
    target.disposition = source.disposition
