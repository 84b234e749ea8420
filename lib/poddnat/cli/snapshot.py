"""What there is at this moment, in the cluster and on the gateways, for commands that look and don't serve."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from poddnat.api import claimed_entries, spec_of
from poddnat.cloud import ENTRIES_PER_PAGE, CloudClient, CloudError, EntryPage, GatewayInfo, Meaning
from poddnat.config import Values
from poddnat.gateway import EVERYTHING, read_listing
from poddnat.kube import KubeClient
from poddnat.model import ForwardEntry

Manifest = dict[str, Any]

_TRIES = 6
_FIRST_PAUSE = 1.0
_LISTINGS = 3
"""A table that changes between two pages is listed again, so many times at most."""

_Answer = TypeVar("_Answer")


class Say(Protocol):
    """Is told what is being done, and how much of how much has been."""

    def __call__(self, what: str, done: int = 0, of: int | None = None, /) -> None:
        """Take notice."""


@dataclass(frozen=True)
class Snapshot:
    """All PodDNATs, and the tables of the pool's gateways and of those that PodDNATs name."""

    poddnats: tuple[Manifest, ...]
    gateways: Mapping[str, GatewayInfo]
    tables: Mapping[str, tuple[ForwardEntry, ...]]
    """By gateway id; a gateway that the cloud doesn't know has an empty one."""

    def claims(self) -> dict[str, str]:
        """Tell which entries PodDNATs say to be their own, whatever these are called: entry id to PodDNAT's uid."""
        return {
            entry_id: poddnat["metadata"]["uid"]
            for poddnat in self.poddnats
            for entry_id in claimed_entries(poddnat.get("status") or {})
        }


def take_snapshot(
    values: Values, cloud: CloudClient, cluster: KubeClient, say: Say = lambda _what, _done=0, _of=None: None
) -> Snapshot:
    """Read everything; ``say`` is told what is being read, and how much of it has been, where that is known.

    Raises:
        CloudError: the cloud did not tell.
        ClusterError: the API server did not tell.
    """
    say("reading the PodDNATs")
    poddnats, _ = cluster.poddnats()
    say("reading the NAT gateways")
    infos = {info.gateway_id: info for info in patiently(cloud.describe_nat_gateways)}
    named = (spec_of(poddnat).get("tableId") for poddnat in poddnats)
    tables = {}
    for gateway_id in dict.fromkeys([*values.gateway_ids, *(str(name) for name in named if name)]):
        say(f"reading the forward table of {gateway_id}")
        tables[gateway_id] = _table(cloud, gateway_id, say) if gateway_id in infos else ()
    return Snapshot(tuple(poddnats), infos, tables)


def patiently(call: Callable[[], _Answer]) -> _Answer:
    """Call the cloud, again and again while it says "too many calls".

    Raises:
        CloudError: it said something else, or went on saying that.
    """
    for attempt in range(_TRIES):
        try:
            return call()
        except CloudError as error:
            if error.meaning is not Meaning.THROTTLED or attempt == _TRIES - 1:
                raise
            time.sleep(error.retry_after or _FIRST_PAUSE * 2**attempt)
    raise AssertionError("unreachable")


def _table(cloud: CloudClient, gateway_id: str, say: Say) -> tuple[ForwardEntry, ...]:
    def read(page: int) -> EntryPage:
        found = patiently(lambda: cloud.describe_forward_table_entries(gateway_id, page=page))
        done = min(page * ENTRIES_PER_PAGE, found.total)
        say(f"reading the forward table of {gateway_id}: {done} of {found.total} entries", done, found.total)
        return found

    for _ in range(_LISTINGS):
        listing = read_listing(read, EVERYTHING)
        if listing.whole:
            break
    return listing.entries
