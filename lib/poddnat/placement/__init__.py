"""Which gateway can serve a pod: by its network interface, its vSwitch's route, its node and its namespace.

It says where a pod may be put, and why not elsewhere. It doesn't know which ports are free there.
"""

from poddnat.placement.gateways import Candidate, NoGatewayError, Place, in_trial_order, tiers
from poddnat.placement.locator import Located, PodLocator
from poddnat.placement.namespaces import Namespaces
from poddnat.placement.nodes import Nodes

__all__ = [
    "Candidate",
    "Located",
    "Namespaces",
    "NoGatewayError",
    "Nodes",
    "Place",
    "PodLocator",
    "in_trial_order",
    "tiers",
]
