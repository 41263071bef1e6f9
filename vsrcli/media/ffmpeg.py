"""The ffmpeg binary that comes along, and command lines that make what vsr is compared with."""

from __future__ import annotations

from pathlib import Path
from shutil import which

from vsrcli.errors import EncodeError

SCALERS = ("bicubic", "lanczos")


def ffmpeg_binary() -> str:
    """The path of the binary. Raises EncodeError if there is none."""
    import imageio_ffmpeg

    try:
        found = str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as exc:
        raise EncodeError("there is no ffmpeg binary; install imageio-ffmpeg again") from exc
    if which(found) is None:  # IMAGEIO_FFMPEG_EXE is taken as it is
        raise EncodeError(f"{found} is no program; unset IMAGEIO_FFMPEG_EXE")
    return found


def clip_command(source: Path, target: Path, size: tuple[int, int], frames: int) -> list[str]:
    """Makes a clip of (width, height) and so many frames, without sound, repeating the source."""
    order = [*_quietly(), "-stream_loop", "-1", "-i", str(source), "-an", "-sn"]
    order += ["-vf", f"scale={size[0]}:{size[1]}", "-frames:v", str(frames), "-pix_fmt", "yuv420p"]
    return [*order, "-c:v", "libx264", "-crf", "18", str(target)]


def scale_command(
    source: Path, target: Path, scale: int, kernel: str, *, preset: str, crf: int, threads: int
) -> list[str]:
    """Upscales as vsr does, by swscale and with the same encoder."""
    size = f"scale={scale}*iw:{scale}*ih:flags={kernel}"
    order = [*_quietly(), "-threads", str(threads), "-i", str(source), "-vf", size]
    order += ["-filter_threads", str(threads), "-c:v", "libx264", "-preset", preset]
    order += ["-crf", str(crf), "-threads", str(threads), "-movflags", "+faststart"]
    return [*order, str(target)]


def _quietly() -> list[str]:
    return [ffmpeg_binary(), "-y", "-v", "error", "-nostdin"]
