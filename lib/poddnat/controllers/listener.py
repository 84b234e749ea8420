"""What the reconcilers tell those above them: everything that flows upward from this package goes through here."""

from typing import Any

Manifest = dict[str, Any]


class ControllersListener:
    """Hears what happens in the reconcilers, and does nothing: a subclass overrides what it cares for.

    Called from several threads; must neither block nor raise.
    """

    def poddnat_spoilt(self, poddnat: Manifest) -> None:
        """Hear of a PodDNAT that asks for what it may not have, perhaps because somebody has edited it."""

    def entries_drifted(self, gateway_id: str) -> None:
        """Hear that somebody else deleted or changed entries of a PodDNAT on this gateway."""

    def pod_exposed(self, seconds: float) -> None:
        """Hear that all entries of a pod work, so many seconds after it was given its ports."""
