"""Which gateway can serve a pod: the way that replies take decides, then the zone, then room.

Pure: from what is known about the pod's address and the gateways to an order of candidates, or to a sentence that
says why there is none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from poddnat.model import Address


class NoGatewayError(Exception):
    """No gateway of the pool can serve a pod; the text says why."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True)
class Route:
    """Where the default route of a pod's vSwitch points."""

    route_table: str
    hop_type: str | None
    hop_id: str | None
    """None: the route table has no default route."""


@dataclass(frozen=True)
class Candidate:
    """A gateway of the pool, as far as placement cares."""

    gateway_id: str
    zone: str
    usable: bool
    """Whether the gateway is known to exist, and has an external address."""
    full: bool


def order(address: Address, route: Route | None, candidates: Sequence[Candidate]) -> list[str]:
    """Order the gateways that can serve a pod, best first; ``route`` is None where it can't be known.

    Raises:
        NoGatewayError: none can.
    """
    fitting = [candidate for candidate in candidates if _on_the_way(route, candidate)]
    if not fitting:
        raise NoGatewayError("NoGateway", _no_way(address, route, candidates))
    usable = [candidate for candidate in fitting if candidate.usable]
    if not usable:
        names = ", ".join(candidate.gateway_id for candidate in fitting)
        message = f"NAT gateway {names} has no external address or was not found; an operator has to check the values"
        raise NoGatewayError("GatewayUnusable", f"{message}.")
    ranked = sorted(usable, key=lambda candidate: (candidate.full, candidate.zone != address.zone))
    return [candidate.gateway_id for candidate in ranked]


def _on_the_way(route: Route | None, candidate: Candidate) -> bool:
    # Replies leave by the vSwitch's route table: through another gateway, the connection would never complete.
    return route is None or route.hop_id == candidate.gateway_id


def _no_way(address: Address, route: Route | None, candidates: Sequence[Candidate]) -> str:
    pool = ", ".join(candidate.gateway_id for candidate in candidates)
    if route is None or route.hop_id is None:
        table = f"route table {route.route_table}" if route and route.route_table else "the route table"
        where = f"{table} of the pod's vSwitch {address.vswitch} has no default route"
    else:
        subject = f"the default route of the pod's vSwitch {address.vswitch} (route table {route.route_table})"
        where = f"{subject} leads to {route.hop_type} {route.hop_id}"
    needed = f"replies have to leave by a NAT gateway of the pool: {pool}; an operator has to act"
    return f"{where[0].upper()}{where[1:]}, but {needed}."
