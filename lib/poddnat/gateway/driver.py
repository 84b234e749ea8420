"""One NAT gateway's driver: threads and calls around its agenda.

Hooks tell it what a PodDNAT should have and get an answer at once, from memory. One thread asks the agenda what to do
next; the calls to the cloud run on threads of their own, and what came of them goes back to the agenda.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from poddnat import logs
from poddnat.cloud import CloudClient, CloudError, EntryFilter, EntryPage, GatewayInfo, Meaning, RateLimiter
from poddnat.gateway.calls import Call, Create, Delete, Look, Peek
from poddnat.gateway.concurrency import MOST_AT_ONCE
from poddnat.gateway.listing import EVERYTHING, read_listing
from poddnat.gateway.ownership import Ownership
from poddnat.gateway.plan import OwnEntries
from poddnat.gateway.progress import Done, Progress
from poddnat.gateway.reconciler import Agenda
from poddnat.gateway.stats import GatewayStats
from poddnat.model import EntryStatus, ForwardEntry, ForwardRule

log = logging.getLogger(__name__)

_SNAT_FREE_PORTS = 1024
"""CreateForwardEntry: on an EIP that SNAT uses too, ports above this need PortBreak."""
_AFTER_A_BUG = 1.0


class Liveness(Protocol):
    """Who tells which PodDNATs exist."""

    def is_alive(self, uid: str) -> bool:
        """Whether a PodDNAT exists, as far as is known; answers at once."""

    def gone_of(self, uids: Collection[str]) -> set[str]:
        """Tell which of these PodDNATs surely don't exist; may ask the API server, once for all."""


def _is_write(job: Call) -> bool:
    return isinstance(job, Create | Delete)


class _StoppedError(Exception):
    """The rest of a long listing is not waited for at the end."""


