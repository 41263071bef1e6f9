"""The whole benchmark, case by case."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import median

from vsrcli import __version__
from vsrcli.benchmark.alone import CHUNK, gflop_of, psnr_of, time_model
from vsrcli.benchmark.cases import Case, Figures, Outcome, Plan, Scaler, Size
from vsrcli.benchmark.pictures import Luma, made_pictures, read_pictures
from vsrcli.benchmark.process import Ran
from vsrcli.benchmark.roofline import peak_gflops
from vsrcli.benchmark.whole import STAGE_FRAMES, make_clip, run_case, run_scaler, time_stages
from vsrcli.doctor import describe_machine, package_versions
from vsrcli.errors import DeviceError, ModelError, UsageError, VsrError
from vsrcli.media.encoders import ffmpeg_versions
from vsrcli.media.ffmpeg import SCALERS, ffmpeg_binary
from vsrcli.media.source import Source
from vsrcli.models import Model
from vsrcli.runtime.bare_onnx import resolve_model
from vsrcli.runtime.devices import choose_setup
from vsrcli.runtime.engines import ENGINES, Setup
from vsrcli.runtime.memory import free_bytes
from vsrcli.runtime.trial import is_right

Say = Callable[[str], None]
_PEAKED = ("fp32", "bf16", "fp16", "int8")
"""Precisions whose best is measured."""
_PACKAGES = ("onnxruntime-gpu", "onnxruntime", "openvino", "av", "numpy")


def measure(plan: Plan, say: Say = lambda _: None) -> Outcome:
    """All figures. `say` hears what is done next. Raises VsrError, before anything is measured, for
    a model, source, preset or device that is not there; a case that an engine cannot run is a
    finding."""
    _check(plan)
    models = {name: resolve_model(name) for name in plan.models}
    _check_room(plan, models)
    if plan.frames:
        plan = replace(plan, frames=max(plan.frames, STAGE_FRAMES))
    pictures = read_pictures(plan.pictures) if plan.pictures else made_pictures()
    bench = _Bench(plan, models, pictures, say)
    with tempfile.TemporaryDirectory() as folder:
        clips = {size: make_clip(Path(folder), plan, size) for size in plan.sizes if plan.frames}
        figures = [bench.alone(case) for case in _cases(plan, models)]
        figures, scalers = bench.end_to_end(figures, clips)
        if clips:
            figures = [bench.staged(row, clips) for row in figures]
    return Outcome(
        plan=plan,
        machine=describe_machine(),
        versions={
            "vsr": __version__,
            **{name: found for name, found in package_versions(_PACKAGES).items() if found},
            "ffmpeg": ffmpeg_versions()["imageio-ffmpeg"],
        },
        peaks=bench.peaks,
        figures=tuple(figures),
        scalers=tuple(scalers),
    )


def _check(plan: Plan) -> None:
    if plan.frames:
        ffmpeg_binary()
    if plan.source:
        with Source(plan.source) as source:
            next(source.items(), None)
    if plan.device not in ("auto", "cpu") and not is_right(Setup(device=plan.device)):
        raise DeviceError(f"{plan.device} computes wrong values; see vsr doctor")


def _check_room(plan: Plan, models: dict[str, Model]) -> None:
    """Raises UsageError for a size of which the frames that are held at once cannot be."""
    free = free_bytes("cpu")
    large, small = (STAGE_FRAMES, STAGE_FRAMES) if plan.frames else (1, CHUNK)
    for case in _cases(plan, models):
        width, height = case.size
        held = width * height * 3 // 2 * (small + large * case.scale**2)
        if free is not None and held > free:
            raise UsageError(
                f"--size {width}x{height}: the frames that are held at x{case.scale} would take "
                f"{held / 2**30:.0f} GiB and {free / 2**30:.1f} GiB are free; choose a smaller one"
            )


def _cases(plan: Plan, models: dict[str, Model]) -> Iterator[Case]:
    ways = product(models, plan.sizes, plan.engines, plan.precisions)
    for name, size, engine, precision in ways:
        scale = plan.scale or models[name].scales[-1]
        yield Case(model=name, scale=scale, engine=engine, precision=precision, size=size)


class _Bench:
    """What is measured once and used by several cases."""

    def __init__(
        self, plan: Plan, models: dict[str, Model], pictures: list[Luma], say: Say
    ) -> None:
        self.peaks: dict[str, float] = {}
        self._plan, self._models, self._pictures, self._say = plan, models, pictures, say
        self._psnr: dict[tuple[object, ...], float] = {}

    def alone(self, case: Case) -> Figures:
        """The model by itself."""
        self._say(case.label)
        model = self._models[case.model]
        try:
            setup = choose_setup(
                model, scale=case.scale, device=self._plan.device, engine=case.engine,
                precision=case.precision, threads=self._plan.threads,
            )  # fmt: skip
            device, ms = time_model(case, model, self._plan)
            psnr = self._psnr_of(case)
        except (DeviceError, ModelError) as exc:
            return Figures(case=case, reason=str(exc))
        exact = self._psnr_of(replace(case, engine="onnxruntime", precision="fp32"))
        by_engine = device.split()[0] in ENGINES  # libswscale does not run the graph
        return Figures(
            case=case,
            device=device,
            model_ms=ms,
            gflop=gflop_of(case, model) if by_engine else None,
            peak_gflops=self._peak(setup) if by_engine else None,
            psnr_db=psnr,
            psnr_change_db=psnr - exact,
        )

    def end_to_end(
        self, figures: list[Figures], clips: dict[Size, Path]
    ) -> tuple[list[Figures], list[Scaler]]:
        """Rounds of ffmpeg and every case in turn, so that a busy machine slows them alike."""
        runs: dict[Case, list[Ran]] = {row.case: [] for row in figures if not row.reason}
        scales = sorted({(case.scale, case.size) for case in runs})
        wanted = [(k, *s) for s in scales for k in SCALERS if self._plan.with_ffmpeg]
        scaled: dict[tuple[str, int, Size], list[Ran]] = {key: [] for key in wanted}
        for _ in range(self._plan.rounds if clips else 0):
            for (kernel, scale, size), ran in scaled.items():
                self._say(f"ffmpeg {kernel} x{scale}, end to end")
                ran.append(run_scaler(kernel, scale, self._plan, clips[size]))
            for case, done in runs.items():
                self._say(f"{case.label}, end to end")
                done.append(run_case(case, self._plan, clips[case.size]))
        found = [self._with_fps(row, runs.get(row.case, [])) for row in figures]
        scalers = [
            Scaler(kernel=k, scale=s, size=size, fps=self._fps(ran), peak_mib=_most(ran))
            for (k, s, size), ran in scaled.items()
            if ran
        ]
        return found, scalers

    def staged(self, row: Figures, clips: dict[Size, Path]) -> Figures:
        """With the time of each stage."""
        if row.reason:
            return row
        self._say(f"{row.case.label}, stage by stage")
        model = self._models[row.case.model]
        return replace(row, stages=time_stages(row.case, model, self._plan, clips[row.case.size]))

    def _with_fps(self, row: Figures, ran: list[Ran]) -> Figures:
        return replace(row, fps=self._fps(ran), peak_mib=_most(ran)) if ran else row

    def _fps(self, ran: list[Ran]) -> float:
        return self._plan.frames / median(one.seconds for one in ran)

    def _psnr_of(self, case: Case) -> float:
        key = (case.model, case.scale, case.engine, case.precision)
        if key not in self._psnr:
            model = self._models[case.model]
            self._psnr[key] = psnr_of(case, model, self._plan, self._pictures)
        return self._psnr[key]

    def _peak(self, setup: Setup) -> float | None:
        if setup.precision not in _PEAKED:
            return None
        key = f"{setup.engine} {setup.precision}"
        if key not in self.peaks:
            self._say(f"the best that {key} does here")
            with suppress(VsrError):
                self.peaks[key] = peak_gflops(setup)
        return self.peaks.get(key)


def _most(ran: list[Ran]) -> float | None:
    return max((one.peak_mib for one in ran if one.peak_mib is not None), default=None)
