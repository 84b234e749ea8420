"""Which gateway, external address and ports a pod gets: what it has, what is reserved for it, or what is free.

Free ports are chosen by ``PortRegistry.allocate``; here it is found out what a pod may keep, and where it can be put.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from poddnat.api import (
    ADDRESS,
    MOVE_AWAY,
    PORT_TAKEN,
    PodDNAT,
    Problem,
    ProblemError,
    SpecError,
    entry_ids,
    is_current,
    observed_condition,
    parse_spec,
    port_list,
    recorded_entry_ids,
    spec_of,
)
from poddnat.controllers.exposure_timer import ExposureTimer
from poddnat.controllers.intervals import NO_FREE_PORTS_RETRY, OPTED_OUT_RESERVATION
from poddnat.controllers.requeue import RequeueError
from poddnat.gateway import Fleet
from poddnat.model import Address, ExposedPort, Exposure, PortMapping
from poddnat.placement import AddressKey, Located, Place, PodLocator, eligible_tiers
from poddnat.ports import Allocation, PortRegistry, PortRequest

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Assignment:
    """The PodDNAT that a pod should have."""

    poddnat: PodDNAT
    problem: Problem | None = None
    """Why it is less than what the pod asks for; None: it is all of that."""


@dataclass(frozen=True)
class _Current:
    """The PodDNAT that a pod has, and what has become of it."""

    poddnat: PodDNAT
    uid: str
    entry_ids: tuple[str, ...]
    port_taken: bool
    """Its own sync found that somebody else has one of its external ports."""

    @classmethod
    def read(cls, observed: Manifest | None) -> Self | None:
        if observed is None:
            return None
        try:
            poddnat = parse_spec(spec_of(observed), absent=True)
        except SpecError:
            return None  # Edited by hand beyond recognition: it is written anew.
        ids = (*entry_ids(observed.get("status") or {}), *recorded_entry_ids(observed))
        return cls(poddnat, observed["metadata"]["uid"], ids, _reported_reason(observed) == PORT_TAKEN)


class Assignments:
    """Assigns external addresses and ports to pods. Safe to use from several threads.

    ``observed`` is always the PodDNAT that the pod has; None: it has none yet.
    """

    def __init__(
        self, fleet: Fleet, network: PodLocator, registry: PortRegistry, exposure_timer: ExposureTimer
    ) -> None:
        self._fleet = fleet
        self._network = network
        self._registry = registry
        self._exposure_timer = exposure_timer

    def assign(self, pod: Manifest, ip: str, exposure: Exposure, observed: Manifest | None) -> Assignment:
        """Tell what a pod should have; what can't be had now doesn't cost what it has already and still asks for.

        Raises:
            RequeueError: something has to be found out first.
            ProblemError: the pod can have nothing of what it asks for.
        """
        metadata, current = pod["metadata"], _Current.read(observed)
        poddnat_uid = observed["metadata"]["uid"] if observed else ""
        request = PortRequest(metadata["uid"], exposure.items, metadata["namespace"], poddnat_uid, exposure.prefer_own)
        try:
            avoid = self.must_move_from(observed)
            return Assignment(self._assign_all(request, ip, pod["spec"].get("nodeName") or "", current, avoid))
        except ProblemError as error:
            remainder = self._remainder(request, ip, current)
            if remainder is None:
                raise
            return Assignment(remainder, error.problem)

    def must_move_from(self, observed: Manifest | None) -> str:
        """Name the gateway or the address that a pod has to move off; else empty."""
        external_ip = str(spec_of(observed).get("externalIP", "")) if observed else ""
        draining = external_ip and self._registry.is_draining(external_ip)
        return external_ip if draining else _reported_unusable(observed)

    def reserve(self, pod_uid: str, observed: Manifest | None) -> bool:
        """Reserve what a living pod has, or go on doing so, so that it gets the same ports again once it may.

        It has to be called again within RESERVATION_TTL. False: there is nothing to reserve.
        """
        if (current := _Current.read(observed)) is None:
            return self._registry.renew(pod_uid)
        return not current.port_taken and self._registry.reserve(pod_uid, current.poddnat, outlives=current.uid)

    def reserve_for_now(self, pod_uid: str, observed: Manifest) -> None:
        """Reserve what a pod had that asks for nothing any more, for a moment: it may have been a mistake."""
        if (current := _Current.read(observed)) is not None:
            self._registry.reserve(pod_uid, current.poddnat, outlives=current.uid, seconds=OPTED_OUT_RESERVATION)

    def _assign_all(self, request: PortRequest, ip: str, node: str, current: _Current | None, avoid: str) -> PodDNAT:
        """Find all that a pod asks for: in what it has, in what is reserved for it, or in free ports."""
        reusable = self._reusable(request.pod_uid, request.items, current) if current is not None else []
        if current is not None and not avoid and (same := _unchanged(current.poddnat, ip, reusable)) is not None:
            return same
        reserved = self._registry.reserved(request.pod_uid, request.items)
        located = self._network.locate(request.pod_uid, ip, node)
        if not isinstance(located, Located):
            raise _unknown(located.problem)
        if reserved is not None and avoid not in reserved.key:
            return _poddnat(reserved, located.address)
        tiers = self._tiers(located, avoid)
        stay_at = _address_to_stay_at(current, tiers, avoid)
        allocation = self._registry.allocate(request, tiers, stay_at=stay_at, reuse=reusable)
        if allocation is not None:
            self._exposure_timer.start(request.pod_uid)
            return _poddnat(allocation, located.address)
        if avoid and current is not None:
            return current.poddnat  # Nowhere better to go: stay and wait.
        raise ProblemError(no_free_ports(tiers, request.items))

    def _remainder(self, request: PortRequest, ip: str, current: _Current | None) -> PodDNAT | None:
        """Find what a pod has of the items that it asks for; None: nothing."""
        if current is None or current.poddnat.internal_ip != ip:
            return None
        mappings = current.poddnat.mappings
        has = [mapping.item for item in request.items for mapping in mappings if item.covers(mapping.item)]
        left = tuple(one for one in self._reusable(request.pod_uid, has, current) if one is not None)
        return replace(current.poddnat, mappings=left) if left else None

    def _reusable(self, pod_uid: str, items: Sequence[ExposedPort], current: _Current) -> list[PortMapping | None]:
        return self._registry.reusable(
            current.poddnat,
            items,
            uid=current.uid,
            pod_uid=pod_uid,
            entry_ids=current.entry_ids,
            taken_away=current.port_taken,
        )

    def _tiers(self, located: Located, avoid: str) -> list[list[Place]]:
        """List in tiers where a pod can be put, the best first, but not on the gateway or address to avoid."""
        if not self._fleet.known:
            raise _unknown(self._fleet.problem(avoid))
        tiers = eligible_tiers(located.address, located.route, self._fleet.candidates())
        for gateway_id in {place.gateway_id for tier in tiers for place in tier}:
            gateway = self._fleet.get(gateway_id)
            if gateway is None or not gateway.loaded:
                raise RequeueError  # Foreign entries have ports; until the table is read, nobody knows which.
        return [[place for place in tier if avoid not in (place.gateway_id, place.external_ip)] for tier in tiers]


def _unknown(problem: Problem | None) -> Exception:
    """Say that something isn't known yet, or why it can't be."""
    return RequeueError() if problem is None else ProblemError(problem)


def no_free_ports(tiers: Sequence[Sequence[Place]], items: Sequence[ExposedPort]) -> Problem:
    """Explain that nowhere where a pod could be put there are the ports that it asks for."""
    where = ", ".join(sorted({place.gateway_id for tier in tiers for place in tier})) or "the pool's gateways"
    text = f"No address of {where} has all that the pod needs free: {_needs(items)}"
    act = "an operator has to widen a port range or add EIPs"
    return Problem("NoFreePorts", f"{text}; {act}.", NO_FREE_PORTS_RETRY)


def _unchanged(current: PodDNAT, ip: str, reusable: Sequence[PortMapping | None]) -> PodDNAT | None:
    """Give what a pod has, as far as it still asks for it, if it needs nothing else."""
    mappings = tuple(mapping for mapping in reusable if mapping is not None)
    if len(mappings) < len(reusable) or current.internal_ip != ip:
        return None
    has = {slot for mapping in current.mappings for slot in mapping.slots}
    needs_nothing_new = has.issuperset(slot for mapping in mappings for slot in mapping.slots)
    return replace(current, mappings=mappings) if needs_nothing_new else None


def _address_to_stay_at(current: _Current | None, tiers: Sequence[Sequence[Place]], avoid: str) -> AddressKey | None:
    """Tell which address a pod may stay at; None: it has none, or has to move off it."""
    key = Allocation.of(current.poddnat).key if current is not None else None
    if key is None or avoid in key:
        return None
    # Replies of a pod that has moved to another vSwitch may leave by another gateway.
    return key if any(place.gateway_id == key.gateway_id for tier in tiers for place in tier) else None


def _reported_unusable(observed: Manifest | None) -> str:
    """Name the gateway or the address that a PodDNAT can't use, as its own sync has reported; else empty."""
    reason = _reported_reason(observed)
    if observed is None or reason not in MOVE_AWAY:
        return ""
    fields = {ADDRESS: "externalIP", PORT_TAKEN: ""}
    return str(spec_of(observed).get(fields.get(reason, "tableId"), ""))


def _reported_reason(observed: Manifest | None) -> str:
    """Read why a PodDNAT as it is now isn't Ready, if its own sync has reported so; else empty."""
    if observed is None or not is_current(observed):
        return ""
    condition = observed_condition(observed.get("status") or {})
    return "" if condition is None or condition.ready else condition.reason


def _poddnat(allocation: Allocation, address: Address) -> PodDNAT:
    return PodDNAT(*allocation.key, address.ip, allocation.mappings, address.eni, address.vswitch, address.zone)


def _needs(items: Sequence[ExposedPort]) -> str:
    """Tell what has to be free on an address, however long the list."""
    counts = Counter(
        f"{item.ports.size} {item.transport} ports in a row" if item.ports.size > 1 else f"{item.transport} port"
        for item in items
    )
    return port_list.brief([f"{count} x {what}" for what, count in sorted(counts.items())], quote="")