class GatewayDriver:
    """Brings one gateway's table to what PodDNATs want. Safe to use from several threads."""

    def __init__(
        self,
        gateway_id: str,
        cloud: CloudClient,
        ownership: Ownership,
        rate_limiter: RateLimiter,
        liveness: Liveness,
        *,
        on_foreign: Callable[[str, Sequence[ForwardEntry]], None],
        on_listed: Callable[[str], None] = lambda _gateway_id: None,
        on_swept: Callable[[str], None] = lambda _gateway_id: None,
        may_write: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
        refresh_interval: float = 300.0,
    ) -> None:
        """Make a driver that is not started yet.

        ``on_foreign`` is told the gateway's id and its entries that are not this cluster's, when they change.
        ``on_listed`` is told the gateway's id after each listing of the whole table, ``on_swept`` for each PodDNAT that
        is found to be gone and whose entries are swept up.
        ``may_write`` tells whether this process is the active one; others read only.
        ``refresh_interval``: seconds between two listings of the whole table when nothing else asks for one.
        """
        self.gateway_id = gateway_id
        self.info: GatewayInfo | None = None
        """What DescribeNatGateways last said of it; None: nothing yet, or that there is no such gateway."""
        self._cloud = cloud
        self._ownership = ownership
        self._rate_limiter = rate_limiter
        self._liveness = liveness
        self._may_write = may_write
        self._clock = clock
        self._on_foreign = on_foreign
        self._on_listed = on_listed
        self._on_swept = on_swept
        self._foreign: list[ForwardEntry] = []
        self._agenda = Agenda(gateway_id, ownership, liveness.is_alive, refresh_interval=refresh_interval)
        self._wake = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"agenda-{gateway_id}", daemon=True)
        self._pool = ThreadPoolExecutor(MOST_AT_ONCE + 1, thread_name_prefix=f"call-{gateway_id}")

    def start(self) -> None:
        """Start working."""
        self._thread.start()

    def halt(self) -> None:
        """Begin nothing more."""
        with self._wake:
            self._stopping.set()
            self._wake.notify()

    def stop(self) -> None:
        """Stop; calls under way are waited for, so that their outcome is not lost."""
        self.halt()
        if self._thread.is_alive():
            self._thread.join()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def ensure(self, mine: OwnEntries, rules: tuple[ForwardRule, ...]) -> Progress:
        """Want exactly these rules for a PodDNAT, and tell how far it is."""
        with self._wake:
            self._wake.notify()
            return self._agenda.want(mine, rules, self._clock())

    def working(self, mine: OwnEntries, rules: tuple[ForwardRule, ...]) -> Done | None:
        """Tell whether a PodDNAT has exactly these rules, without wanting anything; None: not so, or not known."""
        with self._wake:
            return self._agenda.working(mine, rules)

    def release(self, mine: OwnEntries) -> Progress:
        """Want none of a PodDNAT's entries left, and tell how far it is."""
        with self._wake:
            self._wake.notify()
            return self._agenda.want(mine, (), self._clock(), release=True)

    def orphan(self, mine: OwnEntries) -> None:
        """Release what a PodDNAT has left behind that went without a finalize call."""
        with self._wake:
            self._wake.notify()
            if self._may_write() and self._agenda.concerns(mine):
                self._agenda.orphan(mine, self._clock())

    def concerns(self, mine: OwnEntries) -> bool:
        """Whether this gateway has, or is about to have, anything of a PodDNAT."""
        with self._wake:
            return self._agenda.concerns(mine)

    def entries_of(self, mine: OwnEntries) -> list[ForwardEntry]:
        """List the entries of a PodDNAT that are there to stay."""
        with self._wake:
            there = mine.entries(self._agenda.table)
        return [entry for entry in there if entry.status is not EntryStatus.DELETING]

    def invalidate(self) -> None:
        """Read the whole table as soon as may be: somebody doubts what is known of it."""
        with self._wake:
            self._agenda.invalidate(self._clock())
            self._wake.notify()

    def resync(self) -> None:
        """List the table again before anything is written: until now, somebody else was writing."""
        with self._wake:
            self._agenda.resync(self._clock())
            self._wake.notify()

    def limit(self, quota: int | None) -> None:
        """Let the table get no longer than this, whatever the cloud allows; None: as long as it allows."""
        with self._wake:
            self._agenda.room.limit = quota
            self._wake.notify()

    def entries_by_id(self, entry_ids: Iterable[str]) -> list[ForwardEntry]:
        """List the entries that have these ids, whosever they are."""
        with self._wake:
            found = map(self._agenda.table.get, entry_ids)
            return [entry for entry in found if entry is not None]

    def update(self, info: GatewayInfo | None) -> None:
        """Take over what DescribeNatGateways says; None: no such gateway."""
        with self._wake:
            self.info = info
            self._wake.notify()

    def entries(self) -> list[ForwardEntry]:
        """List the table as last seen."""
        with self._wake:
            return list(self._agenda.table)

    def is_busy_with(self, uid: str) -> bool:
        """Whether something of a PodDNAT is being changed here."""
        with self._wake:
            return self._agenda.is_busy_with(uid)

    @property
    def loaded(self) -> bool:
        """Whether the table has been listed since the start."""
        return self._agenda.loaded

    @property
    def full(self) -> bool:
        """Whether the table had no room for an entry, and nothing has been freed since."""
        with self._wake:
            return self._agenda.room.is_full(len(self._agenda.table), self._clock())

    def stats(self) -> GatewayStats:
        """Tell how the work stands, for metrics."""
        with self._wake:
            return self._agenda.stats(self._clock())

    def _run(self) -> None:
        with self._wake:
            while not self._stopping.is_set():
                try:
                    job, wait = self._next()
                except Exception:  # a bug must not stop the gateway's work in silence
                    log.exception("gateway %s: choosing the next call", self.gateway_id)
                    job, wait = None, _AFTER_A_BUG
                if job is not None:
                    # A write is counted before the next one is chosen, or more would go out than there are calls left.
                    self._pool.submit(self._perform, job, self._rate_limiter.sent() if _is_write(job) else -math.inf)
                else:
                    self._wake.wait(None if math.isinf(wait) else max(wait, 0.001))

    def _next(self) -> tuple[Call | None, float]:
        if self.info is None or not self.info.table_ids:
            return None, math.inf
        if (closed := self._rate_limiter.wait()) > 0:
            return None, closed
        biting = self._rate_limiter.biting
        return self._agenda.next(self._clock(), urgent_only=biting, may_write=self._may_write())

    def _perform(self, job: Call, sent_at: float) -> None:
        if _is_write(job) and not self._may_write():
            return  # Overtaken by the loss of the lease, after which this process ends.
        try:
            with logs.about(gateway=self.gateway_id, pod=job.pod if isinstance(job, Create | Delete) else ""):
                self._call(job, sent_at)
        except _StoppedError:
            pass
        except CloudError as error:  # The gateway has gone since the call was chosen: nothing was sent.
            self._rate_limiter.not_sent(sent_at)
            self._fail(job, error)
        except Exception as error:  # a bug in one call must not stop the gateway's other work
            log.exception("gateway %s: unexpected failure of %s", self.gateway_id, job)
            self._fail(job, CloudError(Meaning.UNKNOWN, action=type(job).__name__, code="Bug", message=str(error)))

    def _call(self, job: Call, sent_at: float) -> None:
        match job:
            case Create():
                self._create(job, sent_at)
            case Delete():
                self._delete(job, sent_at)
            case Look():
                self._look(job)
            case Peek():
                self._peek(job)

    def _create(self, job: Create, sent_at: float) -> None:
        table_id, port_break = self._terms(job.rule)
        try:
            entry_id = self._cloud.create_forward_entry(
                table_id=table_id, rule=job.rule, name=job.name, client_token=job.token, port_break=port_break
            )
        except CloudError as error:
            self._fail(job, error, sent_at)
            return
        log.info("gateway %s: asked for %s, %s", self.gateway_id, entry_id, job.rule)
        self._rate_limiter.passed(sent_at)
        with self._wake:
            self._agenda.created(job, entry_id, self._clock())
            self._wake.notify()

    def _delete(self, job: Delete, sent_at: float) -> None:
        if job.leftover_of is not None and job.leftover_of not in self._liveness.gone_of([job.leftover_of]):
            self._rate_limiter.not_sent(sent_at)
            with self._wake:
                self._agenda.spared(job, self._clock())
                self._wake.notify()
            return
        table_id, _ = self._terms(job.entry.rule)
        try:
            self._cloud.delete_forward_entry(table_id=table_id, entry_id=job.entry.entry_id, client_token=job.token)
        except CloudError as error:
            self._fail(job, error, sent_at)
            return
        log.info("gateway %s: gave up %s, %s", self.gateway_id, job.entry.entry_id, job.entry.rule)
        self._rate_limiter.passed(sent_at)
        with self._wake:
            self._agenda.deleted(job, self._clock())
            self._wake.notify()

    def _terms(self, rule: ForwardRule) -> tuple[str, bool]:
        """Give the forward table's id, and whether a rule needs PortBreak."""
        info = self.info
        if info is None:
            raise CloudError(Meaning.UNUSABLE, action="DescribeNatGateways", code="Missing", message="it has gone")
        snat = any(eip.snat and eip.ip == rule.external_ip for eip in info.eips)
        return info.table_ids[0], snat and rule.external_ports.last > _SNAT_FREE_PORTS

    def _look(self, job: Look) -> None:
        for where in job.filters:
            with self._wake:
                since, started_at = self._agenda.table.now(), self._clock()
            try:
                listing = read_listing(lambda page, where=where: self._page(page, where), where)  # type: ignore[misc]
            except CloudError as error:
                self._fail(job, error)
                return
            with self._wake:
                sweepable = self._agenda.listed(listing, since=since, started_at=started_at, now=self._clock())
                foreign = [entry for entry in self._agenda.table if self._ownership.owner_in(entry.name) is None]
            if foreign != self._foreign:
                self._foreign = foreign
                self._on_foreign(self.gateway_id, foreign)
            self._sweep(sweepable)
            if where == EVERYTHING and listing.whole:
                self._on_listed(self.gateway_id)
        with self._wake:
            self._agenda.look_ended(self._clock())
            self._wake.notify()

    def _peek(self, job: Peek) -> None:
        with self._wake:
            since, started_at = self._agenda.table.now(), self._clock()
        try:
            page = self._page(job.page, EVERYTHING)
        except CloudError as error:
            self._fail(job, error)
            return
        with self._wake:
            now = self._clock()
            self._agenda.peeked(job, page.entries, since=since, started_at=started_at, now=now)
            self._agenda.look_ended(now)
            self._wake.notify()

    def _page(self, page: int, where: EntryFilter) -> EntryPage:
        """Read one page; a throttled one is asked for again, so that a long listing isn't begun anew."""
        while True:
            if self._stopping.is_set():
                raise _StoppedError
            if (closed := self._rate_limiter.wait()) > 0:
                self._stopping.wait(closed)
                continue
            sent_at = self._rate_limiter.sent()
            try:
                answer = self._cloud.describe_forward_table_entries(self.gateway_id, page=page, where=where)
            except CloudError as error:
                if error.meaning is not Meaning.THROTTLED:
                    raise
                self._rate_limiter.refused(sent_at, error.retry_after)
            else:
                self._rate_limiter.passed(sent_at)
                return answer

    def _sweep(self, uids: list[str]) -> None:
        for uid in sorted(self._liveness.gone_of(uids)) if uids and self._may_write() else ():
            self._on_swept(self.gateway_id)
            log.warning("gateway %s: sweeping entries of PodDNAT %s, which is gone", self.gateway_id, uid)
            with self._wake:
                self._agenda.orphan(OwnEntries(uid, self._ownership.name_of(uid)), self._clock())

    def _fail(self, job: Call, error: CloudError, sent_at: float = -math.inf) -> None:
        if error.meaning is Meaning.THROTTLED:
            self._rate_limiter.refused(sent_at, error.retry_after)
        else:
            self._rate_limiter.passed(sent_at)
            if error.meaning is not Meaning.BUSY:
                log.warning("gateway %s: %s", self.gateway_id, error)
        with self._wake:
            if isinstance(job, Look | Peek):
                self._agenda.look_failed(error, self._clock())
            else:
                self._agenda.failed(job, error, self._clock())
            self._wake.notify()
