"""Which gateway can serve a pod: by its network interface, its vSwitch's route, its node and its namespace.

It tells where a pod may be put, and why not elsewhere. It doesn't know which ports are free there.
"""

from poddnat.placement.gateways import (
    AddressKey,
    Candidate,
    Place,
    Route,
    candidate_of,
    eligible_tiers,
    order_by_policy,
)
from poddnat.placement.locator import Located, PodLocator, no_interface, route_of
from poddnat.placement.namespaces import Namespaces
from poddnat.placement.node_prefixes import NodePrefixes
from poddnat.placement.nodes import Nodes

__all__ = [
    "AddressKey",
    "Candidate",
    "Located",
    "Namespaces",
    "NodePrefixes",
    "Nodes",
    "Place",
    "PodLocator",
    "Route",
    "candidate_of",
    "eligible_tiers",
    "no_interface",
    "order_by_policy",
    "route_of",
]
