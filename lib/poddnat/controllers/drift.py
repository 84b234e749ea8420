"""Drift detection: PodDNATs at rest are synced at once when somebody else changes their entries, owners or finalizers.

Metacontroller would ask by itself, minutes later: it sees no entries, and ignores owners and finalizers together with
the status. Nothing is written here: only a PodDNAT's own sync may judge what it may have.
"""

import datetime as dt
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from poddnat.api import CHECK_ASKED_AT, claimed_entries, controller_of, is_terminating, key_of, made_by_another, spec_of
from poddnat.controllers.cluster import Cluster
from poddnat.controllers.listener import ControllersListener
from poddnat.gateway import Fleet, GatewayDriver
from poddnat.kube import KubeError
from poddnat.timestamps import now, rfc3339

log = logging.getLogger(__name__)

Manifest = dict[str, Any]

_HEARD = ("generation", "annotations", "labels")
"""What of a PodDNAT's metadata has Metacontroller call the hook when it changes."""


class DriftDetector:
    """Compares what PodDNATs say with each listing of a gateway's table."""

    def __init__(
        self,
        cluster: Cluster,
        fleet: Fleet,
        listener: ControllersListener,
        *,
        resync: Callable[[Iterable[str]], None],
        reserve: Callable[[str, Manifest], object] = lambda _pod_uid, _poddnat: None,
        may_write: Callable[[], bool] = lambda: True,
        wall_clock: Callable[[], dt.datetime] = now,
    ) -> None:
        """``may_write`` tells whether this process is the active one; the listener is called for drifted entries.

        ``resync`` has PodDNATs synced at once, by their uids; ``reserve`` has what one names reserved for a living pod.
        """
        self._resync = resync
        self._reserve = reserve
        self._cluster = cluster
        self._fleet = fleet
        self._listener = listener
        self._may_write = may_write
        self._wall_clock = wall_clock
        self._resynced: dict[str, set[str]] = {}
        """By gateway: the ids of drifted entries whose PodDNATs have been resynced; once is enough."""

    def check(self, gateway_id: str) -> None:
        """Look through all PodDNATs of a gateway whose table has just been listed; at most one call at a time each."""
        gateway = self._fleet.get(gateway_id)
        if gateway is None or not self._may_write():
            return
        resynced = self._resynced.get(gateway_id, set())
        still_drifted = set[str]()
        for poddnat, drifted in self._drifted(gateway):
            still_drifted.update(drifted)
            if not resynced.issuperset(drifted):
                what = f"entry {', '.join(drifted)} on {gateway_id}"
                log.warning("PodDNAT %s: somebody deleted or changed %s; it is made anew", key_of(poddnat), what)
                self._listener.entries_drifted(gateway_id)
                self._resync([poddnat["metadata"]["uid"]])
        self._resynced[gateway_id] = still_drifted

    def _drifted(self, gateway: GatewayDriver) -> Iterator[tuple[Manifest, list[str]]]:
        """Find PodDNATs at rest with the ids of those of their entries that are gone or changed."""
        table = {entry.entry_id: entry.rule for entry in gateway.entries()}
        for poddnat in self._cluster.poddnats.all():
            if spec_of(poddnat).get("tableId") != gateway.gateway_id or is_terminating(poddnat):
                continue
            claims = claimed_entries(poddnat.get("status") or {})
            drifted = [entry_id for entry_id, rule in claims.items() if table.get(entry_id) != rule]
            if drifted and not gateway.is_busy_with(poddnat["metadata"]["uid"]):
                yield poddnat, drifted

    def seen(self, before: Manifest | None, poddnat: Manifest) -> None:
        """Take over a PodDNAT that is new, or differs from before.

        The gateway's table is read again when somebody asks for that on the PodDNAT, once each time. And what
        Metacontroller does not call the hook for is brought to it: who owns the PodDNAT, and what keeps it.
        """
        asked = _check_asked(poddnat)
        if asked is not None and (before is None or _check_asked(before) != asked):
            gateway = self._fleet.get(str(spec_of(poddnat).get("tableId", "")))
            if gateway is not None:
                gateway.invalidate()
        if before is not None:
            if _is_unheard(before, poddnat):
                self._resync([poddnat["metadata"]["uid"]])
            try:
                self._ask_former_pod(before, poddnat)
            except KubeError as error:
                log.warning("PodDNAT %s: its former pod asks minutes later: %s", key_of(poddnat), error)

    def _ask_former_pod(self, before: Manifest, poddnat: Manifest) -> None:
        """Have the living pod synced that a PodDNAT was taken from, as by a backup's: it gets another, alike.

        Metacontroller knows whose a PodDNAT is by its owner alone.
        """
        metadata, owner = poddnat["metadata"], controller_of(before["metadata"])
        taken = owner is not None and owner != controller_of(metadata) and self._cluster.pods.is_alive(owner.uid)
        if owner is not None and taken and self._may_write():
            self._reserve(owner.uid, before)
            now = rfc3339(self._wall_clock())
            self._cluster.client.trigger_pod_resync(metadata["namespace"], metadata["name"], now)

    def resync_misplaced(self, is_misplaced: Callable[[Manifest], bool]) -> None:
        """Have those PodDNATs synced at once that other values, or another cloud, leave in the wrong place."""
        try:
            for poddnat in self._cluster.poddnats.all() if self._may_write() else ():
                if not is_terminating(poddnat) and is_misplaced(poddnat):
                    self._resync([poddnat["metadata"]["uid"]])
        except KubeError as error:
            log.warning("other values take effect as PodDNATs are synced, not at once: %s", error)


def _check_asked(poddnat: Manifest) -> str | None:
    """Read when somebody last asked to have the table read again."""
    found: str | None = (poddnat["metadata"].get("annotations") or {}).get(CHECK_ASKED_AT)
    return found


def _is_unheard(before: Manifest, poddnat: Manifest) -> bool:
    """Whether other pods own a PodDNAT of ours, or a finalizer has left it, and no hook is called for that."""
    old, new = before["metadata"], poddnat["metadata"]
    if made_by_another(new) or is_terminating(poddnat) or any(old.get(key) != new.get(key) for key in _HEARD):
        return False
    return _pods(old) != _pods(new) or not set(old.get("finalizers") or ()) <= set(new.get("finalizers") or ())


def _pods(metadata: Manifest) -> set[str]:
    return {owner["uid"] for owner in metadata.get("ownerReferences") or () if owner.get("kind") == "Pod"}
