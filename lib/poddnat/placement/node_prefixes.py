"""Addresses that lie only in an IP prefix of their node's network interface: Terway's prefix mode.

Such an address is no single one of the interface, and the cloud's filter by address need not find it. The node's
instance leads to the interface in any case.
"""

from collections.abc import Callable, Sequence

from cachetools import TTLCache

from poddnat.cloud import CloudClient, NetworkInterface, addresses_on
from poddnat.model import Address
from poddnat.placement.intervals import PREFIXES_TTL

_MOST_CACHED = 5_000


class NodePrefixes:
    """Finds addresses on the network interfaces of their nodes. For one thread at a time."""

    def __init__(
        self, cloud: CloudClient, instance_of: Callable[[str], str | None], clock: Callable[[], float]
    ) -> None:
        """``instance_of`` gives a node's ECS instance id, and None where there is none."""
        self._cloud = cloud
        self._instance_of = instance_of
        self._interfaces: TTLCache[str, list[NetworkInterface], float] = TTLCache(
            _MOST_CACHED, PREFIXES_TTL, timer=clock
        )

    def find(self, node: str, ips: Sequence[str]) -> dict[str, Address]:
        """Find addresses of pods of a node; those that its interfaces don't have are left out.

        Raises:
            CloudError: the interfaces could not be read.
            KubeError: the node could not be read.
        """
        found = addresses_on(self._interfaces.get(node, ()), ips)
        if len(found) == len(set(ips)):
            return found
        instance_id = self._instance_of(node)
        if instance_id is None:
            return found
        self._interfaces[node] = self._cloud.describe_network_interfaces_of(instance_id)
        return addresses_on(self._interfaces[node], ips)
