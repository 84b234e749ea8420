"""The audit: PodDNATs compared with the gateways' tables, and the repair of what differs.

A finding of one comparison may be work in progress; one that is still there a moment later is not.

Leftovers are deleted by the gateways' own drivers, which ask the API server once more before each delete. A PodDNAT
whose entries are missing is synced again: only the server may judge whether it may have them.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from poddnat.api import CHECK_ASKED_AT, claimed_entries, desired_by, is_ready, is_terminating, key_of, spec_of
from poddnat.cli.site import Site, Snapshot, run_tasks
from poddnat.config import Values
from poddnat.gateway import Fleet, OwnEntries, Ownership, is_mass
from poddnat.kube import KubeClient, KubeError
from poddnat.model import ForwardEntry, ForwardRule
from poddnat.timestamps import now, rfc3339

Manifest = dict[str, Any]


class Kind(StrEnum):
    """In what cluster and cloud differ."""

    MISSING = "missing"
    """A PodDNAT says that an entry works, and there is none."""
    DRIFTED = "drifted"
    """An entry of a PodDNAT is not what the PodDNAT says, or asks for."""
    LEFTOVER = "leftover"
    """An entry of this cluster whose PodDNAT is gone."""
    FOREIGN = "foreign"
    """An entry that is not this cluster's: for information, it is never touched."""


@dataclass(frozen=True)
class Finding:
    """One thing in which cluster and cloud differ."""

    kind: Kind
    gateway_id: str
    entry_id: str
    rule: str
    poddnat: str
    """Namespace and name; empty where no PodDNAT exists."""
    uid: str
    """The PodDNAT's."""
    detail: str
    by_hand: bool = False
    """Whether only somebody at the console can mend it: we may not modify entries."""

    def as_dict(self) -> dict[str, str]:
        """Write it for programs."""
        return {
            "kind": self.kind.value,
            "gateway": self.gateway_id,
            "entry": self.entry_id,
            "rule": self.rule,
            "podDNAT": self.poddnat,
            "podDNATUID": self.uid,
            "detail": self.detail,
        }


def compare(snapshot: Snapshot, values: Values) -> list[Finding]:
    """Find everything in which the PodDNATs and the tables differ; by kind, then by gateway."""
    ownership = Ownership(values.cluster_id)
    findings = [
        finding for poddnat in snapshot.poddnats for finding in _of_poddnat(poddnat, snapshot.tables, ownership)
    ]
    findings += _of_tables(snapshot, values, ownership)
    return sorted(findings, key=lambda f: (list(Kind).index(f.kind), f.gateway_id, f.poddnat, f.rule, f.entry_id))


def lasting(before: Iterable[Finding], after: Iterable[Finding]) -> list[Finding]:
    """Keep what two comparisons, one after the other, have both found."""
    seen = set(before)
    return [finding for finding in after if finding in seen]


def counts(findings: Iterable[Finding]) -> dict[str, int]:
    """Count findings by kind; every kind has its number."""
    kinds = [finding.kind for finding in findings]
    return {kind.value: kinds.count(kind) for kind in Kind}


def _of_poddnat(
    poddnat: Manifest, tables: Mapping[str, tuple[ForwardEntry, ...]], ownership: Ownership
) -> Iterator[Finding]:
    metadata = poddnat["metadata"]
    if is_terminating(poddnat):
        return  # Its entries are on their way out.
    uid, name = metadata["uid"], key_of(poddnat)
    gateway_id = str(spec_of(poddnat).get("tableId", ""))
    by_id = {entry.entry_id: entry for entry in tables.get(gateway_id, ())}
    claims = claimed_entries(poddnat.get("status") or {})
    own_name = ownership.name_of(uid)

    def finding(kind: Kind, entry_id: str, rule: ForwardRule, detail: str) -> Finding:
        return Finding(kind, gateway_id, entry_id, str(rule), name, uid, detail)

    for entry_id, rule in claims.items():
        entry = by_id.get(entry_id)
        if entry is None:
            yield finding(Kind.MISSING, entry_id, rule, "the PodDNAT says that it works; there is no such entry")
        elif entry.rule != rule:
            yield finding(Kind.DRIFTED, entry_id, entry.rule, f"the PodDNAT says {rule}")
        elif entry.name not in ("", own_name):
            text = f"it was renamed to {entry.name}; name it {own_name} again, by hand"
            yield Finding(Kind.DRIFTED, gateway_id, entry_id, str(rule), name, uid, text, by_hand=True)
    if is_ready(poddnat):
        asked_for = desired_by(poddnat)
        rules = asked_for.rules if asked_for is not None else ()
        for entry in tables.get(gateway_id, ()):
            if entry.name == own_name and entry.entry_id not in claims and entry.rule not in rules:
                yield finding(Kind.DRIFTED, entry.entry_id, entry.rule, "the PodDNAT does not ask for it")


