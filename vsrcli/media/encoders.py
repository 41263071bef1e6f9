"""Which encoders really work here: being built in proves nothing, so each is given frames."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import av
from av.codec.codec import Codec, UnknownCodecError

from vsrcli.errors import EncodeError
from vsrcli.frames import Frame
from vsrcli.media.encode import HARDWARE
from vsrcli.media.external import open_writer, try_encoder
from vsrcli.media.info import VideoInfo
from vsrcli.media.scheduling import usual_scheduling
from vsrcli.media.settings import VideoOptions

ENCODERS = (
    *("libx264", "libx265", "libsvtav1", "libvpx-vp9", "ffv1", "prores_ks"),
    *("h264_nvenc", "hevc_nvenc", "av1_nvenc"),
    *("h264_qsv", "hevc_qsv", "av1_qsv"),
    *("h264_amf", "hevc_amf", "av1_amf"),
    *("h264_videotoolbox", "hevc_videotoolbox", "h264_v4l2m2m"),
)
"""Those that people ask for, software first."""
EXTERNAL = ("libaom-av1", "librav1e", "libopenh264", "libkvazaar", "libxvid")
"""Those that --ffmpeg auto adds."""
_QUIET = {"libx265": {"x265-params": "log-level=none"}}
_PREFERRED = ("yuv420p", "nv12", "yuv422p10le", "yuv422p")
_SIZE = (320, 192)
"""Above the least that hardware encoders take, and a multiple of their blocks."""


@dataclass(frozen=True, kw_only=True)
class EncoderCheck:
    """Whether one encoder works."""

    name: str
    reason: str = ""
    """Why it does not; empty if it does."""
    is_external: bool = False
    """It is not PyAV's, but the ffmpeg binary's: --ffmpeg auto runs it."""

    @property
    def works(self) -> bool:
        """Two frames went in and packets came out."""
        return not self.reason


def check_encoders(names: Sequence[str] = ENCODERS) -> list[EncoderCheck]:
    """A check of each encoder, in order. Takes about 0.3 s for all."""
    with _quiet_svt():
        return [EncoderCheck(name=name, reason=_why_not(name)) for name in names]


def check_external(names: Sequence[str] = EXTERNAL) -> list[EncoderCheck]:
    """A check of each encoder that PyAV lacks, in the ffmpeg binary that comes along."""
    return [
        EncoderCheck(name=name, reason=_why_not_external(name), is_external=True) for name in names
    ]


def _why_not_external(name: str) -> str:
    try:
        try_encoder(name, _SIZE)
    except EncodeError as exc:
        return str(exc).split("; ")[0]
    return ""


def _why_not(name: str) -> str:
    try:
        codec = Codec(name, "w")
    except UnknownCodecError:
        return "not in this build of FFmpeg"
    try:
        with usual_scheduling():
            packets = _encode_two(codec)
    except (av.FFmpegError, ValueError) as exc:
        hint = next((text for part, text in HARDWARE.items() if part in name), "")
        return hint or f"cannot be opened: {getattr(exc, 'strerror', None) or exc}"
    return "" if packets else "gives no packets"


def _encode_two(codec: Codec) -> int:
    """How many packets an encoder makes of two grey frames, written nowhere."""
    offered = [f.name for f in codec.video_formats or ()]
    pix_fmt = next((p for p in _PREFERRED if p in offered or not offered), *offered[:1])
    options = _QUIET.get(codec.name, {})
    with _nowhere() as container:
        stream = cast(av.VideoStream, container.add_stream(codec.name, rate=25, options=options))
        stream.width, stream.height = _SIZE
        stream.pix_fmt = pix_fmt
        packets = 0
        for pts in range(2):
            frame = av.VideoFrame(*_SIZE, pix_fmt)
            for plane in frame.planes:
                plane.update(b"\x80" * plane.buffer_size)
            frame.pts = pts
            packets += len(stream.encode(frame))
        return packets + len(stream.encode(None))


def time_encoder(
    frames: Sequence[Frame], info: VideoInfo, options: VideoOptions, *, threads: int = 0
) -> float:
    """Seconds a frame that the encoder of a run takes for these frames, written nowhere.

    Raises EncodeError if it refuses them.
    """
    first = frames[0]
    began = time.perf_counter()
    with _nowhere() as container:
        size = (first.width, first.height)
        try:
            _, writer = open_writer(container, info, options, size=size, threads=threads)
        except av.FFmpegError as exc:
            raise EncodeError(f"{options.codec} cannot be opened: {exc}") from exc
        for frame in frames:
            writer.encode(frame, frame.pts)
        writer.flush()
    return (time.perf_counter() - began) / len(frames)


@contextmanager
def _nowhere() -> Iterator[av.container.OutputContainer]:
    with av.open(os.devnull, "w", format="null") as container:
        yield container


@contextmanager
def _quiet_svt() -> Iterator[None]:
    """SVT-AV1 prints its settings on stderr unless the environment tells it not to."""
    before = os.environ.get("SVT_LOG")
    os.environ.setdefault("SVT_LOG", "1")
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("SVT_LOG", None)


def wheel_version() -> str:
    """The version of PyAV, in whose wheel FFmpeg comes."""
    return str(av.__version__)


def ffmpeg_versions() -> Mapping[str, str]:
    """The FFmpeg inside PyAV, and that of the separate binary ("" where there is none)."""
    return {"av": str(av.ffmpeg_version_info), "imageio-ffmpeg": _binary_version()}


def _binary_version() -> str:
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_version())
    except (ImportError, RuntimeError, OSError):  # no binary for this platform
        return ""
