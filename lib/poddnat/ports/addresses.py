"""The external addresses that the pool offers or that somebody has ports of, each with its allocator."""

from poddnat.config import Values
from poddnat.model import Ports
from poddnat.placement import AddressKey
from poddnat.ports.allocator import PortAllocator


class Addresses:
    """Finds the allocator of an address. Not safe for use from several threads at once."""

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

    def entries_of(self, gateway_id: str) -> int:
        """Count the forward entries that a gateway has, or is to have, for all that is claimed there."""
        return sum(allocator.entries for key, allocator in self._allocators.items() if key.gateway_id == gateway_id)

    def _offered(self, key: AddressKey) -> tuple[Ports, ...]:
        return tuple(entry.ports for entry in self._values.entries_of(key.gateway_id) if entry.has(key.external_ip))
