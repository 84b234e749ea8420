"""Notice PodDNATs at rest whose entries somebody else deleted or changed, and have them synced at once.

Metacontroller would ask by itself, minutes later. Nothing is written to the cloud here: only a PodDNAT's own sync may
judge what it may have.
"""

import datetime as dt
import logging
from collections.abc import Callable
from typing import Any

from poddnat.api import CHECK_ASKED_AT, claimed_entries, is_terminating, key_of, spec_of
from poddnat.gateway import Fleet
from poddnat.kube import KubeClient, KubeError, PodDNATInformer
from poddnat.timestamps import now, rfc3339

log = logging.getLogger(__name__)

Manifest = dict[str, Any]


class DriftDetector:
    """Compares what PodDNATs say with each listing of a gateway's table."""

    def __init__(
        self,
        cluster: KubeClient,
        poddnats: PodDNATInformer,
        fleet: Fleet,
        on_drifted: Callable[[str], None],
        *,
        may_write: Callable[[], bool] = lambda: True,
        wall_clock: Callable[[], dt.datetime] = now,
    ) -> None:
        """``on_drifted`` is told the gateway's id for each PodDNAT that has lost something there."""
        self._cluster = cluster
        self._poddnats = poddnats
        self._fleet = fleet
        self._on_drifted = on_drifted
        self._may_write = may_write
        self._wall_clock = wall_clock
        self._checks: dict[str, str] = {}
        self._nudged: dict[str, set[str]] = {}
        """By gateway: the ids of lost entries whose PodDNATs have been told; once is enough."""

    def check(self, gateway_id: str) -> None:
        """Look through all PodDNATs of a gateway whose table has just been listed; at most one call at a time each."""
        gateway = self._fleet.get(gateway_id)
        if gateway is None or not self._may_write():
            return
        table = {entry.entry_id: entry.rule for entry in gateway.entries()}
        told, still_lost = self._nudged.get(gateway_id, set()), set()
        for poddnat in self._poddnats.all():
            if spec_of(poddnat).get("tableId") != gateway_id or is_terminating(poddnat):
                continue
            claims = claimed_entries(poddnat.get("status") or {})
            lost = [entry_id for entry_id, rule in claims.items() if table.get(entry_id) != rule]
            if (
                lost
                and not gateway.is_busy_with(poddnat["metadata"]["uid"])
                and (told.issuperset(lost) or self._tell_lost(poddnat, gateway_id, lost))
            ):
                still_lost.update(lost)
        self._nudged[gateway_id] = still_lost

    def seen(self, poddnat: Manifest) -> None:
        """Have the gateway's table read again when somebody asks for that on a PodDNAT, once each time."""
        metadata = poddnat["metadata"]
        asked = (metadata.get("annotations") or {}).get(CHECK_ASKED_AT)
        if asked is None or self._checks.get(metadata["uid"]) == asked:
            return
        self._checks[metadata["uid"]] = asked
        if (gateway := self._fleet.get(str(spec_of(poddnat).get("tableId", "")))) is not None:
            gateway.invalidate()

    def gone(self, poddnat: Manifest) -> None:
        """Forget a PodDNAT."""
        self._checks.pop(poddnat["metadata"]["uid"], None)

    def resync_misplaced(self, is_misplaced: Callable[[Manifest], bool]) -> None:
        """Have those PodDNATs synced at once that other values, or another cloud, leave in the wrong place."""
        for poddnat in self._poddnats.all() if self._may_write() else ():
            try:
                if not is_terminating(poddnat) and is_misplaced(poddnat):
                    self._trigger_resync(poddnat)
            except KubeError as error:
                # With the API server away, each of thousands would take as long as this one.
                log.warning("other values are heeded as PodDNATs are synced, not at once: %s", error)
                return

    def _tell_lost(self, poddnat: Manifest, gateway_id: str, lost: list[str]) -> bool:
        try:
            if not self._trigger_resync(poddnat):
                return False
        except KubeError as error:
            log.warning("PodDNAT %s can't be synced at once: %s", key_of(poddnat), error)
            return False
        what = f"entry {', '.join(lost)} on {gateway_id}"
        log.warning("PodDNAT %s: somebody deleted or changed %s; it is made anew", key_of(poddnat), what)
        self._on_drifted(gateway_id)
        return True

    def _trigger_resync(self, poddnat: Manifest) -> bool:
        metadata = poddnat["metadata"]
        return self._cluster.trigger_resync(metadata["namespace"], metadata["name"], rfc3339(self._wall_clock()))
