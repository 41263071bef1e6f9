"""The cases of the conformance table: clips made on the spot, and files as they are found."""

from __future__ import annotations

import re
import struct
import subprocess
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
from clips import ASS, B_FRAMES, INTERLACED, PGS, VFR_TIMES, Clip, Text, Track, make

from vsrcli.job import Job
from vsrcli.media.intake import Intake
from vsrcli.media.settings import VideoOptions

MS = Fraction(1, 1000)
HDR10 = (9, 16, 9, 1)
MASTERED = (
    "hdr10=1:repeat-headers=1:max-cll=1000,400:log-level=none:master-display="
    "G(8500,39850)B(6550,2300)R(35400,14600)WP(15635,16450)L(10000000,50)"
)
FAST = VideoOptions(preset="ultrafast")
FFV1, PRORES = VideoOptions(codec="ffv1"), VideoOptions(codec="prores_ks")
VP9 = VideoOptions(codec="libvpx-vp9", bitrate=500_000, extra={"deadline": "realtime"})
AV1 = VideoOptions(codec="libsvtav1", preset="12")
X265 = VideoOptions(codec="libx265", preset="ultrafast")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A source, how it is upscaled, and what is not to be expected of the output."""

    name: str
    suffix: str
    """Of the output."""
    source: Callable[[Path], Path]
    """Makes the source in a folder, or names a file."""
    video: VideoOptions = FAST
    intake: Intake = field(default_factory=lambda: Intake(deinterlace="auto"))
    options: Mapping[str, Any] = field(default_factory=dict)
    refused: int = 0
    """The exit code, where it is."""

    def job(self, source: Path, target: Path) -> Job:
        """The run."""
        chosen: dict[str, Any] = {"model": "bicubic", "scale": 2, "threads": 1, **self.options}
        return Job(source=source, target=target, video=self.video, intake=self.intake, **chosen)

    @property
    def factor(self) -> int:
        """Frames out for each one in."""
        return 2 if self.intake.deinterlace == "send_field" else 1

    @property
    def turned(self) -> bool:
        """The picture lies on its side in the output."""
        return self.intake.autorotate

    @property
    def opaque(self) -> bool:
        """Alpha is not wanted."""
        return not self.intake.alpha

    @property
    def rgb(self) -> bool:
        """The picture changes between RGB and YUV, and its matrix with it."""
        return "RGB" in self.name

    @property
    def rounded(self) -> bool:
        """AV1 writes the numbers of the mastering display in binary fractions."""
        return self.video.codec == "libsvtav1"

    @property
    def ffmpeg(self) -> list[str]:
        """The encoder of this case in FFmpeg's words."""
        codec = self.video.codec or "libx264"
        speed = ["-preset", "ultrafast"] if codec in ("libx264", "libx265") else []
        return ["-c:v", codec, *speed]


def _made(
    name: str,
    container: str,
    clip: Clip,
    suffix: str = "",
    **options: Any,
) -> Case:
    return Case(
        name=f"{name} ({container[1:]})",
        suffix=suffix or container,
        source=lambda folder: make(folder / f"in{container}", clip),
        **options,
    )


SILENT = Clip(audio=())
VFR = Clip(times=VFR_TIMES, time_base=MS, options=B_FRAMES)
TWO = (Track(language="eng", title="Main"), Track(hz=880, language="fra", default=False))
CHAPTERS = ((0, 200, "One"), (200, 480, "Two"))
RICH = Clip(
    audio=TWO,
    subtitles=(
        Text(language="ger", title="Deutsch", forced=True),
        Text(suffix=".ass", content=ASS, language="jpn"),
    ),
    attachments={"font.ttf": b"not really a font", "note.txt": b"kept"},
    chapters=CHAPTERS,
    metadata={"title": "A clip", "artist": "nobody", "comment": "two words"},
)
TAGGED = Clip(audio=TWO, chapters=CHAPTERS, metadata={"title": "A clip", "comment": "two words"})


def cases() -> list[Case]:
    """All clips that are made."""
    return [*_times(), *_pixels(), *_shapes(), *_streams(), *_foreign(), *_refusals()]


