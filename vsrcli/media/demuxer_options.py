"""Whether a demuxer has an option: FFmpeg passes over those that nothing has, and PyAV does not say
which they were."""

from __future__ import annotations

import io
from collections.abc import Mapping

import av

from vsrcli.errors import UsageError

_NONSENSE = "\x01"
"""A value that is no valid number, flag, size, rate or name."""
_OF_FILES = {"blocksize", "follow", "seekable", "protocol_whitelist", "protocol_blacklist"}
_ANY_TEXT = {
    *("graph", "codec_whitelist", "dump_separator", "allowed_extensions"),
    *("cenc_decryption_key", "cenc_decryption_keys", "input_format", "standard"),
}
"""Options that take any text until it is used."""


def check_options(demuxer: str, options: Mapping[str, str]) -> None:
    """Raises UsageError for an option that the demuxer has not."""
    for key in options:
        if key not in _OF_FILES | _ANY_TEXT and not _refuses(demuxer, {**options, key: _NONSENSE}):
            raise UsageError(f"--input-option {key}: {demuxer} has no such option")


def _refuses(demuxer: str, options: Mapping[str, str]) -> bool:
    """Whether a demuxer calls an option's value wrong, before it looks at what it reads."""
    try:
        av.open(io.BytesIO(), format=demuxer, container_options=dict(options)).close()
    except av.error.ArgumentError:
        return True
    except (av.FFmpegError, OSError, ValueError):
        pass
    return False
