"""Which external port is whose, over all gateways: PodDNATs', foreign entries', or reserved for a pod.

A pod's sync hook is called again before its PodDNAT is visible, and has to get the same answer; so an allocation is
reserved by the pod's uid until the PodDNAT shows it, or for a while. Everything else is learned anew at start.
"""

import threading
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import replace

from poddnat.api import PodDNAT, Problem
from poddnat.config import Values
from poddnat.model import ExposedPort, ForwardEntry, PortMapping, Protocol
from poddnat.placement import AddressKey
from poddnat.ports import limits
from poddnat.ports.addresses import Addresses
from poddnat.ports.allocation import Allocation, Observed, PortRequest, reusable_mappings
from poddnat.ports.allocator import Shape, Slot
from poddnat.ports.claims import Claims
from poddnat.ports.intervals import RESERVATION_TTL, TAKEN_TTL, WAITING_TTL
from poddnat.ports.limits import LimitError
from poddnat.ports.queue import Tiers, WaitingQueue
from poddnat.ports.reservations import Reservation, Reservations, claimant


class PortRegistry:
    """Allocates external ports, and knows whose each one is. Safe to use from several threads.

    ============= ==================== ================================================================================
    Who           may call             what for
    ============= ==================== ================================================================================
    pod           ``allocate``         To get free ports, reserved for it; while there are none, it waits in the queue.
    pod           ``reserved``         To get the same answer again until its PodDNAT shows it.
    pod           ``reusable``         To go on using ports of its PodDNAT, or to learn that it needs others.
    pod           ``reserve``          To have the ports of its PodDNAT reserved while that is deleted and made anew.
    pod           ``renew``            To have them reserved for longer, while it lives and can't have them.
    pod           ``pod_gone``         To wait for nothing any more, and have nothing reserved.
    PodDNAT       ``poddnat_seen``     To claim what it names, also if others do: the earlier claimant has it.
    PodDNAT       ``is_allowed``       To go on claiming what it was allowed.
    PodDNAT       ``earlier_claimant`` To learn that it has to leave its ports to another PodDNAT.
    PodDNAT       ``exceeded_limit``   To learn that it may not retain its ports for a pod that is away.
    PodDNAT       ``poddnat_refused``  To claim nothing while it names what it may not have.
    PodDNAT       ``poddnat_allowed``  To claim again, once it may.
    PodDNAT       ``entries_seen``     To claim the ports where it has entries, and come before others there.
    PodDNAT       ``poddnat_gone``     To release its ports.
    foreign entry ``taken``            To take its ports for a while, seen in the way of a PodDNAT's.
    foreign entry ``foreign_seen``     To take its ports while its gateway lists it. It can't reserve or wait for any.
    ============= ==================== ================================================================================

    Where is a port chosen? ``Addresses.find`` tries the addresses in their order, ``PortAllocator.choose`` the ports.
    """

    def __init__(self, values: Values, clock: Callable[[], float]) -> None:
        """``clock`` gives seconds that never go back."""
        self._values = values
        self._clock = clock
        self._lock = threading.Lock()
        self._addresses = Addresses(values)
        self._claims = Claims()
        self._queue = WaitingQueue()
        self._reservations = Reservations(self._addresses)
        self._observed: dict[str, Observed] = {}
        """By the PodDNAT's uid, in the order in which they were first seen."""
        self._refused: dict[str, Allocation] = {}
        """By the PodDNAT's uid: what it named and may not have."""
        self._allowed: set[str] = set()
        """The uids of PodDNATs that were found to be allowed what they name."""
        self._foreign: dict[str, dict[str, AddressKey]] = {}
        """By the gateway's id and the entry's."""
        self._taken: dict[tuple[AddressKey, Slot], float] = {}
        """Where an entry of others was seen, and until when that is believed."""

    # Pods

    def allocate(
        self,
        request: PortRequest,
        tiers: Tiers,
        *,
        stay_at: AddressKey | None = None,
        reuse: Sequence[PortMapping | None] = (),
    ) -> Allocation | None:
        """Give a pod an address and ports, and reserve them for it; None when there are no such ports free.

        ``tiers``: where the pod can be put, the best first. ``stay_at`` is the address to stay at, and ``reuse`` the
        ports to reuse there for each item, None where it needs others. A gateway whose entry quota is used up is the
        last resort: there the pod waits for its turn. Free ports go to those first that have waited longer for them.

        Raises:
            LimitError: it would have more ports than the values let it, or its namespace, have.
        """
        with self._lock:
            self._drop_expired()
            self._check_limits(request)
            found = self._addresses.extend(stay_at, request, reuse) if stay_at is not None else None
            found = found or self._find_in_turn(request, tiers)
            if found is not None:
                self._queue.leave(request.pod_uid)
                self._reserve(request.pod_uid, found, request.namespace)
            elif stay_at is None:  # Who has ports already waits for more of them there, not for others.
                self._queue.join(request, tiers, self._clock())
            return found

    def _find_in_turn(self, request: PortRequest, tiers: Tiers) -> Allocation | None:
        """Find ports for a pod, after those were served that have waited longer: they learn of it when they ask."""
        in_vain, excluded = set[tuple[Shape, ...]](), frozenset[AddressKey]()
        for earlier in self._queue.ahead_of(request.pod_uid, tiers, self._clock()):
            if earlier.shapes in in_vain:
                continue
            try:
                self._check_limits(earlier)
            except LimitError:
                continue  # It learns so when it asks.
            found = self._addresses.find(earlier, tiers, excluding=excluded)
            if found is None:
                in_vain.add(earlier.shapes)
                excluded = excluded or self._withheld_for(earlier, tiers)
            else:
                self._queue.leave(earlier.pod_uid)
                # Reserved for as long as it may be silent: then it has gone, and others wait for the same ports.
                self._reserve(earlier.pod_uid, found, earlier.namespace, seconds=WAITING_TTL)
        return None if request.shapes in in_vain else self._addresses.find(request, tiers, excluding=excluded)

    def _withheld_for(self, request: PortRequest, tiers: Tiers) -> frozenset[AddressKey]:
        """Find the address whose ports no other pod gets until this one has as many as it needs; empty: none."""
        if not self._queue.has_precedence(request.pod_uid, self._clock()):
            return frozenset()
        short = [place.key for tier in tiers for place in tier if self._addresses[place.key].is_short_of(request.items)]
        return frozenset(short[:1])

    def _check_limits(self, request: PortRequest) -> None:
        limits.check_request(self._values.limits, request, self._observed.values(), self._reservations.by_pod)

    def reserved(self, pod_uid: str, items: Sequence[ExposedPort]) -> Allocation | None:
        """Give what is reserved for a pod and these items; None: nothing."""
        with self._lock:
            self._drop_expired()
            reservation = self._reservations.by_pod.get(pod_uid)
            if reservation is None or reservation.allocation.items != tuple(items):
                return None
            return reservation.allocation if self._is_given_out(reservation.allocation) else None

    def reserve(self, pod_uid: str, poddnat: PodDNAT, *, outlives: str, seconds: float = RESERVATION_TTL) -> bool:
        """Reserve for a pod what its PodDNAT of uid ``outlives`` names: it gets the same again once that is gone.

        False: it lies outside the pool, or others have it by now.
        """
        with self._lock:
            self._drop_expired()
            allocation, seen = Allocation.of(poddnat), self._observed.get(outlives)
            own = (_poddnat(outlives), claimant(pod_uid))
            if not self._is_given_out(allocation):
                return False
            allocator = self._addresses[allocation.key]
            if not all(
                allocator.is_free(slot, ignoring=own) for slot in allocation.slots
            ) and not self._claims.is_first(outlives, allocation.key, allocation.slots):
                return False
            namespace = seen.namespace if seen is not None else ""
            self._reserve(pod_uid, allocation, namespace, outlives, seconds=seconds)
            return True

    def renew(self, pod_uid: str) -> bool:
        """Go on reserving what is reserved for a pod that lives; False: nothing is."""
        with self._lock:
            self._drop_expired()
            if (before := self._reservations.by_pod.get(pod_uid)) is None:
                return False
            self._reserve(pod_uid, before.allocation, before.namespace, before.outlives)
            return True

    def pod_gone(self, pod_uid: str) -> None:
        """Note that a pod has gone: it waits for nothing, and nothing is reserved for it."""
        with self._lock:
            self._queue.leave(pod_uid)
            self._reservations.drop(pod_uid)

    def reusable(
        self,
        poddnat: PodDNAT,
        items: Sequence[ExposedPort],
        *,
        uid: str,
        pod_uid: str,
        entry_ids: Collection[str] = (),
        taken_away: bool = False,
    ) -> list[PortMapping | None]:
        """Tell for each item which ports of its PodDNAT a pod can reuse, None where it needs others.

        ``entry_ids``: forward entries that are its own although their names don't say so. The first claimant keeps a
        port, even if a foreign entry has it meanwhile, unless the port was ``taken_away``: the PodDNAT's own sync found
        that it can't have it. Then it keeps only what nobody else claims. An item that has changed its protocol only
        keeps its ports as well, where they are free for the new one.
        """
        key, own = Allocation.of(poddnat).key, (_poddnat(uid), claimant(pod_uid), *map(_entry, entry_ids))

        def may_have(mapping: PortMapping) -> bool:
            if not self._values.allows(*key, mapping.external):
                return False
            if not taken_away and self._claims.is_first(uid, key, mapping.slots):
                return True
            return all(self._addresses[key].is_free(slot, ignoring=own) for slot in mapping.slots)

        with self._lock:
            return reusable_mappings(poddnat.mappings, items, may_have)

    # PodDNATs

    def poddnat_seen(self, uid: str, pod_uid: str, poddnat: PodDNAT, *, namespace: str = "") -> None:
        """Let an existing PodDNAT claim what it names."""
        with self._lock:
            self._claim(Observed(uid, pod_uid, namespace, Allocation.of(poddnat)))

    def _claim(self, seen: Observed) -> None:
        uid, named = seen.uid, seen.allocation
        if named.is_same_outside(self._refused.get(uid)):
            return
        if not self._in_pool(named):
            self._release(uid)  # Nobody is given such ports, so there is nothing to keep others from.
            return
        before = self._observed.get(uid)
        if before is not None and before.allocation.key != named.key:
            self._addresses[before.allocation.key].release(_poddnat(uid))
        self._observed[uid] = seen
        self._addresses[named.key].claim(_poddnat(uid), named.slots)
        self._claims.claim(uid, named.key, named.slots)
        reservation = self._reservations.by_pod.get(seen.pod_uid)
        if reservation is not None and reservation.is_fulfilled_by(uid, named):
            self._reservations.drop(seen.pod_uid)

    def earlier_claimant(self, uid: str) -> str | None:
        """Name a PodDNAT that claimed one of these ports before this one did; None: there is none."""
        with self._lock:
            return self._claims.earlier_claimant(uid)

    def exceeded_limit(self, uid: str) -> Problem | None:
        """Tell which limit of the values a PodDNAT exceeds, beside those of its namespace that were there first.

        None: none.
        """
        with self._lock:
            try:
                limits.check_observed(self._values.limits, uid, self._observed.values())
            except LimitError as error:
                return error.problem
            return None

    def poddnat_refused(self, uid: str, poddnat: PodDNAT) -> None:
        """Note that a PodDNAT may not have what it names: it keeps nobody else from it."""
        with self._lock:
            self._refused[uid] = Allocation.of(poddnat)
            self._allowed.discard(uid)
            self._release(uid)

    def poddnat_allowed(self, uid: str) -> None:
        """Note that a PodDNAT may have what it names, after all."""
        with self._lock:
            self._refused.pop(uid, None)
            self._allowed.add(uid)

    def is_allowed(self, uid: str, poddnat: PodDNAT) -> bool:
        """Whether a PodDNAT was found to be allowed what it names, since the start, and claims that."""
        with self._lock:
            seen = self._observed.get(uid)
            same = seen is not None and Allocation.of(poddnat).is_same_outside(seen.allocation)
            return same and uid in self._allowed

    def entries_seen(
        self,
        uid: str,
        pod_uid: str,
        poddnat: PodDNAT,
        gateway_id: str,
        entries: Sequence[ForwardEntry],
        *,
        namespace: str = "",
    ) -> None:
        """Note that these entries of a PodDNAT are there: who has working entries comes before all others.

        One that claims nothing yet claims what it names and has all entries of.
        """
        with self._lock:
            if uid not in self._observed:
                there = {entry.rule for entry in entries}
                rules = {
                    mapping: mapping.rules(poddnat.external_ip, poddnat.internal_ip) for mapping in poddnat.mappings
                }
                named = replace(poddnat, mappings=tuple(m for m in poddnat.mappings if there.issuperset(rules[m])))
                if named.mappings:
                    self._claim(Observed(uid, pod_uid, namespace, Allocation.of(named)))
            if self._claims.earlier_claimant(uid) is not None:
                for entry in entries:
                    slot = (entry.rule.external_ports, entry.rule.protocol)
                    self._claims.prefer(uid, AddressKey(gateway_id, entry.rule.external_ip), [slot])

    def poddnat_gone(self, uid: str) -> None:
        """Note that a PodDNAT has gone, and its entries with it."""
        with self._lock:
            self._refused.pop(uid, None)
            self._allowed.discard(uid)
            self._release(uid)

    def _release(self, uid: str) -> None:
        self._claims.release(uid)
        if (seen := self._observed.pop(uid, None)) is not None:
            self._addresses[seen.allocation.key].release(_poddnat(uid))

    # Foreign entries, and the values file

    def taken(self, key: AddressKey, slot: Slot) -> None:
        """Note that an entry of somebody else has this, before ``foreign_seen`` tells it, minutes later.

        Without this, a pod that has to leave such a port would be given the same one again.
        """
        with self._lock:
            self._taken[key, slot] = self._clock() + TAKEN_TTL
            self._addresses[key].claim(_taken(slot), [slot])

    def foreign_seen(self, gateway_id: str, entries: Sequence[ForwardEntry]) -> None:
        """Note all entries on a gateway that are not ours: their ports are never allocated."""
        with self._lock:
            there = {entry.entry_id: AddressKey(gateway_id, entry.rule.external_ip) for entry in entries}
            for entry_id, key in self._foreign.get(gateway_id, {}).items():
                if there.get(entry_id) != key:
                    self._addresses[key].release(_entry(entry_id))
            for entry in entries:
                slot = (entry.rule.external_ports, entry.rule.protocol)
                self._addresses[there[entry.entry_id]].claim(_entry(entry.entry_id), [slot])
            self._foreign[gateway_id] = there

    def update(self, values: Values) -> None:
        """Offer another pool's ports from now on; claims stay, but reservations that the pool does not allow go."""
        with self._lock:
            self._values = values
            self._addresses.offer(values)
            for pod_uid, reservation in list(self._reservations.by_pod.items()):
                given_out = self._is_given_out(reservation.allocation)
                if not given_out or values.is_blocked(reservation.allocation.key.external_ip):
                    self._reservations.drop(pod_uid)

    def is_draining(self, external_ip: str) -> bool:
        """Whether pods are to move off an address."""
        return self._values.is_draining(external_ip)

    def count_ports(self, gateway_id: str, external_ip: str, protocol: Protocol) -> tuple[int, int]:
        """Count the free ports of an address for a protocol, and all that the pool offers there."""
        with self._lock:
            self._drop_expired()
            allocator = self._addresses[AddressKey(gateway_id, external_ip)]
            return allocator.free_ports(protocol), sum(ports.size for ports in allocator.offered)

    # What they share

    def _drop_expired(self) -> None:
        """Drop reservations, and entries of others that were seen, whose time is over."""
        now = self._clock()
        self._reservations.drop_expired(now)
        for key, slot in [taken for taken, until in self._taken.items() if until <= now]:
            del self._taken[key, slot]
            self._addresses[key].release(_taken(slot))

    def _is_given_out(self, allocation: Allocation) -> bool:
        """Whether a pod may be given this: it lies in the pool, and not where pods have to leave."""
        return self._in_pool(allocation) and not self.is_draining(allocation.key.external_ip)

    def _in_pool(self, allocation: Allocation) -> bool:
        return all(self._values.allows(*allocation.key, mapping.external) for mapping in allocation.mappings)

    def _reserve(
        self, pod_uid: str, allocation: Allocation, namespace: str, outlives: str = "", seconds: float = RESERVATION_TTL
    ) -> None:
        expires_at = self._clock() + seconds
        self._reservations.add(pod_uid, Reservation(allocation, namespace, expires_at, outlives))


# Those who claim slots of an address: one PodDNAT or entry each, and a pod by its reservation.


def _poddnat(uid: str) -> Hashable:
    return "poddnat", uid


def _entry(entry_id: str) -> Hashable:
    return "entry", entry_id


def _taken(slot: Slot) -> Hashable:
    return "taken", slot