def _times() -> Iterator[Case]:
    ntsc = Clip(rate=Fraction(30000, 1001), time_base=Fraction(1, 30000))
    for suffix in (".mp4", ".mov", ".mkv", ".ts"):
        track = (Track(codec="mp2"),) if suffix == ".ts" else (Track(),)
        yield _made("constant rate", suffix, Clip(audio=track))
        yield _made("variable rate, B-frames", suffix, replace(VFR, audio=track))
    yield _made("variable rate to Matroska", ".mp4", VFR, ".mkv")
    yield _made("variable rate to mp4", ".mkv", VFR, ".mp4")
    yield _made("NTSC", ".mp4", ntsc)
    yield _made("NTSC to Matroska", ".mp4", ntsc, ".mkv")
    opened = {**B_FRAMES, "x264-params": "open-gop=1:keyint=6:min-keyint=6:scenecut=0"}
    yield _made("open GOPs", ".mp4", Clip(frames=24, options=opened))
    yield _made("open GOPs to Matroska", ".ts", Clip(frames=24, options=opened, audio=()), ".mkv")
    yield _made("edit list hides frames", ".mp4", Clip(start_s=Fraction(-1, 5)))
    yield _made("negative times", ".mkv", Clip(start_s=Fraction(-1, 5), audio=()))
    yield _made("late start", ".mp4", Clip(start_s=Fraction(1, 2)))
    yield _made("late sound", ".mkv", Clip(audio=(Track(start_s=Fraction(7, 10)),)))
    yield _made("late sound to mp4", ".mkv", Clip(audio=(Track(start_s=Fraction(7, 10)),)), ".mp4")
    fragments = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    yield _made("fragmented", ".mp4", Clip(container=fragments))
    yield _made("one frame", ".mp4", Clip(frames=1, audio=()))
    yield _made("one frame, libx265", ".mp4", Clip(frames=1, audio=()), video=X265)
    interlaced = Clip(options=INTERLACED)
    yield _made("interlaced", ".mp4", interlaced)
    yield _made("interlaced, two a frame", ".mp4", interlaced,
                intake=Intake(deinterlace="send_field"))  # fmt: skip
    yield _made("interlaced, as it is", ".mkv", interlaced, intake=Intake())
    yield _made("constant rate to webm", ".mkv", Clip(audio=(Track(codec="libopus", rate=48000),)),
                ".webm", video=VP9)  # fmt: skip
    yield _made("constant rate to avi", ".avi", Clip(audio=(Track(codec="mp2"),),
                time_base=Fraction(1, 25)))  # fmt: skip


def _pixels() -> Iterator[Case]:
    for pix_fmt in (
        *("yuv420p10le", "yuv422p", "yuv422p10le", "yuv444p12le", "gray", "gray10le"),
        *("gbrp10le", "bgr0", "yuva420p", "gbrap16le"),
    ):
        clip = Clip(frames=3, codec="ffv1", pix_fmt=pix_fmt, audio=())
        yield _made(f"{pix_fmt} in ffv1", ".mkv", clip, video=FFV1)
    for pix_fmt in ("yuv420p10le", "yuv422p10le", "yuv444p"):
        yield _made(f"{pix_fmt} in H.264", ".mp4", replace(SILENT, pix_fmt=pix_fmt))
    raw = Clip(frames=3, codec="rawvideo", pix_fmt="rgb24", audio=())
    yield _made("packed RGB", ".nut", raw, ".mkv", video=FFV1)
    yield _made("uyvy422", ".nut", replace(raw, pix_fmt="uyvy422"), ".mkv", video=FFV1)
    prores = Clip(frames=3, codec="prores_ks", pix_fmt="yuv422p10le", audio=())
    yield _made("ProRes", ".mov", prores, video=PRORES)
    yield _made("ProRes 4444 with alpha", ".mov", replace(prores, pix_fmt="yuva444p10le"),
                video=PRORES)  # fmt: skip
    for pix_fmt, profile in (("yuv422p", "dnxhr_sq"), ("yuv422p10le", "dnxhr_hqx")):
        dnx = Clip(frames=3, codec="dnxhd", pix_fmt=pix_fmt, size=(256, 128), audio=(),
                   options={"profile": profile})  # fmt: skip
        yield _made(f"DNxHR, {pix_fmt}", ".mov", dnx, video=VideoOptions(codec="dnxhd"))
    vp9 = Clip(frames=3, codec="libvpx-vp9", pix_fmt="yuva420p", audio=())
    yield _made("VP9 with alpha", ".webm", vp9, video=VP9)
    yield _made("VP9 with alpha to ffv1", ".webm", vp9, ".mkv", video=FFV1)
    yield _made("VP9 with alpha, dropped", ".webm", vp9, ".mkv", intake=Intake(alpha=False))
    hdr = {"preset": "ultrafast", "x265-params": MASTERED}
    mastered = Clip(frames=3, codec="libx265", pix_fmt="yuv420p10le", color=HDR10, options=hdr)
    yield _made("HDR10 mastering", ".mp4", mastered)
    yield _made("HDR10 mastering, libx265", ".mkv", mastered, video=X265)
    yield _made("HDR10 mastering, SVT-AV1", ".mp4", mastered, ".mkv", video=AV1)
    yield _made("HDR10 mastering, ffv1", ".mp4", mastered, ".mkv", video=FFV1)
    hlg = replace(SILENT, pix_fmt="yuv420p10le", color=(9, 18, 9, 1))
    yield _made("HLG", ".mp4", hlg)
    yield _made("full range", ".mp4", replace(SILENT, color=(6, 6, 6, 2)))
    yield _made("untagged", ".mkv", replace(SILENT, color=(2, 2, 2, 0)))


