"""The forward entries of PodDNATs, on all gateways: which are a PodDNAT's own, and how they are taken from it.

Entries are a PodDNAT's own by their name. Of others, which somebody has renamed, the ids in its status alone prove
nothing: whoever may write statuses could put any entry's id there, to have it deleted. So an id counts when this
process saw the entry work for the PodDNAT, or when the entry leads to the pod that owns the PodDNAT and its name says
that it is nobody's.
"""

import threading
from collections.abc import Iterable
from typing import Any

from poddnat.api import PodDNAT, entry_ids, key_of, spec_of
from poddnat.gateway import Fleet, GatewayDriver, OwnEntries, Ownership, Progress, names_nobody
from poddnat.model import ForwardEntry

Manifest = dict[str, Any]


class ForwardEntries:
    """Knows by what a PodDNAT's own entries are recognized. Safe to use from several threads."""

    def __init__(self, fleet: Fleet, ownership: Ownership) -> None:
        self._fleet = fleet
        self._ownership = ownership
        self._lock = threading.Lock()
        self._proven: dict[str, frozenset[str]] = {}
        """By the PodDNAT's uid: the ids of entries that are its own, whatever they are called."""

    def own(self, poddnat: Manifest) -> OwnEntries:
        """Tell by what a PodDNAT's own entries are known."""
        uid = poddnat["metadata"]["uid"]
        with self._lock:
            proven = self._proven.get(uid, frozenset())
        return OwnEntries(uid, self._ownership.name_of(uid), proven, key_of(poddnat))

    # On all gateways: those that it had before it was moved, too.

    def has_any(self, poddnat: Manifest) -> bool:
        """Whether some gateway has, or is about to have, anything of a PodDNAT."""
        return self._fleet.has_any(self.own(poddnat))

    def withdraw(self, poddnat: Manifest) -> None:
        """Take away what a PodDNAT has but may not have."""
        self._fleet.withdraw(self.own(poddnat))

    def leave_others(self, poddnat: Manifest, gateway_id: str) -> None:
        """Give up what a PodDNAT had on gateways before it was moved to this one."""
        self._fleet.leave_others(self.own(poddnat), gateway_id)

    def release(self, poddnat: Manifest) -> list[Progress]:
        """Give up all that a PodDNAT has, and tell for each gateway how far that is."""
        return self._fleet.release(self.own(poddnat), spec_of(poddnat).get("tableId"))

    def orphan(self, poddnat: Manifest) -> None:
        """Leave to garbage collection what a PodDNAT has left behind that is gone."""
        self._fleet.orphan(self.own(poddnat))
        with self._lock:
            self._proven.pop(poddnat["metadata"]["uid"], None)

    # Those whose names don't say whose they are.

    def saw_working(self, poddnat: Manifest, entries: Iterable[ForwardEntry]) -> None:
        """Note that these entries worked for a PodDNAT: they stay its own, whatever they are called."""
        self._prove(poddnat, (entry.entry_id for entry in entries))

    def unproven(self, poddnat: Manifest, desired: PodDNAT, gateway: GatewayDriver) -> set[str]:
        """Find the entries that would be a PodDNAT's own if its pod confirmed that it has that address."""
        claimed = gateway.entries_by_id(entry_ids(poddnat.get("status") or {}))
        leading_here = (entry for entry in claimed if entry.rule.internal_ip == desired.internal_ip)
        proven = self.own(poddnat).known_ids
        return {entry.entry_id for entry in leading_here if names_nobody(entry.name)}.difference(proven)

    def confirmed_by_pod(self, poddnat: Manifest, desired: PodDNAT, gateway: GatewayDriver) -> OwnEntries:
        """Take such entries for a PodDNAT's own, and tell by what all of its entries are known now."""
        self._prove(poddnat, self.unproven(poddnat, desired, gateway))
        return self.own(poddnat)

    def _prove(self, poddnat: Manifest, ids: Iterable[str]) -> None:
        uid = poddnat["metadata"]["uid"]
        with self._lock:
            if more := self._proven.get(uid, frozenset()).union(ids):
                self._proven[uid] = more
