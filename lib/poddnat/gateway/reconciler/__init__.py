"""What is to be done on one NAT gateway, as a pure decision: desired state against the table, and the next call.

It does no I/O and knows no clock, chance or threads: the driver brings the time and makes the calls. ``states`` has
the one table of what is done in which state of an entry. Nothing outside the gateway package enters here.
"""

from poddnat.gateway.reconciler.calls import Call, Create, Delete, Find, Kind, ReadPage
from poddnat.gateway.reconciler.concurrency import MOST_AT_ONCE
from poddnat.gateway.reconciler.conflicts import conflict_problem
from poddnat.gateway.reconciler.ownership import Ownership, names_nobody
from poddnat.gateway.reconciler.plan import OwnEntries, Plan, make_plan
from poddnat.gateway.reconciler.reconciler import Reconciler
from poddnat.gateway.reconciler.stats import GatewayStats
from poddnat.gateway.reconciler.table import Table

__all__ = [
    "MOST_AT_ONCE",
    "Call",
    "Create",
    "Delete",
    "Find",
    "GatewayStats",
    "Kind",
    "OwnEntries",
    "Ownership",
    "Plan",
    "ReadPage",
    "Reconciler",
    "Table",
    "conflict_problem",
    "make_plan",
    "names_nobody",
]
