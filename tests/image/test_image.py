"""The image, built by a real builder, and run as a kubelet runs it: as its user, over a root it can't write to."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.e2e import world
from tests.e2e.runners import StandInRunner
from tests.image import builders
from tests.unit.hooks.world import EIP, EXPOSE_80, RESULT

if TYPE_CHECKING:
    from pathlib import Path

    from metacontroller_standin.kubelet import Kubelet
    from tests.e2e.controlplane import ControlPlane
    from tests.image.builders import Image

pytestmark = pytest.mark.timeout(600)

PROBE = """
import os
writable = []
for folder, folders, files in os.walk("/"):
    folders[:] = [one for one in folders if os.path.join(folder, one) not in {"/proc", "/sys", "/dev"}]
    writable += [folder] if os.access(folder, os.W_OK) else []
print(os.getuid(), os.getgid(), writable)
"""


@pytest.fixture(scope="session")
def image() -> Image:
    """Build it, where a builder and a base image are; no registry is asked."""
    builder = builders.working()
    if builder is None:
        pytest.skip(f"none of {', '.join(builders.BUILDERS)} works here")
    (default,) = re.findall(r"^ARG BASE_IMAGE=(\S+)", (builders.ROOT / "Dockerfile").read_text(), re.MULTILINE)
    base = os.environ.get("PODDNAT_BASE_IMAGE", default)
    if not builders.Image(builder, base).is_there():
        pytest.skip(f"{builder} has no {base}; tests/image/base makes one, and PODDNAT_BASE_IMAGE names it")
    return builders.build(builder, "localhost/poddnat:test", base)


def run(image: Image, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    with image.program(folder) as program:
        return subprocess.run([*program, *arguments], capture_output=True, text=True, check=False, timeout=100)


def test_image_says_what_it_is_and_who_runs_it(image: Image, tmp_path: Path) -> None:
    config = image.config()
    assert config["User"] == builders.USER
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
    assert labels["title"] == "poddnat"
    assert labels["licenses"] == "Apache-2.0"
    assert labels["version"] == "of-the-test"
    assert run(image, tmp_path, "--version").stdout.startswith("poddnat ")


def test_user_of_the_image_can_write_nowhere(image: Image, tmp_path: Path) -> None:
    with image.program(tmp_path, python=True) as python:
        command = [*python, "-c", PROBE]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.stdout.split(maxsplit=2) == ["65532", "65532", "[]\n"], done


def test_values_are_checked_in_the_image(image: Image, tmp_path: Path) -> None:
    done = run(image, tmp_path, "check-config", "--offline", "--values", "metacontroller/examples/values.yaml")
    assert done.returncode == 0, done


@pytest.mark.controlplane
def test_server_in_the_image_exposes_a_pod_until_it_is_deleted(
    image: Image, installed: ControlPlane, namespace: str, kubelet: Kubelet, tmp_path: Path
) -> None:
    assert kubelet
    folder = tmp_path / "mounted"
    folder.mkdir()
    with (
        image.program(folder) as program,
        world.running(installed, StandInRunner(installed), namespace, folder, program=program) as cluster,
    ):
        cluster.create_pod("web", EXPOSE_80)
        cluster.wait_ready("web")
        assert EIP in cluster.annotations("web")[RESULT]
        assert len(cluster.entries()) == 1
        cluster.kubectl("delete", "pod", "web", "--wait=false")
        cluster.wait_clear()