def _of_tables(snapshot: Snapshot, values: Values, ownership: Ownership) -> Iterator[Finding]:
    alive = {poddnat["metadata"]["uid"] for poddnat in snapshot.poddnats}
    others = {poddnat["metadata"]["uid"]: poddnat for poddnat in snapshot.of_others}
    claims = snapshot.claims()
    for gateway_id, table in snapshot.tables.items():
        owners = {owner for entry in table if (owner := ownership.owner_in(entry.name)) is not None}
        gone_owners = owners - alive - others.keys()
        many = len(gone_owners) if is_mass(len(gone_owners), len(owners)) else 0
        kept = f" with {many - 1} others, too many for the server to delete by itself" if many else ""
        for entry in table:
            owner = ownership.owner_in(entry.name)
            if entry.entry_id in claims or owner in alive:
                continue
            if owner is None:
                named = f"named {entry.name}" if entry.name else _unnamed(gateway_id, entry.rule, values)
                yield Finding(Kind.FOREIGN, gateway_id, entry.entry_id, str(entry.rule), "", "", named)
            elif owner in others:
                named = f"named {entry.name}, of PodDNAT {key_of(others[owner])} of another installation"
                yield Finding(Kind.FOREIGN, gateway_id, entry.entry_id, str(entry.rule), "", "", named)
            else:
                gone = f"PodDNAT {owner} is gone{kept}"
                yield Finding(Kind.LEFTOVER, gateway_id, entry.entry_id, str(entry.rule), "", owner, gone)


def _unnamed(gateway_id: str, rule: ForwardRule, values: Values) -> str:
    if not values.allows(gateway_id, rule.external_ip, rule.external_ports):
        return "without a name"
    return "without a name, on a port of the pool: somebody else's, or of an adopted PodDNAT that was removed by force"


@dataclass(frozen=True)
class Step:
    """One step of a repair; ``text`` is for people."""

    finding: Finding
    text: str


def steps_for(findings: Iterable[Finding]) -> list[Step]:
    """Plan the repair, one step for each leftover entry and each PodDNAT; foreign entries are never touched."""
    steps: dict[tuple[str, str], Step] = {}
    for finding in findings:
        if finding.kind is Kind.LEFTOVER:
            text = f"delete entry {finding.entry_id} on {finding.gateway_id}, {finding.rule}: {finding.detail}"
            steps["entry", finding.entry_id] = Step(finding, text)
        elif finding.kind in (Kind.MISSING, Kind.DRIFTED) and not finding.by_hand:
            text = f"have PodDNAT {finding.poddnat} synced again: its entries are {finding.kind}"
            steps.setdefault(("poddnat", finding.uid), Step(finding, text))
    return list(steps.values())


def repair(site: Site, steps: Sequence[Step], on_done: Callable[[Step, bool], None]) -> None:
    """Do the steps; ``on_done`` gets each of them, and whether it succeeded.

    Raises:
        KubeError: the API server could not be asked which PodDNATs there are, or did not take a change.
    """
    asked_at = rfc3339(now())
    for step in steps:
        if step.finding.kind is not Kind.LEFTOVER:
            namespace, _, name = step.finding.poddnat.partition("/")
            site.kube.trigger_resync(namespace, name, asked_at, CHECK_ASKED_AT)
            on_done(step, True)  # noqa: FBT003  # also where it has gone since: so do its entries
    leftovers = [step for step in steps if step.finding.kind is Kind.LEFTOVER]
    if leftovers:
        deletion = _LeftoverDeletion(site, {step.finding.uid for step in leftovers})
        for step, succeeded in run_tasks(deletion.fleet, leftovers, deletion.is_done):
            on_done(step, succeeded)


class _LeftoverDeletion:
    """Has the entries deleted of PodDNATs that no longer exist."""

    def __init__(self, site: Site, uids: Collection[str]) -> None:
        self._liveness = _ListedPodDNATs(site.kube)
        self.fleet: Fleet = site.make_fleet(self._liveness)
        self._ownership = site.ownership
        self._uids = uids
        self._gone: set[str] = set()
        self._begun: set[tuple[str, str]] = set()

    def is_done(self, step: Step) -> bool:
        """Ask for a leftover's deletion, and tell whether it is deleted."""
        uid, gateway = step.finding.uid, self.fleet.get(step.finding.gateway_id)
        if gateway is None or not gateway.loaded:
            return False
        if uid not in self._gone:
            self._gone.update(self._liveness.gone_of(self._uids))  # Asked once more, just before something is deleted.
        entries = OwnEntries(uid, self._ownership.name_of(uid))
        if uid in self._gone and (gateway.gateway_id, uid) not in self._begun:
            self._begun.add((gateway.gateway_id, uid))
            gateway.orphan(entries)
        return uid in self._gone and not gateway.has_any(entries)


class _ListedPodDNATs:
    """Which PodDNATs exist: listed anew each time, since commands have no informer."""

    has_synced = True

    def __init__(self, kube: KubeClient) -> None:
        self._kube = kube
        self._alive = self._list()

    def is_alive(self, uid: str) -> bool:
        """Whether a PodDNAT existed when all were listed last."""
        return uid in self._alive

    def is_of_another(self, uid: str) -> bool:  # noqa: ARG002
        """Tell nothing of others: nobody is given ports here."""
        return False

    def gone_of(self, uids: Collection[str]) -> set[str]:
        """Tell which of these PodDNATs surely don't exist."""
        try:
            self._alive = self._list()
        except KubeError:
            return set()
        return set(uids) - self._alive

    def _list(self) -> set[str]:
        return self._kube.poddnat_uids()
