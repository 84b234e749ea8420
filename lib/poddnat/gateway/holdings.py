"""What PodDNATs have on the cloud, over all gateways: an earlier one too, and one that has left the pool."""

from poddnat.gateway.fleet import Fleet
from poddnat.gateway.plan import OwnEntries
from poddnat.gateway.progress import Blocked, Done, Progress, Waiting


class Holdings:
    """Takes back what PodDNATs have. Safe to use from several threads."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def has_any(self, mine: OwnEntries) -> bool:
        """Whether some gateway has, or is about to have, anything of a PodDNAT."""
        return any(gateway.concerns(mine) for gateway in self._fleet.gateways())

    def withdraw(self, mine: OwnEntries) -> None:
        """Take away what a PodDNAT has but may not have."""
        for gateway in self._fleet.gateways():
            if gateway.concerns(mine):
                gateway.ensure(mine, ())

    def leave_others(self, mine: OwnEntries, gateway_id: str) -> None:
        """Give up what a PodDNAT had on gateways before it was moved to this one."""
        for other in self._fleet.gateways():
            if other.gateway_id != gateway_id and other.concerns(mine):
                other.release(mine)

    def release(self, mine: OwnEntries, named: str | None) -> list[Progress]:
        """Give up all that a PodDNAT has, and tell for each gateway how far that is.

        ``named`` is the gateway that the PodDNAT names: its table may not have been seen yet.
        """
        concerned = [gateway.gateway_id for gateway in self._fleet.gateways() if gateway.concerns(mine)]
        return [self._release(mine, gateway_id) for gateway_id in dict.fromkeys([*filter(None, [named]), *concerned])]

    def _release(self, mine: OwnEntries, gateway_id: str) -> Progress:
        if self._fleet.known and not self._fleet.exists(gateway_id):
            return Done()  # A gateway that is gone has taken its entries with it.
        gateway = self._fleet.get(gateway_id)
        if gateway is None:
            problem = self._fleet.problem(gateway_id)
            return Blocked(problem) if problem else Waiting(1.0)
        progress = gateway.release(mine)
        problem = self._fleet.problem(gateway_id)
        return Blocked(problem) if problem is not None and isinstance(progress, Waiting) else progress

    def orphan(self, mine: OwnEntries) -> None:
        """Sweep up what a PodDNAT has left behind that is gone, perhaps without having been finalized."""
        for gateway in self._fleet.gateways():
            gateway.orphan(mine)