def _shapes() -> Iterator[Case]:
    yield Case(name="captions", suffix=".mp4", source=captioned)
    yield Case(name="captions, libx265", suffix=".mkv", source=captioned, video=X265)
    yield Case(name="captions, ffv1", suffix=".mkv", source=captioned, video=FFV1)
    yield Case(name="HDR10+", suffix=".mkv", source=hdr10_plus)
    yield Case(name="HDR10+, SVT-AV1", suffix=".mkv", source=hdr10_plus, video=AV1)
    for angle in (90, 180, -90):
        yield _made(f"turned by {angle}", ".mp4", replace(SILENT, rotation=angle))
    on_side = replace(SILENT, rotation=90, sar=Fraction(16, 11))
    yield _made("turned, to Matroska", ".mp4", on_side, ".mkv")
    yield _made("turned, to ts", ".mp4", replace(SILENT, rotation=90), ".ts")
    yield _made("turned, autorotate", ".mp4", on_side, intake=Intake(autorotate=True))
    for suffix in (".mp4", ".mov", ".mkv", ".ts"):
        yield _made("pixel aspect", suffix, replace(SILENT, sar=Fraction(16, 11)))
    yield _made("pixel aspect, ffv1", ".mkv", replace(SILENT, sar=Fraction(16, 11)), video=FFV1)
    yield _made("pixel aspect, VP9", ".mkv", replace(SILENT, sar=Fraction(16, 11)), ".webm",
                video=VP9)  # fmt: skip
    odd = Clip(frames=3, codec="ffv1", size=(97, 65), audio=())
    yield _made("odd sides", ".mkv", odd)
    yield _made("one pixel", ".mkv", replace(odd, size=(1, 1)), video=FFV1)


def _streams() -> Iterator[Case]:
    for suffix in (".mkv", ".mp4", ".mov", ".ts"):
        yield _made(f"everything, to {suffix[1:]}", ".mkv", RICH, suffix)
    yield _made("everything, to webm", ".mkv", RICH, ".webm", video=VP9)
    yield _made("two tracks, chapters", ".mp4", TAGGED)
    yield _made("two tracks, chapters", ".mov", TAGGED)
    yield _made("two tracks, chapters, to avi", ".mkv",
                replace(TAGGED, audio=(Track(codec="mp2", language="eng"),)), ".avi")  # fmt: skip
    for codec, rate in (("libopus", 48000), ("flac", 44100), ("ac3", 48000), ("mp2", 44100),
                        ("libmp3lame", 44100), ("pcm_s16le", 44100)):  # fmt: skip
        sound = replace(RICH, audio=(Track(codec=codec, rate=rate, language="eng"),),
                        subtitles=(), attachments={})  # fmt: skip
        yield _made(f"{codec}, to mp4", ".mkv", sound, ".mp4")
    words = Clip(subtitles=(Text(language="ger"),))
    yield _made("SubRip to webm", ".mkv", words, ".webm", video=VP9)
    pictures = Clip(subtitles=(Text(suffix=".sup", content=PGS, language="eng"),))
    for suffix in (".mkv", ".mp4", ".ts"):
        yield _made(f"PGS, to {suffix[1:]}", ".mkv", pictures, suffix)
    cover = replace(SILENT, attachments={"cover.png": png()})
    yield _made("cover attached, to mp4", ".mkv", cover, ".mp4")
    yield _made("cover and tags of one's own, to mp4", ".mkv",
                replace(cover, metadata={"title": "A clip", "odd": "a"}), ".mp4")  # fmt: skip
    yield _made("no sound", ".mp4", SILENT)


