"""What the reconcilers report to those above them: all that flows upward from this package goes through here."""


class ControllersListener:
    """Is called when something happens in the reconcilers, and does nothing: a subclass overrides what it needs.

    From several threads; it must neither block nor raise.
    """

    def entries_drifted(self, gateway_id: str) -> None:
        """Handle that somebody else deleted or changed entries of a PodDNAT on this gateway."""

    def pod_exposed(self, seconds: float) -> None:
        """Handle that all entries of a pod work, so many seconds after it was given its ports."""
