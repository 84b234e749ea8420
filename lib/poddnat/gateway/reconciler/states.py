"""The states of a forward entry that is wanted, or to go, and what is done in each: the one table.

=============  ======================================  =======  =====================================================
state          what is known                           write    evidence asked for, and what it leads to
=============  ======================================  =======  =====================================================
ABSENT         wanted; none there, nothing in the way  create   none
CREATING       the create call is under way            nothing  its answer: PENDING; refused: ABSENT, after a backoff;
                                                                unknown or "taken": UNVERIFIED
UNVERIFIED     wanted; it may have been created, or    nothing  by name or by both sides: shown as ours: PENDING or
               somebody unseen is in the way                    WORKING; another's: CONFLICT; none: ABSENT
PENDING        ours, but not Available yet             nothing  by id: WORKING, or ABSENT if it has gone
WORKING        ours, wanted and Available              nothing  none but the table's refresh
SURPLUS        ours and not wanted, but Pending: the   nothing  by id: OBSOLETE once Available, or GONE
               cloud deletes no such entry
OBSOLETE       ours, or a leftover in the way; not     delete   none
               wanted, Available
DELETING       the delete was sent or accepted         nothing  its answer, then by id, or by name on a release: GONE
CONFLICT       somebody else's entry is in the way     nothing  by id, at once and then now and then: ABSENT once it
                                                                has gone; told only after it was seen again
GONE           not wanted, and none is known           nothing  by name: proof that none is left
=============  ======================================  =======  =====================================================

What a read proves: asked for by id, by name or by a side, an entry is there or it is not. One page that is the whole
table is as good. A page of several is proof of what it shows, and says nothing of what it doesn't: rows slip from page
to page while others write. What a whole listing of several pages didn't show is only suspected to have gone, and is
asked for by id.

A read that changes nothing is asked again after a backoff, so no state asks without end.
"""

from dataclasses import dataclass
from enum import Enum

from poddnat.gateway.reconciler.calls import Kind


class EntryState(Enum):
    """Where an entry is on its way."""

    ABSENT = "absent"
    CREATING = "creating"
    UNVERIFIED = "unverified"
    PENDING = "pending"
    WORKING = "working"
    SURPLUS = "surplus"
    OBSOLETE = "obsolete"
    DELETING = "deleting"
    CONFLICT = "conflict"
    GONE = "gone"


class Evidence(Enum):
    """What to read to learn of an entry."""

    BY_ID = "by id"
    BY_NAME = "by name"
    BY_SIDES = "by sides"


@dataclass(frozen=True)
class Step:
    """What is done in a state: what to write, and else what to read; neither: there is nothing to do but to wait."""

    write: Kind | None = None
    evidence: tuple[Evidence, ...] = ()


STEPS: dict[EntryState, Step] = {
    EntryState.ABSENT: Step(write=Kind.CREATE),
    EntryState.CREATING: Step(),
    EntryState.UNVERIFIED: Step(evidence=(Evidence.BY_NAME, Evidence.BY_SIDES)),
    EntryState.PENDING: Step(evidence=(Evidence.BY_ID,)),
    EntryState.WORKING: Step(),
    EntryState.SURPLUS: Step(evidence=(Evidence.BY_ID,)),
    EntryState.OBSOLETE: Step(write=Kind.DELETE),
    EntryState.DELETING: Step(evidence=(Evidence.BY_ID, Evidence.BY_NAME)),
    EntryState.CONFLICT: Step(evidence=(Evidence.BY_ID,)),
    EntryState.GONE: Step(evidence=(Evidence.BY_NAME,)),
}
