"""NAT gateways: for each its table, what is wanted there, the plan, and the driver that makes it so; the fleet of all.

What decides is pure and is driven by threads of its own. It knows PodDNATs by their uids and forward rules only, and
nothing of Kubernetes.
"""

from poddnat.gateway.driver import GatewayDriver, Liveness
from poddnat.gateway.fleet import Fleet
from poddnat.gateway.holdings import Holdings
from poddnat.gateway.listing import EVERYTHING, read_listing
from poddnat.gateway.ownership import Ownership, names_nobody
from poddnat.gateway.plan import OwnEntries
from poddnat.gateway.problems import address_left, gateway_missing
from poddnat.gateway.progress import Blocked, Done, Progress, Waiting

__all__ = [
    "EVERYTHING",
    "Blocked",
    "Done",
    "Fleet",
    "GatewayDriver",
    "Holdings",
    "Liveness",
    "OwnEntries",
    "Ownership",
    "Progress",
    "Waiting",
    "address_left",
    "gateway_missing",
    "names_nobody",
    "read_listing",
]
