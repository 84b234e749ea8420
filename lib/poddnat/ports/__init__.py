"""Who has which external port: the registry, the allocator of each address, reservations, claims, limits, the queue.

It decides which ports a pod gets, from what it is told of PodDNATs and foreign entries. It does no I/O, and knows no
threads but for the registry's lock.
"""

from poddnat.ports.queue import PortRequest
from poddnat.ports.registry import Allocation, PortRegistry

__all__ = ["Allocation", "PortRegistry", "PortRequest"]
