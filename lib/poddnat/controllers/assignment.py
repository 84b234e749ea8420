"""Which gateway, external address and ports a pod gets: what it has, what it was promised, or what is free."""

from collections import Counter
from collections.abc import Iterable, Sequence
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
    spec_of,
)
from poddnat.controllers.exposure_timer import ExposureTimer
from poddnat.controllers.requeue import RequeueError
from poddnat.gateway import Fleet
from poddnat.model import Address, ExposedPort, PortMapping
from poddnat.placement import Located, NoGatewayError, Place, PodLocator, tiers
from poddnat.ports import Allocation, PortRegistry, PortRequest

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Assignment:
    """What a pod's PodDNAT should ask for."""

    poddnat: PodDNAT
    problem: Problem | None = None
    """Why it is less than what the pod asks for; None: it is all of that."""


@dataclass(frozen=True)
class _Current:
    """What a pod's PodDNAT asks for so far, and what has become of it."""

    poddnat: PodDNAT
    uid: str
    entry_ids: tuple[str, ...]
    taken_away: bool
    """Somebody else has one of its external ports."""

    @property
    def grant(self) -> Allocation:
        return Allocation(self.poddnat.gateway_id, self.poddnat.external_ip, self.poddnat.mappings)

    @classmethod
    def read(cls, observed: Manifest | None) -> Self | None:
        if observed is None:
            return None
        try:
            poddnat = parse_spec(spec_of(observed), absent=True)
        except SpecError:
            return None  # Edited by hand beyond recognition: it is written anew.
        ids = entry_ids(observed.get("status") or {})
        return cls(poddnat, observed["metadata"]["uid"], ids, _told_reason(observed) == PORT_TAKEN)


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

    def assign(self, pod: Manifest, ip: str, items: Sequence[ExposedPort], observed: Manifest | None) -> Assignment:
        """Tell what a pod should have; what can't be had now doesn't cost what it has already and still asks for.

        Raises:
            LaterError: something has to be found out first.
            TroubleError: the pod can have nothing of what it asks for.
        """
        try:
            return Assignment(self._all(pod, ip, items, observed))
        except ProblemError as error:
            remainder = self._remainder(pod["metadata"]["uid"], ip, items, _Current.read(observed))
            if remainder is None:
                raise
            return Assignment(remainder, error.problem)

    def has_to_leave(self, observed: Manifest | None) -> str:
        """Name the gateway or the address that a pod has to leave; else empty."""
        external_ip = str(spec_of(observed).get("externalIP", "")) if observed else ""
        return external_ip if external_ip and self._registry.must_leave(external_ip) else _told_to_leave(observed)

    def keep(self, pod_uid: str, observed: Manifest | None) -> None:
        """Keep for a while what a pod had, so that mending its annotation gives it the same ports again."""
        if (current := _Current.read(observed)) is not None:
            self._registry.reserve(pod_uid, current.grant, beyond=current.uid)

    def _all(self, pod: Manifest, ip: str, items: Sequence[ExposedPort], observed: Manifest | None) -> PodDNAT:
        """Find all that a pod asks for."""
        pod_uid, leave = pod["metadata"]["uid"], self.has_to_leave(observed)
        current = _Current.read(observed)
        kept = self._kept(pod_uid, items, current) if current is not None else []
        if current is not None and not leave and (settled := _settled(current.poddnat, ip, kept)) is not None:
            return settled
        reserved = self._registry.reserved(pod_uid, items)
        located = self._network.locate(pod_uid, ip)
        if not isinstance(located, Located):
            raise _unknown(located.problem)
        if reserved is not None and leave not in reserved.home:
            return _poddnat(reserved, located.address)
        places, home = self._places(located, avoid=leave), None
        # Replies of a pod that has moved to another vSwitch may leave by another gateway.
        if current is not None and leave not in current.grant.home and _is_among(places, current.poddnat.gateway_id):
            home = current.grant.home
        asking = PortRequest(pod_uid, pod["metadata"]["namespace"], observed["metadata"]["uid"] if observed else "")
        grant = self._registry.grant(asking, items, places, keep=home, kept=kept)
        if grant is not None:
            self._exposure_timer.start(pod_uid)
            return _poddnat(grant, located.address)
        if leave and current is not None:
            return current.poddnat  # Nowhere better to go: stay and wait.
        where = ", ".join(sorted({place.gateway_id for tier in places for place in tier})) or "the pool's gateways"
        text = f"No address of {where} has all that the pod needs free: {_needs(items)}"
        raise ProblemError(Problem("NoFreePorts", f"{text}; an operator has to widen a port range or add EIPs.", 15))

    def _remainder(
        self, pod_uid: str, ip: str, items: Sequence[ExposedPort], current: _Current | None
    ) -> PodDNAT | None:
        """Find what a pod has of the items that it asks for; None: nothing."""
        if current is None or current.poddnat.internal_ip != ip:
            return None
        had = [mapping.item for item in items for mapping in current.poddnat.mappings if item.covers(mapping.item)]
        mappings = tuple(mapping for mapping in self._kept(pod_uid, had, current) if mapping is not None)
        return replace(current.poddnat, mappings=mappings) if mappings else None

    def _kept(self, pod_uid: str, items: Sequence[ExposedPort], current: _Current) -> list[PortMapping | None]:
        ids, taken = current.entry_ids, current.taken_away
        return self._registry.kept(
            current.grant, items, uid=current.uid, pod_uid=pod_uid, entry_ids=ids, taken_away=taken
        )

    def _places(self, located: Located, avoid: str) -> list[list[Place]]:
        """List in tiers where a pod can be put, the best first, but not on the gateway or address to avoid."""
        if not self._fleet.known:
            raise _unknown(self._fleet.problem(avoid))
        try:
            ranked = tiers(located.address, located.route, self._fleet.candidates())
        except NoGatewayError as error:
            raise ProblemError(Problem(error.reason, error.message)) from error
        for gateway_id in {place.gateway_id for tier in ranked for place in tier}:
            gateway = self._fleet.get(gateway_id)
            if gateway is None or not gateway.loaded:
                raise RequeueError  # Foreign entries hold ports; without the table, none can be promised.
        return [[place for place in tier if avoid not in (place.gateway_id, place.external_ip)] for tier in ranked]


