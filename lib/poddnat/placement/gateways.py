"""Which gateways can serve a pod, and in which order their external addresses are tried.

The route of the pod's vSwitch decides on the gateway; where the route is not known, gateways of the pod's zone come
first. Among the addresses of one tier, the pool's policies decide. Which ports are free there, the port registry knows.
Pure.
"""

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import NamedTuple

from poddnat.api import GATEWAY, Problem, ProblemError
from poddnat.cloud import GatewayInfo
from poddnat.config import Policy, Values
from poddnat.model import Address


@dataclass(frozen=True)
class Route:
    """Where the default route of a pod's vSwitch points."""

    route_table: str
    hop_type: str | None
    hop_id: str | None
    """None: the route table has no default route."""


class AddressKey(NamedTuple):
    """An external address of a gateway: an EIP may move to another gateway, and its ports are other ports there."""

    gateway_id: str
    external_ip: str


@dataclass(frozen=True)
class Place:
    """One external address that pods may get."""

    gateway_id: str
    external_ip: str
    policy: Policy = Policy.UNIFORM
    entry_quota: int | None = None
    """How many forward entries the whole gateway may hold, 0 while it takes no more; None: not known."""

    @property
    def key(self) -> AddressKey:
        """Which address it is."""
        return AddressKey(self.gateway_id, self.external_ip)


@dataclass(frozen=True)
class Candidate:
    """What decides whether a gateway of the pool can serve a pod."""

    gateway_id: str
    zone: str
    """Empty for one of a whole region, which is near to all zones."""
    places: tuple[Place, ...]
    """Its addresses that pods may get, in the pool's order; none when the cloud knows no such gateway."""
    blocked: int = 0
    """How many more addresses it has that are out of service."""
    locked: bool = False
    """Whether it has not been paid for: then it offers no addresses."""


def candidate_of(values: Values, gateway_id: str, info: GatewayInfo | None, *, full: bool = False) -> Candidate:
    """Tell what a gateway of the pool offers to pods; ``info`` is None where the cloud knows no such gateway."""
    there = sorted((eip.ip for eip in info.eips), key=IPv4Address) if info is not None else []
    quota = 0 if full else values.quota_of(gateway_id)
    places: dict[str, Place] = {}
    for entry in values.entries_of(gateway_id):
        for ip in entry.eips or there:
            if ip in there:
                places.setdefault(ip, Place(gateway_id, ip, entry.policy, quota))
    usable = tuple(place for place in places.values() if not values.is_blocked(place.external_ip))
    zone, locked = (info.zone, info.locked) if info is not None else ("", False)
    offered = () if locked else usable
    return Candidate(gateway_id, zone, offered, len(places) - len(usable), locked)


def eligible_tiers(address: Address, route: Route | None, candidates: Sequence[Candidate]) -> list[tuple[Place, ...]]:
    """Sort the places that can serve a pod into tiers, the best first; ``route`` is None where it can't be known.

    Raises:
        ProblemError: none can.
    """
    fitting = [candidate for candidate in candidates if _can_serve(route, candidate)]
    if not fitting:
        raise ProblemError(Problem("NoGateway", _no_route(address, route, candidates)))
    if not any(candidate.places for candidate in fitting):
        raise ProblemError(Problem(GATEWAY, _no_address(fitting)))
    near = tuple(place for one in fitting if one.zone in ("", address.zone) for place in one.places)
    far = tuple(place for one in fitting if one.zone not in ("", address.zone) for place in one.places)
    return [tier for tier in (near, far) if tier]


def order_by_policy(tier: Sequence[Place], usage: Callable[[Place], int], pod_uid: str) -> Iterator[Place]:
    """Put the places of a tier in the order in which to try them for a pod.

    ``usage`` counts those who use a place. Neighbours in the pool of the same policy are one group; groups keep the
    pool's order. The random order is another one for each pod, and always the same for one.
    """
    for policy, group in itertools.groupby(tier, key=lambda place: place.policy):
        match policy:
            case Policy.UNIFORM:
                yield from sorted(group, key=usage)
            case Policy.IN_ORDER:
                yield from group
            case Policy.RANDOM:
                yield from sorted(group, key=lambda place: _rendezvous_hash(pod_uid, place))


def _rendezvous_hash(pod_uid: str, place: Place) -> bytes:
    return hashlib.sha256(f"{pod_uid}/{place.gateway_id}/{place.external_ip}".encode()).digest()


def _can_serve(route: Route | None, candidate: Candidate) -> bool:
    # Replies leave by the vSwitch's route table: through another gateway, the connection would never complete.
    return route is None or route.hop_id == candidate.gateway_id


def _no_route(address: Address, route: Route | None, candidates: Sequence[Candidate]) -> str:
    pool = ", ".join(candidate.gateway_id for candidate in candidates)
    if route is None or route.hop_id is None:
        table = f"route table {route.route_table}" if route and route.route_table else "the route table"
        where = f"{table} of the pod's vSwitch {address.vswitch} has no default route"
    else:
        subject = f"the default route of the pod's vSwitch {address.vswitch} (route table {route.route_table})"
        where = f"{subject} leads to {route.hop_type} {route.hop_id}"
    needed = (
        f"replies have to leave by a NAT gateway of the pool: {pool}; an operator has to change the route or the pool"
    )
    return f"{where[0].upper()}{where[1:]}, but {needed}."


def _no_address(fitting: Sequence[Candidate]) -> str:
    names = ", ".join(candidate.gateway_id for candidate in fitting)
    if any(candidate.locked for candidate in fitting):
        text = f"NAT gateway {names} is locked for an unpaid bill, or by the cloud's security"
        return f"{text}; an operator has to settle that with the cloud."
    if any(candidate.blocked for candidate in fitting):
        text = f"All external addresses of NAT gateway {names} are blocked"
        return f"{text}; an operator has to unblock one (blockedEips in the values) or add one."
    text = f"NAT gateway {names} has no external address of the pool, or was not found"
    return f"{text}; an operator has to give it one, or to correct natgwId or eips in the values."
