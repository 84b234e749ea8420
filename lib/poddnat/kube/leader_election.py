"""Which replica is the active one: it holds a Lease.

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

log = logging.getLogger(__name__)
# It tells every renewal.
logging.getLogger("leaderelection").setLevel(logging.ERROR)

# As parts of the time after which another replica takes over:
_RENEW_WITHIN = 2 / 3
"""After so long without a renewal, the active replica stops writing: before another one may start."""
_RENEW_EVERY = 2 / 15
_LOOK_EVERY = 1 / 15
"""How often a standby looks whether it may take over."""
_ANSWER_WITHIN = 1 / 5

_FAILURES = (ApiException, urllib3.exceptions.HTTPError, OSError, ValueError)


def request_timeout(seconds: int) -> float:
    """Tell how many seconds an answer may take, so that a lease of so many is renewed in time."""
    return seconds * _ANSWER_WITHIN


class LeaderElector:
    """Holds the Lease, or waits for it. Active at most once in a process's life: whoever has lost it starts anew."""

    def __init__(
        self,
        api: client.ApiClient,
        *,
        namespace: str,
        name: str,
        identity: str,
        seconds: int,
        on_gained: Callable[[], None],
        on_renewed: Callable[[], None],
        on_drifted: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``identity`` tells replicas apart. After ``seconds`` without a renewal, another one takes over.

        The functions are called from the election's own thread: ``on_gained`` before this replica is active,
        ``on_renewed`` then and after each renewal.
        """
        self._seconds = seconds
        self.renew_within = seconds * _RENEW_WITHIN
        self._identity = identity
        self._on_gained = on_gained
        self._on_renewed = on_renewed
        self._on_drifted = on_drifted
        self._clock = clock
        self._namespace, self._name = namespace, name
        self._lock = cast(Any, LeaseLock(name, namespace, identity))  # type: ignore[no-untyped-call]
        self._lock.api_instance = _in_time(
            client.CoordinationV1Api(api),
            request_timeout(seconds),
            "read_namespaced_lease",
            "create_namespaced_lease",
            "replace_namespaced_lease",
        )
        nothing: Callable[[], None] = lambda: None  # noqa: E731  # the loop that calls these is not used
        times = (seconds, self.renew_within, 1)  # how often it renews is up to the loop
        self._election: Any = LeaderElection(Config(self._lock, *times, nothing, nothing))  # type: ignore[no-untyped-call]
        self._valid_until = float("-inf")
        self._gained = False
        self._told = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    @property
    def active(self) -> bool:
        """Whether this replica may write at this moment; false for good once the lease was lost."""
        return self._gained and self._clock() < self._valid_until

    @property
    def holder(self) -> str:
        """Who held the lease when last looked at; empty: nobody, or not known yet."""
        observed = self._election.observed_record
        return str(observed.holder_identity or "") if observed is not None else ""

    def start(self) -> None:
        """Start trying to hold the lease."""
        self._thread.start()

    def stop(self) -> None:
        """Give the lease back, so that another replica takes over at once. Nothing may be written any more."""
        self._stopping.set()
        self._thread.join()
        if self.active:
            self._valid_until = float("-inf")
            self._give_back()

    def _run(self) -> None:
        try:
            self._hold()
        except Exception:  # a replica that tries no longer would stand by for ever, and nobody would know
            log.exception("holding the lease %s/%s", self._namespace, self._name)
            self._lose()

    def _lose(self) -> None:
        self._valid_until = float("-inf")
        self._on_drifted()

    def _hold(self) -> None:
        while not self._stopping.is_set():
            asked_at = self._clock()
            held = self._try()
            if self._gained and not self.active:
                log.error("the lease %s/%s is lost to %s", self._namespace, self._name, self.holder or "nobody yet")
                self._lose()
                return
            if held:
                self._valid_until = asked_at + self.renew_within
                if not self._gained:
                    log.info("active: %s holds the lease %s/%s", self._identity, self._namespace, self._name)
                    self._on_gained()
                    self._gained = True
                self._on_renewed()
            elif self._gained and self.holder != self._identity:
                self._valid_until = float("-inf")
                continue
            self._stopping.wait(self._seconds * (_RENEW_EVERY if held else _LOOK_EVERY))

    def _try(self) -> bool:
        try:
            held: bool = self._election.try_acquire_or_renew()
        except _FAILURES as error:
            self._tell(f"the lease {self._namespace}/{self._name} can't be asked for: {error}")
            return False
        if not held and self._gained:
            self._tell(f"the lease {self._namespace}/{self._name} could not be renewed")
        elif not held and not self.holder:
            self._tell(f"the lease {self._namespace}/{self._name} can't be had; may its service account use leases?")
        elif not held:
            self._tell(f"standby: {self.holder} is active", logging.INFO)
        return held

    def _tell(self, text: str, level: int = logging.WARNING) -> None:
        """Say something once, not at every try."""
        if text != self._told:
            self._told = text
            log.log(level, "%s", text)

    def _give_back(self) -> None:
        now = str(dt.datetime.now())  # the client's records are in local time
        try:
            found, record = self._lock.get(self._name, self._namespace)
            if found and record.holder_identity == self._identity:
                record = LeaderElectionRecord("", "1", now, now)  # type: ignore[no-untyped-call]
                self._lock.update(self._name, self._namespace, record)
        except _FAILURES as error:
            log.warning("the lease %s/%s could not be given back: %s", self._namespace, self._name, error)


def _in_time(api: Any, seconds: float, *calls: str) -> SimpleNamespace:
    """Give these calls of an API a time limit each, which their caller does not set."""
    return SimpleNamespace(**{call: partial(getattr(api, call), _request_timeout=seconds) for call in calls})
