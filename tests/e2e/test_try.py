"""`poddnat try`, with a real kubectl: what docs/en/operators/try.md tells people to type."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from metacontroller_standin.waiting import wait_until
from tests.e2e.conftest import ASSETS

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.controlplane

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "en" / "operators" / "try.md").read_text(encoding="utf-8")


class Trial:
    """A running `poddnat try`, and a shell beside it."""

    def __init__(self, folder: Path, kubectl: Path, *options: str) -> None:
        program = folder / "bin" / "poddnat"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m poddnat "$@"\n')
        program.chmod(0o755)
        path = f"{program.parent}:{kubectl.parent}:{os.environ['PATH']}"
        self.folder = folder / "poddnat-try"
        home = folder / "home"
        home.mkdir()
        self.env = {**os.environ, "PATH": path, "HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)}
        self._log = folder / "log"
        with self._log.open("wb") as log:
            command = [str(program), "try", "--directory", str(self.folder), *options]
            self.process = subprocess.Popen(command, env=self.env, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
        self.env |= {
            "KUBECONFIG": str(self.folder / "kubeconfig"),
            "PODDNAT_VALUES": str(self.folder / "values.yaml"),
        }

    @property
    def said(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def wait_begun(self) -> None:
        wait_until(lambda: "Ctrl-C ends it" in self.said or self.process.poll() is not None, 60, "it to run")
        assert self.process.poll() is None, self.said

    def run(self, command: str, *, ok: bool = True) -> str:
        """Run a line of a shell, in the project's folder."""
        done = subprocess.run(
            ["sh", "-c", command], env=self.env, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
        )
        assert not ok or done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)


@pytest.fixture
def kubectl(pytestconfig: pytest.Config) -> Path:
    own = pytestconfig.stash[ASSETS] / "kubectl"
    found = own if own.exists() else shutil.which("kubectl")
    if found is None:
        pytest.skip("there is no kubectl beside the other programs, nor on PATH")
    return Path(found)


@pytest.fixture
def trial(tmp_path: Path, kubectl: Path) -> Iterator[Trial]:
    running = Trial(tmp_path, kubectl)
    try:
        running.wait_begun()
        yield running
    finally:
        assert running.stop() == 0, running.said


def wait_ready(trial: Trial, count: int) -> None:
    ready = "kubectl get pdnat -A --no-headers | grep -c ' True '"
    wait_until(lambda: trial.run(ready, ok=False).strip() == str(count), 60, f"{count} PodDNATs to be Ready")


@pytest.mark.timeout(300)
def test_commands_of_the_page_do_what_it_says(trial: Trial) -> None:
    (block,) = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)[1:2]
    lines = [line for line in block.splitlines() if line and not line.startswith("#")]
    assert len(lines) > 5
    for line in lines:
        if line.startswith("export "):
            continue  # It names the folder, which this test has elsewhere.
        trial.run(line.replace(".venv/bin/poddnat", "poddnat"))
        if "apply" in line:
            wait_ready(trial, 2)
    wait_until(lambda: "No resources found" in trial.run("kubectl get pdnat"), 60, "all PodDNATs to go")


@pytest.mark.timeout(300)
def test_kubectl_shows_changes_and_deletes_poddnats(trial: Trial) -> None:
    trial.run("kubectl apply -f metacontroller/examples/fixed.yaml -f metacontroller/examples/deployment.yaml")
    wait_ready(trial, 2)
    shown = trial.run("kubectl get pdnat room-0")
    assert shown.split()[:8] == ["NAME", "EXTERNAL", "PORTS", "POD", "IP", "GATEWAY", "READY", "AGE"]
    assert "Reason:                Ready" in trial.run("kubectl describe pdnat room-0")
    assert "can be reached at" in trial.run("poddnat explain default/room-0")
    public = "kubectl get pdnat room-0 -o jsonpath='{.spec.externalIP}:{.status.ports}'"
    before = trial.run(public)
    uid = trial.run("kubectl get pod room-0 -o jsonpath='{.metadata.uid}'")
    trial.run("kubectl delete pod room-0 --timeout=30s")
    wait_until(
        lambda: trial.run("kubectl get pod room-0 -o jsonpath='{.metadata.uid}'", ok=False) != uid, 30, "a new pod"
    )
    wait_ready(trial, 2)
    assert trial.run(public) == before
    trial.run("kubectl scale deployment lobby --replicas=3")
    wait_ready(trial, 4)
    assert "unchanged" in trial.run("kubectl apply -f metacontroller/examples/fixed.yaml")
    watched = trial.run("timeout 3 kubectl get pdnat --watch", ok=False)
    assert len(watched.splitlines()) == 5
    trial.run("kubectl delete -f metacontroller/examples/fixed.yaml -f metacontroller/examples/deployment.yaml")
    wait_until(lambda: "No resources found" in trial.run("kubectl get pdnat"), 60, "all PodDNATs to go")
    assert "0 missing, 0 drifted, 0 leftover, 1 foreign" in trial.run("poddnat audit")


@pytest.mark.timeout(180)
def test_hooks_may_be_served_by_oneself(tmp_path: Path, kubectl: Path) -> None:
    running = Trial(tmp_path, kubectl, "--no-server")
    try:
        running.wait_begun()
        (command,) = re.findall(r"^ +(poddnat serve .*)$", running.said, re.MULTILINE)
        server = subprocess.Popen(["sh", "-c", f"exec {command}"], env=running.env, stderr=subprocess.DEVNULL)
        try:
            running.run("kubectl apply -f metacontroller/examples/deployment.yaml")
            wait_ready(running, 1)
        finally:
            server.terminate()
            assert server.wait(30) == 0
    finally:
        assert running.stop() == 0


def test_values_of_the_emulator_are_right_for_its_example_world(trial: Trial) -> None:
    shipped = yaml.safe_load((ROOT / "metacontroller/examples/emulator.yaml").read_text(encoding="utf-8"))
    written = yaml.safe_load((trial.folder / "values.yaml").read_text(encoding="utf-8"))
    assert {**written, "endpoints": None} == {**shipped, "endpoints": None}
    assert shipped["endpoints"] == {"vpc": "http://127.0.0.1:9090", "ecs": "http://127.0.0.1:9090"}
    assert "wrong" not in trial.run("poddnat check-config")
