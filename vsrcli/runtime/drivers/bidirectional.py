"""The `bidirectional` kind: chunks of frames, each cleaned, aligned and seen from both sides.

    clean ─► flow both ways ─► backward over the chunk and its look-ahead ─► forward, reconstruct

Features go backward from the look-ahead frames, the first of the next chunk, to the first frame of
the chunk; the forward feature is carried from chunk to chunk and starts afresh with a shot. So a
chunk bounds the memory whatever the length of the film, and its borders do not show.
"""

from __future__ import annotations

import itertools
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from vsrcli import stops
from vsrcli.errors import DeviceError, OutOfMemoryError, WeightsError
from vsrcli.frames import Frame, Picture, Plane, Role
from vsrcli.models import UNTUNED, Model, Tuning
from vsrcli.models.model import PARTS
from vsrcli.runtime.cell_graphs import color_planes, decode_graph
from vsrcli.runtime.chunk_memory import chunk_for, features_of, footprint
from vsrcli.runtime.cleaning import ShotCleaning, decided, revised, smoothed
from vsrcli.runtime.drivers import Carried
from vsrcli.runtime.engines import Array, Engine, Setup, Tensor
from vsrcli.runtime.graphs import SOURCE, TARGET, bicubic_graph
from vsrcli.runtime.memory import free_bytes
from vsrcli.runtime.onnx_wire import with_sides
from vsrcli.runtime.strips import (
    FRAME,
    TOP,
    WHOLE,
    Strip,
    cut_graph,
    encode_graph,
    strips_of,
)

DEFAULT_OVERLAP = 5
_KINDS = {
    **dict.fromkeys(("frame", "now", "other"), "frame"),
    **dict.fromkeys(("feature", "behind", "before"), "feature"),
    "motion": "motion",
}
"""What each input of a part is."""
log = logging.getLogger("vsr")


@dataclass(kw_only=True)
class _Held:
    """A frame that waits, and what is known of it."""

    frame: Frame
    clean: Tensor | None = None
    passes: int = -1
    measured: bool = False
    """It is part of the running means of its shot."""
    ahead: Tensor | None = None
    """Motion to the next frame."""
    back: Tensor | None = None
    """Motion to the frame before."""


@dataclass(kw_only=True)
class _Shot:
    """The shot that is going on."""

    first: int = -1
    frames: int = 0
    passes: int | None = None
    """Of the next chunk; None before the first."""
    history: list[int] = field(default_factory=list)
    changes: list[float] = field(default_factory=list)
    """Running mean of each pass's |residue|."""
    change: float = 0.0
    feature: Tensor | None = None
    """The forward feature of the last frame that came out."""
    clean: Tensor | None = None
    """That frame, cleaned."""


