"""Who has which external port, over all gateways: PodDNATs, foreign entries, and pods that were just promised one.

A pod's sync hook is called again before its PodDNAT is visible, and has to get the same answer; so what was promised
is remembered by the pod's uid until the PodDNAT shows it, or for a while. Everything else is learned anew at start.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from poddnat.api import Problem
from poddnat.config import NO_LIMITS, Values
from poddnat.model import ExposedPort, ForwardEntry, PortMapping, Ports, Protocol
from poddnat.placement import Place, in_trial_order
from poddnat.ports import limits
from poddnat.ports.allocator import PortAllocator, Slot
from poddnat.ports.claims import Claims, Home
from poddnat.ports.limits import LimitError
from poddnat.ports.queue import PortRequest, Shape, WaitingQueue, shape_of

_PROMISE_SECONDS = 600.0


@dataclass(frozen=True)
class Allocation:
    """The external side that a pod gets: one address, and ports there for its items in their order."""

    gateway_id: str
    external_ip: str
    mappings: tuple[PortMapping, ...]

    @property
    def home(self) -> Home:
        """Whose port book it is written in."""
        return self.gateway_id, self.external_ip


@dataclass(frozen=True)
class _Reservation:
    grant: Allocation
    namespace: str
    expires_at: float
    beyond: str
    """The uid of the PodDNAT that it outlives: what that one shows doesn't fulfil it."""


@dataclass(frozen=True)
class _Observed:
    """What a PodDNAT shows."""

    home: Home
    pod_uid: str
    namespace: str
    ports: int


