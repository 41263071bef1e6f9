"""`vsr probe`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vsrcli.cli.ffmpeg_words import place
from vsrcli.cli.options import Json
from vsrcli.cli.tables import print_json, print_lines, print_table
from vsrcli.errors import InputError

if TYPE_CHECKING:
    from vsrcli.estimate import Speeds
    from vsrcli.media.frame_count import Census
    from vsrcli.media.info import SourceInfo, VideoInfo
    from vsrcli.media.plan import StreamPlan
    from vsrcli.memory_needs import Need
    from vsrcli.probe import Outcome, ProbeReport


def probe(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Any file FFmpeg reads.")],
    as_json: Json = False,
    no_speed: Annotated[bool, typer.Option("--no-speed", help="Do not try the models.")] = False,
    scale: Annotated[
        int | None, typer.Option("-s", "--scale", help="Default 4, as vsr upscale.")
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Decode every frame, even if that takes over 20 s.")
    ] = False,
) -> None:
    """Say what a file is, what upscaling makes of each stream, and how long each model takes."""
    from vsrcli.probe import probe_source

    source = place(source)
    try:
        found = probe_source(source, scale=scale, measure=not no_speed, exact=exact)
    except InputError:
        _render_without_video(source, as_json=as_json)
        raise
    if as_json:
        from vsrcli.cli.probe_document import document

        print_json(document(found))
    else:
        _render(found)


def _render_without_video(source: Path, *, as_json: bool) -> None:
    """The streams of a file that cannot be upscaled, if it can be opened at all."""
    from vsrcli.cli.probe_document import stream_document
    from vsrcli.media.frame_count import list_streams

    try:
        container, streams = list_streams(source)
    except InputError:
        return
    if as_json:
        rows = [stream_document(stream) for stream in streams]
        print_json({"source": str(source), "container": container, "video": None, "streams": rows})
    elif streams:
        headings = ("#", "stream", "codec", "details")
        print_table(headings, ((s.index, s.kind, s.codec, s.details) for s in streams))


def _render(found: ProbeReport) -> None:
    info, census = found.info, found.census
    chapters = f", {info.chapters} chapters" if info.chapters else ""
    length = clock(info.duration_s) if info.duration_s else "of unknown length"
    print_lines(f"{info.path.name}: {_container(info)}, {length}{chapters}", "")
    print_table((), _facts(info.video, census).items())
    print_lines("", f"By default vsr upscale writes {found.outcome.target.name}:")
    render_streams(found.info, found.outcome)
    print_table((), [("Output sizes", _sizes(found))])
    if found.speeds:
        _render_speeds(found.speeds, found.outcome, census.frames)
    if found.needs:
        print_lines("", *map(_memory, found.needs))
    if reasons := [f"{model}: {t.reason}." for model, t in found.tilings.items() if t.reason]:
        print_lines("", *reasons)
    if found.warnings:
        print_lines("", *(f"Warning: {text}" for text in found.warnings))


def _container(info: SourceInfo) -> str:
    """One of FFmpeg's names for the container: the one the file is called by, or the first."""
    names = info.container.split(",")
    suffix = info.path.suffix.lower().removeprefix(".")
    return suffix if suffix in names else names[0]


def _facts(video: VideoInfo, census: Census) -> dict[str, str]:
    depth = "HDR" if video.hdr else "SDR"
    return {
        "video": f"{video.codec} {video.width}x{video.height}",
        "pixels": f"{video.pix_fmt}, {video.layout.bits} bits, {depth}",
        "frames": _frames(video, census),
        "timing": _timing(census),
        "colour": _colour(video),
        "picture": _picture(video),
    }


def _frames(video: VideoInfo, census: Census) -> str:
    how = "decoded" if census.is_decoded else "counted by packets; --exact decodes them all"
    text = f"{census.frames} ({how})"
    if video.frames and video.frames != census.frames:
        text += f"; the container suggests {video.frames}"
    return text


