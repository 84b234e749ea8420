"""Which gateway can serve a pod: by its network interface, its vSwitch's route, its node and its namespace.

It tells where a pod may be put, and why not elsewhere. It doesn't know which ports are free there.
"""

from poddnat.placement.gateways import AddressKey, Candidate, Place, eligible_tiers, order_by_policy
from poddnat.placement.locator import Located, PodLocator
from poddnat.placement.namespaces import Namespaces
from poddnat.placement.nodes import Nodes

__all__ = [
    "AddressKey",
    "Candidate",
    "Located",
    "Namespaces",
    "Nodes",
    "Place",
    "PodLocator",
    "eligible_tiers",
    "order_by_policy",
]
