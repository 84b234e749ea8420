"""What commands work on that don't serve hooks: a values file's cloud, the cluster, and a snapshot of both.

Writes are one-off tasks: the gateways' own drivers do them, with their concurrency limits and the rate limiter.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from poddnat.api import claimed_entries, spec_of
from poddnat.backoff import Backoff
from poddnat.cli.intervals import (
    LISTINGS,
    TASK_POLL,
    TASK_TIMEOUT,
    THROTTLED_CALLS,
    THROTTLED_FIRST,
    THROTTLED_LONGEST,
)
from poddnat.cloud import ENTRIES_PER_PAGE, CloudClient, CloudError, EntryPage, GatewayInfo, Meaning
from poddnat.config import Values
from poddnat.gateway import EVERYTHING, Fleet, Liveness, Ownership, read_listing
from poddnat.kube import KubeClient
from poddnat.model import ForwardEntry

Manifest = dict[str, Any]

_Answer = TypeVar("_Answer")
_Task = TypeVar("_Task")


class ShowProgress(Protocol):
    """Gets what is being done, and how much of how much is done."""

    def __call__(self, what: str, done: int = 0, of: int | None = None, /) -> None:
        """Show it."""


def _show_nothing(what: str, done: int = 0, of: int | None = None, /) -> None:
    """Show no progress."""


@dataclass(frozen=True)
class Snapshot:
    """All PodDNATs, and the tables of the pool's gateways and of those that PodDNATs name."""

    poddnats: tuple[Manifest, ...]
    gateways: Mapping[str, GatewayInfo]
    tables: Mapping[str, tuple[ForwardEntry, ...]]
    """By gateway id; a gateway that the cloud doesn't know has an empty one."""

    def claims(self) -> dict[str, str]:
        """Tell which entries PodDNATs name as their own, whatever the entries' names: entry id to PodDNAT's uid."""
        return {
            entry_id: poddnat["metadata"]["uid"]
            for poddnat in self.poddnats
            for entry_id in claimed_entries(poddnat.get("status") or {})
        }


@dataclass(frozen=True)
class Site:
    """Where a command works."""

    values: Values
    cloud: CloudClient
    kube: KubeClient

    def snapshot(self, show: ShowProgress = _show_nothing) -> Snapshot:
        """Read everything.

        Raises:
            CloudError: the cloud could not be read.
            KubeError: the API server could not be read.
        """
        show("reading the PodDNATs")
        poddnats, _ = self.kube.poddnats()
        show("reading the NAT gateways")
        infos = {info.gateway_id: info for info in retry_throttled(self.cloud.describe_gateways)}
        named = (spec_of(poddnat).get("tableId") for poddnat in poddnats)
        tables = {}
        for gateway_id in dict.fromkeys([*self.values.gateway_ids, *(str(name) for name in named if name)]):
            show(f"reading the forward table of {gateway_id}")
            tables[gateway_id] = self._table(gateway_id, show) if gateway_id in infos else ()
        return Snapshot(tuple(poddnats), infos, tables)

    @property
    def ownership(self) -> Ownership:
        """How this cluster's entries are told from others."""
        return Ownership(self.values.cluster_id)

    def make_fleet(self, liveness: Liveness) -> Fleet:
        """Make a fleet for one-off tasks, not started yet; it deletes nothing of a PodDNAT that ``liveness`` knows."""
        return Fleet(self.values, self.cloud, self.ownership, liveness, lambda _gateway_id, _entries: None)

    def _table(self, gateway_id: str, show: ShowProgress) -> tuple[ForwardEntry, ...]:
        def read(page: int) -> EntryPage:
            found = retry_throttled(lambda: self.cloud.list_forward_entries(gateway_id, page=page))
            done = min(page * ENTRIES_PER_PAGE, found.total)
            show(f"reading the forward table of {gateway_id}: {done} of {found.total} entries", done, found.total)
            return found

        for _ in range(LISTINGS):
            listing = read_listing(read, EVERYTHING)
            if listing.whole:
                break
        return listing.entries


def retry_throttled(call: Callable[[], _Answer]) -> _Answer:
    """Call the cloud, and again while it throttles the call.

    Raises:
        CloudError: the call failed otherwise, or was throttled each time.
    """
    backoff = Backoff(THROTTLED_FIRST, THROTTLED_LONGEST)
    while True:
        try:
            return call()
        except CloudError as error:
            delay = backoff.failed()
            if error.meaning is not Meaning.THROTTLED or backoff.failures == THROTTLED_CALLS:
                raise
            time.sleep(error.retry_after or delay)


def run_tasks(
    fleet: Fleet, tasks: Sequence[_Task], is_done: Callable[[_Task], bool], *, timeout: float = TASK_TIMEOUT
) -> Iterator[tuple[_Task, bool]]:
    """Run a fleet that is not started yet until all tasks are done; yield each as soon as it is done, or has failed.

    ``is_done`` asks the fleet for what a task wants, as often as it is called, and tells whether it is done. Tasks that
    are not done after ``timeout`` seconds have failed.
    """
    if not tasks:
        return
    waiting, deadline = list(tasks), time.monotonic() + timeout
    fleet.start()
    try:
        while waiting and time.monotonic() < deadline:
            for task in [task for task in waiting if is_done(task)]:
                waiting.remove(task)
                yield task, True
            time.sleep(TASK_POLL)
    finally:
        fleet.stop()
    yield from ((task, False) for task in waiting)
