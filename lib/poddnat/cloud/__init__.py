"""The VPC and ECS OpenAPI: the client, what errors mean and whom they concern, and the rate limiter.

Nobody else knows the SDK, an error code, or the form of a request. It knows forward entries, gateways and network
interfaces, but no PodDNATs and no pods.
"""

from poddnat.cloud.client import ADDRESSES_PER_CALL, ENTRIES_PER_PAGE, CloudClient
from poddnat.cloud.errors import NO_ANSWER, NO_CREDENTIALS, CloudError, Meaning, Scope
from poddnat.cloud.intervals import FAILURES_TO_TELL
from poddnat.cloud.problems import Outage, problem_of
from poddnat.cloud.rate_limiter import RateLimiter
from poddnat.cloud.responses import (
    ALL_ENTRIES,
    Eip,
    EntryFilter,
    EntryPage,
    GatewayInfo,
    NetworkInterface,
    RouteTables,
    addresses_on,
)

__all__ = [
    "ADDRESSES_PER_CALL",
    "ALL_ENTRIES",
    "ENTRIES_PER_PAGE",
    "FAILURES_TO_TELL",
    "NO_ANSWER",
    "NO_CREDENTIALS",
    "CloudClient",
    "CloudError",
    "Eip",
    "EntryFilter",
    "EntryPage",
    "GatewayInfo",
    "Meaning",
    "NetworkInterface",
    "Outage",
    "RateLimiter",
    "RouteTables",
    "Scope",
    "addresses_on",
    "problem_of",
]
