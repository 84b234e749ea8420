"""The PodDNAT object: between what Kubernetes stores and what the logic works with.

The fields are those of ACK's CRD, all strings, as other programs read them; ``protocol`` inside ``portMapping`` and
the conditions are ours.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from poddnat.model import ForwardEntry, ForwardRule, Ports, Protocol

GROUP = "alibabacloud.com"
API_VERSION = f"{GROUP}/v1"
KIND = "PodDNAT"
PLURAL = "poddnats"

READY = "Ready"


class SpecError(ValueError):
    """A PodDNAT's spec can't be understood; the text names the field."""


@dataclass(frozen=True)
class Reference:
    """The owner of a PodDNAT, or any other object that it names."""

    kind: str
    name: str
    uid: str


@dataclass(frozen=True)
class PodDNAT:
    """What a PodDNAT asks for: the external side that a pod was given, and where it leads."""

    gateway_id: str
    internal_ip: str
    rules: tuple[ForwardRule, ...]
    eni: str = ""
    vswitch: str = ""
    zone: str = ""

    @property
    def external_ip(self) -> str:
        """The one external address of all its rules."""
        return self.rules[0].external_ip

    def spec(self) -> dict[str, Any]:
        """Write it as a manifest's ``spec``."""
        protocol = self.rules[0].protocol
        return {
            "eni": self.eni,
            "externalIP": self.external_ip,
            "internalIP": self.internal_ip,
            "portMapping": [_mapping(rule, protocol) for rule in self.rules],
            "protocol": protocol.value,
            "tableId": self.gateway_id,
            "vswitch": self.vswitch,
            "zoneID": self.zone,
        }


def _mapping(rule: ForwardRule, usual: Protocol) -> dict[str, str]:
    mapping = {"externalPort": str(rule.external_ports), "internalPort": str(rule.internal_ports)}
    if rule.protocol is not usual:
        mapping["protocol"] = rule.protocol.value
    return mapping


def parse_spec(spec: Mapping[str, Any]) -> PodDNAT:
    """Read a manifest's ``spec``.

    Raises:
        SpecError: a field is missing or not of its form.
    """
    usual = spec.get("protocol") or "tcp"
    rules = []
    for index, mapping in enumerate(spec.get("portMapping") or []):
        where = f"spec.portMapping[{index}]"
        external = _ports(mapping, "externalPort", where)
        internal = _ports(mapping, "internalPort", where)
        if external.size != internal.size:
            raise SpecError(f"{where} maps {external.size} ports to {internal.size}; both sides need the same number")
        protocol = _protocol(mapping.get("protocol") or usual, where)
        rules.append(ForwardRule(_field(spec, "externalIP"), external, _field(spec, "internalIP"), internal, protocol))
    if not rules:
        raise SpecError("spec.portMapping is empty; it has to list at least one port")
    return PodDNAT(
        gateway_id=_field(spec, "tableId"),
        internal_ip=_field(spec, "internalIP"),
        rules=tuple(rules),
        eni=spec.get("eni", ""),
        vswitch=spec.get("vswitch", ""),
        zone=spec.get("zoneID", ""),
    )


def _field(spec: Mapping[str, Any], name: str) -> str:
    value = spec.get(name)
    if not value:
        raise SpecError(f"spec.{name} is missing")
    return str(value)


def _ports(mapping: Mapping[str, Any], name: str, where: str) -> Ports:
    try:
        return Ports.parse(str(mapping.get(name, "")))
    except ValueError as error:
        raise SpecError(f"{where}.{name}: {error}") from error


def _protocol(value: str, where: str) -> Protocol:
    if value.lower() not in {Protocol.TCP, Protocol.UDP}:
        raise SpecError(f'{where}: protocol "{value}" is neither tcp nor udp')
    return Protocol(value.lower())


def spec_of(poddnat: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read the ``spec`` of a PodDNAT as stored; one written by hand may have none."""
    return poddnat.get("spec") or {}


def manifest(namespace: str, name: str, poddnat: PodDNAT) -> dict[str, Any]:
    """Write the object that a pod should have; its owner reference is Metacontroller's to set."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"namespace": namespace, "name": name},
        "spec": poddnat.spec(),
    }


def controller_of(metadata: Mapping[str, Any]) -> Reference | None:
    """Find the owner that an object's metadata names as its controller."""
    for owner in metadata.get("ownerReferences") or []:
        if owner.get("controller"):
            return Reference(owner["kind"], owner["name"], owner["uid"])
    return None


@dataclass(frozen=True)
class Condition:
    """A judgement on a PodDNAT: ready or not, why, and one sentence for people."""

    ready: bool
    reason: str
    message: str


def status(
    observed: Mapping[str, Any], entries: Sequence[ForwardEntry], condition: Condition, now: str
) -> dict[str, Any]:
    """Write the whole ``status`` of a PodDNAT.

    ``observed`` is the status so far: nothing in the new one differs from it unless something has changed, or every
    sync would cause a write. ``now`` is the time (RFC 3339) for a condition that changes.
    """
    return {
        "entries": [_entry(entry) for entry in entries],
        "ports": ",".join(
            f"{entry.rule.external_ports}->{entry.rule.internal_ports}/{entry.rule.protocol}" for entry in entries
        ),
        "conditions": [_condition(observed, condition, now)],
    }


def _entry(entry: ForwardEntry) -> dict[str, str]:
    return {
        "externalIP": entry.rule.external_ip,
        "externalPort": str(entry.rule.external_ports),
        "forwardEntryId": entry.entry_id,
        "internalIP": entry.rule.internal_ip,
        "internalPort": str(entry.rule.internal_ports),
        "ipProtocol": entry.rule.protocol.value,
    }


def _condition(observed: Mapping[str, Any], condition: Condition, now: str) -> dict[str, str]:
    value = "True" if condition.ready else "False"
    before: Mapping[str, str] = next((c for c in observed.get("conditions") or [] if c.get("type") == READY), {})
    return {
        "type": READY,
        "status": value,
        "reason": condition.reason,
        "message": condition.message,
        "lastTransitionTime": before.get("lastTransitionTime", now) if before.get("status") == value else now,
    }


def observed_condition(status: Mapping[str, Any]) -> Condition | None:
    """Read the Ready condition of a status; None when there is none yet."""
    for condition in status.get("conditions") or []:
        if condition.get("type") == READY:
            return Condition(
                ready=condition.get("status") == "True",
                reason=condition.get("reason", ""),
                message=condition.get("message", ""),
            )
    return None


def ready_since(status: Mapping[str, Any]) -> str | None:
    """Read since when (RFC 3339) a status says Ready; None: it doesn't."""
    for condition in status.get("conditions") or []:
        if condition.get("type") == READY and condition.get("status") == "True":
            since: str | None = condition.get("lastTransitionTime")
            return since
    return None


def entry_ids(status: Mapping[str, Any]) -> tuple[str, ...]:
    """Read the ids of the entries that a status holds."""
    return tuple(e["forwardEntryId"] for e in status.get("entries") or [] if e.get("forwardEntryId"))


def entry_rules(status: Mapping[str, Any]) -> tuple[ForwardRule, ...]:
    """Read the rules of the entries that a status holds, in order; entries that make no sense are left out."""
    rules = []
    for entry in status.get("entries") or []:
        with contextlib.suppress(KeyError, ValueError, AttributeError):
            rules.append(
                ForwardRule(
                    entry["externalIP"],
                    Ports.parse(entry["externalPort"]),
                    entry["internalIP"],
                    Ports.parse(entry["internalPort"]),
                    Protocol(entry["ipProtocol"].lower()),
                )
            )
    return tuple(rules)
