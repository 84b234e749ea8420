"""One replica of the server: the hooks, what runs behind them, and whether it is this one's turn."""

import logging
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

from hooks.app import create_app
from hooks.certificate import Certificate
from hooks.server import HookServer
from hooks.tokens import Tokens
from poddnat import __version__
from poddnat.cloud import CloudClient
from poddnat.config import Values
from poddnat.kube import ActiveEndpoint, KubeClient, LeaderElector, request_timeout
from poddnat.service import Service

log = logging.getLogger(__name__)

_LINGER_SECONDS = 3.0
"""How long hooks are still answered with "ask again" after the lease is given back, until they are led elsewhere."""


class Replica:
    """Serves until it is told to stop, or has lost its lease."""

    def __init__(
        self,
        values: Values,
        values_path: Path,
        api: Any,
        host: str,
        port: int,
        lease: tuple[str, str, int] | None,
        *,
        tokens: Tokens | None = None,
        certificate: Certificate | None = None,
    ) -> None:
        """Make it; ``api`` is what ``poddnat.kube.connection.connect`` gives.

        ``lease``: its namespace, its name, and how many seconds after its holder's last word another one takes it.

        ``values_path`` is the file that the values come from: its changes are followed.
        Callers have to show one of the ``tokens``, and are shown the ``certificate``.
        Without a lease it is always active. In a pod, the environment tells who it is: POD_NAME and POD_IP.

        Raises:
            OSError: the address can't be had.
        """
        self._resigned = False
        self._lost = False
        self._stopping = threading.Event()
        self.service = Service(
            values, KubeClient(api), CloudClient(values), values_path=values_path, may_write=self._may_write
        )
        self._election = None if lease is None else self._make_election(api, lease, port)
        app = create_app(self.service, active=lambda: self._election.holder if self._election else "", tokens=tokens)
        self._server = HookServer(app, host, port, certificate=certificate)

    def _make_election(self, api: Any, lease: tuple[str, str, int], port: int) -> LeaderElector:
        namespace, name, seconds = lease
        ip = os.environ.get("POD_IP")
        where: Any = {"namespace": namespace, "service": name, "ip": ip, "port": port}
        signpost = ActiveEndpoint(api, **where, request_timeout=request_timeout(seconds)) if ip else None
        return LeaderElector(
            api,
            namespace=namespace,
            name=name,
            identity=os.environ.get("POD_NAME") or f"{socket.gethostname()}_{os.getpid()}",
            lease_duration=seconds,
            on_started_leading=self.service.take_over,
            on_renewed=signpost.publish if signpost else lambda: None,
            on_stopped_leading=self._on_stopped_leading,
        )

    def _may_write(self) -> bool:
        return not self._resigned and (self._election is None or self._election.is_leader)

    def _on_stopped_leading(self) -> None:
        self._lost = True
        self._stopping.set()

    def stop(self) -> None:
        """Make ``run`` return; for signal handlers."""
        self._stopping.set()

    def run(self) -> bool:
        """Serve; false when it ends because another replica has taken over, which is for the next start to get over."""
        self.service.start()
        self._server.start()
        if self._election is not None:
            self._election.start()
        log.info("poddnat %s, answering on %s", __version__, self._server.url)
        self._stopping.wait()
        self._hand_over()
        return not self._lost

    def _hand_over(self) -> None:
        """Write nothing more, see what was being written through, and only then let another one write."""
        self._resigned = True
        self.service.stop()
        if self._election is not None:
            self._election.stop()
            time.sleep(_LINGER_SECONDS)
        self._server.stop()