class PortRegistry:
    """Gives out external addresses and ports. Safe to use from several threads."""

    def __init__(self, values: Values, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._values = values
        self._clock = clock
        self._lock = threading.Lock()
        self._books: dict[Home, PortAllocator] = {}
        self._reservations: dict[str, _Reservation] = {}
        self._observed: dict[str, _Observed] = {}
        self._holders = Claims()
        self._refused: dict[str, tuple[Home, list[Slot]]] = {}
        # What PodDNATs asked for that may not have it: it is free for others.
        self._foreign: dict[str, dict[str, Home]] = {}
        self._held: dict[Home, dict[Hashable, tuple[Slot, ...]]] = {}
        self._waiting = WaitingQueue()
        self._claims: Counter[tuple[Home, Slot]] = Counter()
        self._entries: Counter[str] = Counter()
        # Forward entries that a gateway has, or is to have, for all that is known here.

    def update(self, values: Values) -> None:
        """Offer another pool's ports from now on; nobody loses a claim, only promises that it does not allow lapse."""
        with self._lock:
            self._values = values
            for pod_uid, reserve in list(self._reservations.items()):
                grant = reserve.grant
                fits = all(values.allows(*grant.home, mapping.external) for mapping in grant.mappings)
                if not fits or values.is_blocked(grant.external_ip):
                    self._forget(pod_uid)
            for home, book in list(self._books.items()):
                if book.offered != self._offered(home):
                    del self._books[home]
                    for holder, slots in self._held.get(home, {}).items():
                        self._book(home).claim(holder, slots)

    def poddnat_seen(
        self, uid: str, pod_uid: str, home: Home, mappings: Sequence[PortMapping], *, namespace: str = ""
    ) -> None:
        """Note what an existing PodDNAT asks for."""
        with self._lock:
            slots = _slots(mappings)
            if self._refused.get(uid) == (home, slots):
                return
            before = self._observed.get(uid)
            if before is not None and before.home != home:
                self._claim(before.home, ("poddnat", uid), ())
            self._observed[uid] = _Observed(home, pod_uid, namespace, _count(slots))
            self._claim(home, ("poddnat", uid), slots)
            self._holders.claim(uid, home, slots)
            reserve = self._reservations.get(pod_uid)
            if reserve is None or reserve.beyond == uid:
                return
            if (reserve.grant.home, _slots(reserve.grant.mappings)) == (home, slots):
                self._forget(pod_uid)

    def poddnat_gone(self, uid: str) -> None:
        """Note that a PodDNAT has gone, and its entries with it."""
        with self._lock:
            self._refused.pop(uid, None)
            self._release(uid)

    def poddnat_refused(self, uid: str, home: Home, mappings: Sequence[PortMapping]) -> None:
        """Note that a PodDNAT may not have what it asks for: it keeps nobody else from it."""
        with self._lock:
            self._refused[uid] = (home, _slots(mappings))
            self._release(uid)

    def poddnat_allowed(self, uid: str) -> None:
        """Note that a PodDNAT may have what it asks for, after all."""
        with self._lock:
            self._refused.pop(uid, None)

    def earlier_claimant(self, uid: str) -> str | None:
        """Name a PodDNAT that asked for one of these ports before this one did; None: there is none."""
        with self._lock:
            return self._holders.earlier_claimant(uid)

    def beyond_limits(self, uid: str) -> Problem | None:
        """Tell why the values do not let a PodDNAT have its ports beside those of its namespace that were there first.

        None: they do.
        """
        with self._lock:
            shown = self._observed.get(uid)
            if shown is None or self._values.limits == NO_LIMITS:
                return None
            before = takewhile(lambda other: other is not shown, self._observed.values())
            others = sum(other.ports for other in before if other.namespace == shown.namespace)
            try:
                limits.check(self._values.limits, shown.namespace, shown.ports, had=0, others=others)
            except LimitError as error:
                return error.problem
            return None

    def _release(self, uid: str) -> None:
        self._holders.release(uid)
        if (shown := self._observed.pop(uid, None)) is not None:
            self._claim(shown.home, ("poddnat", uid), ())

    def foreign_seen(self, gateway_id: str, entries: Sequence[ForwardEntry]) -> None:
        """Note all entries on a gateway that are not ours: their ports are never offered."""
        with self._lock:
            now = {entry.entry_id: (gateway_id, entry.rule.external_ip) for entry in entries}
            for entry_id, home in self._foreign.get(gateway_id, {}).items():
                if now.get(entry_id) != home:
                    self._claim(home, ("entry", entry_id), ())
            for entry in entries:
                slot = (entry.rule.external_ports, entry.rule.protocol)
                self._claim(now[entry.entry_id], ("entry", entry.entry_id), [slot])
            self._foreign[gateway_id] = now

    def kept(
        self,
        had: Allocation,
        items: Sequence[ExposedPort],
        *,
        uid: str,
        pod_uid: str,
        entry_ids: Collection[str] = (),
        taken_away: bool = False,
    ) -> list[PortMapping | None]:
        """Tell for each item which of its external ports a pod can keep, None where it needs others.

        ``entry_ids``: forward entries that are its own although their names don't say so.
        Who asked for a port first keeps it, unless it was ``taken_away``: then only what nobody else asks for is kept.
        An item that has changed its protocol only keeps its ports as well, where they are free for the new one.
        """
        own = (("poddnat", uid), ("pod", pod_uid), *(("entry", entry_id) for entry_id in entry_ids))
        known: dict[Ports, list[PortMapping]] = {}
        for mapping in had.mappings:
            known.setdefault(mapping.internal, []).append(mapping)
        found: list[PortMapping | None] = [None] * len(items)
        taken: list[Slot] = []
        # Those that stay as they are come first: they must not lose a port to one that has changed.
        changed = [item not in {mapping.item for mapping in known.get(item.ports, ())} for item in items]
        with self._lock:
            book = self._book(had.home)
            for index in sorted(range(len(items)), key=changed.__getitem__):
                item = items[index]
                for mapping in known.get(item.ports, ()):
                    same = _mapping(mapping.external, item)
                    if not item.overlaps(mapping.item) or _overlap(same.slots, taken):
                        continue
                    fits = self._values.allows(*had.home, same.external)
                    first = not taken_away and self._holders.is_first(uid, had.home, same.slots)
                    if fits and (first or all(book.is_free(slot, but=own) for slot in same.slots)):
                        found[index] = same
                        taken += same.slots
                        break
        return found

    def must_leave(self, external_ip: str) -> bool:
        """Whether pods should leave an address."""
        return self._values.move_from_blocked and self._values.is_blocked(external_ip)

    def reserved(self, pod_uid: str, items: Sequence[ExposedPort]) -> Allocation | None:
        """Recall what a pod was promised for these items."""
        with self._lock:
            self._expire()
            reserve = self._reservations.get(pod_uid)
            if reserve is None or [mapping.item for mapping in reserve.grant.mappings] != list(items):
                return None
            return reserve.grant

    def grant(
        self,
        asking: PortRequest,
        items: Sequence[ExposedPort],
        tiers: Sequence[Sequence[Place]],
        *,
        keep: Home | None = None,
        kept: Sequence[PortMapping | None] = (),
    ) -> Allocation | None:
        """Give a pod an address and ports, and promise them to it; None when there are no such ports free.

        ``tiers``: where the pod can be put, the best first. ``keep`` is where to stay, and ``kept`` what to keep there
        for each item, None where it needs other ports. A gateway without room for more entries is the last resort:
        there the pod waits for its turn. Ports that are free go to those first that have waited longer for them.

        Raises:
            LimitError: it would have more ports than the values let it, or its namespace, have.
        """
        with self._lock:
            self._expire()
            self._check_limits(asking, items)
            found = self._complete(keep, items, kept) if keep is not None else None
            found = found or self._find_in_turn(asking, items, tiers)
            if found is None:
                if keep is None:  # Who has ports already waits for more of them there, not for others.
                    self._waiting.join(asking, items, tiers, self._clock())
                return None
            self._waiting.leave(asking.pod_uid)
            return self._reserve(asking.pod_uid, found, asking.namespace)

    def _find_in_turn(
        self, asking: PortRequest, items: Sequence[ExposedPort], tiers: Sequence[Sequence[Place]]
    ) -> Allocation | None:
        """Find ports for a pod, after those were served that have waited longer: they learn of it when they ask."""
        in_vain: set[Shape] = set()
        for waiter in self._waiting.ahead_of(asking.pod_uid, tiers, self._clock()):
            if waiter.shape in in_vain:
                continue
            try:
                self._check_limits(waiter.asking, waiter.items)
            except LimitError:
                continue  # It is told so when it asks.
            found = self._find(waiter.asking.pod_uid, waiter.items, tiers)
            if found is None:
                in_vain.add(waiter.shape)
            else:
                self._waiting.leave(waiter.asking.pod_uid)
                self._reserve(waiter.asking.pod_uid, found, waiter.asking.namespace)
        return None if shape_of(items) in in_vain else self._find(asking.pod_uid, items, tiers)

    def _check_limits(self, asking: PortRequest, items: Sequence[ExposedPort]) -> None:
        if self._values.limits == NO_LIMITS:
            return
        had = others = 0
        counted = {asking.pod_uid}
        for uid, shown in self._observed.items():
            if shown.namespace == asking.namespace:
                counted.add(shown.pod_uid)
                if uid == asking.uid or shown.pod_uid == asking.pod_uid:
                    had += shown.ports
                else:
                    others += shown.ports
        for pod_uid, reserve in self._reservations.items():
            if reserve.namespace == asking.namespace and pod_uid not in counted:
                others += _count(_slots(reserve.grant.mappings))
        wanted = sum(item.ports.size * len(item.transport.protocols) for item in items)
        limits.check(self._values.limits, asking.namespace, wanted, had=had, others=others)

    def _find(self, pod_uid: str, items: Sequence[ExposedPort], tiers: Sequence[Sequence[Place]]) -> Allocation | None:
        entries = sum(len(item.transport.protocols) for item in items)
        places = [place for tier in tiers for place in in_trial_order(tier, self._usage, pod_uid)]
        # Where there is room comes first; both kinds keep their order.
        for place in sorted(places, key=lambda place: not self._has_room(place, entries)):
            ports = self._book((place.gateway_id, place.external_ip)).choose(items)
            if ports is not None:
                return Allocation(place.gateway_id, place.external_ip, tuple(map(_mapping, ports, items)))
        return None

    def _usage(self, place: Place) -> int:
        return self._book((place.gateway_id, place.external_ip)).holders

    def _has_room(self, place: Place, entries: int) -> bool:
        return place.capacity is None or self._entries[place.gateway_id] + entries <= place.capacity

    def room(self, gateway_id: str, external_ip: str, protocol: Protocol) -> tuple[int, int]:
        """Count the ports of an address that could be given out for a protocol, and all that the pool has there."""
        with self._lock:
            self._expire()
            book = self._book((gateway_id, external_ip))
            return book.free_ports(protocol), sum(ports.size for ports in book.offered)

    def reserve(self, pod_uid: str, grant: Allocation, *, beyond: str) -> None:
        """Promise a pod what it has by the PodDNAT of uid ``beyond``, so that it gets the same again without that."""
        with self._lock:
            self._expire()
            namespace = self._observed[beyond].namespace if beyond in self._observed else ""
            self._reserve(pod_uid, grant, namespace, beyond)

    def _complete(
        self, home: Home, items: Sequence[ExposedPort], kept: Sequence[PortMapping | None]
    ) -> Allocation | None:
        needed = [item for item, mapping in zip(items, kept, strict=True) if mapping is None]
        staying = _slots(mapping for mapping in kept if mapping is not None)
        found = self._book(home).choose(needed, besides=staying)
        if found is None:
            return None
        fresh = iter(map(_mapping, found, needed))
        return Allocation(*home, tuple(mapping or next(fresh) for mapping in kept))

    def _reserve(self, pod_uid: str, grant: Allocation, namespace: str, beyond: str = "") -> Allocation:
        self._forget(pod_uid)
        self._reservations[pod_uid] = _Reservation(grant, namespace, self._clock() + _PROMISE_SECONDS, beyond)
        self._claim(grant.home, ("pod", pod_uid), _slots(grant.mappings))
        return grant

    def _forget(self, pod_uid: str) -> None:
        if (reserve := self._reservations.pop(pod_uid, None)) is not None:
            self._claim(reserve.grant.home, ("pod", pod_uid), ())

    def _expire(self) -> None:
        now = self._clock()
        while self._reservations:
            pod_uid, reserve = next(iter(self._reservations.items()))
            if reserve.expires_at > now:
                break  # Later promises expire later.
            self._forget(pod_uid)

    def _claim(self, home: Home, holder: Hashable, slots: Sequence[Slot]) -> None:
        """Let a holder claim exactly these slots of an address.

        Each is one forward entry, whoever claims it: a PodDNAT, its promise, and its entry that bears no name.
        """
        self._book(home).claim(holder, slots)
        held = self._held.setdefault(home, {})
        before = held.pop(holder, ())
        for slot in slots:
            self._entries[home[0]] += not self._claims[home, slot]
            self._claims[home, slot] += 1
        for slot in before:
            self._claims[home, slot] -= 1
            if not self._claims[home, slot]:
                del self._claims[home, slot]
                self._entries[home[0]] -= 1
        if slots:
            held[holder] = tuple(slots)

    def _book(self, home: Home) -> PortAllocator:
        book = self._books.get(home)
        if book is None:
            book = self._books[home] = PortAllocator(self._offered(home))
        return book

    def _offered(self, home: Home) -> tuple[Ports, ...]:
        gateway_id, external_ip = home
        return tuple(entry.ports for entry in self._values.entries_of(gateway_id) if entry.has(external_ip))


def _mapping(external: Ports, item: ExposedPort) -> PortMapping:
    return PortMapping(external, item.ports, item.transport)


def _slots(mappings: Iterable[PortMapping]) -> list[Slot]:
    return [slot for mapping in mappings for slot in mapping.slots]


def _count(slots: Iterable[Slot]) -> int:
    """Count public ports: one for TCP and UDP is two."""
    return sum(ports.size for ports, _ in slots)


def _overlap(some: Sequence[Slot], others: Sequence[Slot]) -> bool:
    return any(kind is other and ports.overlaps(part) for ports, kind in some for part, other in others)
