"""One replica of the server: the hooks, the service behind them, and leader election.

What SIGTERM does, step by step:

1. ``Replica._on_signal``, which ``poddnat serve`` has registered, wakes ``Replica.run``.
2. ``Replica._hand_over``: ``_resigned`` makes ``may_write`` false. From now on nothing new is written to the cloud,
   and hooks are answered with 429, "call again later". Hook calls under way go on, and are not waited for until 6.
3. ``Service.stop``: background work ends. A values file that is being applied and calls to the cloud that are under
   way are waited for (``Fleet.stop``), so that no outcome is lost.
4. ``LeaderElector.stop``: the Lease is given back. Only now may another replica write, and it does so at once.
5. For ``HAND_OVER`` seconds hooks are still answered with 429, until the EndpointSlice leads to the other replica.
   Without a Lease, steps 4 and 5 are left out.
6. ``HookServer.stop``: the port is closed; requests under way are finished.
7. ``Replica.run`` returns true, and the process ends with status 0.

A replica that has lost its Lease does the same from step 2 on, but there is nothing to give back in step 4, and it
ends with status 1: the kubelet starts it anew, as a standby.

So does one of whose threads one has ended unexpectedly (``Replica._on_thread_ended``): what that thread did would never
be done again. From then on ``/healthz`` answers 503 with the thread's name.
"""

import logging
import os
import signal
import socket
import threading
import time
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from typing import Any, NamedTuple

from hooks.app import create_app
from hooks.certificate import Certificate
from hooks.intervals import HAND_OVER
from hooks.server import HookServer
from hooks.tokens import Tokens
from poddnat import __version__
from poddnat.cloud import CloudClient
from poddnat.config import Values
from poddnat.kube import ActiveEndpoint, KubeClient, LeaderElector, request_timeout
from poddnat.service import Service

log = logging.getLogger(__name__)


class Lease(NamedTuple):
    """The Lease that the active replica holds."""

    namespace: str
    name: str
    seconds: int
    """So long after its last renewal, another replica may take it."""


class Replica:
    """Serves until it is told to stop, has lost its Lease, or one of its threads has ended unexpectedly."""

    def __init__(
        self,
        values: Values,
        values_path: Path,
        api: Any,
        host: str,
        port: int,
        lease: Lease | None,
        *,
        tokens: Tokens | None = None,
        certificate: Certificate | None = None,
    ) -> None:
        """Build all parts; ``api`` is what ``poddnat.kube.connect`` gives.

        ``values_path`` is the file that the values come from: its changes are followed.
        Callers of hooks have to send one of the ``tokens``, and are shown the ``certificate``.
        Without a lease it is always active. In a pod, the environment tells who it is: POD_NAME and POD_IP.

        Raises:
            OSError: the address can't be had.
        """
        self._resigned = False
        self._lost = False
        self._ended_thread = ""
        # Its put() may interrupt itself, as signals may; an Event's set() then waits for itself for ever.
        self._stop_requests = SimpleQueue[str]()
        kube = KubeClient(api)

        def warn_operators(reason: str, message: str) -> None:
            if lease is not None:
                kube.warn_on_lease(lease.namespace, lease.name, reason, message)

        self.service = Service(
            values,
            kube,
            CloudClient(values),
            values_path=values_path,
            warn_operators=warn_operators,
            may_write=self._may_write,
        )
        self._election = None if lease is None else self._make_election(api, lease, port)
        app = create_app(self.service, active=self._active, ended_thread=lambda: self._ended_thread, tokens=tokens)
        self._server = HookServer(app, host, port, certificate=certificate)

    def _make_election(self, api: Any, lease: Lease, port: int) -> LeaderElector:
        ip = os.environ.get("POD_IP")
        where: Any = {"namespace": lease.namespace, "service": lease.name, "ip": ip, "port": port}
        endpoint = ActiveEndpoint(api, **where, request_timeout=request_timeout(lease.seconds)) if ip else None
        return LeaderElector(
            api,
            namespace=lease.namespace,
            name=lease.name,
            identity=os.environ.get("POD_NAME") or f"{socket.gethostname()}_{os.getpid()}",
            lease_duration=lease.seconds,
            on_started_leading=self.service.take_over,
            on_renewed=endpoint.publish if endpoint else lambda: None,
            on_stopped_leading=self._on_stopped_leading,
        )

    def _active(self) -> str:
        """Name the active replica; empty: nobody, or not known yet."""
        return self._election.holder if self._election is not None else ""

    def _may_write(self) -> bool:
        return not self._resigned and (self._election is None or self._election.is_leader)

    def _on_stopped_leading(self) -> None:
        self._lost = True
        self._stop_requests.put("")

    def _on_thread_ended(self, ended: threading.ExceptHookArgs) -> None:
        """End the process because a thread has ended by an exception that nobody expected; called on that thread."""
        if issubclass(ended.exc_type, SystemExit):
            return
        name = ended.thread.name if ended.thread is not None else "of no name"
        trace = ended.exc_value or ended.exc_type()
        log.critical("the thread %s has ended unexpectedly; the process ends, to be started anew", name, exc_info=trace)
        self._ended_thread = self._ended_thread or name
        self._stop_requests.put("")

    def stop_on_signals(self) -> None:
        """Have SIGTERM and SIGINT stop it; for the main thread."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._stop_requests.put(f", by {signal.Signals(number).name}")

    def run(self) -> bool:
        """Serve; false when it ends for a lost Lease or an ended thread, so that the process is started anew."""
        before = threading.excepthook
        threading.excepthook = self._on_thread_ended
        try:
            self.service.start()
            self._server.start()
            if self._election is not None:
                self._election.start()
            log.info("poddnat %s, answering on %s", __version__, self._server.url)
            why = self._stop_requests.get()
            log.info("stopping%s: what is under way is finished first", why)
            self._hand_over()
            log.info("stopped")
        finally:
            threading.excepthook = before
        return not (self._lost or self._ended_thread)

    def _hand_over(self) -> None:
        """Begin no write, wait for those under way, and only then let another replica write."""
        self._resigned = True
        self.service.stop()
        if self._election is not None:
            self._election.stop()
            time.sleep(HAND_OVER)
        self._server.stop()
