"""Leader election: the active replica is the one that holds a Lease.

The algorithm and the lock are those of the Kubernetes client's leader election. Its own loop is not used: it can't be
stopped, never gives the lease back, ends with the first broken connection, and waits for an answer without limit, so
that a replica cut off from the API server would go on writing after another has taken over.
"""

import datetime as dt
import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import urllib3.exceptions
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from kubernetes.leaderelection.electionconfig import Config
from kubernetes.leaderelection.leaderelection import LeaderElection
from kubernetes.leaderelection.leaderelectionrecord import LeaderElectionRecord
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock

from poddnat.kube.intervals import LEASE_REQUEST_SHARE, RENEW_DEADLINE_SHARE, RENEW_SHARE, RETRY_SHARE

log = logging.getLogger(__name__)
# It logs every renewal.
logging.getLogger("leaderelection").setLevel(logging.ERROR)

_FAILURES = (ApiException, urllib3.exceptions.HTTPError, OSError, ValueError)


def request_timeout(lease_duration: int) -> float:
    """Give how many seconds an answer may take, so that a lease of that duration (in seconds) is renewed in time."""
    return lease_duration * LEASE_REQUEST_SHARE


class LeaderElector:
    """Holds the Lease, or tries to acquire it. Leads at most once in a process's life: who has lost it starts anew."""

    def __init__(
        self,
        api: client.ApiClient,
        *,
        namespace: str,
        name: str,
        identity: str,
        lease_duration: int,
        on_started_leading: Callable[[], None],
        on_renewed: Callable[[], None],
        on_stopped_leading: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``identity`` tells replicas apart. ``lease_duration`` seconds after the last renewal, another one takes over.

        The functions are called from the elector's own thread: ``on_started_leading`` before this replica is the
        leader, ``on_renewed`` then and after each renewal, ``on_stopped_leading`` once the lease is lost.
        """
        self.renew_deadline = lease_duration * RENEW_DEADLINE_SHARE
        """Seconds without a renewal after which this replica leads no more."""
        self._renew_period = lease_duration * RENEW_SHARE
        self._retry_period = lease_duration * RETRY_SHARE
        self._identity = identity
        self._on_started_leading = on_started_leading
        self._on_renewed = on_renewed
        self._on_stopped_leading = on_stopped_leading
        self._clock = clock
        self._namespace, self._name = namespace, name
        self._lock = cast(Any, LeaseLock(name, namespace, identity))  # type: ignore[no-untyped-call]
        self._lock.api_instance = _with_timeout(
            client.CoordinationV1Api(api),
            request_timeout(lease_duration),
            "read_namespaced_lease",
            "create_namespaced_lease",
            "replace_namespaced_lease",
        )
        nothing: Callable[[], None] = lambda: None  # noqa: E731  # the loop that calls these is not used
        times = (lease_duration, self.renew_deadline, 1)  # the retry period is up to the loop
        self._election: Any = LeaderElection(Config(self._lock, *times, nothing, nothing))  # type: ignore[no-untyped-call]
        self._valid_until = float("-inf")
        self._has_led = False
        self._last_logged = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    @property
    def is_leader(self) -> bool:
        """Whether this replica may write at this moment; false for good once the lease was lost."""
        return self._has_led and self._clock() < self._valid_until

    @property
    def holder(self) -> str:
        """Who held the lease when it was last read; empty: nobody, or not known yet."""
        observed = self._election.observed_record
        return str(observed.holder_identity or "") if observed is not None else ""

    def start(self) -> None:
        """Start to try to acquire the lease."""
        self._thread.start()

    def stop(self) -> None:
        """Release the lease, so that another replica takes over at once. Nothing may be written any more."""
        self._stopping.set()
        self._thread.join()
        if self.is_leader:
            self._valid_until = float("-inf")
            self._release()

    def _run(self) -> None:
        try:
            self._acquire_and_renew()
        except Exception:  # a replica that tries no longer would stand by for ever, and nobody would know
            log.exception("holding the lease %s/%s", self._namespace, self._name)
            self._stop_leading()

    def _stop_leading(self) -> None:
        self._valid_until = float("-inf")
        self._on_stopped_leading()

    def _acquire_and_renew(self) -> None:
        while not self._stopping.is_set():
            asked_at = self._clock()
            held = self._try_acquire_or_renew()
            if self._has_led and not self.is_leader:
                log.error("the lease %s/%s is lost to %s", self._namespace, self._name, self.holder or "nobody yet")
                self._stop_leading()
                return
            if held:
                self._valid_until = asked_at + self.renew_deadline
                if not self._has_led:
                    log.info("active: %s holds the lease %s/%s", self._identity, self._namespace, self._name)
                    self._on_started_leading()
                    self._has_led = True
                self._on_renewed()
            elif self._has_led and self.holder != self._identity:
                self._valid_until = float("-inf")
                continue
            self._stopping.wait(self._renew_period if held else self._retry_period)

    def _try_acquire_or_renew(self) -> bool:
        try:
            held: bool = self._election.try_acquire_or_renew()
        except _FAILURES as error:
            self._log_once(f"the lease {self._namespace}/{self._name} can't be acquired or renewed: {error}")
            return False
        if not held and self._has_led:
            self._log_once(f"the lease {self._namespace}/{self._name} could not be renewed")
        elif not held and not self.holder:
            self._log_once(
                f"the lease {self._namespace}/{self._name} can't be acquired; may its service account use leases?"
            )
        elif not held:
            self._log_once(f"standby: {self.holder} is active", logging.INFO)
        return held

    def _log_once(self, text: str, level: int = logging.WARNING) -> None:
        """Log something once, not at every try."""
        if text != self._last_logged:
            self._last_logged = text
            log.log(level, "%s", text)

    def _release(self) -> None:
        now = str(dt.datetime.now())  # the client's records are in local time
        try:
            found, record = self._lock.get(self._name, self._namespace)
            if found and record.holder_identity == self._identity:
                record = LeaderElectionRecord("", "1", now, now)  # type: ignore[no-untyped-call]
                self._lock.update(self._name, self._namespace, record)
        except _FAILURES as error:
            log.warning("the lease %s/%s could not be released: %s", self._namespace, self._name, error)


def _with_timeout(api: Any, seconds: float, *calls: str) -> SimpleNamespace:
    """Give these calls of an API a time-out each, which their caller does not set."""
    return SimpleNamespace(**{call: partial(getattr(api, call), _request_timeout=seconds) for call in calls})
