"""Where pods' addresses are in the VPC: network interface, vSwitch, and the route of replies.

A hook never waits for the cloud: an address not known yet is looked up in the background, together with all others
that are requested meanwhile (up to 100 a call), and the hook is called again in a second.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from cachetools import LRUCache, TTLCache

from poddnat.api import Problem
from poddnat.backoff import Backoff
from poddnat.cloud import ADDRESSES_PER_CALL, CloudClient, CloudError, problem_of
from poddnat.logs import Attempts
from poddnat.model import Address
from poddnat.placement import intervals
from poddnat.placement.gateways import Route

log = logging.getLogger(__name__)

_MOST_CACHED = 20_000


@dataclass(frozen=True)
class Located:
    """An address found; ``route`` is None when we are not allowed to read routes."""

    address: Address
    route: Route | None


@dataclass(frozen=True)
class NotLocated:
    """Being looked up, or not to be found for now: ``problem`` says why when it lasts."""

    problem: Problem | None = None


# A pod's uid belongs to the key because an IP is used again, by another pod and perhaps elsewhere.
_Key = tuple[str, str]


class PodLocator:
    """Answers from a cache, and looks up the rest in the background. Safe to use from several threads."""

    def __init__(self, cloud: CloudClient, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._cloud = cloud
        self._clock = clock
        self._wake = threading.Condition()
        self._stopping = False
        self._requested: dict[_Key, None] = {}
        self._found: LRUCache[_Key, Address] = LRUCache(_MOST_CACHED)
        self._missing: TTLCache[_Key, None, float] = TTLCache(_MOST_CACHED, intervals.MISSING_ADDRESS_TTL, timer=clock)
        self._problem: Problem | None = None
        self._tables: dict[str, str] = {}
        self._hops: dict[str, tuple[str, str] | None] = {}
        self._routes_until = float("-inf")
        self._routes_known = False
        self._denied = False
        self._thread = threading.Thread(target=self._run, name="pod-locator", daemon=True)

    def start(self) -> None:
        """Start looking up."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; a call under way is not waited for long."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join(intervals.STOP_TIMEOUT)

    @property
    def routes_denied(self) -> bool | None:
        """Whether gateways are chosen without knowing the routes, for lack of permission; None: not tried yet."""
        with self._wake:
            tried = self._routes_known or self._denied
            return (self._denied and not self._routes_known) if tried else None

    def locate(self, pod_uid: str, ip: str) -> Located | NotLocated:
        """Give where a pod's IP is in the VPC, as far as it is known by now."""
        key = (pod_uid, ip)
        with self._wake:
            address = self._found.get(key)
            if address is not None and self._clock() < self._routes_until:
                return Located(address, self._route(address))
            if key in self._missing:
                return NotLocated(_no_interface(ip))
            self._requested[key] = None
            self._wake.notify()
            return NotLocated(self._problem)

    def _route(self, address: Address) -> Route | None:
        if not self._routes_known:
            return None
        table = self._tables.get(address.vswitch, "")
        hop_type, hop_id = self._hops.get(table) or (None, None)
        return Route(table, hop_type, hop_id)

    def _run(self) -> None:
        backoff = Backoff(intervals.FIRST_RETRY, intervals.LONGEST_RETRY)
        attempts = Attempts(log, "looking up pod addresses")
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._requested or self._stopping)
            # More hooks are asking at this moment; one call serves them all.
            time.sleep(intervals.GATHER_TIME)
            with self._wake:
                if self._stopping:
                    return
                keys = list(self._requested)[:ADDRESSES_PER_CALL]
            pause = self._try_to_look_up(keys, backoff, attempts)
            with self._wake:
                self._wake.wait_for(lambda: self._stopping, pause)

    def _try_to_look_up(self, keys: list[_Key], backoff: Backoff, attempts: Attempts) -> float:
        """Look up addresses; what can't be stays requested. Gives the seconds to wait before the next call."""
        try:
            self._look_up(keys)
        except CloudError as error:
            attempts.failed(error)
            with self._wake:
                self._problem = problem_of(error)
            delay = backoff.failed()
            return error.retry_after or delay
        except Exception as error:  # noqa: BLE001  # asked again whatever it answers: no pod gets on without
            attempts.failed(error, expected=False)
            return backoff.failed()
        attempts.worked()
        backoff.reset()
        return 0.0

    def _look_up(self, keys: list[_Key]) -> None:
        with self._wake:
            unknown = [key for key in keys if key not in self._found]
        ips = list(dict.fromkeys(ip for _, ip in unknown))
        addresses = self._cloud.describe_network_interfaces(ips) if ips else {}
        self._read_routes()
        with self._wake:
            self._problem = None
            for key in keys:
                self._requested.pop(key, None)
            for key in unknown:
                if (address := addresses.get(key[1])) is not None:
                    self._found[key] = address
                else:
                    self._missing[key] = None

    def _read_routes(self) -> None:
        if self._clock() < self._routes_until:
            return
        try:
            tables = self._cloud.describe_route_table_list()
            hops = {table: self._cloud.describe_default_route(table) for table in sorted(set(tables.values()))}
        except CloudError as error:
            if not error.lacks_permission:
                raise  # Credentials that are not accepted say nothing about what they allow.
            self._note_denied(error)
            return
        with self._wake:
            self._tables, self._hops = tables, hops
            self._routes_known, self._denied = True, False
            self._routes_until = self._clock() + intervals.ROUTES_TTL

    def _note_denied(self, error: CloudError) -> None:
        """Use the routes read before, or none; whether they can be read is seen again after a while."""
        if not self._denied:
            so = "taken to be as before" if self._routes_known else "not heeded: gateways are chosen by zone alone"
            log.warning("routes can't be read and are %s: %s", so, error)
        with self._wake:
            self._denied = True
            self._routes_until = self._clock() + intervals.ROUTES_TTL


def _no_interface(ip: str) -> Problem:
    text = f"No network interface of the VPC holds the pod's IP {ip}"
    return Problem(
        "NoNetworkInterface",
        f"{text}; an operator has to check Terway, and vpcID and regionID in the values.",
        intervals.MISSING_ADDRESS_RETRY_AFTER,
    )
