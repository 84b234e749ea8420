"""All NAT gateways that matter: the pool's, with a driver each, and what the cloud says of them.

One call of DescribeNatGateways tells of all gateways and their addresses; it is repeated now and then, so that an
address that joins or leaves a gateway, or a gateway gone, is noticed without a restart.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Address

from poddnat.api import Problem
from poddnat.cloud import CloudClient, CloudError, Eip, GatewayInfo, RateLimiter, problem_of
from poddnat.config import Values
from poddnat.gateway.driver import GatewayDriver, Liveness
from poddnat.gateway.ownership import Ownership
from poddnat.gateway.problems import gateway_missing
from poddnat.logs import Attempts
from poddnat.model import ForwardEntry
from poddnat.placement import Candidate, Place

log = logging.getLogger(__name__)

_FIRST_RETRY = 1.0
_LOOKS = 5
"""How often all gateways are looked at, by one call, while each table is read once."""
_LONGEST_RETRY = 30.0
_DOUBT_SECONDS = 2.0
_PARTING_SECONDS = 1.0


class Fleet:
    """The drivers, by gateway id. Safe to use from several threads."""

    def __init__(
        self,
        values: Values,
        cloud: CloudClient,
        ownership: Ownership,
        liveness: Liveness,
        on_foreign: Callable[[str, Sequence[ForwardEntry]], None],
        *,
        on_listed: Callable[[str], None] = lambda _gateway_id: None,
        on_swept: Callable[[str], None] = lambda _gateway_id: None,
        on_left: Callable[[], None] = lambda: None,
        may_write: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
        refresh_interval: float = 300.0,
    ) -> None:
        """``refresh_interval``: seconds after which tables are read again, and five times what gateways there are.

        ``on_left`` is called when a gateway, or an address of one, is found to be gone.
        """
        self._values = values
        self._cloud = cloud
        self._ownership = ownership
        self._liveness = liveness
        self._on_foreign = on_foreign
        self._on_listed = on_listed
        self._on_swept = on_swept
        self._on_left = on_left
        self._may_write = may_write
        self._clock = clock
        self._refresh_interval = refresh_interval
        self._rate_limiter = RateLimiter(clock)
        self._lock = threading.Lock()
        self._gateways: dict[str, GatewayDriver] = {}
        self._infos: dict[str, GatewayInfo] | None = None
        self._problem: Problem | None = None
        self._doubted: set[str] = set()
        # Gateways and addresses that the last answer did not show any more.
        self._stopping = threading.Event()
        self._wake = threading.Condition()
        self._stale = False
        self._thread = threading.Thread(target=self._run, name="fleet", daemon=True)

    def start(self) -> None:
        """Start reading what the gateways are, and the pool's drivers."""
        for gateway_id in self._values.gateway_ids:
            self._add(gateway_id)
        self._thread.start()

    def stop(self) -> None:
        """Stop all drivers; their calls under way are waited for, but not for long what is read of the gateways."""
        with self._wake:
            self._stopping.set()
            self._wake.notify()
        self._thread.join(_PARTING_SECONDS)
        for gateway in self.gateways():
            gateway.halt()
        for gateway in self.gateways():
            gateway.stop()

    def update(self, values: Values) -> None:
        """Go by another pool; what the cloud says of its gateways is read again at once.

        Gateways that have left the pool keep their drivers, for the PodDNATs that are still there.
        """
        self._values = values
        for gateway_id in values.gateway_ids:
            self._add(gateway_id)
        for gateway in self.gateways():
            gateway.limit(values.quota_of(gateway.gateway_id))
        with self._wake:
            self._stale = True
            self._wake.notify()

    def resync(self) -> None:
        """List all tables again before anything is written: until now, somebody else was writing."""
        for gateway in self.gateways():
            gateway.resync()

    def gateways(self) -> list[GatewayDriver]:
        """List all drivers."""
        with self._lock:
            return list(self._gateways.values())

    def get(self, gateway_id: str) -> GatewayDriver | None:
        """Find the driver of a gateway of the VPC, in the pool or not; None when the cloud knows no such gateway."""
        with self._lock:
            gateway = self._gateways.get(gateway_id)
            known = self._infos is None or gateway_id in self._infos
        if gateway is None and known and self._infos is not None:
            gateway = self._add(gateway_id)
        return gateway

    @property
    def known(self) -> bool:
        """Whether the cloud has told which gateways there are."""
        return self._infos is not None

    def exists(self, gateway_id: str) -> bool:
        """Whether the cloud knows a gateway, as far as it has told."""
        return self._infos is None or gateway_id in self._infos

    def problem(self, gateway_id: str) -> Problem | None:
        """Tell what is the matter with a gateway, or with asking about gateways at all."""
        if self._infos is None:
            return self._problem
        return None if gateway_id in self._infos else gateway_missing(gateway_id)

    def candidates(self) -> list[Candidate]:
        """List the pool's gateways, with the places that they offer to pods."""
        return [self._candidate(gateway_id) for gateway_id in self._values.gateway_ids]

    def serves(self, gateway_id: str, external_ip: str) -> bool:
        """Whether a gateway has an external address, as far as the cloud has told."""
        info = (self._infos or {}).get(gateway_id)
        return info is None or any(eip.ip == external_ip for eip in info.eips)

    def _candidate(self, gateway_id: str) -> Candidate:
        info = (self._infos or {}).get(gateway_id)
        there = sorted((eip.ip for eip in info.eips), key=IPv4Address) if info is not None else []
        driver = self._gateways.get(gateway_id)
        capacity = 0 if driver is not None and driver.full else self._values.quota_of(gateway_id)
        places: dict[str, Place] = {}
        for entry in self._values.entries_of(gateway_id):
            for ip in entry.eips or there:
                if ip in there:
                    places.setdefault(ip, Place(gateway_id, ip, entry.policy, capacity))
        usable = tuple(place for place in places.values() if not self._values.is_blocked(place.external_ip))
        return Candidate(gateway_id, info.zone if info is not None else "", usable, len(places) - len(usable))

    def _add(self, gateway_id: str) -> GatewayDriver:
        with self._lock:
            if gateway_id in self._gateways:
                return self._gateways[gateway_id]
            gateway = GatewayDriver(
                gateway_id,
                self._cloud,
                self._ownership,
                self._rate_limiter,
                self._liveness,
                on_foreign=self._on_foreign,
                on_listed=self._on_listed,
                on_swept=self._on_swept,
                may_write=self._may_write,
                clock=self._clock,
                refresh_interval=self._refresh_interval,
            )
            gateway.limit(self._values.quota_of(gateway_id))
            gateway.update((self._infos or {}).get(gateway_id))
            self._gateways[gateway_id] = gateway
        gateway.start()
        return gateway

    def _run(self) -> None:
        failures, attempts = 0, Attempts(log, "reading the NAT gateways")
        while not self._stopping.is_set():
            wait = min(_FIRST_RETRY * 2.0**failures, _LONGEST_RETRY)
            try:
                sure = self._refresh()
                attempts.worked()
                rest = self._refresh_interval / _LOOKS
                failures, wait = 0, rest if sure else min(_DOUBT_SECONDS, rest)
            except CloudError as error:
                attempts.failed(error)
                self._problem = problem_of(error)
                failures, wait = failures + 1, error.retry_after or wait
            except Exception as error:  # noqa: BLE001  # asked again whatever it answers: all else rests on this picture
                attempts.failed(error, expected=False)
                failures += 1
            self._pause(wait)

    def _pause(self, seconds: float) -> None:
        with self._wake:
            self._wake.wait_for(lambda: self._stopping.is_set() or self._stale, seconds)
            self._stale = False

    def _refresh(self) -> bool:
        """Take over what the cloud says of the gateways; False: not yet, it says that some are gone, or their EIPs."""
        infos = {info.gateway_id: self._with_eips(info) for info in self._cloud.describe_nat_gateways()}
        before = self._infos
        left = _addresses(before or {}) - _addresses(infos)
        if not left <= self._doubted:
            # All pods there would move: one odd answer is not enough for that.
            self._doubted = left
            return False
        self._doubted = set()
        for gateway_id in self._values.gateway_ids:
            if gateway_id not in infos and (before is None or gateway_id in before):
                log.error("%s", gateway_missing(gateway_id).message)
        with self._lock:
            self._infos = infos
            self._problem = None
            gateways = list(self._gateways.values())
        for gateway in gateways:
            gateway.update(infos.get(gateway.gateway_id))
        if left:
            log.warning("no longer there: %s", ", ".join(sorted(left)))
            self._on_left()
        return True

    def _with_eips(self, info: GatewayInfo) -> GatewayInfo:
        if info.eips or info.gateway_id not in self._values.gateway_ids:
            return info
        eips = tuple(Eip(ip) for ip in self._cloud.describe_eip_addresses(info.gateway_id))
        return GatewayInfo(info.gateway_id, info.table_ids, info.status, info.zone, info.vpc_id, eips)


def _addresses(infos: Mapping[str, GatewayInfo]) -> set[str]:
    """Name gateways, and each of their addresses."""
    return {f"{gateway_id} {eip.ip}" for gateway_id, info in infos.items() for eip in info.eips} | set(infos)
