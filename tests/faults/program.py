"""`poddnat serve` as a process of its own, over the API server and the cloud of a world of unit tests."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING

import yaml

from metacontroller_standin.kubeconfig import kubeconfig
from metacontroller_standin.waiting import wait_until
from tests.unit.hooks.world import values

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.unit.hooks.world import World


class Program:
    """`poddnat serve` on one address, again and again."""

    def __init__(self, world: World, folder: Path, command: Sequence[str] = (sys.executable, "-m", "poddnat")) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._address = f"127.0.0.1:{free.getsockname()[1]}"
        self.url = f"http://{self._address}"
        endpoint = world.values.endpoints.vpc
        assert endpoint is not None
        self.values_file = folder / "values.yaml"
        self.values_file.write_text(yaml.safe_dump(values(endpoint)))
        self._kubeconfig = folder / "kubeconfig"
        self._kubeconfig.write_text(yaml.safe_dump(kubeconfig(world.memory.url)))
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        files = ["--values", str(self.values_file), "--kubeconfig", str(self._kubeconfig)]
        command = [*self._command, "serve", *files, "--listen", self._address]
        # What it writes shows with the test's own output.
        self._process = subprocess.Popen(command)
        wait_until(self._ready, 30, "the program to be ready")

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
