"""Where pods' addresses are in the VPC: network interface, vSwitch, and the route of replies.

An address not known yet is looked up in the background, together with all others that are requested meanwhile (up to
100 a call). Its hook waits for that a moment, while look-ups take no longer; else it is called again in a second. A
call that is refused is split, so that one address doesn't keep the others from being found.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from cachetools import LRUCache, TTLCache

from poddnat.api import CLOUD, Problem
from poddnat.backoff import Backoff
from poddnat.cloud import ADDRESSES_PER_CALL, CloudClient, CloudError, Outage, RouteTables
from poddnat.kube import KubeError
from poddnat.logs import Attempts
from poddnat.model import Address
from poddnat.placement import intervals
from poddnat.placement.gateways import Route
from poddnat.placement.node_prefixes import NodePrefixes

log = logging.getLogger(__name__)

_MOST_CACHED = 20_000
_LOOKS_TO_REPORT = 3


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


@dataclass
class _Request:
    """An address that a hook has asked for."""

    node: str
    asked_at: float


@dataclass(frozen=True)
class _Miss:
    """An address that was looked up and not found."""

    backoff: Backoff
    until: float
    """When to look again."""
    problem: Problem | None


class PodLocator:
    """Answers from a cache, and looks up the rest in the background. Safe to use from several threads."""

    def __init__(
        self,
        cloud: CloudClient,
        instance_of: Callable[[str], str | None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``instance_of`` gives a node's ECS instance id, and None where there is none."""
        self._cloud = cloud
        self._clock = clock
        self._node_prefixes = NodePrefixes(cloud, instance_of, clock)
        self._wake = threading.Condition()
        self._stopping = False
        self._quick = False
        """Whether it is worth waiting for a look-up: the last one took no longer than a hook may wait."""
        self._requested: dict[_Key, _Request] = {}
        self._found: LRUCache[str, Address] = LRUCache(_MOST_CACHED)
        """By the pod's uid."""
        self._missed: TTLCache[_Key, _Miss, float] = TTLCache(_MOST_CACHED, intervals.REQUEST_TTL, timer=clock)
        self._outage = Outage(clock)
        self._most_at_once = ADDRESSES_PER_CALL
        self._refused_in_a_row = 0
        self._tables = RouteTables({})
        self._hops: dict[str, tuple[str, str] | None] = {}
        self._routes_until = float("-inf")
        self._routes_known = False
        self._denied = False
        self._thread = threading.Thread(target=self._run, name="pod-locator", daemon=True)

    def start(self) -> None:
        """Start looking up."""
        self._quick = True
        self._thread.start()

    def stop(self) -> None:
        """Stop; a call under way is not waited for long."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        self._thread.join(intervals.STOP_TIMEOUT)

    @property
    def routes_denied(self) -> bool | None:
        """Whether gateways are chosen without knowing the routes, for lack of permission; None: not tried yet."""
        with self._wake:
            tried = self._routes_known or self._denied
            return (self._denied and not self._routes_known) if tried else None

    def locate(self, pod_uid: str, ip: str, node: str = "") -> Located | NotLocated:
        """Give where a pod's IPv4 address is in the VPC, as far as it is known in a moment; ``node`` is the pod's."""
        key = (pod_uid, ip)
        with self._wake:
            if (located := self._located(key)) is not None:
                return located
            miss, now = self._missed.get(key), self._clock()
            if miss is None or now >= miss.until:
                self._requested[key] = _Request(node, now)
                self._wake.notify_all()
                self._wait_for(key)
            if (located := self._located(key)) is not None:
                return located
            miss = self._missed.get(key)
            return NotLocated(miss.problem if miss is not None and miss.problem is not None else self._outage.problem)

    def forget(self, pod_uid: str) -> None:
        """Forget where a pod was that has gone."""
        with self._wake:
            self._found.pop(pod_uid, None)

    def _wait_for(self, key: _Key) -> None:
        """Wait until an address has been looked up, as long as that is quick."""

        def answered() -> bool:
            return key not in self._requested or not self._quick or self._stopping

        if not self._wake.wait_for(answered, intervals.LONGEST_WAIT):
            self._quick = False  # Nobody waits any more until a look-up was quick again.

    def _located(self, key: _Key) -> Located | None:
        address = self._known(key)
        if address is None or self._clock() >= self._routes_until:
            return None
        return Located(address, self._route(address))

    def _known(self, key: _Key) -> Address | None:
        pod_uid, ip = key
        address = self._found.get(pod_uid)
        return address if address is not None and address.ip == ip else None

    def _route(self, address: Address) -> Route | None:
        return route_of(address, self._tables, self._hops) if self._routes_known else None

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
                keys = self._next_keys()
            started_at = self._clock()
            pause = self._try_to_look_up(keys, backoff, attempts)
            with self._wake:
                self._quick = not pause and self._clock() - started_at <= intervals.LONGEST_WAIT
                self._wake.notify_all()
                self._wake.wait_for(lambda: self._stopping, pause)

    def _next_keys(self) -> dict[_Key, str]:
        """Choose what to look up now, each with its node; what no pod has asked for lately is given up."""
        since = self._clock() - intervals.REQUEST_TTL
        self._requested = {key: request for key, request in self._requested.items() if request.asked_at >= since}
        return {key: self._requested[key].node for key in list(self._requested)[: self._most_at_once]}

    def _try_to_look_up(self, keys: dict[_Key, str], backoff: Backoff, attempts: Attempts) -> float:
        """Look up addresses; what can't be stays requested. Gives the seconds to wait before the next call."""
        try:
            self._read_routes()
            self._look_up(keys)
        except CloudError as error:
            if error.action == "DescribeNetworkInterfaces" and error.refuses_request:
                if len(keys) > 1:
                    self._most_at_once = len(keys) // 2
                    return 0.0
                self._note_refused(keys, error)
            else:
                self._note_failed(error)
            attempts.failed(error)
            delay = backoff.failed()
            return error.retry_after or delay
        except KubeError as error:
            attempts.failed(error)
            return backoff.failed()
        except Exception as error:  # noqa: BLE001  # asked again whatever it answers: no pod gets on without
            attempts.failed(error, expected=False)
            return backoff.failed()
        self._note_worked()
        attempts.worked()
        backoff.reset()
        return 0.0

    def _look_up(self, keys: dict[_Key, str]) -> None:
        with self._wake:
            unknown = {key: node for key, node in keys.items() if self._known(key) is None}
        ips = list(dict.fromkeys(ip for _, ip in unknown))
        addresses = self._cloud.describe_network_interfaces(ips) if ips else {}
        self._note_found(addresses, unknown)  # before those who wait for it see that it was answered
        self._drop_requests(key for key in keys if key not in unknown or key[1] in addresses)
        by_node: dict[str, list[_Key]] = {}
        for key, node in unknown.items():
            if key[1] not in addresses:
                by_node.setdefault(node, []).append(key)
        for node, missing in by_node.items():
            on_node = self._on_node(node, [ip for _, ip in missing])
            self._note_found(on_node, missing)
            self._drop_requests(missing)
            for key in missing:
                if key[1] not in on_node:
                    self._note_missed(key, no_interface(key[1]))

    def _on_node(self, node: str, ips: list[str]) -> dict[str, Address]:
        """Find addresses in the prefixes of a node's network interfaces."""
        if not node:
            return {}
        try:
            return self._node_prefixes.find(node, ips)
        except CloudError as error:
            if not error.refuses_request:
                raise
            log.warning("the network interfaces of node %s can't be read: %s", node, error)
            return {}

    def _note_found(self, addresses: dict[str, Address], keys: Iterable[_Key]) -> None:
        with self._wake:
            for key in keys:
                if (address := addresses.get(key[1])) is not None:
                    self._found[key[0]] = address
                    self._missed.pop(key, None)

    def _drop_requests(self, keys: Iterable[_Key]) -> None:
        """Drop requests that are answered."""
        with self._wake:
            for key in keys:
                self._requested.pop(key, None)

    def _note_missed(self, key: _Key, problem: Problem, *, at_once: bool = False) -> None:
        """Note that an address was not found; reported once it has lasted for several looks, or ``at_once``."""
        with self._wake:
            before = self._missed.get(key)
            backoff = before.backoff if before is not None else _backoff()
            until = self._clock() + backoff.failed()
            lasts = at_once or backoff.failures >= _LOOKS_TO_REPORT
            self._missed[key] = _Miss(backoff, until, problem if lasts else None)

    def _note_refused(self, keys: Iterable[_Key], error: CloudError) -> None:
        """Note that a call for one address alone is refused; where that goes on, it is not about the address."""
        self._drop_requests(keys)
        for key in keys:
            self._note_missed(key, _refused(key[1], error), at_once=True)
        self._refused_in_a_row += 1
        if self._refused_in_a_row > 1:
            self._note_failed(error)

    def _note_failed(self, error: CloudError) -> None:
        with self._wake:
            self._outage.failed(error)

    def _note_worked(self) -> None:
        with self._wake:
            self._outage.worked()
            self._refused_in_a_row = 0
            self._most_at_once = min(2 * self._most_at_once, ADDRESSES_PER_CALL)

    def _read_routes(self) -> None:
        if self._clock() < self._routes_until:
            return
        try:
            tables = self._cloud.describe_route_table_list()
            hops = {table: self._cloud.describe_default_route(table) for table in tables.ids}
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
            so = "taken to be as before" if self._routes_known else "ignored: gateways are chosen by zone alone"
            log.warning("routes can't be read and are %s: %s", so, error)
        with self._wake:
            self._denied = True
            self._routes_until = self._clock() + intervals.ROUTES_TTL


def _backoff() -> Backoff:
    return Backoff(intervals.MISSING_ADDRESS_FIRST, intervals.MISSING_ADDRESS_LONGEST)


def route_of(address: Address, tables: RouteTables, hops: Mapping[str, tuple[str, str] | None]) -> Route:
    """Tell where replies from an address go: ``hops`` are the default routes' next hops, by route table."""
    table = tables.of(address.vswitch)
    hop_type, hop_id = hops.get(table) or (None, None)
    return Route(table, hop_type, hop_id)


def no_interface(ip: str) -> Problem:
    """Explain that no network interface of the VPC holds a pod's IP."""
    text = f"No network interface of the VPC holds the pod's IP {ip}"
    return Problem(
        "NoNetworkInterface",
        f"{text}; an operator has to check Terway, and vpcID and regionID in the values.",
        intervals.MISSING_ADDRESS_RETRY_AFTER,
    )


def _refused(ip: str, error: CloudError) -> Problem:
    text = f"The cloud refuses to tell where the pod's IP {ip} is: {error.quote}"
    return Problem(CLOUD, f"{text}; an operator has to see why.", intervals.MISSING_ADDRESS_RETRY_AFTER)
