"""What commands work on that don't serve hooks: a values file's cloud, the cluster, and a snapshot of both.

Writes are one-off tasks: the gateways' own drivers do them, with their concurrency limits and the rate limiter.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from poddnat.api import desired_by, entry_ids, made_by_another, pod_uid_of, spec_of
from poddnat.backoff import Backoff
from poddnat.cli.intervals import (
    TASK_POLL,
    TASK_TIMEOUT,
    THROTTLED_CALLS,
    THROTTLED_FIRST,
    THROTTLED_LONGEST,
)
from poddnat.cloud import (
    ALL_ENTRIES,
    ENTRIES_PER_PAGE,
    CloudClient,
    CloudError,
    EntryFilter,
    EntryPage,
    GatewayInfo,
    Meaning,
)
from poddnat.config import Values
from poddnat.gateway import Fleet, GatewayListener, Liveness, Ownership, read_pages
from poddnat.kube import KubeClient
from poddnat.model import ForwardEntry
from poddnat.ports import PortRegistry

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
    """All PodDNATs, and the tables of the pool's gateways and of those that the installation's PodDNATs name."""

    poddnats: tuple[Manifest, ...]
    """Those of the installation."""
    gateways: Mapping[str, GatewayInfo]
    tables: Mapping[str, tuple[ForwardEntry, ...]]
    """By gateway id; a gateway that the cloud doesn't know has an empty one."""
    of_others: tuple[Manifest, ...] = ()
    """Those of other installations; to one with a name, those of ACK's controller are among them."""

    def claims(self) -> dict[str, str]:
        """Tell which entries PodDNATs name as their own, whatever the entries' names: entry id to PodDNAT's uid."""
        return {
            entry_id: poddnat["metadata"]["uid"]
            for poddnat in self.poddnats
            for entry_id in entry_ids(poddnat.get("status") or {})
        }

    def foreign(self, values: Values) -> dict[str, list[ForwardEntry]]:
        """List the entries of each gateway that are no PodDNAT's, neither by their names nor by what PodDNATs claim."""
        ownership, claims = Ownership(values.cluster_id), self.claims()
        others = {None, *(poddnat["metadata"]["uid"] for poddnat in self.of_others)}
        return {
            gateway_id: [e for e in table if ownership.owner_in(e.name) in others and e.entry_id not in claims]
            for gateway_id, table in self.tables.items()
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
        listed, _ = self.kube.poddnats()
        poddnats = [one for one in listed if self.values.installation.has(one["metadata"])]
        of_others = [one for one in listed if not self.values.installation.has(one["metadata"])]
        show("reading the NAT gateways")
        infos = {info.gateway_id: info for info in retry_throttled(self.cloud.describe_nat_gateways)}
        claiming: dict[str, list[Manifest]] = {gateway_id: [] for gateway_id in self.values.gateway_ids}
        for poddnat in [*poddnats, *(one for one in of_others if made_by_another(one["metadata"]))]:
            if gateway_id := str(spec_of(poddnat).get("tableId") or ""):
                claiming.setdefault(gateway_id, []).append(poddnat)
        tables = {
            gateway_id: read_table(self.cloud, gateway_id, claimants, show) if gateway_id in infos else ()
            for gateway_id, claimants in claiming.items()
        }
        return Snapshot(tuple(poddnats), infos, tables, tuple(of_others))

    @property
    def ownership(self) -> Ownership:
        """How this cluster's entries are told from others."""
        return Ownership(self.values.cluster_id)

    def make_fleet(self, liveness: Liveness) -> Fleet:
        """Make a fleet for one-off tasks, not started yet; it deletes nothing of a PodDNAT that ``liveness`` knows."""
        return Fleet(self.values, self.cloud, self.ownership, liveness, GatewayListener())


def read_table(
    cloud: CloudClient, gateway_id: str, claimants: Iterable[Manifest], show: ShowProgress
) -> tuple[ForwardEntry, ...]:
    """Read a gateway's table; of the entries that these PodDNATs claim, none is left out that is there.

    Raises:
        CloudError: it could not be read.
    """
    what = f"reading the forward table of {gateway_id}"
    show(what)

    def read(where: EntryFilter, page: int = 1) -> EntryPage:
        return retry_throttled(lambda: cloud.describe_forward_table_entries(gateway_id, page=page, where=where))

    def read_page(page: int) -> EntryPage:
        found = read(ALL_ENTRIES, page)
        done = min(page * ENTRIES_PER_PAGE, found.total)
        show(f"{what}: {done} of {found.total} entries", done, found.total)
        return found

    listing = read_pages(read_page)
    entries = {entry.entry_id: entry for entry in listing.entries}
    if listing.total == len(entries) <= ENTRIES_PER_PAGE:
        return tuple(entries.values())
    # While others write, rows slip from page to page: what several pages didn't show may be there all the same.
    claimed = (entry_id for one in claimants for entry_id in entry_ids(one.get("status") or {}))
    unseen = [entry_id for entry_id in dict.fromkeys(claimed) if entry_id not in entries]
    for done, entry_id in enumerate(unseen):
        show(f"{what}: {done} of {len(unseen)} entries that it didn't show", done, len(unseen))
        entries.update((entry.entry_id, entry) for entry in read(EntryFilter(entry_id=entry_id)).entries)
    return tuple(entries.values())


def registry_of(snapshot: Snapshot, values: Values) -> PortRegistry:
    """Tell which public ports are whose, by the PodDNATs and the tables."""
    registry = PortRegistry(values, time.monotonic)
    for poddnat in snapshot.poddnats:
        metadata = poddnat["metadata"]
        if (desired := desired_by(poddnat)) is not None:
            registry.poddnat_seen(metadata["uid"], pod_uid_of(metadata), desired, namespace=metadata["namespace"])
    for gateway_id, entries in snapshot.foreign(values).items():
        registry.foreign_seen(gateway_id, entries)
    return registry


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
