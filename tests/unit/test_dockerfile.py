"""The image, as far as it can be made without a container engine: the Dockerfile's own steps, in folders."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Step:
    """One instruction of the Dockerfile, with its continuation lines."""

    name: str
    text: str


def steps() -> list[Step]:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = (line for line in text.replace("\\\n", " ").splitlines() if line and not line.startswith("#"))
    return [Step(*line.split(maxsplit=1)) for line in lines]


def let_in(path: Path) -> bool:
    """Tell whether .dockerignore lets a path of the checkout in; the last pattern that fits counts."""
    fits = True
    for pattern in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if not pattern or pattern.startswith("#"):
            continue
        bare = pattern.removeprefix("!").removeprefix("**/")
        parts = path.parts if pattern.startswith("**/") else path.parts[:1]
        if any(fnmatch.fnmatch(part, bare) for part in parts):
            fits = pattern.startswith("!")
    return fits


def context(folder: Path) -> Path:
    """Copy what a build would be sent."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(lambda name: let_in(Path(name)), listed.splitlines()):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target, follow_symlinks=False)
    return folder


def copy(step: Step, source: Path, root: Path, workdir: str) -> None:
    """Do what COPY says, into a folder that stands for the image's root."""
    name, target = step.text.split()
    to = root / (workdir + "/" + target).lstrip("/") if not target.startswith("/") else root / target.lstrip("/")
    if (source / name).is_dir():
        shutil.copytree(source / name, to, dirs_exist_ok=True, symlinks=True)
    else:
        to.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / name, to)


@dataclass(frozen=True)
class Image:
    """A folder that stands for the image's root."""

    root: Path
    workdir: Path
    env: dict[str, str]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Do the steps in a folder. What the last stage copies from the one before is there already."""
    sent = context(tmp_path_factory.mktemp("context"))
    root = tmp_path_factory.mktemp("image")
    workdir = ""
    env: dict[str, str] = {}
    for step in steps():
        if step.name == "FROM":
            workdir, env = "", {}
        elif step.name == "WORKDIR":
            workdir = step.text
        elif step.name == "ENV":
            pairs = (pair.split("=", 1) for pair in step.text.split())
            env |= {name: re.sub(r"/(?=app|venv)", f"{root}/", value) for name, value in pairs}
            env["PATH"] = env["PATH"].replace("$PATH", os.environ["PATH"])
        elif step.name == "COPY" and not step.text.startswith("--from="):
            copy(step, sent, root, workdir)
        elif step.name == "RUN" and "pip uninstall" not in step.text:
            run_in(root, workdir, env, step.text)
    return Image(root, root / workdir.lstrip("/"), env)


def with_pip() -> str:
    """Find a Python that has pip; virtual environments made by uv have none."""
    found = [sys.executable, str(Path(sys.base_prefix, "bin", "python3"))]
    for candidate in found:
        if subprocess.run([candidate, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0:
            return candidate
    pytest.skip(f"the Dockerfile's steps need pip, and neither of {found} has it")


def run_in(root: Path, workdir: str, env: dict[str, str], command: str) -> None:
    """Run a step's command with absolute paths moved into the folder, and this Python for the base image's."""
    moved = re.sub(r"(?<=\s)/(?=venv|app|requirements)", f"{root}/", command)
    moved = re.sub(r"(?<=\s)pip (?=--python)", f"{with_pip()} -m pip ", " " + moved)
    moved = re.sub(r"(?<=\s)python (?=-m venv)", f"{sys.executable} ", moved)
    # Downloads are kept between runs here: a matter of time only.
    moved = moved.replace("--no-cache-dir", "")
    inside = {**os.environ, **env, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONDONTWRITEBYTECODE": ""}
    folder = root / workdir.lstrip("/")
    subprocess.run(["bash", "-euc", moved], check=True, timeout=300, env=inside, cwd=folder)


def python(image: Image, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(image.root / "venv/bin/python"), *arguments]
    return subprocess.run(
        command, cwd=image.workdir, env=image.env, capture_output=True, text=True, check=False, timeout=50
    )


@pytest.mark.timeout(300)
def test_image_has_the_commands(image: Image) -> None:
    done = python(image, "-m", "poddnat", "--help")
    assert done.returncode == 0, done.stderr
    assert "serve" in done.stdout
    # From the image's own folders, not from the checkout that runs this test.
    where = python(image, "-c", "import poddnat, hooks, flask; print(poddnat.__file__, hooks.__file__, flask.__file__)")
    assert all(name.startswith(str(image.root)) for name in where.stdout.split()), where


@pytest.mark.timeout(300)
def test_server_in_the_image_loads_all_that_it_needs(image: Image) -> None:
    values = str(image.workdir / "metacontroller/examples/values.yaml")
    done = python(image, "-m", "poddnat", "serve", "--values", values)
    # It has loaded everything by the time that it finds no cluster around it.
    assert (done.returncode, "there is no service account here" in done.stderr) == (2, True), done.stderr


@pytest.mark.timeout(300)
def test_server_in_the_image_finds_bytecode_of_all_that_it_loads(image: Image) -> None:
    values = str(image.workdir / "metacontroller/examples/values.yaml")
    told = python(image, "-v", "-m", "poddnat", "serve", "--values", values).stderr
    loaded = re.findall(rf"code object from '?({image.root}/\S+\.pyc?)\b", told)
    assert len(loaded) > 500, told[-2000:]
    assert [path for path in loaded if not path.endswith(".pyc")] == []


@pytest.mark.timeout(300)
def test_bytecode_in_the_image_goes_by_whole_seconds_which_layers_keep(image: Image) -> None:
    sources = [*(image.root / "venv").rglob("*.py"), *image.workdir.rglob("*.py")]
    assert sources
    assert [path for path in sources if path.stat().st_mtime_ns % 10**9] == []


def test_image_takes_in_no_tests_and_no_secrets() -> None:
    assert not let_in(Path("tests/unit/test_dockerfile.py"))
    assert not let_in(Path(".git/config"))
    assert not let_in(Path("hooks/__pycache__/app.pyc"))
    assert let_in(Path("hooks/app.py"))


def test_locked_requirements_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {"requirements.txt": project["dependencies"]}
    wanted["requirements-dev.txt"] = project["dependencies"] + project["optional-dependencies"]["dev"]
    for name, requirements in wanted.items():
        pins = re.findall(r"^([\w.-]+)==(\S+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
        locked = {canonicalize_name(pinned): version for pinned, version in pins}
        for requirement in map(Requirement, requirements):
            version = locked.get(canonicalize_name(requirement.name))
            assert version, f"{name} has no {requirement.name}: run make lock"
            assert requirement.specifier.contains(version), f"{name} has {requirement.name} {version}: run make lock"
