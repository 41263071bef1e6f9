"""`vsr doctor`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from vsrcli.cli.options import Json
from vsrcli.cli.tables import print_json, print_lines, print_table
from vsrcli.errors import DeviceError, EncodeError

if TYPE_CHECKING:
    from vsrcli.doctor import EngineCheck, Health, Machine

_NEEDED_ENGINE, _NEEDED_ENCODER = ("onnxruntime", "cpu"), "libx264"


def doctor(as_json: Json = False) -> None:
    """Try engines, encoders and models, and say what works here and what is missing.

    Exit code 7 if no engine works, 8 if libx264 does not.
    """
    from vsrcli.doctor import examine

    health = examine()
    if as_json:
        print_json(_document(health))
    else:
        _render(health)
    engine = next(e for e in health.engines if (e.engine, e.device) == _NEEDED_ENGINE)
    if not engine.works:
        raise DeviceError(f"no model can be run: {engine.reason}; install vsr again")
    encoder = next(e for e in health.encoders if e.name == _NEEDED_ENCODER)
    if not encoder.works:
        raise EncodeError(f"libx264, the default encoder, does not work: {encoder.reason}")


def _render(health: Health) -> None:
    machine = health.machine
    absent = "not installed"
    versions = {name: found or absent for name, found in health.versions.items()}
    onnxruntimes = [name for name in versions if name.startswith("onnxruntime")]
    if any(versions[name] != absent for name in onnxruntimes):  # one of the two is enough
        versions = {n: v for n, v in versions.items() if n not in onnxruntimes or v != absent}
    ffmpeg = {
        "FFmpeg in av": health.ffmpeg["av"],
        "ffmpeg binary": health.ffmpeg["imageio-ffmpeg"] or absent,
    }
    _section("Versions", versions | ffmpeg)
    _section("Engines", {f"{e.engine} {e.device}": _engine(e) for e in health.engines})
    _section("Encoders", _encoders(health))
    decoders = {f"--hwaccel {kind}": why or "works" for kind, why in health.decoders.items()}
    if decoders:
        _section("Decoders on a device", decoders)
    broken = {m.id: "; ".join(m.problems) for m in health.models if not m.is_ok}
    good = ", ".join(m.id for m in health.models if m.is_ok) or "none"
    _section("Models", {"verified": good} | broken)
    _section("Machine", _machine(machine))


def _encoders(health: Health) -> dict[str, str]:
    """Those that work, by whose they are, and those that do not."""
    working = [e for e in health.encoders if e.works]
    own = ", ".join(e.name for e in working if not e.is_external)
    external = ", ".join(e.name for e in working if e.is_external)
    return {
        "work": own or "none",
        "with --ffmpeg auto": external or "none",
        "do not": _failing(health),
    }


def _engine(check: EngineCheck) -> str:
    if not check.works:
        return check.reason
    return "works here; no release was tried on a GPU" if check.is_unproven else "works"


def _failing(health: Health) -> str:
    """A line for each reason, with the encoders it stops."""
    reasons = dict.fromkeys(e.reason for e in health.encoders if not e.works)
    named = {r: ", ".join(e.name for e in health.encoders if e.reason == r) for r in reasons}
    return "\n".join(f"{names}: {reason}" for reason, names in named.items()) or "none"


def _section(title: str, facts: dict[str, str]) -> None:
    print_table((), ((f"  {key}", value) for key, value in facts.items()), title=title)
    print_lines("")


def _machine(machine: Machine) -> dict[str, str]:
    memory = "unknown" if machine.memory_mib is None else f"{machine.memory_mib / 1024:.1f} GiB"
    if machine.available_mib is not None:
        memory += f", {machine.available_mib / 1024:.1f} GiB available"
    return {
        "system": machine.system,
        "processor": machine.processor,
        "cores": str(machine.cores),
        "features": ", ".join(machine.features) or "unknown",
        "memory": memory,
    }


def _document(health: Health) -> dict[str, Any]:
    return {
        "versions": {name: found or None for name, found in health.versions.items()},
        "ffmpeg": {name: found or None for name, found in health.ffmpeg.items()},
        "engines": [
            {
                "engine": e.engine,
                "device": e.device,
                "works": e.works,
                "reason": e.reason or None,
                "tried_before_release": not e.is_unproven,
            }
            for e in health.engines
        ],
        "encoders": [
            {
                "name": e.name,
                "from": "ffmpeg" if e.is_external else "av",
                "works": e.works,
                "reason": e.reason or None,
            }
            for e in health.encoders
        ],
        "decoders": [
            {"hwaccel": kind, "works": not reason, "reason": reason or None}
            for kind, reason in health.decoders.items()
        ],
        "models": [
            {
                "id": m.id,
                "folder": str(m.folder),
                "scales": list(m.scales),
                "works": m.is_ok,
                "problems": list(m.problems),
            }
            for m in health.models
        ],
        "machine": asdict(health.machine),
    }
