"""The JSON document of `vsr probe`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vsrcli.media.colors import matrix_name, primaries_name, range_name, transfer_name

if TYPE_CHECKING:
    from vsrcli.estimate import Speeds
    from vsrcli.media.info import StreamInfo, VideoInfo
    from vsrcli.media.plan import StreamPlan
    from vsrcli.memory_needs import Need
    from vsrcli.probe import ProbeReport
    from vsrcli.runtime.tile_plan import Tiling


def document(report: ProbeReport) -> dict[str, Any]:
    """Everything that was found, as plain values. Rates and aspects are "numerator/denominator"."""
    info, census, outcome = report.info, report.census, report.outcome
    timing = census.timing
    return {
        "source": str(info.path),
        "container": info.container,
        "duration_s": info.duration_s,
        "chapters": info.chapters,
        "video": _video(info.video)
        | {
            "frames": census.frames,
            "frames_declared": info.video.frames or None,
            "counted_by": "decoding" if census.is_decoded else "packets",
            "damaged_packets": census.damaged,
            "frame_rate": str(timing.rate),
            "variable_rate": timing.is_vfr,
            "shortest_interval_s": timing.shortest_s,
            "longest_interval_s": timing.longest_s,
            "start_s": timing.start_s,
        },
        "target": {
            "file": str(outcome.target),
            "container": outcome.container,
            "encoder": outcome.encoder,
            "pix_fmt": outcome.pix_fmt,
            "scale": outcome.size.scale,
            "width": outcome.size.width,
            "height": outcome.size.height,
        },
        "streams": [
            stream_document(stream) | fate_document(plan)
            for stream, plan in zip(info.streams, outcome.streams, strict=True)
        ],
        "sizes": {str(s): {"width": w, "height": h} for s, (w, h) in report.sizes.items()},
        "speed": _speed(report.speeds, census.frames) if report.speeds else None,
        "memory": [_memory(need) for need in report.needs],
        "tiles": {model: _tile(tiling) for model, tiling in report.tilings.items()},
        "warnings": list(report.warnings),
    }


def _tile(tiling: Tiling) -> dict[str, int] | None:
    """What goes through the model at a time; None where that is the picture."""
    window = tiling.window()
    return None if tiling.is_whole else {"width": window.width, "height": window.height}


def _memory(need: Need) -> dict[str, Any]:
    return {
        "model": need.model,
        "chunk": need.chunk,
        "overlap": need.overlap,
        "peak_bytes": need.peak_bytes,
        "free_bytes": need.free_bytes,
    }


def stream_document(stream: StreamInfo) -> dict[str, Any]:
    """One stream of the source."""
    return {
        "index": stream.index,
        "kind": stream.kind,
        "codec": stream.codec,
        "language": stream.language or None,
        "title": stream.title or None,
        "details": stream.details or None,
    }


def _video(video: VideoInfo) -> dict[str, Any]:
    color = video.color
    subsampled = video.layout.chroma_w > 1 or video.layout.chroma_h > 1
    return {
        "index": video.index,
        "codec": video.codec,
        "width": video.width,
        "height": video.height,
        "pix_fmt": video.pix_fmt,
        "bits": video.layout.bits,
        "matrix": matrix_name(color.matrix),
        "range": range_name(color.full_range),
        "primaries": primaries_name(color.primaries),
        "transfer": transfer_name(color.transfer),
        "chroma_siting": color.siting.value if subsampled else None,
        "hdr": video.hdr,
        "interlaced": video.interlaced,
        "rotation": video.rotation,
        "sample_aspect": str(video.sample_aspect),
        "time_base": str(video.time_base),
    }


def fate_document(plan: StreamPlan) -> dict[str, Any]:
    """What becomes of one stream."""
    return {
        "action": plan.action.value,
        "encoder": plan.encoder or None,
        "reason": plan.reason or None,
    }


def _speed(speeds: Speeds, frames: int) -> dict[str, Any]:
    return {
        "method": "estimate from a piece of the picture, scaled by area",
        "piece": {"width": speeds.width, "height": speeds.height},
        "decode_s_per_frame": speeds.decode_s,
        "encode_s_per_frame": speeds.encode_s or None,
        "models": [
            {
                "model": m.model,
                "device": m.device,
                "model_s_per_frame": m.model_s,
                "s_per_frame": m.frame_s,
                "fps": 1 / m.frame_s,
                "total_s": frames * m.frame_s,
            }
            for m in speeds.models
        ],
    }
