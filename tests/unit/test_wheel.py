"""What `pip install .` brings: the program, outside the checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.faults.program import Program
from tests.unit.hooks.world import running

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "metacontroller" / "examples"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    builder = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*builder, f"--wheel-dir={folder}", str(ROOT)], check=True)
    (built,) = folder.iterdir()
    return built


@dataclass(frozen=True)
class Installation:
    """A virtual environment with the wheel, and an empty folder to work in."""

    bin: Path
    folder: Path

    def command(self, name: str, *arguments: str) -> list[str]:
        return [str(self.bin / name), *arguments]

    @property
    def env(self) -> dict[str, str]:
        """Nothing leads back to the checkout."""
        return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = self.command(name, *arguments)
        return subprocess.run(
            command, cwd=self.folder, env=self.env, capture_output=True, text=True, check=False, timeout=60
        )

    @contextmanager
    def started(self, name: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        process = subprocess.Popen(
            self.command(name, *arguments), cwd=self.folder, env=self.env, stdout=subprocess.PIPE, text=True
        )
        try:
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=30)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Install the wheel; what it depends on is taken from where the tests have it."""
    made = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(made)], check=True)
    pip = [sys.executable, "-m", "pip", f"--python={made}/bin/python", "install", "--quiet"]
    subprocess.run([*pip, "--disable-pip-version-check", "--no-deps", "--no-index", str(wheel)], check=True)
    (site,) = made.glob("lib/python*/site-packages")
    # Only the folder: what leads to the checkout is a path file in it, and those are not read from here.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return Installation(made / "bin", tmp_path_factory.mktemp("empty"))


def test_wheel_has_all_the_code_and_the_schemas_and_of_the_manifests_what_is_read(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    code = {path.relative_to(ROOT).as_posix() for folder in ("hooks", "lib") for path in (ROOT / folder).rglob("*.py")}
    schemas = {f"poddnat/schemas/{path.name}" for path in (ROOT / "schemas").iterdir()}
    manifests = {"poddnat/metacontroller/controllers.yaml", "poddnat/metacontroller/crd.yaml"}
    worlds = {"vpc_emulator/README.md", "vpc_emulator/example-world.yaml"}
    expected = {name.removeprefix("lib/") for name in code} | schemas | manifests | worlds
    assert {name for name in names if ".dist-info/" not in name} == expected


def test_program_comes_from_the_installation(installed: Installation) -> None:
    where = installed.run("python", "-c", "import poddnat, hooks; print(poddnat.__file__, hooks.__file__)")
    assert where.stdout.count(str(installed.bin.parent)) == 2, where


def test_installed_simulate_shows_public_ports(installed: Installation) -> None:
    files = ["-f", str(EXAMPLES / "statefulset.yaml"), "--values", str(EXAMPLES / "values.yaml")]
    done = installed.run("poddnat", "simulate", *files)
    assert done.returncode == 0, done.stderr
    assert re.search(r"default/\S+-0 +203\.0\.113\.\d+:\d+", done.stdout)


def test_installed_check_config_names_what_is_wrong(installed: Installation, tmp_path: Path) -> None:
    right = EXAMPLES / "values.yaml"
    done = installed.run("poddnat", "check-config", "--offline", "--values", str(right))
    assert done.returncode == 0, done.stderr
    wrong = tmp_path / "values.yaml"
    wrong.write_text(yaml.safe_dump({**yaml.safe_load(right.read_text(encoding="utf-8")), "regionID": 5}))
    done = installed.run("poddnat", "check-config", "--offline", "--values", str(wrong))
    assert done.returncode != 0
    assert "regionID" in done.stdout + done.stderr


def test_installed_plugin_calls_itself_by_kubectls_name(installed: Installation) -> None:
    assert "Usage: kubectl poddnat" in installed.run("kubectl-poddnat", "--help").stdout
    assert "simulate" in installed.run("kubectl_complete-poddnat", "simu").stdout


def test_installed_emulator_answers(installed: Installation) -> None:
    with installed.started("poddnat", "emulator", "--listen", "127.0.0.1:0") as emulator:
        assert emulator.stdout is not None
        assert "VPC and ECS API on http://127.0.0.1:" in emulator.stdout.readline()


def test_installed_server_gets_ready(installed: Installation, tmp_path: Path) -> None:
    with running(started=False) as world:
        # Nothing leads back to the checkout.
        program = Program(world, tmp_path, ["env", "-u", "PYTHONPATH", *installed.command("poddnat")])
        try:
            program.start()  # and waits until it is ready
        finally:
            program.kill()
