"""Who may import whom. The table is the architecture; a new arrow has to be drawn here first."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import vsrcli

PACKAGE = Path(vsrcli.__file__).parent
STAGES = {
    *("media", "runtime", "models", "sequences", "cuts"),
    *("frames", "errors", "job", "prefetch", "progress", "thread_shares", "sizes", "targets"),
}
WHOLE = STAGES | {
    *("resume", "segments", "identity", "pipeline", "batch", "preview"),
    *("benchmark", "estimate", "extras", "doctor", "memory_needs", "dry_run", "stops", "probe", ""),
}
ALLOWED = {
    "errors": set(),
    "stops": set(),
    "prefetch": {"stops"},
    "progress": {"frames", "runtime"},
    "control_groups": set(),
    "cores": {"control_groups"},
    "thread_shares": {"cores"},
    "frames": {"errors"},
    "paths": set(),
    "extras": {"errors"},
    "cuts": {"frames"},
    "sequences": {"cuts", "frames", "errors"},
    "models": {"frames", "errors"},
    "media": {"paths", "frames", "cores", "stops", "errors"},
    "runtime": {"models", "frames", "control_groups", "cores", "stops", "errors"},
    "job": {"media", "models", "runtime", "paths", "errors"},
    "sizes": {"job", "media", "models"},
    "targets": {"job", "models", "paths", "sizes", "errors"},
    "locks": set(),
    "resume": {"locks", "frames", "paths", "runtime", "errors"},
    "segments": {"resume", "runtime", "sequences", "frames", "errors"},
    "identity": {"", "resume", "job", "media", "models", "sizes"},
    "batch": {"pipeline", "progress", "job", "stops", "errors"},
    "dot_font": set(),
    "montage": {"dot_font", "frames"},
    "preview": STAGES | {"pipeline", "montage", "paths", "stops"},
    "pipeline": STAGES | {"paths", "resume", "segments", "identity", "stops"},
    "estimate": STAGES,
    "memory_needs": {"frames", "models", "prefetch", "runtime", "sizes", "errors"},
    "probe": STAGES | {"estimate", "memory_needs", "paths"},
    "dry_run": STAGES
    | {"estimate", "memory_needs", "pipeline", "paths", "resume", "identity", "probe"},
    "doctor": STAGES | {"cores", ""},
    "benchmark": STAGES | {"pipeline", "doctor", "cores", "dot_font", ""},
    "cli": WHOLE | {"paths"},
    "lab": STAGES | {"extras"},
    "": {"errors", "job", "media", "models", "pipeline", "progress"},
    "__main__": {"cli"},
}
"""Part of vsrcli ("" is the package itself) -> the parts that it may import besides itself."""
LAB_USERS = {"cli/evaluate.py", "cli/models.py"}
"""These offer lab commands and import lab inside the command, where its extras are installed."""
SCALER_USER = "runtime/bicubic.py"
"""It asks media for libswscale, which is FFmpeg's; nothing else in runtime knows of media."""
OWNERS = {
    "torch": ("lab/",),
    "onnx": ("lab/",),
    "onnxruntime": ("runtime/engines/", "lab/quantise.py"),
    "openvino": ("runtime/engines/openvino_import.py",),
    "av": ("media/",),
    "imageio_ffmpeg": ("media/",),
    "subprocess": ("media/", "benchmark/process.py"),
    "typer": ("cli/",),
    "rich": ("cli/",),
}
"""A library -> the only folders that may import it."""
CLI_WITHOUT = {"numpy", "av"}


class Import(NamedTuple):
    """One import statement."""

    file: str
    line: int
    module: str
    lazy: bool
    """Inside a function."""
    typing: bool
    """Under `if TYPE_CHECKING`."""


