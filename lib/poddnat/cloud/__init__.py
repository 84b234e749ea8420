"""TODO cloud."""

from poddnat.cloud.client import (
    ADDRESSES_PER_CALL,
    ENTRIES_PER_PAGE,
    CloudClient,
    Eip,
    EntryFilter,
    EntryPage,
    GatewayInfo,
)
from poddnat.cloud.errors import NO_CREDENTIALS, CloudError, Meaning
from poddnat.cloud.problems import problem_of
from poddnat.cloud.rate_limiter import RateLimiter

__all__ = [
    "ADDRESSES_PER_CALL",
    "ENTRIES_PER_PAGE",
    "NO_CREDENTIALS",
    "CloudClient",
    "CloudError",
    "Eip",
    "EntryFilter",
    "EntryPage",
    "GatewayInfo",
    "Meaning",
    "RateLimiter",
    "problem_of",
]
