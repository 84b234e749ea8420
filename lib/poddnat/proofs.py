"""Which forward entries are a PodDNAT's own though their names don't say so: somebody has renamed them.

The ids in a PodDNAT's status alone prove nothing: whoever may write statuses could put any entry's id there, to have
it deleted. So an id counts when this process saw the entry work under the PodDNAT's name, or when the entry leads to
the pod that owns the PodDNAT and its name says that it is nobody's.
"""

import threading
from collections.abc import Iterable


class Proofs:
    """Remembers ids that are proven, for each PodDNAT. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: dict[str, frozenset[str]] = {}

    def of(self, uid: str) -> frozenset[str]:
        """Give the ids that are proven to be a PodDNAT's."""
        with self._lock:
            return self._ids.get(uid, frozenset())

    def add(self, uid: str, entry_ids: Iterable[str]) -> None:
        """Take more ids for proven."""
        with self._lock:
            known = self._ids.get(uid, frozenset())
            if more := known.union(entry_ids):
                self._ids[uid] = more

    def forget(self, uid: str) -> None:
        """Forget a PodDNAT that has gone."""
        with self._lock:
            self._ids.pop(uid, None)
