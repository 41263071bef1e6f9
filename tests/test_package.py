"""The wheel: what it carries, what it asks for, and that it runs where the checkout is not."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from email import message_from_string
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import pytest
from clips import Clip, make
from packaging.requirements import Requirement

from vsrcli import Job, VideoOptions, VsrError, __version__

ROOT = Path(__file__).resolve().parents[1]
pytest.importorskip("build")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    order = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    done = subprocess.run([*order, str(ROOT)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel unpacked, as an installer does it."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def vsr(site: Path, folder: Path, *arguments: object) -> str:
    """stdout of a `vsr` of that installation, run in a folder of its own."""
    env = {k: v for k, v in os.environ.items() if k != "VSR_MODELS"}
    env |= {"PYTHONPATH": str(site), "XDG_DATA_HOME": str(folder / "data")}
    order = [sys.executable, "-m", "vsrcli", *map(str, arguments)]
    done = subprocess.run(order, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_wheel_carries_code_weights_recipes_and_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for folder, home in (("weights", "vsrcli/weights"), ("vsrcli", "vsrcli")):
        files = {p.relative_to(ROOT / folder) for p in (ROOT / folder).rglob("*") if p.is_file()}
        wanted = {f for f in files if f.suffix in {".py", ".toml", ".onnx", ".typed"}}
        assert wanted
        assert {f"{home}/{f.as_posix()}" for f in wanted} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    tops = {name.split("/")[0] for name in names}
    assert tops == {"vsrcli", f"vsrcli-{__version__}.dist-info"}


def test_wheel_runs_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", Clip(frames=3))
    where = (
        "import vsrcli, vsrcli.models as m; print(vsrcli.__file__, m.find_model('bicubic').folder)"
    )
    env = {k: v for k, v in os.environ.items() if k != "VSR_MODELS"} | {
        "PYTHONPATH": str(installed)
    }
    code, weights = subprocess.check_output(
        [sys.executable, "-c", where], cwd=tmp_path, env=env, text=True
    ).split()
    assert Path(code).is_relative_to(installed)
    assert Path(weights).is_relative_to(installed)
    listed = vsr(installed, tmp_path, "models")
    assert all(folder.name in listed for folder in (ROOT / "weights").iterdir())
    vsr(installed, tmp_path, "upscale", source, "--model", "bicubic", "-s", 2, "-o", "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as file:
        assert len(list(file.decode(video=0))) == 3


def test_six_runtime_packages_and_no_heavy_ones(installed: Path) -> None:
    (metadata,) = installed.glob("*.dist-info/METADATA")
    message = message_from_string(metadata.read_text(encoding="utf-8"))
    needs = [Requirement(line) for line in message.get_all("Requires-Dist", [])]
    always = {need.name for need in needs if "extra" not in str(need.marker)}
    assert always == {
        *("av", "numpy", "onnxruntime", "onnxruntime-gpu", "rich", "typer", "imageio-ffmpeg")
    }
    assert all(len(need.specifier) == 2 for need in needs if need.name in always)
    assert message["License-Expression"] == "MIT"


SYSTEMS = {
    "linux x86": ("linux", "x86_64", "onnxruntime-gpu"),
    "linux arm": ("linux", "aarch64", "onnxruntime"),
    "windows x86": ("win32", "AMD64", "onnxruntime-gpu"),
    "windows arm": ("win32", "ARM64", "onnxruntime"),
    "mac arm": ("darwin", "arm64", "onnxruntime"),
    "mac x86": ("darwin", "x86_64", "onnxruntime"),
}


@pytest.mark.parametrize(("system", "machine", "name"), SYSTEMS.values(), ids=SYSTEMS.keys())
def test_every_system_gets_one_engine(system: str, machine: str, name: str) -> None:
    """There is no onnxruntime-gpu for macOS and arm."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    where = {"sys_platform": system, "platform_machine": machine}
    engines = [
        need.name
        for need in map(Requirement, project["dependencies"])
        if need.name.startswith("onnxruntime")
        if need.marker is None or need.marker.evaluate(where)
    ]
    assert engines == [name]


def test_all_public_names_are_there() -> None:
    import vsrcli

    assert all(hasattr(vsrcli, name) for name in vsrcli.__all__)
    assert set(vsrcli._HOMES) == set(vsrcli.__all__) == set(dir(vsrcli))


def test_a_job_takes_words_for_paths() -> None:
    words: Any = {"source": "in.mp4", "target": "out.mp4"}
    assert Job(**words) == Job(source=Path("in.mp4"), target=Path("out.mp4"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"source": "\ud800"}, "'\\ud800' holds what no file's name does; name a video file"),
        ({"target": 3}, "Job.target takes Path | None, not 3"),
        ({"threads": "2"}, "Job.threads takes int, not '2'"),
        ({"start_s": "3"}, "Job.start_s takes Fraction | None, not '3'"),
        ({"maps": "0:a"}, "Job.maps takes tuple[str, ...], not '0:a'"),
        (
            {"video": VideoOptions(crf=cast(Any, "18"))},
            "VideoOptions.crf takes float | None, not '18'",
        ),
    ],
)
def test_a_job_refuses_values_of_another_type(words: dict[str, Any], told: str) -> None:
    with pytest.raises(VsrError) as caught:
        Job(**{"source": "in.mp4", **words})
    assert str(caught.value) == told


def test_a_job_takes_any_number_for_a_time() -> None:
    source: Any = "in.mp4"
    for start in (1, 1.5, Fraction(3, 2)):
        assert Job(source=source, start_s=cast(Any, start), scale=2).start_s == start
