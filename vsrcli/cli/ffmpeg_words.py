"""FFmpeg's words: those that mean what options of ours do, and what is said of the others."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from vsrcli.errors import UsageError
from vsrcli.paths import PIPE

_SAME: Mapping[str, tuple[str, ...]] = {
    "-an": ("-c:a", "none"),
    "-sn": ("-map", "-0:s"),
    "-dn": ("-map", "-0:d"),
    "-acodec": ("-c:a",),
    "-codec:a": ("-c:a",),
    "-vcodec": ("-c:v",),
    "-codec:v": ("-c:v",),
    "-b": ("-b:v",),
    "-vb": ("-b:v",),
    "-r": ("--fps",),
    "-framerate": ("--fps",),
    "-threads": ("--threads",),
    "-autorotate": ("--autorotate",),
    "-noautorotate": (),
    "-hide_banner": (),
    "-nostdin": (),
    "-stats": (),
    "-nostats": ("--progress", "none"),
    "-xerror": (),
    "-accurate_seek": (),
    "-ignore_unknown": (),
}
"""What has the other words here, or is done anyway."""
_OFF = {"-an", "-sn", "-dn"}
"""What is left out whatever else is said of it, before or after."""
_KEPT_TIMES = {"passthrough", "vfr", "auto", "0", "2", "-1"}
_ANYWAY: Mapping[str, Collection[str] | None] = {
    "-movflags": {"faststart", "+faststart"},
    "-map_metadata": {"0"},
    "-map_chapters": {"0"},
    **dict.fromkeys(("-c:s", "-codec:s", "-scodec"), frozenset({"copy", "mov_text"})),
    **dict.fromkeys(("-c:d", "-codec:d", "-dcodec"), frozenset({"copy"})),
    **dict.fromkeys(("-c:t", "-codec:t"), frozenset({"copy"})),
    **dict.fromkeys(("-tag:v", "-vtag"), frozenset({"hvc1", "avc1"})),
    **dict.fromkeys(("-fps_mode", "-vsync"), _KEPT_TIMES),
    **dict.fromkeys(("-strict", "-stats_period", "-max_muxing_queue_size"), None),
    "-thread_queue_size": None,
}
"""What is done anyway with these values, None: with any."""
_LEVELS = {
    **{"-8": "quiet", "0": "panic", "8": "fatal", "16": "error", "24": "warning", "32": "info"},
    **{"40": "verbose", "48": "debug", "56": "trace", "+repeat": "warning"},
}
_CONSTANT = {"cfr", "1"}
_SIZE = re.compile(r"(\d+)x(\d+)")
_OF_PICTURE = re.compile(r"(:v)?(:0)?$")
_WHICH = re.compile(r":0$|(?<=:[sdt]):\d+$")
"""Which stream a word is for, where that says nothing new: the first, or any subtitle, data track
or attachment, which are all treated alike."""

_AFTER = (
    "let ffmpeg do that to the output, which copies it: ffmpeg -i OUT -map 0 -c copy {given} NEW"
)
_SOUND = (
    "sound is copied, or made AAC by -c:a aac; let ffmpeg do more to the output, which copies the "
    "picture: ffmpeg -i OUT -map 0 -c copy -c:a aac {given} NEW"
)
_BEFORE = (
    "let ffmpeg do that on the way: ffmpeg {given} -i IN -map 0 -c copy -f nut - | "
    "vsr upscale - -o OUT"
)
_RETIMED = (
    "-r before -i would give the frames other times; behind it, or as --fps, it drops and repeats "
    "some. The former is ffmpeg's: ffmpeg -r {rate} -i IN -map 0 -c copy -c:v rawvideo -f nut - | "
    "vsr upscale - -o OUT, or --input-option framerate={rate} for a bare stream (h264, hevc)"
)
_FILTER = (
    "scale is --width or --height, fps is --fps, yadif and bwdif are --deinterlace, transpose is "
    "--autorotate; other filters run in ffmpeg, through pipes: vsr help ffmpeg"
)
_ENCODER = "what is the encoder's own goes by --encoder-option {pair}"
_DEMUXER = "what is the demuxer's own goes by --input-option {pair}"
_TIMES = "leave it out: timestamps are kept as they are"
_MODES = (
    "passthrough, vfr and auto behind it are understood, as timestamps are kept as they are, and "
    "so is cfr, which is --cfr"
)
_QUALITY = (
    "--crf says how good the picture is; to encoders without it "
    "--encoder-option qmin={value} --encoder-option qmax={value} does"
)
_CODEC = "-c:v says how the new picture is encoded; what else there is is copied without being told"
_SUBTITLES = "subtitles are copied, or become what the output's container can hold"
_FRAMES = "-t takes the length in seconds: 10 frames of 25 a second are -t 0.4"
_CQ = "--crf is NVENC's -cq: -c:v h264_nvenc --crf {value}"
_ONCE = (
    "the picture is encoded once, by --crf or -b:v; for two passes let ffmpeg encode what "
    "-c:v ffv1 -o FILE.mkv wrote"
)
_GPU = "--device cuda:N is the model's GPU, -hwaccel cuda decodes and -c:v h264_nvenc encodes there"

_TOLD: Mapping[str, str] = {
    **dict.fromkeys(("-vf", "-filter", "-filter_complex", "-lavfi", "-filter_script"), _FILTER),
    **dict.fromkeys(("-ab", "-ac", "-ar", "-aq", "-af", "-async", "-sample_fmt"), _SOUND),
    **dict.fromkeys(("-metadata", "-map_metadata", "-map_chapters", "-disposition"), _AFTER),
    **dict.fromkeys(("-attach", "-bsf", "-tag", "-vtag", "-movflags", "-aspect"), _AFTER),
    **dict.fromkeys(("-shortest", "-timecode", "-loop"), _AFTER),
    **dict.fromkeys(("-stream_loop", "-itsoffset", "-itsscale", "-re"), _BEFORE),
    **dict.fromkeys(("-level", "-g", "-bf", "-x264opts", "-x264-params"), _ENCODER),
    **dict.fromkeys(("-probesize", "-analyzeduration", "-fflags", "-video_size"), _DEMUXER),
    **dict.fromkeys(("-pixel_format", "-err_detect", "-safe", "-rtsp_transport"), _DEMUXER),
    **dict.fromkeys(("-copyts", "-start_at_zero", "-avoid_negative_ts"), _TIMES),
    **dict.fromkeys(("-vsync", "-fps_mode"), _MODES),
    **dict.fromkeys(("-q", "-qscale"), _QUALITY),
    "-cq": _CQ,
    **dict.fromkeys(("-c", "-codec"), _CODEC),
    **dict.fromkeys(("-c:s", "-codec:s", "-scodec"), _SUBTITLES),
    **dict.fromkeys(("-frames", "-vframes"), _FRAMES),
    **dict.fromkeys(("-pass", "-passlogfile"), _ONCE),
    **dict.fromkeys(("-hwaccel_device", "-hwaccel_output_format", "-init_hw_device"), _GPU),
    "-vn": "ffmpeg -i IN -vn -c copy OUT takes the sound alone",
    "-color_range": "the source's is kept; --pix-fmt yuvj420p makes it full",
    "-sseof": "-ss counts from the start; vsr probe says how long the source is",
    "-sws_flags": "leave it out: models enlarge, and what they do not Lanczos does",
    "-start_number": "numbered pictures begin with the first that is there: vsr help files",
    "-pattern_type": "pictures are named by their number, frames/%05d.png: vsr help files",
    "-report": "-loglevel debug says what there is to say, on stderr",
    "-benchmark": "vsr bench measures speed",
}
"""What does what such a word would, by the word without its place (:v, :a:0)."""
_FLAGS = ("-vn", "-shortest", "-re", "-copyts", "-start_at_zero", "-report", "-benchmark")


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """A word of FFmpeg's in ours."""

    words: tuple[str, ...]
    """The last of them may take the value that follows."""
    with_value: bool = False
    """The value that followed it is in these words, or not needed."""
    wins: bool = False
    """It counts as if it stood behind all others."""


