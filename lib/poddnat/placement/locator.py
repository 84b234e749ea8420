"""Where pods' addresses live in the VPC: network interface, vSwitch, and the way that replies take.

A hook never waits for the cloud: an address not known yet is looked up in the background, together with all others
that were asked for meanwhile (up to 100 a call), and the hook is asked again in a second.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from poddnat.api import Problem
from poddnat.cloud import ADDRESSES_PER_CALL, CloudClient, CloudError, problem_of
from poddnat.logs import Attempts
from poddnat.model import Address
from poddnat.placement.gateways import Route

log = logging.getLogger(__name__)

_ROUTES_SECONDS = 300.0
_MISSING_SECONDS = 5.0
_REMEMBERED = 20_000
_GATHER_SECONDS = 0.02
_FIRST_RETRY = 2.0
_LONGEST_RETRY = 30.0
_PARTING_SECONDS = 1.0


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
    """Answers from memory, and looks up the rest in the background. Safe to use from several threads."""

    def __init__(self, cloud: CloudClient, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._cloud = cloud
        self._clock = clock
        self._wake = threading.Condition()
        self._stopping = False
        self._wanted: dict[_Key, None] = {}
        self._found: OrderedDict[_Key, Address] = OrderedDict()
        self._missing: OrderedDict[_Key, float] = OrderedDict()
        self._problem: Problem | None = None
        self._tables: dict[str, str] = {}
        self._hops: dict[str, tuple[str, str] | None] = {}
        self._routes_until = float("-inf")
        self._routes_known = False
        self._denied = False
        self._thread = threading.Thread(target=self._run, name="network", daemon=True)

    def start(self) -> None:
        """Start looking up."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; what is being read is not waited for long: nobody needs it any more."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join(_PARTING_SECONDS)

    @property
    def routes_denied(self) -> bool | None:
        """Whether gateways are chosen without knowing the routes, for lack of permission; None: not tried yet."""
        with self._wake:
            tried = self._routes_known or self._denied
            return (self._denied and not self._routes_known) if tried else None

    def locate(self, pod_uid: str, ip: str) -> Located | NotLocated:
        """Tell where a pod's IP lives."""
        key = (pod_uid, ip)
        with self._wake:
            address = self._found.get(key)
            now = self._clock()
            if address is not None and now < self._routes_until:
                return Located(address, self._route(address))
            if self._missing.get(key, now) > now:
                return NotLocated(_nobody_has(ip))
            self._wanted[key] = None
            self._wake.notify()
            return NotLocated(self._problem)

    def _route(self, address: Address) -> Route | None:
        if not self._routes_known:
            return None
        table = self._tables.get(address.vswitch, "")
        hop_type, hop_id = self._hops.get(table) or (None, None)
        return Route(table, hop_type, hop_id)

    def _run(self) -> None:
        failures, attempts = 0, Attempts(log, "looking up pod addresses")
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._wanted or self._stopping)
            # More hooks are asking at this moment; one call serves them all.
            time.sleep(_GATHER_SECONDS)
            with self._wake:
                if self._stopping:
                    return
                keys = list(self._wanted)[:ADDRESSES_PER_CALL]
            wait = min(_FIRST_RETRY * 2.0**failures, _LONGEST_RETRY)
            try:
                self._look_up(keys)
                attempts.worked()
                failures = 0
                continue
            except CloudError as error:
                attempts.failed(error)
                self._problem = problem_of(error)
                wait = error.retry_after or wait
            except Exception as error:  # noqa: BLE001  # asked again whatever it answers: no pod gets on without
                attempts.failed(error, expected=False)
            failures += 1
            with self._wake:
                self._wake.wait_for(lambda: self._stopping, wait)

    def _look_up(self, keys: list[_Key]) -> None:
        unknown = [key for key in keys if key not in self._found]
        addresses = self._cloud.describe_addresses(list({ip for _, ip in unknown})) if unknown else {}
        self._read_routes()
        with self._wake:
            self._problem = None
            for key in keys:
                self._wanted.pop(key, None)
            for key in unknown:
                self._remember(key, addresses.get(key[1]))

    def _remember(self, key: _Key, address: Address | None) -> None:
        if address is None:
            # Terway attaches the address before the pod runs, but the API may show it a moment later.
            self._missing[key] = self._clock() + _MISSING_SECONDS
        else:
            self._found[key] = address
        for memory in (self._found, self._missing):
            while len(memory) > _REMEMBERED:
                memory.popitem(last=False)

    def _read_routes(self) -> None:
        if self._clock() < self._routes_until:
            return
        try:
            tables = self._cloud.describe_route_tables()
            hops = {table: self._cloud.describe_default_route(table) for table in sorted(set(tables.values()))}
        except CloudError as error:
            if not error.lacks_permission:
                raise  # Credentials that are not accepted say nothing about what they allow.
            self._routes_denied(error)
            return
        with self._wake:
            self._tables, self._hops = tables, hops
            self._routes_known, self._denied = True, False
            self._routes_until = self._clock() + _ROUTES_SECONDS

    def _routes_denied(self, error: CloudError) -> None:
        """Do with what was read before, or without: whether we are allowed is seen again after a while."""
        if not self._denied:
            so = "taken to be as before" if self._routes_known else "not heeded: gateways are chosen by zone alone"
            log.warning("routes can't be read and are %s: %s", so, error)
        with self._wake:
            self._denied = True
            self._routes_until = self._clock() + _ROUTES_SECONDS


def _nobody_has(ip: str) -> Problem:
    text = f"No network interface of the VPC holds the pod's IP {ip}"
    return Problem(
        "NoNetworkInterface", f"{text}; an operator has to check Terway, and vpcID and regionID in the values.", 10.0
    )
