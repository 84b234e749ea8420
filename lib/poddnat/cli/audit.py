"""The cluster held against the cloud: what PodDNATs say works, and what the gateways' tables have.

Pure: what there is, is given. A finding seen in one comparison may be work in progress; one that is still there a
moment later is not.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from poddnat.api import claimed_entries, desired_by, is_ready, is_terminating, key_of, spec_of
from poddnat.cli.snapshot import Snapshot
from poddnat.config import Values
from poddnat.gateway import Ownership
from poddnat.model import ForwardEntry, ForwardRule

Manifest = dict[str, Any]


class Kind(StrEnum):
    """What is the matter."""

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


def compare(stock: Snapshot, values: Values) -> list[Finding]:
    """Find everything in which the PodDNATs and the tables differ; the order is that of gateways, then of entries."""
    ownership = Ownership(values.cluster_id)
    findings = [finding for poddnat in stock.poddnats for finding in _of_poddnat(poddnat, stock.tables, ownership)]
    findings += _of_tables(stock, values, ownership)
    return sorted(findings, key=lambda f: (list(Kind).index(f.kind), f.gateway_id, f.poddnat, f.rule, f.entry_id))


def lasting(before: Iterable[Finding], now: Iterable[Finding]) -> list[Finding]:
    """Keep what two comparisons, one after the other, have both found."""
    seen = set(before)
    return [finding for finding in now if finding in seen]


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


def _of_tables(stock: Snapshot, values: Values, ownership: Ownership) -> Iterator[Finding]:
    alive = {poddnat["metadata"]["uid"] for poddnat in stock.poddnats}
    claims = stock.claims()
    for gateway_id, table in stock.tables.items():
        for entry in table:
            owner = ownership.owner_in(entry.name)
            if entry.entry_id in claims or owner in alive:
                continue
            if owner is None:
                named = f"named {entry.name}" if entry.name else _unnamed(gateway_id, entry.rule, values)
                yield Finding(Kind.FOREIGN, gateway_id, entry.entry_id, str(entry.rule), "", "", named)
            else:
                gone = f"PodDNAT {owner} is gone"
                yield Finding(Kind.LEFTOVER, gateway_id, entry.entry_id, str(entry.rule), "", owner, gone)


def _unnamed(gateway_id: str, rule: ForwardRule, values: Values) -> str:
    if not values.allows(gateway_id, rule.external_ip, rule.external_ports):
        return "without a name"
    return "without a name, on a port of the pool: somebody else's, or of an adopted PodDNAT that was removed by force"
