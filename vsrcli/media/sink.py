"""The target file: the new picture beside the source's own streams, in place only when whole."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import av

from vsrcli import stops
from vsrcli.errors import EncodeError, OutputError, output_error
from vsrcli.frames import Frame
from vsrcli.media import nut, y4m
from vsrcli.media.convert import Converter, open_converter
from vsrcli.media.covers import attach, is_attached
from vsrcli.media.display_size import write_display_size
from vsrcli.media.encode import FrameWriter, lacks_shape
from vsrcli.media.external import open_writer
from vsrcli.media.interleave import Interleaver
from vsrcli.media.nut import NUT
from vsrcli.media.outlet import MOV, NoOutlet, open_outlet
from vsrcli.media.packet import SidePacket, time_of
from vsrcli.media.plan import COVERED, Action, StreamPlan, add_copy, plan_streams
from vsrcli.media.said import said_already
from vsrcli.media.segment_files import SegmentWriter
from vsrcli.media.settings import VideoOptions, refusal
from vsrcli.media.source import Source
from vsrcli.media.tags import copy_tags, has_cover, kept_tags, losses, own_tags
from vsrcli.media.timeline import Timeline, moved_chapters, ticks, time_shift
from vsrcli.media.y4m import Y4M
from vsrcli.paths import PIPE

log = logging.getLogger("vsr")
_OF_FEW_RATES = {"mxf", "mxf_d10", "mxf_opatom"}
"""Containers that support certain frame rates only."""
_MOVIE_TICKS = 10_000
"""The movie timescale at least: edit lists are rounded to it."""


class Sink:
    """An output file being written. Every frame and packet goes through `write`.

    A context manager: `finish` puts the file in place; leaving without it removes every trace.
    """

    def __init__(
        self,
        target: Path,
        source: Source,
        *,
        video: VideoOptions,
        size: tuple[int, int],
        audio: str = "copy",
        threads: int = 0,
        part: Path | None = None,
        format_: str | None = None,
        overwrite: bool = True,
        writes: bool = True,
    ) -> None:
        """`part` is where a file grows until it is whole; None: beside the target. `format_` is
        the container where the target's name does not say it. `overwrite`: what is at the target
        when all is done is replaced. `writes` False: nothing is, as it is only to be seen whether
        all of this can be opened.
        """
        self.target, self._source = target, source
        self.frames = 0
        self._replay: Iterator[SidePacket] | None = None
        outlet = open_outlet(target, format_, part)
        self._outlet = outlet if writes else NoOutlet(outlet)
        self.video = video = self._outlet.settings(video)
        """The encoder's settings, with what is usual for this target where they were left open."""
        self._overwrite = overwrite
        self._info = source.info.video.shaped(*size)
        self._done = False
        self._size = size
        self._open_writer = partial(
            open_writer, info=self._info, options=video, size=size, threads=threads
        )
        self._container = self._create(self._outlet.format)
        self._timeline = Timeline(
            self.format, time_shift(source, self.format, self._info.time_base)
        )
        try:
            self.plans = self._add_streams(audio)
            self._start()
        except BaseException:
            self._discard()
            raise

    @property
    def format(self) -> str:
        """FFmpeg's name of the container."""
        return self._outlet.format

    @property
    def shift(self) -> Fraction:
        """Seconds that are added to every timestamp of the source."""
        return self._timeline.shift

    def _create(self, muxer: str) -> av.container.OutputContainer:
        options = {}
        if muxer in MOV:
            flags = "+faststart"
            if self._own_tags(muxer):
                flags += "+use_metadata_tags"
            options = {"movflags": flags, "movie_timescale": str(self._movie_timescale())}
        try:
            return self._outlet.open(options, aspect=self._info.sample_aspect)
        except OSError as exc:
            self._outlet.discard()
            raise output_error(self.target, exc) from exc

    def _own_tags(self, muxer: str) -> list[str]:
        """The tags for which mp4 and mov need a list of their own; it has no room for a cover."""
        source = self._source
        tags = own_tags(source.container.metadata)
        if tags and muxer in COVERED and has_cover(source.container, source.wanted):
            log.warning(
                "%s holds either these tags or the cover picture: %s; write .mkv to keep them",
                *(muxer, ", ".join(tags)),
            )
            return []
        return tags

    def _movie_timescale(self) -> int:
        ticks = self._info.time_base.denominator
        return ticks * -(-_MOVIE_TICKS // ticks)

    def _add_streams(self, audio: str) -> list[StreamPlan]:
        source, muxer = self._source.container, self._container.format.name
        wanted = self._source.wanted
        plans = plan_streams(
            source,
            video=self._info.index,
            container=muxer,
            audio=audio,
            wanted=wanted,
            piped=self.target == PIPE,
        )
        self._copies: dict[int, av.stream.Stream] = {}
        self._converters: dict[int, Converter] = {}
        for plan in plans:
            self._add(plan, source.streams[plan.index])
        _say(plans)
        kept = [source.streams[p.index] for p in plans if p.action is not Action.DROP]
        if lost := losses(source, kept, muxer):
            log.warning("%s holds no %s; write .mkv to keep them", muxer, ", ".join(lost))
        self._container.metadata.update(kept_tags(source.metadata))
        self._container.set_chapters(
            moved_chapters(source.chapters(), self.shift, self._source.span)
        )
        return plans

    def _add(self, plan: StreamPlan, source: av.stream.Stream) -> None:
        if plan.action is Action.DROP:
            return
        if plan.action is Action.UPSCALE:
            self._video, writer = self._open_writer(self._container)
            self._lacks_shape = lacks_shape(self._container, self._video, self._info)
            self._segments = SegmentWriter(writer, self._fresh_writer)
            target: av.stream.Stream = self._video
        elif is_attached(source, self.format):
            target = attach(self._container, source, self._source.cover(source.index))
        elif plan.action is Action.COPY:
            target = add_copy(self._container, source)
            self._copies[source.index] = target
        else:
            converter = open_converter(
                source, self._container, plan.encoder, on_error=self._source.on_error
            )
            self._converters[source.index], target = converter, converter.stream
        copy_tags(source, target)

    def _opened_again(self) -> tuple[av.container.OutputContainer, FrameWriter]:
        """Another encoder like the first, and its container, which writes to no file."""
        nowhere = av.open(os.devnull, "w", format=self.format)
        with said_already():
            _, writer = self._open_writer(nowhere)
        return nowhere, writer

    def _fresh_writer(self) -> FrameWriter:
        """The encoder of another segment."""
        return self._opened_again()[1]

    def _start(self) -> None:
        """Writes the header; from then on the streams have the time bases of the container."""
        try:
            self._container.start_encoding()
        except (av.error.ArgumentError, av.error.PatchWelcomeError) as exc:
            if self.format in _OF_FEW_RATES:
                raise OutputError(
                    f"{self.target}: {self.format} may have no {float(self._info.rate):g} frames a "
                    "second; try --fps 25, or another container, such as .mkv"
                ) from exc
            if not self._takes_picture():
                name = self._video.codec_context.name
                raise EncodeError(f"{refusal(self.format, name)}; change -c:v or -o") from exc
            raise output_error(self.target, exc) from exc
        except (av.FFmpegError, ValueError, OSError) as exc:
            raise output_error(self.target, exc) from exc
        self._muxer = Interleaver(
            self._container,
            self._video,
            self._timeline,
            begin_s=self._source.first_time_s + self.shift,
            source=self._source.path,
            target=self.target,
            after_each=self._outlet.check,
        )

    def _takes_picture(self) -> bool:
        """Whether the muxer takes what the encoder makes: mov refuses VP9 only with its header."""
        nowhere, _ = self._opened_again()
        with nowhere:
            try:
                nowhere.start_encoding()
            except (av.FFmpegError, ValueError):
                return False
        return True

    def write(self, item: Frame | SidePacket) -> None:
        """One upscaled frame, or one packet of another stream. Raises EncodeError, OutputError."""
        if isinstance(item, Frame):
            self.check_room(self.frames + 1)
            self._catch_up()
            pts = item.pts + ticks(self.shift, item.time_base)
            with self._system_errors():
                packets = self._segments.encode(item, pts)
            self._muxer.add_picture(packets)
            self.frames += 1
            return
        self._catch_up(item)
        if item.stream.index in self._copies:
            self._timeline.move(item)
            item.stream = self._copies[item.stream.index]
            self._muxer.add_beside([item])
        elif item.stream.index in self._converters:
            self._timeline.move(item)
            self._muxer.add_beside(list(self._converters[item.stream.index].feed(item)))

    def check_room(self, frames: int) -> None:
        """Raises OutputError where the target does not hold so many frames."""
        if self._outlet.holds is not None and frames > self._outlet.holds:
            raise OutputError(
                f"{self.target} is one picture and there are more frames; name numbered ones, "
                f"{self.target.stem}_%05d{self.target.suffix}, or choose one with -ss and -t"
            )

    @property
    def bytes(self) -> int:
        """Written so far; the container and the encoder hold some more back."""
        try:
            return self._outlet.bytes()
        except OSError:  # the folder went away; writing will say so
            return 0

    def keep_segment(self, path: Path) -> None:
        """The packets of the picture from here to the next `cut` are kept in this file, too."""
        with self._system_errors():
            self._segments.keep_in(path)

    def cut(self) -> int:
        """Ends the segment, whose file is then whole. Gives how many frames it holds.

        0 if no frame came since the last cut: then nothing has changed.
        """
        if self._segments.is_empty:
            return 0
        with self._system_errors():
            packets, frames = self._segments.cut()
        self._muxer.add_picture(packets)
        return frames

    def replay(self, paths: Sequence[Path], frames: int) -> None:
        """Starts with the `frames` frames of earlier segments, in time with the other streams."""
        self._replay = self._segments.again(paths)
        self.frames = frames

    def _catch_up(self, until: SidePacket | None = None) -> None:
        """Muxes the packets of earlier segments: those due before `until`, or all of them."""
        if self._replay is None:
            return
        end = None
        if until is not None:
            at_s = time_of(until)
            if at_s is None:
                return
            end = at_s + self.shift
        for packet in self._replay:
            self._muxer.add_picture([packet])
            if end is not None and packet.dts is not None and packet.dts * packet.time_base >= end:
                return
        self._replay = None

    @contextmanager
    def _system_errors(self) -> Iterator[None]:
        """The system's refusals as errors of the output."""
        try:
            yield
        except (av.FFmpegError, OSError) as exc:
            raise output_error(self.target, exc) from exc

    def finish(self, frames: int, before_placing: Callable[[], None] = lambda: None) -> None:
        """Closes the file, checks that it holds `frames` frames, and puts it in place.

        Raises EncodeError if a frame is missing, OutputError if the disk refuses, or if something
        that may not be replaced has come to the target meanwhile.
        """
        self._catch_up()
        with self._system_errors():
            packets = self._segments.flush()
        self._muxer.add_picture(packets)
        for converter in self._converters.values():
            self._muxer.add_beside(list(converter.flush()))
        self._muxer.finish(self._muxer.frames / self._info.rate)
        try:
            self._container.close()
            self._outlet.check()
        except (av.FFmpegError, OSError) as exc:
            raise output_error(self.target, exc) from exc
        with self._system_errors():
            self._complete()
            self._verify(frames)
        stops.check()  # the last time: from here on the output is there
        before_placing()
        try:
            self._outlet.place(overwrite=self._overwrite)
        except OSError as exc:
            raise output_error(self.target, exc) from exc
        self._done = True

    def _complete(self) -> None:
        """Says the shape of the pixels where neither the muxer nor the codec did."""
        tell = {Y4M: y4m.write_aspect, NUT: nut.write_aspect}.get(self.format)
        if not self._lacks_shape or (tell and self.target == PIPE):  # then the outlet said it
            return
        path, aspect = Path(self._container.name), self._info.sample_aspect
        is_said = path.is_file() and (
            tell(path, aspect) if tell else write_display_size(path, self._size, aspect)
        )
        if not is_said:
            log.warning("the pixel aspect is not kept; write .mp4 or .mov to keep it")

    def _verify(self, frames: int) -> None:
        held = self._outlet.frames(self._video.index, self._size)
        written = self._muxer.frames if held is None else held
        if not frames == self.frames == written:
            raise EncodeError(
                f"{frames} frames were decoded but the file holds {written}; nothing was written. "
                "Try another --encoder or container, and report this"
            )

    def _discard(self) -> None:
        if hasattr(self, "_segments"):
            self._segments.drop()
        self._outlet.abandon()
        try:
            self._container.close()
        except (av.FFmpegError, OSError, ValueError):
            log.debug("the abandoned file could not be closed", exc_info=True)
        self._outlet.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if not self._done:
            self._discard()


def _say(plans: list[StreamPlan]) -> None:
    for plan in plans:
        line = f"stream #{plan.index} ({plan.kind}, {plan.codec})"
        if plan.action is Action.DROP and not plan.expected:
            log.warning("%s is not kept: %s", line, plan.reason)
        elif plan.action is Action.CONVERT and plan.reason:
            log.warning("%s is converted to %s: %s", line, plan.encoder, plan.reason)
        else:
            log.info("%s: %s %s", line, plan.action.value, plan.encoder or plan.reason)
