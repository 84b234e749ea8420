"""Pods for which no ports were free, in the order in which they came. Pure: the caller brings the time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from poddnat.model import ExposedPort
from poddnat.placement import Place

_FORGOTTEN_SECONDS = 90.0
"""A pod that still waits asks again every 30 seconds at the latest; who doesn't is gone."""

Tiers = Sequence[Sequence[Place]]
Shape = tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class PortRequest:
    """Who asks for ports: a pod, its namespace, and the PodDNAT that it has."""

    pod_uid: str
    namespace: str = ""
    uid: str = ""
    """The PodDNAT's; empty: it has none yet."""


@dataclass(frozen=True)
class Waiter:
    """A pod that waits: what for, and on which gateways."""

    asking: PortRequest
    items: tuple[ExposedPort, ...]
    gateways: frozenset[str]
    seen_at: float

    @property
    def shape(self) -> Shape:
        """What it needs, whatever its own ports are: where one of a shape finds nothing, neither does another."""
        return shape_of(self.items)


def shape_of(items: Sequence[ExposedPort]) -> Shape:
    """Tell what is needed for items of a pod."""
    return tuple((item.ports.size, item.transport.value) for item in items)


def gateways_of(tiers: Tiers) -> frozenset[str]:
    """Tell which gateways places are on."""
    return frozenset(place.gateway_id for tier in tiers for place in tier)


class WaitingQueue:
    """Who waits. Not safe for use from several threads at once."""

    def __init__(self) -> None:
        self._waiters: dict[str, Waiter] = {}

    def join(self, asking: PortRequest, items: Sequence[ExposedPort], tiers: Tiers, now: float) -> None:
        """Let a pod wait at the end, or go on waiting where it is."""
        self._waiters[asking.pod_uid] = Waiter(asking, tuple(items), gateways_of(tiers), now)

    def leave(self, pod_uid: str) -> None:
        """Take a pod out that has got what it waited for, or doesn't want it any more."""
        self._waiters.pop(pod_uid, None)

    def ahead_of(self, pod_uid: str, tiers: Tiers, now: float) -> Iterator[Waiter]:
        """Yield those that wait for the same gateways, and came before a pod; it may leave while they are gone through.

        Pods that wait for other gateways are no rivals: the route of its vSwitch allows a pod one only.
        """
        gateways = gateways_of(tiers)
        for waiter in list(self._waiters.values()):
            if waiter.asking.pod_uid == pod_uid:
                return
            if now - waiter.seen_at > _FORGOTTEN_SECONDS:
                self.leave(waiter.asking.pod_uid)
            elif waiter.gateways == gateways:
                yield waiter
