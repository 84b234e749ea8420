"""A NAT gateway while the emulator runs: its tables, its status, and how it behaves."""

from dataclasses import dataclass, field
from typing import Final

from vpc_emulator.assets import NatGateway
from vpc_emulator.forward_table import ForwardEntry, ForwardTable

READY: Final = "Available"


@dataclass(slots=True)
class Churn:
    """Somebody else's program that replaces so many of the foreign entries each time so many seconds are over."""

    entries: int
    seconds: float
    due: float
    """When it replaces entries next."""

    def take(self, now: float) -> int:
        """Return how many entries have been replaced since it was asked last."""
        if now < self.due:
            return 0
        rounds = int((now - self.due) // self.seconds) + 1
        self.due += rounds * self.seconds
        return rounds * self.entries


@dataclass(slots=True)
class Gateway:
    """A NAT gateway with its tables."""

    spec: NatGateway
    region: str
    status: str
    business_status: str
    quota: int
    writes_at_once: int
    settle_seconds: float
    settle_jitter: float
    tables: dict[str, ForwardTable] = field(default_factory=dict)
    status_until: float | None = None
    """When the status becomes Available again; nothing for a status that stays."""
    churn: Churn | None = None

    @classmethod
    def of(cls, spec: NatGateway, region: str) -> "Gateway":
        """Make the gateway that the world describes, with empty tables."""
        return cls(
            spec=spec,
            region=region,
            status=spec.status,
            business_status=spec.business_status,
            quota=spec.quota,
            writes_at_once=spec.writes_at_once,
            settle_seconds=spec.settle_seconds,
            settle_jitter=spec.settle_jitter,
            tables={table_id: ForwardTable(table_id) for table_id in spec.forward_tables},
        )

    def settle(self, now: float) -> None:
        """Bring its status and its entries up to date."""
        if self.status_until is not None and self.status_until <= now:
            self.status, self.status_until = READY, None
        for table in self.tables.values():
            table.settle(now)

    def unsettled(self) -> int:
        """How many entries are Pending or Deleting."""
        return sum(len(table.unsettled) for table in self.tables.values())

    def entries_at(self, external_ip: str) -> list[ForwardEntry]:
        """Return the entries of all its tables that use an external address."""
        return [entry for table in self.tables.values() for entry in table.by_external_ip.get(external_ip, {}).values()]

    def foreign_entries(self) -> list[ForwardEntry]:
        """Return the settled entries that no call of the API made."""
        return [entry for table in self.tables.values() for entry in table.entries.values() if entry.is_foreign()]