def _unknown(problem: Problem | None) -> Exception:
    """Say that something isn't known yet, or why it can't be."""
    return RequeueError() if problem is None else ProblemError(problem)


def _settled(current: PodDNAT, ip: str, kept: Sequence[PortMapping | None]) -> PodDNAT | None:
    """Give what a pod has, if it needs nothing else."""
    whole = tuple(mapping for mapping in kept if mapping is not None)
    if len(whole) < len(kept) or current.internal_ip != ip:
        return None
    had = {slot for mapping in current.mappings for slot in mapping.slots}
    needs_nothing_new = had.issuperset(slot for mapping in whole for slot in mapping.slots)
    return replace(current, mappings=whole) if needs_nothing_new else None


def _is_among(places: Iterable[Iterable[Place]], gateway_id: str) -> bool:
    return any(place.gateway_id == gateway_id for group in places for place in group)


def _told_to_leave(observed: Manifest | None) -> str:
    """Name the gateway or the address that a PodDNAT has to leave, if its own sync asks for it; else empty."""
    reason = _told_reason(observed)
    if observed is None or reason not in MOVE_AWAY:
        return ""
    leaves = {ADDRESS: "externalIP", PORT_TAKEN: ""}
    return str(spec_of(observed).get(leaves.get(reason, "tableId"), ""))


def _told_reason(observed: Manifest | None) -> str:
    """Read why a PodDNAT as it is now isn't Ready, if its own sync has said so; else empty."""
    if observed is None or not is_current(observed):
        return ""
    condition = observed_condition(observed.get("status") or {})
    return "" if condition is None or condition.ready else condition.reason


def _poddnat(grant: Allocation, address: Address) -> PodDNAT:
    return PodDNAT(*grant.home, address.ip, grant.mappings, address.eni, address.vswitch, address.zone)


def _needs(items: Sequence[ExposedPort]) -> str:
    """Tell what to look for on an address, however long the list."""
    wanted = Counter(
        f"{item.ports.size} {item.transport} ports in a row" if item.ports.size > 1 else f"{item.transport} port"
        for item in items
    )
    return port_list.brief([f"{count} x {what}" for what, count in sorted(wanted.items())], quote="")
