"""All NAT gateways that matter: the pool's, with a driver each, what the cloud says of them, and what PodDNATs have.

One call of DescribeNatGateways tells of all gateways and their addresses; it is repeated now and then, so that an
address that joins or leaves a gateway, or a gateway gone, is noticed without a restart. One answer that leaves
something out is no proof: pods that lose their address don't get it back.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from poddnat.api import Problem
from poddnat.backoff import Backoff
from poddnat.cloud import CloudClient, CloudError, Eip, GatewayInfo, Outage, RateLimiter
from poddnat.config import Values
from poddnat.gateway.driver import GatewayDriver
from poddnat.gateway.intervals import (
    DRIVER_MISSING_RETRY,
    GATEWAYS_EVERY,
    GATEWAYS_RETRY_FIRST,
    GATEWAYS_RETRY_LONGEST,
    JOIN_WITHIN,
    MISSING_BELIEVED_AFTER,
    MISSING_RECHECK,
)
from poddnat.gateway.listener import GatewayListener, Liveness
from poddnat.gateway.problems import gateway_missing
from poddnat.gateway.progress import Blocked, Done, Progress, Waiting
from poddnat.gateway.read_budget import ReadBudget
from poddnat.gateway.reconciler import OwnEntries, Ownership
from poddnat.logs import Attempts
from poddnat.placement import Candidate, candidate_of

log = logging.getLogger(__name__)


class Fleet:
    """The drivers, by gateway id. Safe to use from several threads."""

    def __init__(
        self,
        values: Values,
        cloud: CloudClient,
        ownership: Ownership,
        liveness: Liveness,
        listener: GatewayListener,
        *,
        may_write: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``may_write`` tells whether this process is the active one; ``clock`` measures seconds."""
        self._values = values
        self._cloud = cloud
        self._ownership = ownership
        self._liveness = liveness
        self._listener = listener
        self._may_write = may_write
        self._clock = clock
        self._rate_limiter = RateLimiter(clock)
        self._budget = ReadBudget(may_write, clock=clock)
        self._lock = threading.Lock()
        self._drivers: dict[str, GatewayDriver] = {}
        self._infos: dict[str, GatewayInfo] | None = None
        self._outage = Outage(clock)
        self._missing_since: dict[str, float] = {}
        # Gateways and addresses that the last answers did not show any more.
        self._stopping = threading.Event()
        self._wake = threading.Event()
        # Set when the gateways have to be read at once, or never again.
        self._thread = threading.Thread(target=self._run, name="fleet", daemon=True)

    def start(self) -> None:
        """Start reading what the gateways are, and the pool's drivers."""
        for gateway_id in self._values.gateway_ids:
            self._add(gateway_id)
        self._thread.start()

    def stop(self) -> None:
        """Stop all drivers; their calls under way are waited for, but not for long what is read of the gateways."""
        self._stopping.set()
        self._wake.set()
        self._thread.join(JOIN_WITHIN)
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
            gateway.set_quota(values.quota_of(gateway.gateway_id))
        self._wake.set()

    def resync(self) -> None:
        """Verify what is known of all tables before it is used: until now, somebody else was writing."""
        for gateway in self.gateways():
            gateway.resync()

    # Gateways.

    def gateways(self) -> list[GatewayDriver]:
        """List all drivers."""
        with self._lock:
            return list(self._drivers.values())

    def get(self, gateway_id: str) -> GatewayDriver | None:
        """Find the driver of a gateway of the VPC, in the pool or not; None when the cloud knows no such gateway."""
        with self._lock:
            gateway, known = self._drivers.get(gateway_id), gateway_id in (self._infos or {})
        return self._add(gateway_id) if gateway is None and known else gateway

    @property
    def known(self) -> bool:
        """Whether the cloud has told which gateways there are."""
        return self._infos is not None

    def exists(self, gateway_id: str) -> bool:
        """Whether the cloud knows a gateway, as far as it has told."""
        return self._infos is None or gateway_id in self._infos

    def is_locked(self, gateway_id: str) -> bool:
        """Whether the cloud has locked a gateway, such as for an unpaid bill: its entries forward nothing."""
        info = (self._infos or {}).get(gateway_id)
        return info is not None and info.locked

    def problem(self, gateway_id: str) -> Problem | None:
        """Tell what is the matter with a gateway, or with asking about gateways at all."""
        if self._infos is None:
            return self._outage.problem
        return None if self.exists(gateway_id) else gateway_missing(gateway_id)

    def candidates(self) -> list[Candidate]:
        """List the pool's gateways, with the places that they offer to pods."""
        return [self._candidate(gateway_id) for gateway_id in self._values.gateway_ids]

    def serves(self, gateway_id: str, external_ip: str) -> bool:
        """Whether a gateway has an external address, as far as the cloud has told."""
        info = (self._infos or {}).get(gateway_id)
        return info is None or any(eip.ip == external_ip for eip in info.eips)

    # What PodDNATs have, over all gateways: an earlier one too, and one that has left the pool.

    def has_any(self, own: OwnEntries) -> bool:
        """Whether some gateway has, or is about to have, anything of a PodDNAT."""
        return any(gateway.has_any(own) for gateway in self.gateways())

    def withdraw(self, own: OwnEntries) -> None:
        """Take away what a PodDNAT has but may not have."""
        for gateway in self.gateways():
            if gateway.has_any(own):
                gateway.set_desired(own, ())

    def orphan(self, own: OwnEntries) -> None:
        """Release what a PodDNAT has left behind that went without a finalize call."""
        for gateway in self.gateways():
            gateway.gone(own)

    def leave_others(self, own: OwnEntries, gateway_id: str) -> None:
        """Give up what a PodDNAT had on gateways before it was moved to this one."""
        for other in self.gateways():
            if other.gateway_id != gateway_id and other.has_any(own):
                other.release(own)

    def release(self, own: OwnEntries, named: str | None) -> list[Progress]:
        """Give up all that a PodDNAT has, and tell for each gateway how far that is.

        ``named`` is the gateway that the PodDNAT names: its table may not have been seen yet.
        """
        concerned = [gateway.gateway_id for gateway in self.gateways() if gateway.has_any(own)]
        return [self._release(own, gateway_id) for gateway_id in dict.fromkeys([*filter(None, [named]), *concerned])]

    def _release(self, own: OwnEntries, gateway_id: str) -> Progress:
        if not self.exists(gateway_id):
            return Done()  # A gateway that is gone has taken its entries with it.
        gateway = self.get(gateway_id)
        problem = self.problem(gateway_id)
        if gateway is None:
            return Blocked(problem) if problem else Waiting(DRIVER_MISSING_RETRY)
        progress = gateway.release(own)
        return Blocked(problem) if problem is not None and isinstance(progress, Waiting) else progress

    def _candidate(self, gateway_id: str) -> Candidate:
        driver = self._drivers.get(gateway_id)
        full = driver is not None and driver.full
        return candidate_of(self._values, gateway_id, (self._infos or {}).get(gateway_id), full=full)

    def _add(self, gateway_id: str) -> GatewayDriver:
        with self._lock:
            if gateway_id in self._drivers:
                return self._drivers[gateway_id]
            gateway = GatewayDriver(
                gateway_id,
                self._cloud,
                self._ownership,
                self._rate_limiter,
                self._budget,
                self._liveness,
                self._listener,
                may_write=self._may_write,
                clock=self._clock,
            )
            gateway.set_quota(self._values.quota_of(gateway_id))
            gateway.update((self._infos or {}).get(gateway_id))
            self._drivers[gateway_id] = gateway
        gateway.start()
        return gateway

    def _run(self) -> None:
        backoff = Backoff(GATEWAYS_RETRY_FIRST, GATEWAYS_RETRY_LONGEST)
        attempts = Attempts(log, "reading the NAT gateways")
        while not self._stopping.is_set():
            try:
                wait = GATEWAYS_EVERY if self._refresh() else MISSING_RECHECK
                attempts.worked()
                backoff.reset()
            except CloudError as error:
                attempts.failed(error)
                self._outage.failed(error)
                wait = error.retry_after or backoff.failed()
            except Exception as error:  # noqa: BLE001  # asked again whatever it answers: all else rests on this picture
                attempts.failed(error, expected=False)
                wait = backoff.failed()
            self._wake.wait(wait)
            self._wake.clear()

    def _refresh(self) -> bool:
        """Take over what the cloud says of the gateways; False: it leaves out some that were there, or their EIPs."""
        pool = self._values.gateway_ids
        answer = {info.gateway_id: info for info in read_gateways(self._cloud, pool)}
        before = self._infos or {}
        infos, left = self._without_gone(before, answer)
        for gateway_id in self._values.gateway_ids:
            if gateway_id not in infos and (self._infos is None or gateway_id in before):
                log.error("%s", gateway_missing(gateway_id).message)
        with self._lock:
            self._infos = infos
            self._outage.worked()
        self._drop_gone()
        for gateway in self.gateways():
            gateway.update(infos.get(gateway.gateway_id))
        if left:
            log.warning("no longer there: %s", ", ".join(sorted(left)))
            self._listener.places_left()
        return not self._missing_since

    def _without_gone(
        self, before: Mapping[str, GatewayInfo], answer: dict[str, GatewayInfo]
    ) -> tuple[dict[str, GatewayInfo], set[str]]:
        """Merge what is missing from an answer into it, as long as it isn't believed to be gone; tell what is."""
        now = self._clock()
        missing = _addresses(before) - _addresses(answer)
        self._missing_since = {name: self._missing_since.get(name, now) for name in missing}
        left = {name for name, since in self._missing_since.items() if now - since >= MISSING_BELIEVED_AFTER}
        merged = dict(answer)
        for gateway_id, info in before.items():
            if gateway_id in missing - left:
                merged[gateway_id] = info
            elif gateway_id in merged:
                there = merged[gateway_id]
                kept = [eip for eip in info.eips if f"{gateway_id} {eip.ip}" in missing - left]
                merged[gateway_id] = replace(there, eips=(*there.eips, *kept))
        for name in left:
            del self._missing_since[name]
        return merged, left

    def _drop_gone(self) -> None:
        """Stop the drivers of gateways that are gone, and that the pool doesn't name: nothing is to be told of them."""
        with self._lock:
            infos = self._infos or {}
            gone = [i for i in self._drivers if i not in infos and i not in self._values.gateway_ids]
            drivers = [self._drivers.pop(gateway_id) for gateway_id in gone]
        for driver in drivers:
            driver.stop()


def read_gateways(cloud: CloudClient, pool: Collection[str]) -> list[GatewayInfo]:
    """Read the VPC's gateways; where an answer names no address of one of the pool, its EIPs are asked for.

    Raises:
        CloudError: the cloud did not tell.
    """

    def with_eips(info: GatewayInfo) -> GatewayInfo:
        if info.eips or info.gateway_id not in pool:
            return info
        return replace(info, eips=tuple(Eip(ip) for ip in cloud.describe_eip_addresses(info.gateway_id)))

    return [with_eips(info) for info in cloud.describe_nat_gateways()]


def _addresses(infos: Mapping[str, GatewayInfo]) -> set[str]:
    """Name gateways, and each of their addresses."""
    return {f"{gateway_id} {eip.ip}" for gateway_id, info in infos.items() for eip in info.eips} | set(infos)
