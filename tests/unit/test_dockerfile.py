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


def stages() -> list[list[Step]]:
    """Split the steps at each FROM."""
    found: list[list[Step]] = []
    for step in steps():
        if step.name == "FROM":
            found.append([])
        found[-1].append(step)
    return found


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
        shutil.copy2(ROOT / name, target)
    return folder


def copy(step: Step, source: Path, root: Path, workdir: str) -> None:
    """Do what COPY says, into a folder that stands for the image's root."""
    name, target = step.text.split()
    to = root / (workdir + "/" + target).lstrip("/") if not target.startswith("/") else root / target.lstrip("/")
    if (source / name).is_dir():
        shutil.copytree(source / name, to, dirs_exist_ok=True)
    else:
        to.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / name, to)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str], str]:
    """Do the steps in folders: the image's root, its environment, and its working folder."""
    sent = context(tmp_path_factory.mktemp("context"))
    builder, final = stages()
    root = tmp_path_factory.mktemp("image")
    for step in builder:
        if step.name == "COPY":
            copy(step, sent, root, "/")
        elif step.name == "RUN":
            run_in(root, step.text)
    env: dict[str, str] = {}
    workdir = "/"
    for step in final:
        if step.name == "WORKDIR":
            workdir = step.text
        elif step.name == "ENV":
            env |= dict(pair.split("=", 1) for pair in step.text.split())
        elif step.name == "COPY" and not step.text.startswith("--from="):
            copy(step, sent, root, workdir)
    return root, env, workdir


def with_pip() -> str:
    """Find a Python that has pip; virtual environments made by uv have none."""
    found = [sys.executable, str(Path(sys.base_prefix, "bin", "python3"))]
    for candidate in found:
        if subprocess.run([candidate, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0:
            return candidate
    pytest.skip(f"the Dockerfile's steps need pip, and neither of {found} has it")


def run_in(root: Path, command: str) -> None:
    """Run a step's command with absolute paths moved into the folder, and this Python for the image's."""
    moved = re.sub(r"(?<=\s)/(?=venv|requirements)", f"{root}/", command)
    moved = re.sub(r"(?<=\s)pip (?=--python)", f"{with_pip()} -m pip ", " " + moved)
    moved = re.sub(r"(?<=\s)python (?=-m venv)", f"{sys.executable} ", moved)
    # Downloads are kept between runs here, and nothing is compiled ahead: both are a matter of time only.
    cheap = {**os.environ, "PIP_NO_COMPILE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    subprocess.run(["bash", "-euc", moved.replace("--no-cache-dir", "")], check=True, timeout=300, env=cheap)


def python(image: tuple[Path, dict[str, str], str], *arguments: str) -> subprocess.CompletedProcess[str]:
    root, env, workdir = image
    inside = {name: re.sub(r"/(app|venv)\b", rf"{root}/\1", value) for name, value in env.items()}
    inside["PATH"] = inside["PATH"].replace("$PATH", os.environ["PATH"])
    command = [str(root / "venv/bin/python"), *arguments]
    return subprocess.run(
        command,
        cwd=root / workdir.lstrip("/"),
        env=inside,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )


@pytest.mark.timeout(300)
def test_image_has_the_commands(image: tuple[Path, dict[str, str], str]) -> None:
    done = python(image, "-m", "poddnat", "--help")
    assert done.returncode == 0, done.stderr
    assert "serve" in done.stdout
    # From the image's own folders, not from the checkout that runs this test.
    where = python(image, "-c", "import poddnat, hooks, flask; print(poddnat.__file__, hooks.__file__, flask.__file__)")
    assert all(name.startswith(str(image[0])) for name in where.stdout.split()), where


@pytest.mark.timeout(300)
def test_server_in_the_image_loads_all_that_it_needs(image: tuple[Path, dict[str, str], str]) -> None:
    values = str(image[0] / "app/metacontroller/examples/values.yaml")
    done = python(image, "-m", "poddnat", "serve", "--values", values)
    # It has loaded everything by the time that it finds no cluster around it.
    assert (done.returncode, "there is no service account here" in done.stderr) == (2, True), done.stderr


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
