"""Finds what PodDNATs that are gone have left behind on one gateway, and tells which of it may be deleted."""

import logging
import math
import threading
from collections.abc import Callable, Mapping

from poddnat.gateway.intervals import GONE_GATHER
from poddnat.gateway.listener import GatewayListener, Liveness
from poddnat.gateway.orphans import OrphanGuard
from poddnat.gateway.reconciler import OwnEntries, Ownership, Reconciler
from poddnat.model import ForwardEntry

log = logging.getLogger(__name__)


class GarbageCollector:
    """Chooses whose entries to delete. ``listed`` and ``collect`` take the lock; the caller of others holds it."""

    def __init__(
        self,
        gateway_id: str,
        reconciler: Reconciler,
        ownership: Ownership,
        liveness: Liveness,
        listener: GatewayListener,
        *,
        lock: threading.Condition,
        may_write: Callable[[], bool],
    ) -> None:
        """``lock`` guards the reconciler; ``may_write`` tells whether this process is the active one."""
        self._gateway_id = gateway_id
        self._reconciler = reconciler
        self._ownership = ownership
        self._liveness = liveness
        self._listener = listener
        self._lock = lock
        self._may_write = may_write
        self.guard = OrphanGuard(liveness.is_alive)
        """Who tells what is left to an operator."""
        self._told_held: frozenset[str] = frozenset()
        self._told_shared = False
        self._gone: dict[str, OwnEntries] = {}
        # PodDNATs that went and left something behind, until it is known how many they are.
        self.due_at = math.inf
        """When those that went have been counted for long enough."""

    def gone(self, own: OwnEntries, now: float) -> None:
        """Note that a PodDNAT went and left something behind."""
        self.due_at = min(self.due_at, now + GONE_GATHER)
        self._gone[own.uid] = own

    def take_gone(self, now: float) -> dict[str, OwnEntries]:
        """Take out those that went, once they have been counted for long enough; until then none."""
        if self.due_at > now:
            return {}
        if not self._liveness.has_synced:
            self.due_at = now + GONE_GATHER
            return {}
        gone, self._gone, self.due_at = self._gone, {}, math.inf
        return {uid: own for uid, own in gone.items() if not self._liveness.is_alive(uid)}

    def is_ours(self, entry: ForwardEntry) -> bool:
        """Whether an entry is this cluster's; what is left to an operator may be another's, and has its port."""
        owner = self._ownership.owner_in(entry.name)
        return owner is not None and owner not in self.guard.held and not self._liveness.is_of_another(owner)

    def listed(self, now: float) -> list[OwnEntries]:
        """Take over that the whole table was listed, and tell what may be deleted of what nobody claims."""
        with self._lock:
            unclaimed = {uid: OwnEntries(uid, self._ownership.name_of(uid)) for uid in self._reconciler.unclaimed()}
            owners = self._reconciler.owners()
            self.guard.seen(owners)
            if not self._liveness.has_synced:
                for own in unclaimed.values():
                    self.gone(own, now)
                self._lock.notify()
                return []
        self._tell_shared(sum(map(self._liveness.is_of_another, owners)))
        return self.collect(unclaimed)

    def _tell_shared(self, count: int) -> None:
        """Tell once that PodDNATs of other installations have entries under this one's clusterID."""
        if not self._may_write():
            return
        if count and not self._told_shared:
            log.warning("gateway %s: another installation has entries under this one's clusterID", self._gateway_id)
            self._listener.cluster_id_shared(self._gateway_id, count)
        self._told_shared = bool(count)

    def collect(self, left: Mapping[str, OwnEntries]) -> list[OwnEntries]:
        """Tell which of these may be deleted: they are gone, and not too many to be believed.

        May ask the API server.
        """
        gone, active = self._liveness.gone_of(left.keys()) if left else set(), self._may_write()
        with self._lock:
            released = self.guard.judge(gone, self._reconciler.owners(), may_delete=active)
            held, shared = self.guard.held, self.guard.shared
            news = active and held != self._told_held
            if news:
                self._told_held = held
        if news:
            log.warning("gateway %s: entries are kept of %d PodDNATs that are gone", self._gateway_id, len(held))
            self._listener.orphans_held(self._gateway_id, len(held), shared=shared)
        return [left[uid] for uid in sorted(released)]
