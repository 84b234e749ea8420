"""Which forward entries are a PodDNAT's own though their names don't say so: somebody has renamed them.

The ids in a PodDNAT's status alone prove nothing: whoever may write statuses could put any entry's id there, to have
it deleted. So an id counts when this process saw the entry work under the PodDNAT's name, or when the entry leads to
the pod that owns the PodDNAT and its name says that it is nobody's.
"""

import threading
from collections.abc import Iterable
from typing import Any

from poddnat.api import PodDNAT, entry_ids, key_of
from poddnat.gateway import GatewayDriver, OwnEntries, Ownership, names_nobody
from poddnat.model import ForwardEntry

Manifest = dict[str, Any]


class OwnershipEvidence:
    """Keeps the ids of entries that are proven, for each PodDNAT. Safe to use from several threads."""

    def __init__(self, ownership: Ownership) -> None:
        self._ownership = ownership
        self._lock = threading.Lock()
        self._ids: dict[str, frozenset[str]] = {}

    def own_entries(self, poddnat: Manifest) -> OwnEntries:
        """Tell by what a PodDNAT's own entries are known."""
        uid = poddnat["metadata"]["uid"]
        return OwnEntries(uid, self._ownership.name_of(uid), self._proven(uid), key_of(poddnat))

    def saw_working(self, poddnat: Manifest, entries: Iterable[ForwardEntry]) -> None:
        """Note that these entries worked for a PodDNAT: they stay its own, whatever they are called."""
        self._add(poddnat["metadata"]["uid"], (entry.entry_id for entry in entries))

    def unproven(self, poddnat: Manifest, desired: PodDNAT, gateway: GatewayDriver) -> set[str]:
        """Find the entries that would be a PodDNAT's own if its pod confirmed that it has that address."""
        proven = self._proven(poddnat["metadata"]["uid"])
        claimed = gateway.entries_by_id(entry_ids(poddnat.get("status") or {}))
        leading_here = (entry for entry in claimed if entry.rule.internal_ip == desired.internal_ip)
        return {entry.entry_id for entry in leading_here if names_nobody(entry.name)} - proven

    def confirmed_by_pod(self, poddnat: Manifest, desired: PodDNAT, gateway: GatewayDriver) -> OwnEntries:
        """Take such entries for a PodDNAT's own, and tell by what all of its entries are known now."""
        self._add(poddnat["metadata"]["uid"], self.unproven(poddnat, desired, gateway))
        return self.own_entries(poddnat)

    def forget(self, uid: str) -> None:
        """Forget a PodDNAT that has gone."""
        with self._lock:
            self._ids.pop(uid, None)

    def _proven(self, uid: str) -> frozenset[str]:
        with self._lock:
            return self._ids.get(uid, frozenset())

    def _add(self, uid: str, ids: Iterable[str]) -> None:
        with self._lock:
            if more := self._ids.get(uid, frozenset()).union(ids):
                self._ids[uid] = more
