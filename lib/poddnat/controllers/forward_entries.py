"""The forward entries of PodDNATs, on all gateways: which are a PodDNAT's own, and how they are taken from it.

Entries are a PodDNAT's own by their name. Of others, which somebody has renamed, the ids in its status alone prove
nothing: whoever may write statuses could put any entry's id there, to have it deleted. So an id counts when this
process saw the entry work for the PodDNAT, or when the entry leads to the pod that owns the PodDNAT and its name says
that it is nobody's. What was proven so is recorded on the PodDNAT, where only this program may write it: after a
restart the pod may be gone, and nothing else could tell.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from poddnat.api import (
    desired_by,
    entry_ids,
    key_of,
    made_by_another,
    record_patch,
    recorded_entry_ids,
    spec_of,
)
from poddnat.gateway import Fleet, OwnEntries, Ownership, Progress, names_nobody
from poddnat.kube import KubeClient, KubeError
from poddnat.model import ForwardEntry

log = logging.getLogger(__name__)

Manifest = dict[str, Any]


class ForwardEntries:
    """Knows by what a PodDNAT's own entries are recognized. Safe to use from several threads."""

    def __init__(
        self, fleet: Fleet, ownership: Ownership, client: KubeClient, *, may_write: Callable[[], bool] = lambda: True
    ) -> None:
        """``may_write`` tells whether this process is the active one."""
        self._fleet = fleet
        self._ownership = ownership
        self._client = client
        self._may_write = may_write
        self._lock = threading.Lock()
        self._proven: dict[str, frozenset[str]] = {}
        """By the PodDNAT's uid: the ids of entries that are its own, whatever they are called."""

    def own(self, poddnat: Manifest) -> OwnEntries:
        """Tell by what a PodDNAT's own entries are known."""
        uid = poddnat["metadata"]["uid"]
        with self._lock:
            proven = self._proven.get(uid, frozenset())
        if recorded := recorded_entry_ids(poddnat):
            # One that bears the name of another PodDNAT is that one's, whatever is recorded: the table has to show it.
            proven = proven.union(entry.entry_id for entry in self._there(recorded) if names_nobody(entry.name))
        return OwnEntries(uid, self._ownership.name_of(uid), proven, key_of(poddnat))

    def _there(self, ids: Iterable[str]) -> list[ForwardEntry]:
        """List the entries that have these ids, on whatever gateway."""
        wanted = tuple(ids)
        return [entry for gateway in self._fleet.gateways() for entry in gateway.entries_by_id(wanted)]

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

    def saw_working(self, poddnat: Manifest, entries: Sequence[ForwardEntry]) -> None:
        """Note that these entries worked for a PodDNAT: they stay its own, whatever they are called."""
        self._prove(poddnat, entries)

    def await_table(self, poddnat: Manifest) -> bool:
        """Whether its gateway's table has to be listed before it is known which entries are a PodDNAT's own."""
        gateway_id = str(spec_of(poddnat).get("tableId", ""))
        if not (entry_ids(poddnat.get("status") or {}) or recorded_entry_ids(poddnat)):
            return False
        gateway = self._fleet.get(gateway_id)
        return self._fleet.exists(gateway_id) and (gateway is None or not gateway.loaded)

    def nameless(self, poddnat: Manifest) -> tuple[str, ...]:
        """List the ids in a PodDNAT's status of entries that have no name, or may have none: they must not get lost."""
        ids = entry_ids(poddnat.get("status") or {})
        if not ids or self.await_table(poddnat):
            return ids
        nameless = {entry.entry_id for entry in self._there(ids) if names_nobody(entry.name)}
        return tuple(entry_id for entry_id in ids if entry_id in nameless)

    def unproven(self, poddnat: Manifest) -> list[ForwardEntry]:
        """Find the entries that would be a PodDNAT's own if its pod confirmed that it has that address."""
        desired = None if made_by_another(poddnat["metadata"]) else desired_by(poddnat)
        gateway = self._fleet.get(desired.gateway_id) if desired is not None else None
        if desired is None or gateway is None:
            return []
        claimed = gateway.entries_by_id(entry_ids(poddnat.get("status") or {}))
        leading_here = (entry for entry in claimed if entry.rule.internal_ip == desired.internal_ip)
        proven = self.own(poddnat).known_ids
        return [entry for entry in leading_here if names_nobody(entry.name) and entry.entry_id not in proven]

    def confirmed_by_pod(self, poddnat: Manifest) -> OwnEntries:
        """Take such entries for a PodDNAT's own, and tell by what all of its entries are known now."""
        self._prove(poddnat, self.unproven(poddnat))
        return self.own(poddnat)

    def _prove(self, poddnat: Manifest, entries: Sequence[ForwardEntry]) -> None:
        uid = poddnat["metadata"]["uid"]
        with self._lock:
            if more := self._proven.get(uid, frozenset()).union(entry.entry_id for entry in entries):
                self._proven[uid] = more
        nameless = {entry.entry_id for entry in entries if names_nobody(entry.name)}
        if nameless.difference(recorded_entry_ids(poddnat)) and self._may_write():
            try:
                metadata = poddnat["metadata"]
                self._client.patch_poddnat(metadata["namespace"], metadata["name"], record_patch(poddnat, nameless))
            except KubeError as error:  # Its next sync, or the next listing of the table, does it again.
                log.warning("PodDNAT %s: its entries without a name are not recorded: %s", key_of(poddnat), error)