def meaning(word: str, value: str, options: Mapping[str, bool]) -> Meaning | None:
    """What a word means here; None: nothing, or just what it says.

    `options` are the command's, and whether they take a value.
    """
    if word == "-s" and "--height" in options and (size := _SIZE.fullmatch(value)):
        return Meaning(words=("--width", size[1], "--height", size[2]), with_value=True)
    if word in ("-v", "-loglevel") and "-loglevel" in options and value not in options:
        return _level(word, value)
    if word in options:
        return None
    if word in ("-fps_mode", "-vsync") and value in _CONSTANT:
        return Meaning(words=("--cfr",), with_value=True)
    of_all, plain = _WHICH.sub("", word), _OF_PICTURE.sub("", word)
    if of_all in _ANYWAY and "--encoder-option" in options:
        fits = _ANYWAY[of_all]
        return Meaning(words=(), with_value=True) if fits is None or value in fits else None
    for said in (of_all, plain):
        if said in options:
            return Meaning(words=(said,))
    same = _SAME.get(of_all, _SAME.get(plain))
    if same is not None and (not same or same[0] in options):
        return Meaning(words=same, wins=of_all in _OFF)
    return None


def _level(word: str, value: str) -> Meaning | None:
    """FFmpeg's number for how much is said, or its word after flags, repeat+level+error."""
    name = _LEVELS.get(value, value.rpartition("+")[2])
    return None if name == value else Meaning(words=(word, name), with_value=True)


def place(path: Path, pipe: str = "pipe:") -> Path:
    """What FFmpeg's word for a place means, if no file is called so: `pipe:` and `pipe` are -, and
    file:NAME is NAME."""
    word = str(path)
    if os.path.lexists(path):
        return path
    return PIPE if word in ("pipe:", pipe) else Path(word.removeprefix("file:"))


def check_rate(rate: str, source: str) -> None:
    """Raises UsageError for an -r of an input that has times of its own, as numbered pictures have
    none."""
    if "%" not in source:
        raise UsageError(_RETIMED.format(rate=rate))


def instead(word: str, value: str) -> str:
    """What does what this word of FFmpeg's would; empty if that is not known."""
    name, _, place = word.partition(":")
    told = _TOLD.get(_WHICH.sub("", word)) or _TOLD.get(name, "")
    if place.startswith("a") and told != _AFTER:
        told = _SOUND
    given = [word] if name in _FLAGS or not value else [word, value]
    value = value or "VALUE"
    pair = shlex.quote(f"{name[1:]}={value}")
    return told.format(given=shlex.join(given), value=value, pair=pair)
