"""Pods for which no ports were free, in the order in which they came. Pure: the caller brings the time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from poddnat.placement import Place
from poddnat.ports.allocation import PortRequest
from poddnat.ports.intervals import PRECEDENCE, WAITING_TTL

Tiers = Sequence[Sequence[Place]]


@dataclass(frozen=True)
class _Waiting:
    request: PortRequest
    gateways: frozenset[str]
    asked_at: float
    since: float


class WaitingQueue:
    """The requests that wait. Not safe for use from several threads at once."""

    def __init__(self) -> None:
        self._waiting: dict[str, _Waiting] = {}

    def join(self, request: PortRequest, tiers: Tiers, now: float) -> None:
        """Let a pod wait at the end, or go on waiting where it is."""
        before = self._waiting.get(request.pod_uid)
        since = before.since if before is not None else now
        self._waiting[request.pod_uid] = _Waiting(request, _gateways_of(tiers), now, since)

    def has_precedence(self, pod_uid: str, now: float) -> bool:
        """Whether free ports are withheld for a pod that waits: not for ever, or one large request would block all."""
        return now - self._waiting[pod_uid].since <= PRECEDENCE

    def leave(self, pod_uid: str) -> None:
        """Take a pod out that has got what it waited for, or asks for it no more."""
        self._waiting.pop(pod_uid, None)

    def ahead_of(self, pod_uid: str, tiers: Tiers, now: float) -> Iterator[PortRequest]:
        """Yield the requests for the same gateways that came before a pod's; the caller may take them out meanwhile.

        Pods that wait for other gateways need not be asked: the route of its vSwitch allows a pod only one.
        """
        gateways = _gateways_of(tiers)
        for waiting in list(self._waiting.values()):
            if waiting.request.pod_uid == pod_uid:
                return
            if now - waiting.asked_at > WAITING_TTL:
                self.leave(waiting.request.pod_uid)
            elif waiting.gateways == gateways:
                yield waiting.request


def _gateways_of(tiers: Tiers) -> frozenset[str]:
    return frozenset(place.gateway_id for tier in tiers for place in tier)