class BidirectionalDriver:
    """Runs a bidirectional model on pictures of one layout and size. See `drivers.Driver`.

    `on_shot` hears of each shot's cleaning when the shot is over. Raises WeightsError if the model
    lacks a part, DeviceError if not even one frame fits into memory.
    """

    def __init__(
        self,
        model: Model,
        scale: int,
        *,
        picture: Picture,
        setup: Setup,
        precision: str = "fp32",
        tuning: Tuning = UNTUNED,
        on_shot: Callable[[ShotCleaning], None] = lambda _: None,
    ) -> None:
        self.scale, self._picture, self._on_shot = scale, picture, on_shot
        self._planes = color_planes(picture)
        graphs = model.parts(scale, precision)
        if missing := [name for name in PARTS if name not in graphs]:
            raise WeightsError(f"{model.id} has no graph {missing[0]}; see `vsr models verify`")

        def engine(graph: bytes) -> Engine:
            return setup.open(graph, frugal=True, hidden={"feature_next"})

        parts = {name: graphs[name].load() for name in PARTS}
        features = features_of(model, parts["forward"])
        self._shapes = {
            kind: (1, channels, picture.height, picture.width)
            for kind, channels in (("frame", 3), ("motion", 2), ("feature", features))
        }
        self.footprint = footprint(model, scale, features, picture)
        halo = graphs["reconstruct"].border
        self._strips = strips_of(picture.height, self.footprint.rows, halo)
        sides = {name: self._shapes[kind] for name, kind in _KINDS.items()}
        last = cut_graph(parts.pop("reconstruct"), self._strips, sides)
        self._engines = {name: engine(with_sides(part, sides)) for name, part in parts.items()}
        self._engines["reconstruct"] = engine(last)
        self._engines["decode"] = engine(decode_graph(picture))
        self.device = self._engines["forward"].name
        self._strength = 1.0 if tuning.strength is None else tuning.strength
        encode = encode_graph(picture, scale, self._strips, strength=self._strength)
        self._engines["encode"] = engine(encode)
        if picture.layout.planes_of(Role.ALPHA):
            shape = (1, picture.height, picture.width)
            alpha = bicubic_graph(scale, bits=picture.layout.bits, shape=shape)
            self._engines["alpha"] = engine(alpha)
        self._fixed = None if tuning.clean in (None, "auto") else int(tuning.clean)
        given = tuning.clean_threshold
        self._threshold = model.clean_threshold if given is None else given / 255
        self.overlap = DEFAULT_OVERLAP if tuning.overlap is None else tuning.overlap
        self.chunk = chunk_for(self.footprint, tuning.chunk, self.overlap, free_bytes(setup.device))
        self._spares: dict[str, list[Tensor]] = {kind: [] for kind in self._shapes}
        self._none = {kind: self._zero(kind) for kind in ("motion", "feature")}
        self._large_strips: list[Tensor] = []
        self._waiting: deque[_Held] = deque()
        self._shot = _Shot()
        self._over: list[ShotCleaning] = []  # since the last `save`

    def push(self, frame: Frame) -> list[Frame]:
        if self._shot.first < 0:
            self._shot.first = frame.index
        self._waiting.append(_Held(frame=frame))
        made: list[Frame] = []
        while len(self._waiting) >= self.chunk + self.overlap:
            made += self._advance()
        return made

    def flush(self) -> list[Frame]:
        made: list[Frame] = []
        while self._waiting:
            made += self._advance()
        return made

    def reset(self) -> None:
        shot = self._shot
        if shot.frames:
            done = ShotCleaning(
                first=shot.first,
                frames=shot.frames,
                passes=tuple(shot.history),
                change=shot.change,
            )
            log.info("%s", done)
            self._over.append(done)
            self._on_shot(done)
        for held in self._waiting:
            self._forget(held)
        self._waiting.clear()
        self._give("feature", shot.feature)
        self._give("frame", shot.clean)
        self._shot = _Shot()

    def save(self) -> Carried:
        """At a cut, too: the next shot goes on in chunks as long as those before it."""
        shot = self._shot
        measured = sum(held.measured for held in self._waiting)
        numbers = (shot.first, shot.frames, -1 if shot.passes is None else shot.passes, measured,
                   self.chunk, self.overlap)  # fmt: skip
        arrays = {
            "numbers": np.array(numbers, np.int64),
            "history": np.array(shot.history, np.int64),
            "changes": np.array([shot.change, *shot.changes], np.float64),
        }
        for name, tensor in (("feature", shot.feature), ("clean", shot.clean)):
            if tensor is not None:
                arrays[name] = self._engines["forward"].get(tensor)
        over, self._over = tuple(self._over), []
        return Carried(arrays=arrays, held=len(self._waiting), cleaned=over)

    def load(self, arrays: Mapping[str, Array], held: Sequence[Frame]) -> None:
        self._shot.frames = 0
        self.reset()
        first, frames, passes, measured, chunk, overlap = map(int, arrays["numbers"])
        change, *changes = map(float, arrays["changes"])
        self._shot = _Shot(
            first=first,
            frames=frames,
            passes=None if passes < 0 else passes,
            history=[int(n) for n in arrays["history"]],
            changes=changes,
            change=change,
            feature=self._engines["forward"].put(arrays["feature"]) if frames else None,
            clean=self._engines["forward"].put(arrays["clean"]) if frames else None,
        )
        self.chunk, self.overlap = chunk, overlap
        self._waiting.extend(
            _Held(frame=frame, measured=i < measured) for i, frame in enumerate(held)
        )

    def close(self) -> None:
        if self._shot.frames:
            self.reset()
        for engine in self._engines.values():
            engine.close()

    def _advance(self) -> list[Frame]:
        """The next chunk upscaled, made smaller until it fits into memory."""
        while True:
            try:
                return self._run(min(self.chunk, len(self._waiting)))
            except (OutOfMemoryError, MemoryError) as exc:
                self._shrink(exc)

    def _shrink(self, exc: Exception) -> None:
        for held in self._waiting:
            held.clean = held.ahead = held.back = None
            held.passes = -1
        self._spares = {kind: [] for kind in self._shapes}
        self._large_strips = []
        if self.chunk == 1 and self.overlap == 0:
            size = f"{self._picture.width}x{self._picture.height}"
            raise DeviceError(
                f"not even one {size} frame fits into memory; use a smaller model, or scale the "
                "input down"
            ) from exc
        self.chunk, self.overlap = max(1, self.chunk // 2), self.overlap // 2
        log.warning("out of memory: going on with chunks of %d frames", self.chunk)

    def _run(self, count: int) -> list[Frame]:
        """Restores the first `count` frames that wait, looking ahead at those after them."""
        shot = self._shot
        part = [held for held, _ in zip(self._waiting, range(count + self.overlap), strict=False)]
        passes = self._clean(part)
        self._find_motions(part)
        behind = self._backward(part, count)
        made, feature = self._forward(part[:count], behind)
        if not shot.history or shot.history[-1] != passes:
            shot.history.append(passes)
        self._give("feature", shot.feature)
        self._give("frame", shot.clean)
        last = part[count - 1]
        shot.feature, shot.clean, last.clean = feature, last.clean, None
        shot.frames += count
        for _ in range(count):
            self._forget(self._waiting.popleft())
        return made

    def _engine(self, name: str) -> Engine:
        """One of the graph's parts. A chunk takes long, so a stop is obeyed between two of them."""
        stops.check()
        return self._engines[name]

    def _clean(self, part: list[_Held]) -> int:
        """Cleans what is not clean yet; the passes that all frames of this chunk have had."""
        shot = self._shot
        if self._fixed is None and shot.passes is None:
            return self._clean_first(part)
        passes = shot.passes if self._fixed is None else self._fixed
        assert passes is not None
        seen = [(held.measured, self._cleaned(held, passes)) for held in part
                if held.passes != passes]  # fmt: skip
        for held in part:
            held.measured = True
        new = [changes for measured, changes in seen if not measured and changes]
        if new:
            means = np.mean(new, axis=0).tolist()
            shot.change = shot.change or means[0]
            shot.changes = smoothed(shot.changes, means)
        if new and self._fixed is None:
            shot.passes = revised(passes, shot.changes, self._threshold)
        return passes

    def _clean_first(self, part: list[_Held]) -> int:
        """Passes over the first chunk of a shot until the rule is content."""
        shot, changes = self._shot, list[float]()
        for held in part:
            self._decode(held)
        while (passes := decided(changes, self._threshold)) is None:
            changes.append(float(np.mean([self._pass(held) for held in part])))
        for held in part:
            if held.passes != passes:
                self._decode(held)
            held.measured = True
        shot.passes, shot.changes, shot.change = passes, changes, changes[0]
        return passes

    def _cleaned(self, held: _Held, passes: int) -> list[float]:
        """Cleans one frame anew; the mean |residue| of each pass, of a trial one if there is none.

        A shot whose passes are given is not judged, so it needs no trial.
        """
        self._decode(held)
        if passes == 0 and self._fixed is None:
            changes = [self._pass(held)]
            self._decode(held)
            return changes
        return [self._pass(held) for _ in range(passes)]

    def _decode(self, held: _Held) -> None:
        if held.clean is None:
            held.clean = self._take("frame")
        held.passes = 0
        self._engine("decode").run(self._feeds(held.frame), {"newest": held.clean})
        self._give("motion", held.ahead)
        self._give("motion", held.back)
        held.ahead = held.back = None

    def _pass(self, held: _Held) -> float:
        """One more pass over a frame; its mean |residue|."""
        spare = self._take("frame")
        made = self._engine("clean").run({"frame": held.clean}, {"cleaned": spare})
        self._give("frame", held.clean)
        held.clean = spare
        held.passes += 1
        return float(made["change"])

    def _find_motions(self, part: list[_Held]) -> None:
        """Between all neighbours, and from the first frame to the last of the chunk before."""
        if part[0].back is None and self._shot.clean is not None:
            part[0].back = self._motion(part[0].clean, self._shot.clean)
        for early, late in itertools.pairwise(part):
            if early.ahead is None:
                early.ahead = self._motion(early.clean, late.clean)
            if late.back is None:
                late.back = self._motion(late.clean, early.clean)

    def _motion(self, now: Tensor, other: Tensor) -> Tensor:
        motion = self._take("motion")
        self._engine("flow").run({"now": now, "other": other}, {"motion": motion})
        return motion

    def _backward(self, part: list[_Held], count: int) -> list[Tensor]:
        """The backward features of the first `count` frames."""
        behind: list[Tensor] = []
        feature = self._none["feature"]
        for index, held in reversed(list(enumerate(part))):
            motion = self._none["motion"] if held is part[-1] else held.ahead
            made = self._step("backward", held, feature, motion)
            if held is not part[-1] and index + 1 >= count:
                self._give("feature", feature)
            feature = made
            if index < count:
                behind.insert(0, made)
        return behind

    def _forward(self, part: list[_Held], behind: list[Tensor]) -> tuple[list[Frame], Tensor]:
        """The upscaled frames, and the forward feature of the last. What a shot carries stays, so
        that a chunk that did not fit can be begun again."""
        made: list[Frame] = []
        before = self._none["feature"] if self._shot.feature is None else self._shot.feature
        feature = before
        for held, back in zip(part, behind, strict=True):
            motion = self._none["motion"] if held.back is None else held.back
            new = self._step("forward", held, feature, motion)
            if feature is not before:
                self._give("feature", feature)
            feature = new
            made.append(self._reconstruct(held, back, feature))
            self._give("feature", back)
        return made, feature

    def _step(self, name: str, held: _Held, feature: Tensor, motion: Tensor) -> Tensor:
        new = self._take("feature")
        feeds = {"frame": held.clean, "feature": feature, "motion": motion}
        self._engine(name).run(feeds, {"feature_next": new})
        return new

    def _reconstruct(self, held: _Held, behind: Tensor, before: Tensor) -> Frame:
        whole = {"frame": held.clean, "behind": behind, "before": before}
        feeds = {WHOLE + name: tensor for name, tensor in whole.items()}
        strips: dict[str, Array | Tensor] = {}
        for i, strip in enumerate(self._strips):
            rows = {TOP: np.array([strip.above])} if len(self._strips) > 1 else {}
            strips[f"strip_{i}"] = self._strip(i, strip)
            self._engine("reconstruct").run({**feeds, **rows}, {"y": strips[f"strip_{i}"]})
        if self._strength < 1:
            strips[FRAME] = held.clean
        planes = {i: np.empty(self._large(i), self._picture.layout.dtype) for i in self._planes}
        self._engine("encode").run(strips, {f"out_{i}": plane for i, plane in planes.items()})
        result = {i: plane[0, 0] for i, plane in planes.items()} | self._alpha_of(held.frame)
        return held.frame.scaled([result[i] for i in sorted(result)], self.scale)

    def _strip(self, index: int, strip: Strip) -> Tensor:
        """Where a strip's picture goes, kept from frame to frame."""
        if index == len(self._large_strips):
            rows = (strip.below - strip.above) * self.scale
            shape = (1, 3, rows, self._picture.width * self.scale)
            self._large_strips.append(self._engines["encode"].put(np.zeros(shape, np.float32)))
        return self._large_strips[index]

    def _feeds(self, frame: Frame) -> dict[str, Array]:
        return {f"in_{i}": frame.planes[i][None, None] for i in self._planes}

    def _large(self, plane: int) -> tuple[int, int, int, int]:
        return 1, 1, *self._picture.scaled(self.scale).size(plane)

    def _alpha_of(self, frame: Frame) -> dict[int, Plane]:
        return {
            index: self._engine("alpha").run({SOURCE: frame.planes[index][None, None]})[TARGET][
                0, 0
            ]
            for index in self._picture.layout.planes_of(Role.ALPHA)
        }

    def _forget(self, held: _Held) -> None:
        """Its tensors can be used again."""
        self._give("frame", held.clean)
        self._give("motion", held.ahead)
        self._give("motion", held.back)

    def _zero(self, kind: str) -> Tensor:
        engine = self._engines["forward"]
        return engine.put(np.zeros(self._shapes[kind], engine.inputs[kind].dtype))

    def _take(self, kind: str) -> Tensor:
        """A tensor of this kind with anything in it."""
        return self._spares[kind].pop() if self._spares[kind] else self._zero(kind)

    def _give(self, kind: str, tensor: Tensor | None) -> None:
        if tensor is not None:
            self._spares[kind].append(tensor)