CAPTIONS = b"\xb5\x00\x31GA94\x03\x42\xff\xfc\x94\x20\xfc%c%c\xff"
"""An ATSC A/53 message of two letters."""


def captioned(folder: Path) -> Path:
    """H.264 whose frames carry letters for the deaf."""
    clip = replace(SILENT, options={"preset": "ultrafast", "bf": "0"})
    letters = [CAPTIONS % (65 + n, 97 + n) for n in range(clip.frames)]
    return _with_messages(folder, clip, b"\x06", letters)


def hdr10_plus(folder: Path) -> Path:
    """H.265 whose frames say how bright they are."""
    facts = ("01", f"{1000:027b}", "0", *(f"{n:017b}" for n in (30_000, 20_000, 10_000, 15_000)))
    bits = "".join((*facts, f"{0:04b}", f"{5:010b}", "0", "0", "0"))
    bits += "0" * (-len(bits) % 8)
    body = int(bits, 2).to_bytes(len(bits) // 8, "big")
    quiet = {"preset": "ultrafast", "x265-params": "log-level=none:bframes=0"}
    clip = Clip(frames=3, codec="libx265", pix_fmt="yuv420p10le", color=HDR10, options=quiet,
                audio=())  # fmt: skip
    message = b"\xb5\x00\x3c\x00\x01\x04\x01" + body
    return _with_messages(folder, clip, b"\x4e\x01", [message] * clip.frames)


def _with_messages(folder: Path, clip: Clip, head: bytes, messages: Sequence[bytes]) -> Path:
    """The clip in Matroska, an ITU-T T.35 message before each picture, in decoding order.

    `head` is what a unit of supplemental information begins with in its codec.
    """
    left = iter(messages)
    source, target = make(folder / "plain.mkv", clip), folder / "in.mkv"
    with av.open(str(source)) as given, av.open(str(target), "w") as out:
        stream = out.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if not packet.size:
                continue
            message = next(left)
            body = bytes((4, len(message))) + message + b"\x80"
            unit = head + re.sub(rb"\x00\x00(?=[\x00-\x03])", b"\0\0\3", body)
            told = av.Packet(struct.pack(">I", len(unit)) + unit + bytes(packet))
            told.pts, told.dts, told.time_base = packet.pts, packet.dts, packet.time_base
            told.duration, told.is_keyframe, told.stream = (
                packet.duration,
                packet.is_keyframe,
                stream,
            )
            out.mux(told)
    return target


def png() -> bytes:
    """A picture of one pixel."""
    chunks = (b"IHDR" + struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0),
              b"IDAT" + zlib.compress(b"\0\xff\0\0"), b"IEND")  # fmt: skip
    packed = (struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def _foreign() -> Iterator[Case]:
    """What PyAV cannot write, made by FFmpeg's own program."""
    video = ("-f", "lavfi", "-i", "testsrc=s=96x64:r=25:d=0.4")
    sup = ("-i", "PGS", "-map", "0", "-map", "1", "-s", "96x64")
    quick = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
    cover = (*("-f", "lavfi", "-i", "color=red:s=32x32:d=0.04", "-map", "0", "-map", "1"),
             *("-c:v:0", "libx264", "-pix_fmt:v:0", "yuv420p", "-c:v:1", "mjpeg"),
             *("-disposition:v:1", "attached_pic"))  # fmt: skip
    made = {
        "VobSub": (".mkv", ".mkv", (*video, *sup, *quick, "-c:s", "dvdsub")),
        "VobSub to mp4": (".mkv", ".mp4", (*video, *sup, *quick, "-c:s", "dvdsub")),
        "DVB subtitles": (".ts", ".ts", (*video, *sup, *quick, "-c:s", "dvbsub")),
        "timecode": (".mov", ".mov", (*video, *quick, "-timecode", "01:02:03:04")),
        "timecode to mp4": (".mov", ".mp4", (*video, *quick, "-timecode", "01:02:03:04")),
        "timecode to Matroska": (".mov", ".mkv", (*video, *quick, "-timecode", "01:02:03:04")),
        "cover picture": (".mp4", ".mp4", (*video, *cover)),
        "cover picture to mov": (".mp4", ".mov", (*video, *cover)),
        "cover picture to Matroska": (".mp4", ".mkv", (*video, *cover)),
        "cover picture, to mp4": (".mkv", ".mp4", (*video, *cover)),
        "tags of a telephone": (
            ".mov", ".mov",
            (*video, *quick, "-movflags", "use_metadata_tags", "-metadata", "com.apple.make=A"),
        ),
    }  # fmt: skip
    for name, (container, suffix, order) in made.items():
        yield Case(name=f"{name} ({container[1:]})", suffix=suffix, source=_by_ffmpeg(
            container, order))  # fmt: skip


def _by_ffmpeg(container: str, order: tuple[str, ...]) -> Callable[[Path], Path]:
    def make_it(folder: Path) -> Path:
        subtitles, target = folder / "in.sup", folder / f"in{container}"
        subtitles.write_bytes(PGS)
        words = [str(subtitles) if word == "PGS" else word for word in order]
        binary = imageio_ffmpeg.get_ffmpeg_exe()
        subprocess.run([binary, "-loglevel", "error", *words, str(target)], check=True)
        return target

    return make_it


def _refusals() -> Iterator[Case]:
    glass = ("-f", "lavfi", "-i", "color=red@0.5:96x64:25:d=0.2,format=yuva420p", "-c:v", "ffv1")
    made = _by_ffmpeg(".mkv", glass)
    yield Case(name="transparency into H.264", suffix=".mkv", source=made, refused=8)

    def cut(folder: Path) -> Path:
        whole = make(folder / "whole.mkv", Clip(frames=100))
        data = whole.read_bytes()
        whole.write_bytes(data[: len(data) // 2])
        return whole

    def words(folder: Path) -> Path:
        (folder / "in.mp4").write_text("no video")
        return folder / "in.mp4"

    yield Case(name="truncated", suffix=".mkv", source=cut, refused=3)
    yield Case(name="no video", suffix=".mkv", source=words, refused=3)


FILES = {
    "config.mts": 3,
    "sample_qt.mp4": 3,
    "invalid-bitstream.webm": 3,
    "sample_fragmented_clearkey.mp4": 3,
    "chunk_out_of_range.mp4": 3,
    "invalid_userdata.mp4": 3,
    "no_timescale.mp4": 3,
    "fixture-corrupt.mkv": 3,
    "fixture-moov.mov": 3,
    "fixture.ogv": 3,
    "annex-b.mp4": 3,
    "sample_with_invalid_nalu.mp4": 3,
    "corrupted.mp4": 3,
    "Error_I_P.264": 3,
}
"""Broken, cut short, encrypted or without a picture: the exit code of each."""
PARTLY = {"annex-b.mp4", "sample_with_invalid_nalu.mp4", "corrupted.mp4", "Error_I_P.264"}
"""Of these, what can be decoded is upscaled on request."""


def file_cases(folder: Path) -> list[Case]:
    """Every file below a folder, into its own container where vsr writes that."""
    found = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        suffix = path.suffix.lower()
        whole = Case(
            name=path.name,
            suffix=suffix if suffix in (".mp4", ".mov", ".mkv", ".ts", ".avi") else ".mkv",
            source=partial(_found, path),
            refused=FILES.get(path.name, 0),
        )
        found.append(whole)
        if path.name in PARTLY:
            skip = {"on_error": "skip"}
            found.append(replace(whole, name=f"{path.name}, skip", options=skip, refused=0))
    return found


def _found(path: Path, _: Path) -> Path:
    return path
