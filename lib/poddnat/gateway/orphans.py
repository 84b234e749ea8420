"""Which entries of PodDNATs that are gone may be deleted, and which are left to an operator.

A few leftovers are what a crash or a forced deletion leaves behind. A mass at once is more likely a mistake: an API
server restored from an old backup, one that lists nothing, or a second cluster with the same clusterID. Living entries
look like leftovers then. Entries that come back after they were deleted prove that somebody else makes them. Pure.
"""

from collections.abc import Callable, Collection

from cachetools import LRUCache

_HANDFUL = 5
_SHARE = 0.1
_MOST_REMEMBERED = 10_000


def is_mass(gone: int, all_owners: int) -> bool:
    """Whether so many PodDNATs gone at once, of all that have entries on a gateway, are too many to be believed."""
    return gone > _HANDFUL and gone > _SHARE * all_owners


class OrphanGuard:
    """Judges the PodDNATs of one gateway that are gone. Not safe for use from several threads at once."""

    def __init__(self, is_alive: Callable[[str], bool]) -> None:
        """``is_alive`` tells of a PodDNAT's uid, from memory, whether it exists."""
        self._is_alive = is_alive
        self.held: frozenset[str] = frozenset()
        """Those whose entries are left to an operator."""
        self.shared = False
        """Whether another cluster was seen to make entries under this one's clusterID: then nothing is deleted."""
        self._deleted: LRUCache[str, bool] = LRUCache(_MOST_REMEMBERED)
        # By uid: whether the table has been without its entries since they were deleted.

    def seen(self, owners: Collection[str]) -> None:
        """Note whose entries a listing of the whole table shows."""
        for uid in list(self._deleted):
            self._deleted[uid] = self._deleted[uid] or uid not in owners

    def judge(self, gone: Collection[str], owners: Collection[str], *, may_delete: bool = True) -> frozenset[str]:
        """Choose whose entries to delete, of those that are gone; ``owners`` are all that have entries.

        Who may not delete knows at least what is held, before it may.
        """
        still_held = {uid for uid in self.held if uid in owners and not self._is_alive(uid)}
        everybody = frozenset(gone) | still_held
        self.shared = self.shared or any(self._deleted.get(uid) for uid in everybody)
        if self.shared or is_mass(len(everybody), len(owners)):
            self.held = everybody
            return frozenset()
        self.held = frozenset()
        if not may_delete:
            return frozenset()
        for uid in gone:
            self._deleted.setdefault(uid, False)
        return frozenset(gone)