def imports() -> Iterator[Import]:
    """Every import of the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        file = path.relative_to(PACKAGE).as_posix()
        yield from _walk(ast.parse(path.read_text(encoding="utf-8")), file, False, False)


def _walk(node: ast.AST, file: str, lazy: bool, typing: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        names: list[str] = []
        if isinstance(child, ast.Import):
            names = [alias.name for alias in child.names]
        elif isinstance(child, ast.ImportFrom):
            assert not child.level, f"{file}:{child.lineno}: relative import"
            names = [child.module or ""]
            if child.module == "vsrcli":
                names = [
                    f"vsrcli.{a.name}" if _is_module(a.name) else "vsrcli" for a in child.names
                ]
        for name in names:
            yield Import(file, child.lineno, name, lazy, typing)
        inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        hint = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        yield from _walk(child, file, lazy or inside, typing or hint)


def _is_module(name: str) -> bool:
    return (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()


def _part(dotted: str) -> str:
    """vsrcli.media.sink -> media; vsrcli -> ""."""
    return dotted.removeprefix("vsrcli").lstrip(".").partition(".")[0]


def _part_of_file(file: str) -> str:
    first = file.split("/")[0].removesuffix(".py")
    return "" if first == "__init__" else first


OWN = [i for i in imports() if i.module.split(".")[0] == "vsrcli"]
FOREIGN = [i for i in imports() if i.module.split(".")[0] != "vsrcli"]


def test_parts_import_only_what_lies_below_them() -> None:
    wrong = []
    for entry in OWN:
        here, there = _part_of_file(entry.file), _part(entry.module)
        if there == here or there in ALLOWED[here]:
            continue
        if there == "lab" and entry.file in LAB_USERS and (entry.lazy or entry.typing):
            continue
        if (entry.file, entry.module) == (SCALER_USER, "vsrcli.media.enlarge"):
            continue
        wrong.append(f"{entry.file}:{entry.line} imports {entry.module}")
    assert not wrong


def test_every_part_is_in_the_table() -> None:
    parts = {_part_of_file(p.relative_to(PACKAGE).as_posix()) for p in PACKAGE.rglob("*.py")}
    assert parts == set(ALLOWED)


def test_libraries_stay_with_their_owners() -> None:
    wrong = [
        f"{entry.file}:{entry.line} imports {entry.module}"
        for entry in FOREIGN
        if (owners := OWNERS.get(entry.module.split(".")[0])) and not entry.file.startswith(owners)
    ]
    assert not wrong


def test_command_line_knows_no_arrays_and_no_containers() -> None:
    wrong = [
        f"{entry.file}:{entry.line} imports {entry.module}"
        for entry in FOREIGN
        if entry.file.startswith("cli/") and entry.module.split(".")[0] in CLI_WITHOUT
    ]
    assert not wrong


def test_command_line_imports_the_heavy_parts_inside_commands() -> None:
    """Modules that the entry point reaches at once must stay light."""
    heavy = {"media", "runtime", "pipeline", "lab", "job"}
    eager = {
        *("cli/__init__.py", "cli/main.py", "cli/options.py", "cli/upscale.py", "cli/probe.py"),
        "cli/process.py",
        *(
            "cli/batch.py",
            "cli/preview.py",
            "cli/bench.py",
            "cli/run_options.py",
            "cli/doctor.py",
            "cli/models.py",
            "cli/evaluate.py",
        ),
    }
    wrong = [
        f"{entry.file}:{entry.line} imports {entry.module}"
        for entry in (*OWN, *FOREIGN)
        if entry.file in eager and not entry.lazy and not entry.typing
        if _part(entry.module) in heavy or entry.module.startswith("rich")
    ]
    assert not wrong


@pytest.mark.parametrize(
    ("arguments", "without"),
    [
        (["--help"], {"av", "numpy", "onnxruntime", "rich", "torch"}),
        (["--version"], {"av", "numpy", "onnxruntime", "rich", "torch"}),
        (["upscale", "--help"], {"av", "numpy", "onnxruntime", "rich", "torch"}),
        (["models"], {"av", "numpy", "onnxruntime", "torch"}),
        (["models", "list"], {"av", "numpy", "onnxruntime", "torch"}),
    ],
)
def test_quick_commands_load_little(arguments: list[str], without: set[str]) -> None:
    program = (
        "import json, sys\n"
        "from vsrcli.cli.main import run\n"
        "code = run(json.loads(sys.argv[1]))\n"
        "print('\\n' + json.dumps([code, sorted(sys.modules)]))\n"
    )
    order = [sys.executable, "-c", program, json.dumps(arguments)]
    done = subprocess.run(order, capture_output=True, text=True, check=True)
    code, modules = json.loads(done.stdout.splitlines()[-1])
    assert code == 0
    assert not without & set(modules)
