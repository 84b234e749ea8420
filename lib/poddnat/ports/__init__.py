"""Who has which external port: the registry, the allocator of each address, reservations, claims, limits, the queue.

It decides which ports a pod gets, from what it has seen of PodDNATs and foreign entries: ``PortRegistry.allocate``
decides whose turn it is, ``Addresses.find`` finds the address, ``PortAllocator.choose`` the ports there. It does no
I/O, and knows no threads but for the registry's lock.
"""

from poddnat.ports.allocation import Allocation, PortRequest
from poddnat.ports.limits import LimitError
from poddnat.ports.registry import PortRegistry

__all__ = ["Allocation", "LimitError", "PortRegistry", "PortRequest"]
