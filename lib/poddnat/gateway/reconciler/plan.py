"""What has to change on a gateway for one PodDNAT: desired rules against the table, as a value.

Pure: no clock, no network, inputs never changed. A plan applied and made again is empty, and it never touches an
entry that isn't proven to be ours.

For a rule that has no entry yet, the entries in its way decide:

==============================  =============================================================
in the way                      then
==============================  =============================================================
nothing                         create
our own obsolete entry          delete it first; the next plan creates
any entry on its way out        wait
an entry of a PodDNAT now gone  a leftover (perhaps of the pod that had this IP): delete it first
either of both, but Pending     wait: the cloud does not delete it before it is Available
an entry of a living PodDNAT    a conflict, told to the caller
anybody else's entry            a conflict, told to the caller; the entry stays untouched
==============================  =============================================================
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from enum import Enum

from poddnat.gateway.reconciler.ownership import Ownership
from poddnat.gateway.reconciler.table import Table
from poddnat.model import EntryStatus, ForwardEntry, ForwardRule


class Side(Enum):
    """Which side of a rule is taken: another port helps on the external side only."""

    EXTERNAL = "external"
    INTERNAL = "internal"


@dataclass(frozen=True)
class Conflict:
    """A rule that can't be created because of an entry that is not ours to delete."""

    rule: ForwardRule
    entry: ForwardEntry
    side: Side
    holder: str | None
    """The uid of the living PodDNAT that the entry belongs to; None: the entry is foreign."""


@dataclass(frozen=True)
class Plan:
    """What is there already, and what to do next. Empty in all but ``working`` when nothing is left to do."""

    working: tuple[ForwardEntry, ...] = ()
    """Available entries, in the order of the desired rules."""
    settling: tuple[ForwardEntry, ...] = ()
    """Entries to wait for: to become Available, be it only to be deleted then, or to go."""
    creates: tuple[ForwardRule, ...] = ()
    deletes: tuple[ForwardEntry, ...] = ()
    conflicts: tuple[Conflict, ...] = ()

    @property
    def writes(self) -> bool:
        """Whether it has anything to write."""
        return bool(self.creates or self.deletes)

    @property
    def at_rest(self) -> bool:
        """Whether there is nothing left to do or to wait for."""
        return not (self.settling or self.creates or self.deletes or self.conflicts)


@dataclass(frozen=True)
class OwnEntries:
    """How a PodDNAT's entries are told from others: by its name, and by ids that are proven to be its own."""

    uid: str
    name: str
    known_ids: Collection[str] = ()
    pod: str = field(default="", compare=False)
    """Namespace and name, for logs."""

    def entries(self, table: Table) -> list[ForwardEntry]:
        """Find its entries in a table."""
        by_id = (entry for entry in map(table.get, self.known_ids) if entry is not None)
        found = {entry.entry_id: entry for entry in [*table.named(self.name), *by_id]}
        return sorted(found.values(), key=lambda entry: entry.entry_id)


def make_plan(
    desired: Sequence[ForwardRule],
    table: Table,
    own: OwnEntries,
    ownership: Ownership,
    is_alive: Callable[[str], bool],
) -> Plan:
    """Compare; ``is_alive`` tells of a PodDNAT's uid whether that PodDNAT still exists."""
    wanted = frozenset(desired)
    steady: dict[ForwardRule, ForwardEntry] = {}
    doomed: dict[str, ForwardEntry] = {}
    waiting: dict[str, ForwardEntry] = {}
    for entry in own.entries(table):
        if entry.status is not EntryStatus.DELETING and entry.rule in wanted and entry.rule not in steady:
            steady[entry.rule] = entry
        else:
            (doomed if entry.status is EntryStatus.AVAILABLE else waiting)[entry.entry_id] = entry
    creates: list[ForwardRule] = []
    conflicts: list[Conflict] = []
    for rule in desired:
        if rule in steady:
            continue
        in_the_way = _in_the_way(rule, table)
        for side, entry in in_the_way:
            if entry.entry_id in doomed or entry.entry_id in waiting:
                continue
            holder = ownership.owner_in(entry.name)
            if entry.status is not EntryStatus.DELETING and (holder in {None, own.uid} or is_alive(str(holder))):
                conflicts.append(Conflict(rule, entry, side, holder))
            else:
                (doomed if entry.status is EntryStatus.AVAILABLE else waiting)[entry.entry_id] = entry
        if not in_the_way:
            creates.append(rule)
    there = [steady[rule] for rule in desired if rule in steady]
    return Plan(
        working=tuple(entry for entry in there if entry.status is EntryStatus.AVAILABLE),
        settling=(*(entry for entry in there if entry.status is not EntryStatus.AVAILABLE), *waiting.values()),
        creates=tuple(creates),
        deletes=tuple(doomed.values()),
        conflicts=tuple(conflicts),
    )


def _in_the_way(rule: ForwardRule, table: Table) -> list[tuple[Side, ForwardEntry]]:
    outside = {entry.entry_id: (Side.EXTERNAL, entry) for entry in table.clashing_outside(rule)}
    inside = {entry.entry_id: (Side.INTERNAL, entry) for entry in table.clashing_inside(rule)}
    # An entry that has both sides is an internal conflict: another external port would not help.
    return [found for _, found in sorted((outside | inside).items())]
