"""What is read of a gateway's table next."""

from __future__ import annotations

from poddnat.gateway.calls import Look
from poddnat.gateway.concurrency import Pace
from poddnat.gateway.desired import Wish
from poddnat.gateway.poller import Lookout
from poddnat.gateway.table import Table

from poddnat.cloud import EntryFilter
from poddnat.gateway import OwnEntries
from poddnat.model import EntryStatus
from tests.unit.samples import entry, rule


def waiting_for(*entry_ids: str) -> list[Wish]:
    """Give wishes that wait for an entry each."""
    wishes = []
    for entry_id in entry_ids:
        wish = Wish(OwnEntries(entry_id, ""), (), since=0.0, quiet_since=0.0)
        wish.settling = (entry(entry_id, status=EntryStatus.DELETING),)
        wishes.append(wish)
    return wishes


def test_entries_that_have_gone_since_are_looked_for_by_their_ids() -> None:
    table = Table()
    for port in range(1, 201):
        table.put(entry(f"fwd-{port}", of=rule(str(port))))
    lookout = Lookout(table, Pace(), refresh_interval=300.0)
    lookout.refreshed(0.0, whole=True)
    call, _ = lookout.next(1.0, waiting_for("fwd-a", "fwd-b"), more_to_write=False, urgent_only=False)
    assert call == Look((EntryFilter(entry_id="fwd-a"), EntryFilter(entry_id="fwd-b")))
