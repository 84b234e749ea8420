"""One NAT gateway's driver: threads and calls around its reconciler.

Hooks tell it what a PodDNAT should have and get an answer at once, from memory. One thread asks the reconciler what to
do next; the calls to the cloud run on threads of their own, and what came of them goes back to the reconciler.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from poddnat import logs
from poddnat.cloud import (
    ALL_ENTRIES,
    CloudClient,
    CloudError,
    EntryFilter,
    EntryPage,
    GatewayInfo,
    Meaning,
    RateLimiter,
)
from poddnat.gateway.garbage_collector import GarbageCollector
from poddnat.gateway.listener import GatewayListener, Liveness
from poddnat.gateway.progress import Done, Progress
from poddnat.gateway.read_budget import CallGates, ReadBudget
from poddnat.gateway.reading import read_pages
from poddnat.gateway.reconciler import (
    MOST_AT_ONCE,
    Call,
    Create,
    Delete,
    Find,
    GatewayStats,
    OwnEntries,
    Ownership,
    ReadPage,
    Reconciler,
)
from poddnat.model import EntryStatus, ForwardEntry, ForwardRule

log = logging.getLogger(__name__)

_PORT_BREAK_ABOVE = 1024
"""CreateForwardEntry: PortBreak is needed above this where SNAT uses the address too, and does no harm elsewhere."""

_Outcome = Callable[[float], None]
"""Takes over what came of a call, at a time."""


class GatewayDriver:
    """Brings one gateway's table to what PodDNATs desire. Safe to use from several threads."""

    def __init__(
        self,
        gateway_id: str,
        cloud: CloudClient,
        ownership: Ownership,
        rate_limiter: RateLimiter,
        budget: ReadBudget,
        liveness: Liveness,
        listener: GatewayListener,
        *,
        may_write: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make a driver that is not started yet.

        ``may_write`` tells whether this process is the active one; others read only. ``clock`` measures seconds.
        """
        self.gateway_id = gateway_id
        self.info: GatewayInfo | None = None
        """What DescribeNatGateways last said of it; None: nothing yet, or that there is no such gateway."""
        self._cloud = cloud
        self._ownership = ownership
        self._liveness = liveness
        self._listener = listener
        self._may_write = may_write
        self._clock = clock
        self._foreign: list[ForwardEntry] = []
        self._reconciler = Reconciler(gateway_id, ownership, liveness.is_alive)
        self._gates = CallGates(gateway_id, rate_limiter, budget)
        self._wake = threading.Condition()
        self._collector = GarbageCollector(
            gateway_id, self._reconciler, ownership, liveness, listener, lock=self._wake, may_write=may_write
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"gateway-{gateway_id}", daemon=True)
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

    # What the hooks ask for.

    def set_desired(self, own: OwnEntries, rules: tuple[ForwardRule, ...]) -> Progress:
        """Let a PodDNAT have exactly these rules, and tell how far it is."""
        with self._wake:
            progress = self._reconciler.set_desired(own, rules, self._clock())
            if not isinstance(progress, Done):  # Most often it has what it desires, and nothing is to be done.
                self._wake.notify()
            return progress

    def release(self, own: OwnEntries) -> Progress:
        """Let none of a PodDNAT's entries be left, and tell how far it is."""
        with self._wake:
            self._wake.notify()
            return self._reconciler.set_desired(own, (), self._clock(), release=True)

    def orphan(self, own: OwnEntries) -> None:
        """Release what a PodDNAT has left behind, whose going is beyond doubt."""
        with self._wake:
            self._wake.notify()
            if self._may_write() and self._reconciler.has_any(own):
                self._reconciler.orphan(own, self._clock())

    def gone(self, own: OwnEntries) -> None:
        """Take notice that a PodDNAT went; what it left behind is released, unless too many go at once."""
        with self._wake:
            if self._may_write() and self._reconciler.has_any(own):
                self._collector.gone(own, self._clock())
                self._wake.notify()

    @property
    def orphans(self) -> int:
        """How many PodDNATs are gone whose entries are left to an operator."""
        return len(self._collector.guard.held)

    def working(self, own: OwnEntries, rules: tuple[ForwardRule, ...]) -> Done | None:
        """Tell whether a PodDNAT has exactly these rules, without desiring anything; None: not so, or not known."""
        with self._wake:
            return self._reconciler.working(own, rules)

    def has_any(self, own: OwnEntries) -> bool:
        """Whether this gateway has, or is about to have, anything of a PodDNAT."""
        with self._wake:
            return self._reconciler.has_any(own)

    def is_busy_with(self, uid: str) -> bool:
        """Whether something of a PodDNAT is being changed here."""
        with self._wake:
            return self._reconciler.is_busy_with(uid)

    def entries(self) -> list[ForwardEntry]:
        """List the table as last seen."""
        with self._wake:
            return list(self._reconciler.table)

    def entries_of(self, own: OwnEntries) -> list[ForwardEntry]:
        """List the entries of a PodDNAT that are there to stay."""
        with self._wake:
            there = own.entries(self._reconciler.table)
        return [entry for entry in there if entry.status is not EntryStatus.DELETING]

    def entries_by_id(self, entry_ids: Iterable[str]) -> list[ForwardEntry]:
        """List the entries that have these ids, whosever they are."""
        with self._wake:
            found = map(self._reconciler.table.get, entry_ids)
            return [entry for entry in found if entry is not None]

    def invalidate(self) -> None:
        """Read the whole table as soon as may be: somebody doubts what is known of it."""
        with self._wake:
            self._reconciler.invalidate()
            self._wake.notify()

    def resync(self) -> None:
        """Verify what is known before it is used: until now, somebody else was writing."""
        with self._wake:
            self._reconciler.resync(self._clock())
            self._wake.notify()

    def set_quota(self, quota: int | None) -> None:
        """Let the table get no longer than this, whatever the cloud allows; None: as long as it allows."""
        with self._wake:
            self._reconciler.set_quota(quota)
            self._wake.notify()

    def update(self, info: GatewayInfo | None) -> None:
        """Take over what DescribeNatGateways says; None: no such gateway."""
        with self._wake:
            self.info = info
            self._wake.notify()

    @property
    def loaded(self) -> bool:
        """Whether the table has been listed since the start."""
        return self._reconciler.loaded

    @property
    def full(self) -> bool:
        """Whether the table had no room for an entry, and nothing has been freed since."""
        with self._wake:
            return self._reconciler.is_full(self._clock())

    def stats(self) -> GatewayStats:
        """Tell how the work stands, for metrics."""
        with self._wake:
            return self._reconciler.stats(self._clock())

    # The work.

    def _run(self) -> None:
        with self._wake:
            while not self._stopping.is_set():
                call, wait = None, math.inf
                if self.info is not None and self.info.table_ids:
                    call, wait = self._reconciler.next(self._clock(), self._gates, may_write=self._may_write())
                if gone := self._collector.take_gone(self._clock()):
                    self._pool.submit(self._collect, gone)
                wait = min(wait, self._collector.due_at - self._clock())
                if call is None:
                    self._wake.wait(None if math.isinf(wait) else max(wait, 0.001))
                    continue
                if isinstance(call, Create | Delete):
                    # Counted before the next one is chosen, or more would go out than the limit's first one.
                    self._gates.sent(call.kind)
                self._pool.submit(self._perform, call)

    def _perform(self, call: Call) -> None:
        with logs.about(gateway=self.gateway_id, pod=call.pod if isinstance(call, Create | Delete) else ""):
            try:
                if isinstance(call, Create | Delete):
                    self._write(call)
                else:
                    self._read(call)
            except Exception as error:  # noqa: BLE001  # the pool would keep it to itself, and the gateway stand still
                args = (type(error), error, error.__traceback__, threading.current_thread())
                threading.excepthook(threading.ExceptHookArgs(args))

    def _outcome(self, call: Call, make: Callable[[], _Outcome]) -> _Outcome | CloudError:
        """Make a call, and give its error, or what takes over that it worked; after a bug of ours nobody knows."""
        try:
            return make()
        except CloudError as error:
            return error
        except Exception as error:  # a bug in one call must not stop the gateway's other work
            log.exception("gateway %s: unexpected failure of %s", self.gateway_id, call)
            return CloudError(Meaning.UNKNOWN, action=type(call).__name__, code="Bug", message=str(error))

    def _write(self, call: Create | Delete) -> None:
        outcome = self._outcome(call, lambda: self._create(call) if isinstance(call, Create) else self._delete(call))
        self._gates.answered(call.kind, outcome if isinstance(outcome, CloudError) else None)
        with self._wake:
            if isinstance(outcome, CloudError):
                self._reconciler.writes.failed(call, outcome, self._clock())
            else:
                outcome(self._clock())
            self._wake.notify()
            fulfilled = self._reconciler.take_fulfilled()
        self._listener.fulfilled(fulfilled)

    def _create(self, call: Create) -> _Outcome:
        self._check_active(call)
        table_id = self._table_id()
        entry_id = self._cloud.create_forward_entry(
            table_id=table_id,
            rule=call.rule,
            name=call.name,
            client_token=call.token,
            port_break=call.rule.external_ports.last > _PORT_BREAK_ABOVE,
        )
        log.info("gateway %s: asked for %s, %s", self.gateway_id, entry_id, call.rule)
        return partial(self._reconciler.writes.created, call, entry_id, table_id)

    def _delete(self, call: Delete) -> _Outcome:
        """Delete an entry, unless it is a leftover of a PodDNAT that lives, here or elsewhere."""
        self._check_active(call)
        left = call.leftover_of
        if left is not None and (self._collector.guard.shared or left not in self._liveness.gone_of([left])):
            return partial(self._reconciler.writes.vetoed, call)
        table_id = call.entry.table_id or self._table_id()
        self._cloud.delete_forward_entry(table_id=table_id, entry_id=call.entry.entry_id, client_token=call.token)
        log.info("gateway %s: gave up %s, %s", self.gateway_id, call.entry.entry_id, call.rule)
        return partial(self._reconciler.writes.deleted, call)

    def _check_active(self, call: Create | Delete) -> None:
        """Make sure that this process may write: a call may be overtaken by the loss of the lease.

        Raises:
            CloudError: it may not, and ends soon; nothing was sent.
        """
        if not self._may_write():
            raise CloudError(Meaning.UNKNOWN, action=type(call).__name__, code="NotActive", message="lost the lease")

    def _table_id(self) -> str:
        """Give the forward table where entries are created.

        Raises:
            CloudError: the gateway has gone since the call was chosen; nothing was sent.
        """
        info = self.info
        if info is None or not info.table_ids:
            raise CloudError(Meaning.UNUSABLE, action="DescribeNatGateways", code="Missing", message="it has gone")
        return info.table_ids[0]

    def _read(self, call: Find | ReadPage) -> None:
        outcome = self._outcome(call, lambda: self._find(call) if isinstance(call, Find) else self._read_page(call))
        listed = False
        with self._wake:
            if isinstance(outcome, CloudError):
                self._reconciler.reads.failed(outcome, self._clock())
            else:
                outcome(self._clock())
                listed = self._reconciler.reads.take_listed()
            self._wake.notify()
            fulfilled = self._reconciler.take_fulfilled()
        self._listener.fulfilled(fulfilled)
        if listed:
            try:
                self._after_listing()
            except Exception:  # the next listing does it again, and the gateway's own work does not depend on it
                log.exception("gateway %s: taking notice of its table", self.gateway_id)

    def _find(self, call: Find) -> _Outcome:
        for where in call.filters:
            with self._wake:
                since, started_at = self._reconciler.table.now(), self._clock()
            page = read_pages(partial(self._page, where, refresh=False))
            with self._wake:
                self._reconciler.reads.found(where, page, since=since, started_at=started_at, now=self._clock())
        return self._reconciler.reads.ended

    def _read_page(self, call: ReadPage) -> _Outcome:
        with self._wake:
            since, started_at = self._reconciler.table.now(), self._clock()
        page = self._page(ALL_ENTRIES, call.page, refresh=call.refresh)
        with self._wake:
            self._reconciler.reads.page_read(call, page, since=since, started_at=started_at, now=self._clock())
        return self._reconciler.reads.ended

    def _page(self, where: EntryFilter, number: int, *, refresh: bool) -> EntryPage:
        """Read one page as soon as may be; a throttled one is asked for again, so that a listing isn't begun anew.

        Raises:
            CloudError: it can't be read, or it is time to stop; never that it was throttled.
        """
        while not self._stopping.is_set():
            if (wait := self._gates.wait(None)) > 0:
                self._stopping.wait(wait)
                continue
            self._gates.sent(None, refresh=refresh)
            error: CloudError | None = None
            try:
                return self._cloud.describe_forward_table_entries(self.gateway_id, page=number, where=where)
            except CloudError as failure:
                error = failure
                if error.meaning is not Meaning.THROTTLED:
                    raise
            finally:
                self._gates.answered(None, error)
        raise CloudError(Meaning.UNKNOWN, action="DescribeForwardTableEntries", code="Stopped", message="at the end")

    def _after_listing(self) -> None:
        """Tell what the table shows, and collect the entries of PodDNATs that are gone. Nobody waits for this."""
        self._release(self._collector.listed(self._clock()))
        with self._wake:
            foreign = [entry for entry in self._reconciler.table if not self._collector.is_ours(entry)]
        if foreign != self._foreign:
            self._foreign = foreign
            self._listener.foreign_changed(self.gateway_id, foreign)
        self._listener.table_listed(self.gateway_id)

    def _collect(self, gone: dict[str, OwnEntries]) -> None:
        try:
            self._release(self._collector.collect(gone))
        except Exception:  # the next listing does it again
            log.exception("gateway %s: collecting entries of PodDNATs that are gone", self.gateway_id)

    def _release(self, orphans: Iterable[OwnEntries]) -> None:
        for own in orphans:
            self._listener.garbage_collected(self.gateway_id)
            log.warning("gateway %s: deleting the entries of PodDNAT %s, which is gone", self.gateway_id, own.uid)
            self.orphan(own)
