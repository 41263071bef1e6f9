"""Cover pictures in Matroska: attached files, which players look for and FFmpeg reads as covers.

FFmpeg's own muxer makes a second film of one picture of them (matroska.org, "Cover Art").
"""

from __future__ import annotations

import av
from av.stream import Disposition

from vsrcli.media.mapping import is_cover
from vsrcli.media.settings import MATROSKA

_KINDS = {
    "mjpeg": ("jpg", "image/jpeg"),
    "png": ("png", "image/png"),
    "gif": ("gif", "image/gif"),
    "bmp": ("bmp", "image/bmp"),
    "tiff": ("tif", "image/tiff"),
    "webp": ("webp", "image/webp"),
}
"""How the file of a codec ends, and its media type."""


def is_timeless(stream: av.stream.Stream) -> bool:
    """Whether it is a cover, which belongs to any part; not the pictures of chapters, which have
    instants."""
    return is_cover(stream) and not stream.disposition & Disposition.timed_thumbnails


def is_attached(stream: av.stream.Stream, container: str) -> bool:
    """Whether a muxer is to be given this stream as an attached file."""
    codec = getattr(stream.codec_context, "name", "")
    return container == MATROSKA and codec in _KINDS and is_timeless(stream)


def attach(
    container: av.container.OutputContainer, stream: av.stream.Stream, data: bytes
) -> av.stream.Stream:
    """Attaches a cover, to a container whose header is yet to be written."""
    ending, kind = _KINDS[stream.codec_context.name]
    name = stream.metadata.get("filename") or f"cover.{ending}"
    return container.add_attachment(name, stream.metadata.get("mimetype") or kind, data)
