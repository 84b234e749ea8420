"""The PodDNAT object: as Kubernetes stores it, and as values that the controllers work with.

The fields are those of ACK's CRD, all strings, as other programs read them; ``protocol`` inside ``portMapping`` and
the conditions are ours. One item of the pod's list is one ``portMapping`` and, when it works, one of ``entries``,
also where it takes two forward entries: OpenKruiseGame counts them.
"""

import contextlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from poddnat.api.installation import UNNAMED, Installation
from poddnat.model import MOST_ITEMS, ForwardEntry, ForwardRule, PortMapping, Ports, Protocol, Transport, WorkingPort

GROUP = "alibabacloud.com"
API_VERSION = f"{GROUP}/v1"
KIND = "PodDNAT"
PLURAL = "poddnats"

READY = "Ready"

_LONGEST_ID = 128
"""No forward entry's id is as long: what is, somebody else has written."""

_MOST_CONDITIONS, _MOST_RELEASING = 16, 4000
"""As the CRD has it."""

CHECK_ASKED_AT = f"poddnat.{GROUP}/check-asked-at"
"""Annotation of a PodDNAT: when somebody asked for the gateway's table to be read again."""
OWN_ENTRIES = f"poddnat.{GROUP}/own-entries"
"""Annotation of a PodDNAT: the ids of its forward entries whose names don't say so, as its pod has confirmed.

Others could write it to have anybody's entry deleted, so the admission policy leaves it to the server.
"""
RESYNC_TRIGGERED_AT = f"poddnat.{GROUP}/nudged-at"
"""Annotation of a PodDNAT or a pod: when a resync was last triggered although nothing else of it had changed."""


class SpecError(ValueError):
    """A PodDNAT's spec can't be understood; the text names the field."""


@dataclass(frozen=True)
class PodDNAT:
    """What a PodDNAT asks for: the external side that a pod was given, and where it leads."""

    gateway_id: str
    external_ip: str
    internal_ip: str
    mappings: tuple[PortMapping, ...]
    eni: str = ""
    vswitch: str = ""
    zone: str = ""

    @property
    def rules(self) -> tuple[ForwardRule, ...]:
        """The forward entries that it takes, in the order of its mappings."""
        return tuple(rule for mapping in self.mappings for rule in mapping.rules(self.external_ip, self.internal_ip))

    def working(self, entries: Sequence[ForwardEntry]) -> tuple[WorkingPort, ...]:
        """Find the mappings all of whose forward entries are among those that work, in order."""
        ids = {entry.rule: entry.entry_id for entry in entries}
        found = []
        for mapping in self.mappings:
            needed = mapping.rules(self.external_ip, self.internal_ip)
            if all(rule in ids for rule in needed):
                entry_ids = tuple(ids[rule] for rule in needed)
                found.append(WorkingPort(self.external_ip, self.internal_ip, mapping, entry_ids))
        return tuple(found)

    def spec(self) -> dict[str, Any]:
        """Write it as a manifest's ``spec``."""
        # One protocol in the place where ACK's controller has it, also for readers who know nothing of both at once.
        single = (mapping.transport for mapping in self.mappings if mapping.transport is not Transport.TCPUDP)
        usual = next(single, Transport.TCP)
        return {
            "eni": self.eni,
            "externalIP": self.external_ip,
            "internalIP": self.internal_ip,
            "portMapping": [_mapping(mapping, usual) for mapping in self.mappings],
            "protocol": usual.value,
            "tableId": self.gateway_id,
            "vswitch": self.vswitch,
            "zoneID": self.zone,
        }


def _mapping(mapping: PortMapping, usual: Transport) -> dict[str, str]:
    written = {"externalPort": str(mapping.external), "internalPort": str(mapping.internal)}
    if mapping.transport is not usual:
        written["protocol"] = mapping.transport.value
    return written


def parse_spec(spec: Mapping[str, Any], *, absent: bool = False) -> PodDNAT:
    """Read a manifest's ``spec``; with ``absent``, ``internalIP`` may be empty: no pod has the ports at present.

    Raises:
        SpecError: a field is missing or not of its form, or a port is mapped twice.
    """
    usual = spec.get("protocol") or "tcp"
    mappings: list[PortMapping] = []
    listed = spec.get("portMapping") or []
    if len(listed) > MOST_ITEMS:
        raise SpecError(f"spec.portMapping has {len(listed)} items; it may have {MOST_ITEMS}")
    for index, mapping in enumerate(listed):
        where = f"spec.portMapping[{index}]"
        external = _ports(mapping, "externalPort", where)
        internal = _ports(mapping, "internalPort", where)
        if external.size != internal.size:
            raise SpecError(f"{where} maps {external.size} ports to {internal.size}; both sides need the same number")
        mappings.append(PortMapping(external, internal, _transport(mapping.get("protocol") or usual, where)))
    if not mappings:
        raise SpecError("spec.portMapping is empty; it has to list at least one port")
    _check_apart(mappings)
    return PodDNAT(
        gateway_id=_field(spec, "tableId"),
        external_ip=_field(spec, "externalIP"),
        internal_ip=_internal_ip(spec, absent=absent),
        mappings=tuple(mappings),
        eni=spec.get("eni", ""),
        vswitch=spec.get("vswitch", ""),
        zone=spec.get("zoneID", ""),
    )


