"""Whom a gateway's driver asks which PodDNATs exist, and whom it tells what happens."""

from collections.abc import Collection, Sequence
from typing import Protocol

from poddnat.model import ForwardEntry


class Liveness(Protocol):
    """Who tells which PodDNATs exist."""

    @property
    def has_synced(self) -> bool:
        """Whether it is known which exist: until then, nearly all seem not to."""

    def is_alive(self, uid: str) -> bool:
        """Whether a PodDNAT exists, as far as is known; answers at once."""

    def is_of_another(self, uid: str) -> bool:
        """Whether a PodDNAT exists that is another installation's; answers at once."""

    def gone_of(self, uids: Collection[str]) -> set[str]:
        """Tell which of these PodDNATs surely don't exist; may ask the API server, once for all."""


class GatewayListener:
    """Is called when something happens on gateways, or to them, and does nothing: a subclass overrides what it needs.

    From several threads of the gateways; a table's next reads and writes don't wait for it.
    """

    def foreign_changed(self, gateway_id: str, entries: Sequence[ForwardEntry]) -> None:
        """Take notice of a gateway's entries that are not this cluster's."""

    def table_listed(self, gateway_id: str) -> None:
        """Take notice that a gateway's whole table has been listed."""

    def fulfilled(self, uids: Collection[str]) -> None:
        """Take notice of PodDNATs whose entries all work since the last call to the cloud."""

    def garbage_collected(self, gateway_id: str) -> None:
        """Take notice of a PodDNAT that is found to be gone, and whose entries are deleted."""

    def orphans_held(self, gateway_id: str, count: int, *, shared: bool) -> None:
        """Take notice that the entries of so many PodDNATs that are gone are left to an operator.

        ``shared``: another cluster makes entries under this one's clusterID.
        """

    def cluster_id_shared(self, gateway_id: str, count: int) -> None:
        """Take notice that another installation has entries of so many PodDNATs under this one's clusterID."""

    def places_left(self) -> None:
        """Take notice that a gateway, or an address of one, is gone."""
