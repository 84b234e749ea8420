"""All parts of the controller, put together, started and stopped."""

import time
from collections.abc import Callable

from poddnat.cloud import Cloud
from poddnat.cluster import Cluster, PodDNATs
from poddnat.fleet import Fleet
from poddnat.ledger import Ledger
from poddnat.mappings import Mappings
from poddnat.network import Network
from poddnat.nodes import Nodes
from poddnat.ownership import Ownership
from poddnat.permission import Permissions
from poddnat.pods import Pods
from poddnat.values import Values


class Service:
    """What the hooks call, and what runs behind them."""

    def __init__(
        self,
        values: Values,
        cluster: Cluster,
        cloud: Cloud,
        *,
        clock: Callable[[], float] = time.monotonic,
        refresh_interval: float = 300.0,
    ) -> None:
        """``refresh_interval``: seconds after which the cloud's side is read again when nothing else asks for it."""
        ownership = Ownership(values.cluster_id)
        ledger = Ledger(values, clock=clock)
        self.poddnats = PodDNATs(
            cluster,
            on_seen=lambda poddnat: self.mappings.seen(poddnat),  # noqa: PLW0108  # made below
            on_gone=lambda poddnat: self.mappings.gone(poddnat),  # noqa: PLW0108
        )
        self.fleet = Fleet(
            values,
            cloud,
            ownership,
            self.poddnats,
            ledger.foreign_seen,
            clock=clock,
            refresh_interval=refresh_interval,
        )
        self.network = Network(cloud, clock=clock)
        self.pods = Pods(cluster, self.poddnats, self.fleet, self.network, ledger, Nodes(cluster, clock=clock))
        permissions = Permissions(values, cluster, clock=clock)
        self.mappings = Mappings(ownership, cluster, self.fleet, ledger, permissions)

    @property
    def ready(self) -> bool:
        """Whether hooks may be answered: all PodDNATs are known, so no port in use is given out."""
        return self.poddnats.synced

    def start(self) -> None:
        """Start everything that runs in the background."""
        self.poddnats.start()
        self.fleet.start()
        self.network.start()

    def stop(self) -> None:
        """Stop; calls to the cloud that are under way are waited for."""
        self.poddnats.stop()
        self.network.stop()
        self.fleet.stop()
