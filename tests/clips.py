"""Clips for the tests, made on the spot: tiny, each with the oddity that its test is about."""

from __future__ import annotations

import mimetypes
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.codec.context import Flags
from av.stream import Disposition

from vsrcli.media.images import write_png

FAST = {"libx264": {"preset": "ultrafast"}, "libx265": {"preset": "ultrafast"}}
B_FRAMES = {"preset": "veryfast", "bf": "3", "b-adapt": "0", "x264-params": "scenecut=0"}
INTERLACED = {"preset": "ultrafast", "x264-params": "tff=1"}
VFR_TIMES = (0, 33, 66, 120, 121, 200, 400, 433, 500, 733, 766, 1000)
"""Twelve irregular instants, ms."""
SRT = "1\n00:00:00,000 --> 00:00:00,200\nErste Zeile\n\n2\n00:00:00,240 --> 00:00:00,400\nä ö ü\n"
ASS = """[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour
Style: Default,Arial,20,&H00FFFFFF

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:00.04,0:00:00.30,Default,,0,0,0,,{\\i1}leaning{\\i0} words
"""


def _pgs(shown_ms: int, hidden_ms: int, side: int = 16) -> bytes:
    """A Blu-ray subtitle file (.sup): a white square, and the screen cleared again."""

    def segment(kind: int, data: bytes, ms: int) -> bytes:
        return b"PG" + struct.pack(">IIBH", ms * 90, 0, kind, len(data)) + data

    def screen(number: int, state: int, objects: bytes) -> bytes:
        count = len(objects) // 8
        return struct.pack(">HHBHBBBB", 96, 64, 16, number, state, 0, 0, count) + objects

    line = bytes((0, 0x80 | side, 1, 0, 0))
    window = struct.pack(">BBHHHH", 1, 0, 8, 8, side, side)
    picture = struct.pack(">HH", side, side) + line * side
    head = struct.pack(">HBB", 0, 0, 0xC0) + len(picture).to_bytes(3, "big")
    shown = (
        (0x16, screen(0, 0x80, struct.pack(">HBBHH", 0, 0, 0, 8, 8))),
        (0x17, window),
        (0x14, bytes((0, 0, 1, 235, 128, 128, 255))),
        (0x15, head + picture),
        (0x80, b""),
    )
    hidden = ((0x16, screen(1, 0, b"")), (0x17, window), (0x80, b""))
    parts = [segment(kind, data, shown_ms) for kind, data in shown]
    return b"".join(parts + [segment(kind, data, hidden_ms) for kind, data in hidden])


PGS = _pgs(40, 320)


@dataclass(frozen=True, kw_only=True)
class Track:
    """One audio track: a tone."""

    hz: int = 440
    codec: str = "aac"
    rate: int = 44100
    start_s: Fraction = Fraction(0)
    language: str = ""
    title: str = ""
    default: bool = True


@dataclass(frozen=True, kw_only=True)
class Text:
    """One subtitle track, as the text of a subtitle file."""

    suffix: str = ".srt"
    content: str | bytes = SRT
    language: str = ""
    title: str = ""
    forced: bool = False


@dataclass(frozen=True, kw_only=True)
class Clip:
    """What a clip is made of. `times` are in `time_base`; without them frames follow `rate`."""

    frames: int = 12
    size: tuple[int, int] = (96, 64)
    rate: Fraction = Fraction(25)
    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    options: Mapping[str, str] | None = None
    times: Sequence[int] | None = None
    time_base: Fraction = Fraction(1, 12800)
    start_s: Fraction = Fraction(0)
    sar: Fraction | None = None
    rotation: int = 0
    color: tuple[int, int, int, int] | None = None
    """primaries, transfer, matrix, range: FFmpeg's numbers."""
    audio: tuple[Track, ...] = (Track(),)
    subtitles: tuple[Text, ...] = ()
    attachments: Mapping[str, bytes] = field(default_factory=dict)
    chapters: tuple[tuple[int, int, str], ...] = ()
    """start ms, end ms, title."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    container: Mapping[str, str] = field(default_factory=dict)
    """The muxer's options."""


def make(path: Path, clip: Clip = Clip()) -> Path:
    """The clip written to `path`, whose suffix names the container."""
    with av.open(str(path), "w", container_options=dict(clip.container)) as out:
        out.metadata.update(clip.metadata)
        video = _video_stream(out, clip)
        tones = [(track, _audio_stream(out, track)) for track in clip.audio]
        texts = [_subtitle_stream(out, path, text, i) for i, text in enumerate(clip.subtitles)]
        for name, data in clip.attachments.items():
            kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
            out.add_attachment(name, kind, data)
        out.set_chapters([_chapter(i, *c) for i, c in enumerate(clip.chapters)])
        for frame in _pictures(clip):
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        for track, stream in tones:
            for sound in _sounds(track, clip):
                out.mux(stream.encode(sound))
            out.mux(stream.encode(None))
        for packets in texts:
            out.mux(packets)
    return path


