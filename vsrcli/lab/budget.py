"""What all trainings share: a device and a budget of minutes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

import torch

from vsrcli.errors import DeviceError, UsageError


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A place in a training, at which one step is taken."""

    spent_s: float
    """Seconds of the budget, all slices together."""
    progress: float
    """0..1 of the whole budget."""
    due: bool
    """Whether to report and save after the step."""
    done: bool
    """Whether it is the last step of the slice."""


def moments(
    spent_s: float,
    *,
    minutes: float,
    total_minutes: float | None = None,
    device: str = "cpu",
    report_s: float,
) -> Iterator[Moment]:
    """One for each step of `minutes` more, but not past `total_minutes`, over which progress runs:
    none if they are spent.

    Minutes are core-minutes on a CPU, so a busy machine shortens nothing, and real ones elsewhere.
    """
    budget_s = 60 * (total_minutes or minutes)
    stop_s, reported_s = min(spent_s + 60 * minutes, budget_s), spent_s
    clock = time.process_time if device == "cpu" else time.perf_counter
    began_s = clock() - spent_s
    done = spent_s >= stop_s
    while not done:
        spent_s = clock() - began_s
        done = spent_s >= stop_s
        due = done or spent_s - reported_s >= report_s
        if due:
            reported_s = spent_s
        progress = min(1.0, spent_s / budget_s)
        yield Moment(spent_s=spent_s, progress=progress, due=due, done=done)


def device_named(name: str) -> torch.device:
    """A device to train on. Raises DeviceError if torch has none of this name here."""
    try:
        found = torch.zeros(1, device=name)
        found.item()  # which a device without memory, as torch's meta, does not give
        return found.device
    except (RuntimeError, AssertionError) as exc:  # of an unknown name, of a torch without CUDA
        raise DeviceError(f"torch has no device {name!r} here; use --device cpu") from exc


def check_minutes(**given: float | None) -> None:
    """Raises UsageError for a budget, by its option's name, that is not above 0."""
    for name, minutes in given.items():
        if minutes is not None and not 0 < minutes < inf:
            raise UsageError(f"--{name} must be more than 0, not {minutes:g}")
