"""What is done to decoded frames before anything else sees them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import av
from av.codec import Codec

from vsrcli.errors import InputError
from vsrcli.frames import Frame, Layout, Role
from vsrcli.media.info import VideoInfo
from vsrcli.media.pixels import layout_of, without_alpha
from vsrcli.media.rotation import Turn
from vsrcli.media.y4m import Y4M

_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""FFmpeg's own decoders of these leave the alpha out."""
_ONE_RATE = {"avi", "mxf", Y4M, "ogg", "ogv"}
"""Containers whose pictures are numbered, not timed."""
_UNTURNED = "image2"
"""Pictures do not say how they are to be turned."""
_NO_TIMESTAMPS = 0x80
"""FFmpeg's flag of muxers that need none."""
_TIMELESS = {_UNTURNED, "image2pipe", "null"}
"""Muxers that keep no timestamps and whose output is not to be played."""
_FASTEST = 300
"""Frames a second; a container that claims more does not know its rate."""


@dataclass(frozen=True, kw_only=True)
class Intake:
    """The options of decoding. As they are by default a frame stays what the decoder gave."""

    deinterlace: str = "off"
    """auto, off, send_frame or send_field."""
    autorotate: bool = False
    """Turn the picture as its file says, instead of handing that on."""
    alpha: bool = True
    """Keep transparency."""
    cfr: bool = False
    """Constant frame rate: the container's, unless `rate` says which."""
    numbered: bool = False
    """At a constant rate timestamps are whole numbers of frames."""
    rate: Fraction | None = None

    def into(self, muxer: str, encoder: str | None = None) -> Intake:
        """The same with what a container and an encoder need: a constant rate where they cannot
        hold every timestamp; pixels turned in still pictures, which hold no display matrix."""
        is_numbered = muxer in _ONE_RATE or _is_bare(muxer) or _has_own_rates(encoder)
        return replace(
            self,
            cfr=self.cfr or is_numbered,
            numbered=self.numbered or is_numbered,
            autorotate=self.autorotate or muxer == _UNTURNED,
        )

    def grid_rate(self, stream: av.VideoStream, factor: int) -> Fraction | None:
        """Frames a second of the even grid; None: timestamps stay. Raises InputError."""
        if self.rate or not self.cfr:
            return self.rate
        rate = stream.guessed_rate or stream.average_rate
        if not rate or rate > _FASTEST:
            raise InputError("the container does not say a usable frame rate; give one with --fps")
        return rate * factor

    def decoder(self, stream: av.VideoStream) -> av.VideoCodecContext | None:
        """The decoder to use instead of the stream's own, if any."""
        name = _ALPHA_DECODERS.get(stream.codec_context.codec.canonical_name)
        tags = {key.lower(): value for key, value in stream.metadata.items()}
        if not (self.alpha and name and tags.get("alpha_mode") == "1"):
            return None
        decoder = av.CodecContext.create(name, "r")
        assert isinstance(decoder, av.VideoCodecContext)
        return decoder

    def frame(self, frame: Frame, turn: Turn | None) -> Frame:
        """A decoded frame as it goes on."""
        if not self.alpha and frame.layout.planes_of(Role.ALPHA):
            frame = replace(frame, planes=frame.planes[:-1], layout=without_alpha(frame.layout))
        return turn.apply(frame) if turn and self.turns(turn, frame.layout) else frame

    def turns(self, turn: Turn, layout: Layout) -> bool:
        """Whether the picture itself is turned. Raises InputError where its format has no twin."""
        if not self.autorotate or turn.quarters is None:
            return False
        turned = turn.layout(layout)
        try:
            known = layout_of(turned.name) == turned
        except InputError:
            known = False
        if not known:
            raise InputError(f"{layout.name} cannot be turned; leave out --autorotate")
        return True

    def video(self, info: VideoInfo, factor: int, grid: Fraction | None) -> VideoInfo:
        """The facts of a stream whose frames went through this; its time base may yet change."""
        rate = grid or info.rate * factor
        frames = round(info.frames * rate / info.rate)
        if grid and info.duration_s:  # uneven frames are fewer than their nominal rate says
            frames = round(info.duration_s * grid)
        info = replace(info, rate=rate, frames=frames)
        if not self.alpha and info.layout.planes_of(Role.ALPHA):
            info = replace(info, layout=without_alpha(info.layout))
        turn = info.turn
        if turn is None or not self.turns(turn, info.layout):
            return info
        width, height = turn.shape(info.width, info.height)
        aspect = info.sample_aspect
        return replace(
            info,
            width=width,
            height=height,
            layout=turn.layout(info.layout),
            sample_aspect=1 / aspect if turn.swaps and aspect else aspect,
            rotation=0,
            turn=None,
        )


def _is_bare(muxer: str) -> bool:
    """Whether a file is nothing but coded pictures, as .h264 and .mjpeg are."""
    has_no_times = bool(av.ContainerFormat(muxer, "w").flags & _NO_TIMESTAMPS)
    return has_no_times and muxer not in _TIMELESS


def _has_own_rates(encoder: str | None) -> bool:
    """Whether an encoder supports certain frame rates only, as MPEG-1 and MPEG-2 do."""
    try:
        return bool(encoder and Codec(encoder, "w").frame_rates)
    except ValueError:  # unknown, which is said where it would be opened
        return False
