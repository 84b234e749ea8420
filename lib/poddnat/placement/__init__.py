"""TODO placement."""

from poddnat.placement.gateways import Candidate, NoGatewayError, Place, line_up, tiers
from poddnat.placement.locator import Located, PodLocator
from poddnat.placement.namespaces import Namespaces
from poddnat.placement.nodes import Nodes

__all__ = ["Candidate", "Located", "Namespaces", "NoGatewayError", "Nodes", "Place", "PodLocator", "line_up", "tiers"]
