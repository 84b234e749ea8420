"""What PodDNATs claim of the port registry: the external side that each names, unless it was refused that."""

from collections.abc import Mapping, Sequence
from typing import Any

from poddnat.api import (
    PORT_TAKEN,
    Fixed,
    PodDNAT,
    Problem,
    desired_by,
    is_current,
    made_by_another,
    observed_condition,
    pod_uid_of,
    spec_of,
)
from poddnat.controllers.problems import claimed_earlier
from poddnat.model import ForwardEntry
from poddnat.ports import PortRegistry

Manifest = dict[str, Any]

_REFUSALS = frozenset(
    {"NotAllowed", "NotInPool", "NamespaceNotAllowed", "TooManyPorts", "NamespaceLimitReached", PORT_TAKEN}
)
"""Reasons for which a PodDNAT has not got what it names."""


class PortClaims:
    """Tells the port registry of PodDNATs. Safe to use from several threads."""

    def __init__(self, registry: PortRegistry) -> None:
        self._registry = registry

    def seen(self, poddnat: Manifest) -> None:
        """Note an existing PodDNAT's external side, so that nobody else is given it."""
        desired, metadata = desired_by(poddnat), poddnat["metadata"]
        if made_by_another(metadata):
            self.gone(poddnat)  # Its entries keep their ports, as anybody's do.
        elif desired is not None and not self._registry.is_allowed(metadata["uid"]) and _was_refused(poddnat):
            self.refused(poddnat, desired)
        elif desired is not None:
            pod_uid, namespace = pod_uid_of(metadata), metadata["namespace"]
            self._registry.poddnat_seen(metadata["uid"], pod_uid, desired, namespace=namespace)

    def gone(self, poddnat: Manifest) -> None:
        """Release the ports of a PodDNAT that is gone."""
        self._registry.poddnat_gone(poddnat["metadata"]["uid"])

    def allowed(self, poddnat: Manifest) -> None:
        """Note that a PodDNAT may have what it names."""
        self._registry.poddnat_allowed(poddnat["metadata"]["uid"])
        self.seen(poddnat)

    def refused(self, poddnat: Manifest, desired: PodDNAT) -> None:
        """Let others have the ports that a PodDNAT names and may not have."""
        self._registry.poddnat_refused(poddnat["metadata"]["uid"], desired)

    def entries_seen(self, poddnat: Manifest, gateway_id: str, entries: Sequence[ForwardEntry]) -> None:
        """Let a PodDNAT come before others where it has entries."""
        self._registry.entries_seen(poddnat["metadata"]["uid"], gateway_id, entries)

    def exceeded_limit(self, poddnat: Manifest) -> Problem | None:
        """Tell which limit of the values a PodDNAT exceeds; None: none."""
        return self._registry.exceeded_limit(poddnat["metadata"]["uid"])

    def conflict(self, poddnat: Manifest, desired: PodDNAT) -> Problem | None:
        """Tell that another PodDNAT claimed some of these ports first; None: none did."""
        claimant = self._registry.earlier_claimant(poddnat["metadata"]["uid"])
        return claimed_earlier(desired.external_ip, claimant) if claimant is not None else None


def _was_refused(poddnat: Mapping[str, Any]) -> bool:
    """Whether a PodDNAT was refused what it names, perhaps by an earlier process, or nobody's pod could ever allow it.

    What was refused stays refused until it is found to be allowed: else each restart would let those that nobody owns,
    or that were beyond a limit, take ports that running pods were given meanwhile.
    """
    retained = Fixed.read(poddnat["metadata"]) is not None
    if not retained and not pod_uid_of(poddnat["metadata"]):
        return True
    if retained and spec_of(poddnat).get("internalIP"):
        return False  # Its pod is there, and may have to have it repaired.
    reported = observed_condition(poddnat.get("status") or {}) if is_current(poddnat) else None
    return reported is not None and not reported.ready and reported.reason in _REFUSALS
