"""NAT gateways: for each its table, what is desired there, the plan, and the driver that makes it so; the fleet of all.

What decides is pure (``reconciler``) and is driven by threads of its own. It knows PodDNATs by their uids and forward
rules only, and nothing of Kubernetes. What happens is told to one listener.
"""

from poddnat.gateway.driver import GatewayDriver
from poddnat.gateway.fleet import Fleet, read_gateways
from poddnat.gateway.listener import GatewayListener, Liveness
from poddnat.gateway.orphans import is_mass
from poddnat.gateway.problems import address_left, gateway_missing
from poddnat.gateway.progress import Blocked, Done, Progress, Waiting
from poddnat.gateway.reading import read_pages
from poddnat.gateway.reconciler import OwnEntries, Ownership, Plan, Table, conflict_problem, make_plan, names_nobody

__all__ = [
    "Blocked",
    "Done",
    "Fleet",
    "GatewayDriver",
    "GatewayListener",
    "Liveness",
    "OwnEntries",
    "Ownership",
    "Plan",
    "Progress",
    "Table",
    "Waiting",
    "address_left",
    "conflict_problem",
    "gateway_missing",
    "is_mass",
    "make_plan",
    "names_nobody",
    "read_gateways",
    "read_pages",
]
