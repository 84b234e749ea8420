"""Ports that are reserved for pods, each for a while. Pure: the caller brings the time."""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from poddnat.ports.addresses import Addresses
from poddnat.ports.allocation import Allocation


@dataclass(frozen=True)
class Reservation:
    """What is reserved for one pod."""

    allocation: Allocation
    namespace: str
    expires_at: float
    outlives: str = ""
    """The uid of a PodDNAT that is about to go: that it shows the same does not fulfil the reservation."""

    def is_fulfilled_by(self, poddnat_uid: str, named: Allocation) -> bool:
        """Whether a PodDNAT that names this is what the ports were reserved for."""
        return self.outlives != poddnat_uid and named.is_same_outside(self.allocation)


class Reservations:
    """The reservations by the pod's uid, each claimed at its address. Not safe for use from several threads at once."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._by_pod: dict[str, Reservation] = {}
        self._next_expiry = math.inf

    @property
    def by_pod(self) -> Mapping[str, Reservation]:
        """All of them, by the pod's uid."""
        return MappingProxyType(self._by_pod)

    def add(self, pod_uid: str, reservation: Reservation) -> None:
        """Reserve this for a pod, in place of what was reserved for it."""
        self.drop(pod_uid)
        self._by_pod[pod_uid] = reservation
        self._next_expiry = min(self._next_expiry, reservation.expires_at)
        self._addresses[reservation.allocation.key].claim(claimant(pod_uid), reservation.allocation.slots)

    def drop(self, pod_uid: str) -> None:
        """Reserve nothing for a pod any more."""
        if (reservation := self._by_pod.pop(pod_uid, None)) is not None:
            self._addresses[reservation.allocation.key].release(claimant(pod_uid))

    def drop_expired(self, now: float) -> None:
        """Drop those whose time is over."""
        if now < self._next_expiry:
            return
        for pod_uid in [uid for uid, reservation in self._by_pod.items() if reservation.expires_at <= now]:
            self.drop(pod_uid)
        self._next_expiry = min((one.expires_at for one in self._by_pod.values()), default=math.inf)


def claimant(pod_uid: str) -> Hashable:
    """Name a pod as one who claims ports by its reservation."""
    return "pod", pod_uid