def _check_apart(mappings: Sequence[PortMapping]) -> None:
    """Check that no port is mapped twice: the cloud refuses that, and each would count again and again."""
    if len(mappings) == 1:
        return
    for protocol in (Protocol.TCP, Protocol.UDP):
        carried = [mapping for mapping in mappings if protocol in mapping.transport.protocols]
        for side in ("external", "internal"):
            ranges = sorted(getattr(mapping, side) for mapping in carried)
            for one, other in itertools.pairwise(ranges):
                if one.last >= other.first:
                    clash = f"{one.shown} and {other.shown} of {side}Port, which overlap"
                    raise SpecError(f"spec.portMapping lists {clash}; each port may be there once for {protocol}")


def _internal_ip(spec: Mapping[str, Any], *, absent: bool) -> str:
    return "" if absent and not spec.get("internalIP") else _field(spec, "internalIP")


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


def _transport(value: str, where: str) -> Transport:
    try:
        return Transport(value.lower())
    except ValueError:
        raise SpecError(f'{where}: protocol "{value}" is none of tcp, udp and tcpudp') from None


def spec_of(poddnat: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read the ``spec`` of a PodDNAT as stored; one written by hand may have none."""
    return poddnat.get("spec") or {}


def key_of(manifest: Mapping[str, Any]) -> str:
    """Give the namespace and name of a PodDNAT, or of a pod, for people."""
    return f"{manifest['metadata']['namespace']}/{manifest['metadata']['name']}"


def manifest(
    namespace: str,
    name: str,
    poddnat: PodDNAT,
    observed: Mapping[str, Any] | None = None,
    installation: Installation = UNNAMED,
) -> dict[str, Any]:
    """Write the object that a pod should have; its owner reference is Metacontroller's to set.

    ``observed`` is what it has: Metacontroller replaces the list of finalizers as a whole, and others' stay.
    """
    finalizers = list(observed["metadata"].get("finalizers") or []) if observed is not None else []
    if installation.finalizer not in finalizers:
        finalizers.append(installation.finalizer)
    metadata: dict[str, Any] = {"namespace": namespace, "name": name, "finalizers": finalizers}
    if installation.labels:
        metadata["labels"] = installation.labels
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": poddnat.spec()}


@dataclass(frozen=True)
class Condition:
    """A judgement on a PodDNAT: ready or not, why, and one sentence for people."""

    ready: bool
    reason: str
    message: str


def status(
    observed: Mapping[str, Any],
    working: Sequence[WorkingPort],
    condition: Condition,
    now: str,
    releasing: Sequence[str] = (),
) -> dict[str, Any]:
    """Write the whole ``status`` of a PodDNAT.

    ``observed`` is the status so far: nothing in the new one differs from it unless something has changed, or every
    sync would cause a write. ``now`` is the time (RFC 3339) for a condition that changes. ``releasing``: the ids of
    entries that may be its own, beside those that work; of entries without a name they may be the only proof.
    """
    return {
        "entries": [_entry(port) for port in working],
        "ports": ",".join(str(port.mapping) for port in working),
        "conditions": [_condition(observed, condition, now)],
        **({"releasing": list(releasing)[:_MOST_RELEASING]} if releasing else {}),
    }


def left_alone_status(observed: Mapping[str, Any], condition: Condition, now: str) -> dict[str, Any]:
    """Write the ``status`` of a PodDNAT that isn't ours: all that is there stays as it is, beside our condition."""
    others = [one for one in observed.get("conditions") or [] if one.get("type") != READY]
    return {**observed, "conditions": [*others[: _MOST_CONDITIONS - 1], _condition(observed, condition, now)]}


def releasing_status(observed: Mapping[str, Any], condition: Condition, now: str) -> dict[str, Any]:
    """Write the ``status`` of a PodDNAT whose entries are being deleted: none is shown as working any more."""
    return status(observed, (), condition, now, entry_ids(observed))


def status_patch(poddnat: Mapping[str, Any], status: Mapping[str, Any]) -> dict[str, Any] | None:
    """Write the merge patch that makes this the whole ``status`` of a PodDNAT, as it was seen; None: it is already.

    Metacontroller writes the same: what its hook answers, and the generation that it was asked about.
    """
    metadata, observed = poddnat["metadata"], poddnat.get("status") or {}
    written = {**status, "observedGeneration": metadata["generation"]}
    if written == observed:
        return None
    precondition = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
    return {"metadata": precondition, "status": {**dict.fromkeys(observed), **written}}


def _entry(port: WorkingPort) -> dict[str, str]:
    return {
        "externalIP": port.external_ip,
        "externalPort": str(port.mapping.external),
        "forwardEntryId": ",".join(port.entry_ids),
        "internalIP": port.internal_ip,
        "internalPort": str(port.mapping.internal),
        "ipProtocol": port.mapping.transport.value,
    }


def _condition(observed: Mapping[str, Any], condition: Condition, now: str) -> dict[str, str]:
    value = "True" if condition.ready else "False"
    before = _ready_condition(observed) or {}
    return {
        "type": READY,
        "status": value,
        "reason": condition.reason,
        "message": condition.message,
        "lastTransitionTime": before.get("lastTransitionTime", now) if before.get("status") == value else now,
    }


def _ready_condition(status: Mapping[str, Any]) -> Mapping[str, str] | None:
    return next((found for found in status.get("conditions") or [] if found.get("type") == READY), None)


def observed_condition(status: Mapping[str, Any]) -> Condition | None:
    """Read the Ready condition of a status; None when there is none yet."""
    found = _ready_condition(status)
    if found is None:
        return None
    return Condition(found.get("status") == "True", found.get("reason", ""), found.get("message", ""))


def is_current(poddnat: Mapping[str, Any]) -> bool:
    """Whether a PodDNAT's status speaks of its present spec; Metacontroller writes that down."""
    status = poddnat.get("status") or {}
    return bool(status.get("observedGeneration") == poddnat["metadata"].get("generation"))


def ready_since(status: Mapping[str, Any]) -> str | None:
    """Read since when (RFC 3339) a status says Ready; None: it doesn't."""
    return _since(status, "True")


def not_ready_since(status: Mapping[str, Any]) -> str | None:
    """Read since when (RFC 3339) a status says that it is not Ready; None: it doesn't."""
    return _since(status, "False")


def _since(status: Mapping[str, Any], value: str) -> str | None:
    found = _ready_condition(status)
    return found.get("lastTransitionTime") if found is not None and found.get("status") == value else None


def is_ready(poddnat: Mapping[str, Any]) -> bool:
    """Whether a PodDNAT's status says Ready, and of its present spec."""
    return ready_since(poddnat.get("status") or {}) is not None and is_current(poddnat)


def entry_ids(status: Mapping[str, Any]) -> tuple[str, ...]:
    """Read the ids of the forward entries that a status holds: of those that work, and of those being deleted."""
    working = (entry_id for entry in status.get("entries") or [] for entry_id in _ids(entry))
    leaving = (entry_id for entry_id in status.get("releasing") or [] if len(entry_id) <= _LONGEST_ID)
    return tuple(dict.fromkeys([*working, *leaving]))


def recorded_entry_ids(poddnat: Mapping[str, Any]) -> tuple[str, ...]:
    """Read the ids of the forward entries that the server has recorded as a PodDNAT's own."""
    written = (poddnat["metadata"].get("annotations") or {}).get(OWN_ENTRIES, "")
    return tuple(filter(None, written.split(",")))


def record_patch(poddnat: Mapping[str, Any], ids: Iterable[str]) -> dict[str, Any]:
    """Write the patch that records these forward entries as a PodDNAT's own, too."""
    written = ",".join(sorted({*recorded_entry_ids(poddnat), *ids}))
    return {"metadata": {"annotations": {OWN_ENTRIES: written}, "uid": poddnat["metadata"]["uid"]}}


def _ids(entry: Mapping[str, Any]) -> tuple[str, ...]:
    found = (entry.get("forwardEntryId") or "").split(",")
    return tuple(entry_id for entry_id in found if 0 < len(entry_id) <= _LONGEST_ID)


def working_ports(status: Mapping[str, Any]) -> tuple[WorkingPort, ...]:
    """Read the ports that a status says to work, in order; entries that make no sense are left out."""
    found = []
    for entry in status.get("entries") or []:
        with contextlib.suppress(KeyError, ValueError, AttributeError):
            external, internal = Ports.parse(entry["externalPort"]), Ports.parse(entry["internalPort"])
            mapping = PortMapping(external, internal, Transport(entry["ipProtocol"].lower()))
            found.append(WorkingPort(entry["externalIP"], entry["internalIP"], mapping, _ids(entry)))
    return tuple(found)


def claimed_entries(status: Mapping[str, Any]) -> dict[str, ForwardRule]:
    """Read which forward entries a status says work, by id; what makes no sense is left out."""
    return {
        entry_id: rule
        for port in working_ports(status)
        for entry_id, rule in zip(port.entry_ids, port.mapping.rules(port.external_ip, port.internal_ip), strict=False)
    }
