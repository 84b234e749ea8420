"""The external addresses that the pool offers or that somebody has ports of: which of them has what a pod asks for.

Each has its allocator, which chooses the ports there.
"""

from collections.abc import Collection, Sequence

from poddnat.config import Values
from poddnat.model import PortMapping, Ports
from poddnat.placement import AddressKey, Place, order_by_policy
from poddnat.ports.allocation import Allocation, PortRequest, mapping_to, slots_of
from poddnat.ports.allocator import PortAllocator


class Addresses:
    """Finds an address for a pod, and the allocator of an address. Not safe for use from several threads at once."""

    def __init__(self, values: Values) -> None:
        self._values = values
        self._allocators: dict[AddressKey, PortAllocator] = {}

    def __getitem__(self, key: AddressKey) -> PortAllocator:
        """Give an address' allocator: one that offers nothing where the pool has no such address."""
        if key not in self._allocators:
            self._allocators[key] = PortAllocator(self._offered(key))
        return self._allocators[key]

    def offers(self, key: AddressKey) -> bool:
        """Whether the pool has such an address. To ask for another one's allocator makes one, which takes memory."""
        return bool(self._offered(key))

    def offer(self, values: Values) -> None:
        """Offer another pool's ports from now on; nobody loses a claim."""
        self._values = values
        self._allocators = {key: one for key, one in self._allocators.items() if self.offers(key) or one.claims}
        for key, allocator in self._allocators.items():
            if allocator.offered != self._offered(key):
                self._allocators[key] = PortAllocator(self._offered(key), allocator.claims)

    def find(
        self, request: PortRequest, tiers: Sequence[Sequence[Place]], *, excluding: Collection[AddressKey]
    ) -> Allocation | None:
        """Find the first address that has ports for all items free, without claiming them; None: there is none."""

        def usage(place: Place) -> int:
            return len(self[place.key].claims)

        ordered = (place for tier in tiers for place in order_by_policy(tier, usage, request.pod_uid))
        places = [place for place in ordered if place.key not in excluding]
        # Gateways that have quota left come first; both kinds keep their order.
        options = (
            (place, Allocation(place.key, tuple(map(mapping_to, ports, request.items))))
            for place in sorted(places, key=lambda place: not self._has_quota(place, request.entries))
            if (ports := self[place.key].choose(request.items, prefer_own=request.prefer_own)) is not None
        )
        if request.prefer_own:  # Another address may have all of the pod's own ports free.
            ranks = sorted(
                options, key=lambda pair: (not self._has_quota(pair[0], request.entries), not pair[1].is_own)
            )
            return ranks[0][1] if ranks else None
        return next((allocation for _, allocation in options), None)

    def extend(self, key: AddressKey, request: PortRequest, reuse: Sequence[PortMapping | None]) -> Allocation | None:
        """Find ports on the same address for those items that can't reuse theirs; None: they don't all fit."""
        if not self.offers(key):
            return None
        needed = [item for item, mapping in zip(request.items, reuse, strict=True) if mapping is None]
        reused = slots_of(mapping for mapping in reuse if mapping is not None)
        found = self[key].choose(needed, excluding=reused, prefer_own=request.prefer_own)
        if found is None:
            return None
        fresh = iter(map(mapping_to, found, needed))
        return Allocation(key, tuple(mapping or next(fresh) for mapping in reuse))

    def _has_quota(self, place: Place, entries: int) -> bool:
        return place.entry_quota is None or self._entries_of(place.gateway_id) + entries <= place.entry_quota

    def _entries_of(self, gateway_id: str) -> int:
        """Count the forward entries that a gateway has, or is to have, for all that is claimed there."""
        return sum(allocator.entries for key, allocator in self._allocators.items() if key.gateway_id == gateway_id)

    def _offered(self, key: AddressKey) -> tuple[Ports, ...]:
        return tuple(entry.ports for entry in self._values.entries_of(key.gateway_id) if entry.has(key.external_ip))