def _timing(census: Census) -> str:
    timing = census.timing
    if census.frames == 1:
        return "a single frame"
    rate = f"{float(timing.rate):.6g} fps"
    if timing.rate.denominator != 1 and not timing.is_vfr:
        rate += f" ({timing.rate})"
    if timing.is_vfr:
        spread = f"{timing.shortest_s * 1000:.4g} to {timing.longest_s * 1000:.4g} ms"
        rate = f"variable, {spread} between frames, {rate} on average"
    else:
        rate = f"constant, {rate}"
    return f"{rate}, starts at {timing.start_s:.3f} s" if timing.start_s else rate


def _colour(video: VideoInfo) -> str:
    from vsrcli.media.colors import matrix_name, primaries_name, range_name, transfer_name

    color = video.color
    parts = {
        "matrix": matrix_name(color.matrix),
        "range": range_name(color.full_range),
        "primaries": primaries_name(color.primaries),
        "transfer": transfer_name(color.transfer),
    }
    if set(parts.values()) == {"unspecified"}:
        text = "untagged"
    else:
        text = ", ".join(f"{name} {value}" for name, value in parts.items())
    subsampled = video.layout.chroma_w > 1 or video.layout.chroma_h > 1
    return f"{text}, chroma {color.siting.value}" if subsampled else text


def _picture(video: VideoInfo) -> str:
    aspect = video.sample_aspect
    shape = f"pixel aspect {aspect.numerator}:{aspect.denominator}"
    turn = f", turned by {video.rotation:g}° (kept as a tag)" if video.rotation else ""
    return f"{'interlaced' if video.interlaced else 'progressive'}, {shape}{turn}"


def render_streams(info: SourceInfo, outcome: Outcome) -> None:
    """A table of what becomes of each stream."""
    rows = []
    for stream, plan in zip(info.streams, outcome.streams, strict=True):
        language = "" if stream.language == "und" else stream.language
        about = ", ".join(filter(None, (language, stream.details, stream.title)))
        rows.append((stream.index, stream.kind, stream.codec, about, _fate(outcome, plan)))
    print_table(("#", "stream", "codec", "about", "becomes"), rows)
    print_lines("")


def _fate(outcome: Outcome, plan: StreamPlan) -> str:
    if plan.action.value == "upscale":
        size = outcome.size
        return f"upscaled to {size.width}x{size.height}, {outcome.encoder} {outcome.pix_fmt}"
    if plan.action.value == "copy":
        return plan.reason or "copied"
    word = "left out" if plan.action.value == "drop" else f"converted to {plan.encoder}"
    return f"{word}: {plan.reason}" if plan.reason else word


def _sizes(found: ProbeReport) -> str:
    return ", ".join(f"x{scale} {w}x{h}" for scale, (w, h) in found.sizes.items())


def _render_speeds(speeds: Speeds, outcome: Outcome, frames: int) -> None:
    print_lines("")
    rows = []
    for m in speeds.models:
        fps, alone = f"{1 / m.frame_s:.1f}", f"{1 / m.model_s:.1f}"
        rows.append((m.model, fps, clock(frames * m.frame_s), alone, m.device))
    headings = (f"model x{outcome.size.scale}", "fps", "time", "fps alone", "runs on")
    print_table(headings, rows, right=headings[1:4])
    encode = f"{1 / speeds.encode_s:.1f} fps" if speeds.encode_s else "not measured"
    print_lines(
        f"An estimate: each model ran on a {speeds.width}x{speeds.height} piece of the picture for "
        f"a moment, scaled by area. Decoding: {1 / speeds.decode_s:.0f} fps. {outcome.encoder}, "
        f"default settings: {encode}. Other work on this machine slows all of them."
    )


def _memory(need: Need) -> str:
    free = "" if need.free_bytes is None else f"; {need.free_bytes / 2**30:.1f} GiB are free"
    return (
        f"{need.model} takes about {need.peak_bytes / 2**30:.1f} GiB of memory in chunks of "
        f"{need.chunk} frames, whatever the length{free}."
    )


def clock(seconds: float) -> str:
    """4.2 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