def picture(index: int, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) 8-bit RGB: a moving grating and square on ramps; every index differs."""
    width, height = size
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    waves = 128 + 60 * np.sin((x + 2 * index) / 3) * np.cos(y / 4)
    rgb = np.stack([waves, 255 * x / width, 255 * y / height], axis=-1)
    left = (7 * index) % max(1, width - 8)
    rgb[height // 3 : height // 3 + 8, left : left + 8] = (250, 20, 60)
    return rgb.round().clip(0, 255).astype(np.uint8)


def _times(clip: Clip) -> list[int]:
    step = 1 / (clip.rate * clip.time_base)
    times = clip.times or [round(i * step) for i in range(clip.frames)]
    return [t + round(clip.start_s / clip.time_base) for t in times]


def _pictures(clip: Clip) -> Iterator[av.VideoFrame]:
    times = _times(clip)
    step = round(1 / (clip.rate * clip.time_base))
    ends = [*times[1:], times[-1] + step]
    for index, (pts, end) in enumerate(zip(times, ends, strict=True)):
        frame = av.VideoFrame.from_ndarray(picture(index, clip.size), format="rgb24")
        frame = frame.reformat(format=clip.pix_fmt)
        frame.pts, frame.time_base, frame.duration = pts, clip.time_base, end - pts
        yield frame


def _video_stream(out: av.container.OutputContainer, clip: Clip) -> av.VideoStream:
    options = dict(clip.options or FAST.get(clip.codec, {}))
    stream = out.add_stream(clip.codec, rate=clip.rate, options=options)
    stream.width, stream.height = clip.size
    stream.pix_fmt = clip.pix_fmt
    context = stream.codec_context
    context.time_base = clip.time_base
    context.flags |= Flags.frame_duration
    context.thread_count = 1
    if "tff=1" in options.get("x264-params", ""):
        context.flags |= Flags.interlaced_dct
    if clip.sar:
        context.sample_aspect_ratio = clip.sar
    if clip.rotation:
        stream.set_display_rotation(clip.rotation)
    if clip.color:
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = (
            clip.color
        )
    return stream


def _audio_stream(out: av.container.OutputContainer, track: Track) -> av.AudioStream:
    stream = out.add_stream(track.codec, rate=track.rate)
    stream.codec_context.layout = "mono"
    _tag(stream, track.language, track.title)
    stream.disposition = Disposition.default if track.default else Disposition(0)
    return stream


def _sounds(track: Track, clip: Clip) -> Iterator[av.AudioFrame]:
    length = round(max(_times(clip)[-1] * clip.time_base, Fraction(1, 4)) * track.rate)
    wave = np.sin(np.arange(length) * 2 * np.pi * track.hz / track.rate).astype(np.float32) / 4
    for at in range(0, length, 1024):
        sound = av.AudioFrame.from_ndarray(wave[None, at : at + 1024], format="fltp", layout="mono")
        sound.sample_rate = track.rate
        sound.time_base = Fraction(1, track.rate)
        sound.pts = at + round(track.start_s * track.rate)
        yield sound


def _subtitle_stream(
    out: av.container.OutputContainer, path: Path, text: Text, index: int
) -> list[av.Packet]:
    """The packets of a subtitle file, given to a new stream of the clip."""
    file = path.with_name(f"subtitles{index}{text.suffix}")
    content = text.content
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with av.open(str(file)) as source:
        stream = out.add_stream_from_template(source.streams[0])
        _tag(stream, text.language, text.title)
        stream.disposition = Disposition.forced if text.forced else Disposition(0)
        packets = [packet for packet in source.demux() if packet.size]
        for packet in packets:
            packet.stream = stream
    file.unlink()
    return packets


def _tag(stream: av.stream.Stream, language: str, title: str) -> None:
    if language:
        stream.metadata["language"] = language
    if title:
        stream.metadata["title"] = title


def _chapter(index: int, start: int, end: int, title: str) -> av.container.Chapter:
    base = Fraction(1, 1000)
    return {
        "id": index,
        "start": start,
        "end": end,
        "time_base": base,
        "metadata": {"title": title},
    }


def write_stills(folder: Path) -> Path:
    """A folder of two pictures of 160x160, of squares in all colours."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(2):
        coarse = rng.integers(0, 256, (20, 20, 3)).astype(np.uint8)
        write_png(folder / f"{index}.png", coarse.repeat(8, 0).repeat(8, 1))
    return folder
