"""Whose a forward entry is: the one place that knows the form of ForwardEntryName.

The name alone proves an entry to be ours, so that nothing else is ever deleted, and it names the PodDNAT, so that an
entry whose PodDNAT is gone can be recognised after any crash.
"""

import hashlib
import re

# CreateForwardEntry: 2 to 128 characters, a letter first, then letters, digits, "_" and "-".
_LONGEST = 128
_PREFIX = "poddnat_"
_UNFIT = re.compile(r"[^A-Za-z0-9-]")
_DIGEST = 12


def _fit(text: str, room: int) -> str:
    """Make text fit for a name; what had to change leaves a digest behind, so that two texts stay two."""
    fit = _UNFIT.sub("-", text)
    if fit == text and len(fit) <= room:
        return fit
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGEST]
    return f"{fit[: room - _DIGEST - 1]}-{digest}"


class Ownership:
    """Names entries of one cluster, and tells them from all others."""

    def __init__(self, cluster_id: str) -> None:
        """``cluster_id`` is the values file's clusterID: two clusters may share a gateway."""
        # A Kubernetes uid has 36 characters; half of the room each leaves both sides readable.
        room = (_LONGEST - len(_PREFIX) - 1) // 2
        self._head = f"{_PREFIX}{_fit(cluster_id, room)}_"
        self._room = room

    def name_of(self, uid: str) -> str:
        """Give the ForwardEntryName of a PodDNAT's entries, from the PodDNAT's uid."""
        return self._head + _fit(uid, self._room)

    def owner_in(self, name: str) -> str | None:
        """Read the PodDNAT's uid off an entry's name; None when the entry is not this cluster's."""
        uid = name.removeprefix(self._head)
        # What could not have come out of name_of is somebody's own name that happens to begin alike.
        return uid if uid != name and uid and _fit(uid, self._room) == uid else None


def names_nobody(name: str) -> bool:
    """Whether an entry's name says nothing about whose it is: neither this cluster's nor another's."""
    return not name.startswith(_PREFIX)
