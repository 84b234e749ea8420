"""What an annotated pod should have: its PodDNAT, and the annotations that tell how it went.

Called for every event of a pod, often before the last answer took effect, so the same pod always gets the same
answer. Nothing here is exposed: that is the PodDNAT's own sync, which trusts nobody.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from poddnat import annotations, pod_facts, port_list
from poddnat.annotations import AnnotationError
from poddnat.cluster import Cluster, ClusterError, PodDNATs
from poddnat.fleet import Fleet
from poddnat.ledger import Grant, Ledger
from poddnat.model import Address, ExposedPort, Exposure, PortMapping
from poddnat.namespaces import Namespaces
from poddnat.network import Located, Network
from poddnat.nodes import Nodes
from poddnat.placement import NoGatewayError, Place, tiers
from poddnat.poddnat_object import (
    PodDNAT,
    SpecError,
    controller_of,
    manifest,
    observed_condition,
    parse_spec,
    spec_of,
    working_ports,
)
from poddnat.progress import Later, Trouble
from poddnat.stopwatch import Stopwatch
from poddnat.troubles import MOVE_AWAY

log = logging.getLogger(__name__)

Manifest = dict[str, Any]

_MOVE_RETRY = 30.0
"""Seconds after which to look again for another gateway or address."""


@dataclass(frozen=True)
class PodAnswer:
    """What a pod should have: attachments, and annotations to set (None: to remove)."""

    attachments: list[Manifest] = field(default_factory=list)
    annotations: dict[str, str | None] = field(default_factory=dict)
    resync_after: float = 0.0
    """Seconds after which to ask again although nothing has changed in the cluster; 0: never."""


class _TroubleError(Exception):
    """A pod can't be exposed; carries what to tell."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.message)
        self.trouble = trouble


class _LaterError(Exception):
    """Something has to be found out first."""


class Pods:
    """Answers the pod hooks. Safe to use from several threads."""

    def __init__(
        self,
        cluster: Cluster,
        poddnats: PodDNATs,
        fleet: Fleet,
        network: Network,
        ledger: Ledger,
        nodes: Nodes,
        namespaces: Namespaces,
        stopwatch: Stopwatch,
    ) -> None:
        self._cluster = cluster
        self._poddnats = poddnats
        self._fleet = fleet
        self._network = network
        self._ledger = ledger
        self._nodes = nodes
        self._stopwatch = stopwatch
        self._namespaces = namespaces

    def sync(self, pod: Manifest, observed: Manifest | None) -> PodAnswer | Later:
        """Tell what a pod should have; ``observed`` is the PodDNAT that it has."""
        if pod_facts.is_terminating(pod):
            # Its entries stay until it is gone: the PodDNAT goes with it. Metacontroller changes nothing by now.
            return PodAnswer([_as_desired(observed)] if observed else [])
        try:
            exposure = annotations.parse(pod_facts.annotations_of(pod))
            if exposure is None:
                return PodAnswer(annotations=_told(pod, None, None))
            self._check(pod)
            if (trouble := self._namespaces.refusal(pod["metadata"]["namespace"])) is not None:
                self._keep_ports(pod["metadata"]["uid"], observed)
                return self._refused(pod, trouble)
            ip = pod_facts.address_of(pod)
            if ip is None:
                return PodAnswer(annotations=_told(pod, None, None))
            return self._exposed(pod, ip, exposure, observed)
        except AnnotationError as error:
            self._keep_ports(pod["metadata"]["uid"], observed)
            return self._refused(pod, Trouble("InvalidAnnotation", f"{error}.", retry_after=0.0))
        except _TroubleError as error:
            return self._refused(pod, error.trouble)
        except _LaterError:
            return Later(1.0)

    def opt_out(self, pod: Manifest) -> PodAnswer | Later:
        """Take back what a pod was given that no longer asks for anything."""
        metadata = pod["metadata"]
        known = self._poddnats.named(metadata["namespace"], metadata["name"])
        owner = controller_of(known["metadata"]) if known else None
        if known is not None and owner is not None and owner.uid == metadata["uid"]:
            try:
                self._cluster.delete_poddnat(metadata["namespace"], metadata["name"], known["metadata"]["uid"])
            except ClusterError as error:
                log.warning("deleting PodDNAT %s/%s: %s", metadata["namespace"], metadata["name"], error)
                return Later(2.0)
        return PodAnswer(annotations=_told(pod, None, None))

    def _check(self, pod: Manifest) -> None:
        """Refuse pods whose address isn't their own in the VPC."""
        if pod_facts.shares_node_network(pod):
            text = "The pod uses its node's network (hostNetwork: true), so exposing it would expose the node"
            raise _TroubleError(Trouble("HostNetwork", f"{text}; the user has to give it a network of its own.", 0.0))
        node = pod["spec"].get("nodeName")
        if node and self._nodes.is_virtual(node):
            text = f"The pod runs on the virtual node {node} (ECI), whose pods DNAT does not support"
            raise _TroubleError(Trouble("VirtualNode", f"{text}; the user has to run it on an ECS node.", 0.0))

    def _exposed(self, pod: Manifest, ip: str, exposure: Exposure, observed: Manifest | None) -> PodAnswer:
        metadata = pod["metadata"]
        namesake = self._poddnats.named(metadata["namespace"], metadata["name"])
        if observed is None and namesake is not None and not _belongs_to(namesake, metadata["uid"]):
            # That of an earlier pod of this name is still being cleaned up.
            raise _LaterError
        try:
            desired = self._desired(metadata["uid"], ip, exposure.items, observed)
        except _TroubleError as error:
            remainder = self._remainder(metadata["uid"], ip, exposure.items, observed)
            if remainder is None:
                raise
            # What can't be had now must not cost what the pod has already and still asks for.
            attachment = manifest(metadata["namespace"], metadata["name"], remainder)
            refused = self._refused(pod, error.trouble)
            return PodAnswer([attachment], refused.annotations, refused.resync_after)
        attachment = manifest(metadata["namespace"], metadata["name"], desired)
        # Where there is nowhere better to go yet, nothing in the cluster will tell that there is.
        again = _MOVE_RETRY if self._has_to_leave(observed) else 0.0
        return PodAnswer([attachment], _judged(pod, attachment, observed), again)

    def _has_to_leave(self, observed: Manifest | None) -> str:
        """Name the gateway or the address that a pod has to leave; else empty."""
        external_ip = str(spec_of(observed).get("externalIP", "")) if observed else ""
        return external_ip if external_ip and self._ledger.shuns(external_ip) else _has_to_move(observed)

    def _keep_ports(self, pod_uid: str, observed: Manifest | None) -> None:
        """Keep for a while what a pod had, so that mending its annotation gives it the same ports again."""
        current = _parsed(observed)
        if current is not None:
            self._ledger.promise(pod_uid, _grant_of(current))

    def _remainder(
        self, pod_uid: str, ip: str, items: Sequence[ExposedPort], observed: Manifest | None
    ) -> PodDNAT | None:
        """Find what a pod has of the items that it asks for; None: nothing."""
        current = _parsed(observed)
        if current is None or observed is None or current.internal_ip != ip:
            return None
        had = [mapping.item for item in items for mapping in current.mappings if item.covers(mapping.item)]
        kept = self._ledger.kept(_grant_of(current), had, uid=observed["metadata"]["uid"], pod_uid=pod_uid)
        mappings = tuple(mapping for mapping in kept if mapping is not None)
        return replace(current, mappings=mappings) if mappings else None

    def _desired(self, pod_uid: str, ip: str, items: Sequence[ExposedPort], observed: Manifest | None) -> PodDNAT:
        current = _parsed(observed)
        leave = self._has_to_leave(observed)
        kept: list[PortMapping | None] = []
        if current is not None and observed is not None:
            kept = self._ledger.kept(_grant_of(current), items, uid=observed["metadata"]["uid"], pod_uid=pod_uid)
            whole = tuple(mapping for mapping in kept if mapping is not None)
            settled = len(whole) == len(items) and _takes_nothing_new(whole, current)
            if settled and current.internal_ip == ip and not leave:
                return replace(current, mappings=whole)
        promised = self._ledger.promised(pod_uid, items)
        located = self._network.locate(pod_uid, ip)
        if not isinstance(located, Located):
            raise _unknown(located.trouble)
        if promised is not None and leave not in (promised.gateway_id, promised.external_ip):
            return _poddnat(promised, located.address)
        keep = None
        if current is not None and leave not in (current.gateway_id, current.external_ip):
            keep = _grant_of(current).home
        grant = self._ledger.grant(pod_uid, items, self._places(located, avoid=leave), keep=keep, kept=kept)
        if grant is None and leave and current is not None:
            # Nowhere better to go: stay and wait.
            return current
        if grant is None:
            text = f"No address of the pool's gateways has all that the pod needs free: {_needs(items)}"
            raise _TroubleError(
                Trouble("NoFreePorts", f"{text}; an operator has to widen a port range or add EIPs.", 30)
            )
        self._stopwatch.start(pod_uid)
        return _poddnat(grant, located.address)

    def _places(self, located: Located, avoid: str) -> list[list[Place]]:
        """List in tiers where a pod can be put, the best first, but not on the gateway or address to avoid."""
        if not self._fleet.known:
            raise _unknown(self._fleet.trouble(avoid))
        try:
            ranked = tiers(located.address, located.route, self._fleet.candidates())
        except NoGatewayError as error:
            raise _TroubleError(Trouble(error.reason, error.message)) from error
        for gateway_id in {place.gateway_id for tier in ranked for place in tier}:
            gateway = self._fleet.get(gateway_id)
            if gateway is None or not gateway.loaded:
                raise _LaterError  # Foreign entries hold ports; without the table, none can be promised.
        return [[place for place in tier if avoid not in (place.gateway_id, place.external_ip)] for tier in ranked]

    def _refused(self, pod: Manifest, trouble: Trouble) -> PodAnswer:
        told = _told(pod, annotations.format_status(trouble.reason, trouble.message), None)
        if told:
            self._cluster.warn(pod, trouble.reason, trouble.message)
        return PodAnswer(annotations=told, resync_after=trouble.retry_after)


def _unknown(trouble: Trouble | None) -> Exception:
    """Say that something isn't known yet, or why it can't be."""
    return _LaterError() if trouble is None else _TroubleError(trouble)


def _parsed(observed: Manifest | None) -> PodDNAT | None:
    try:
        return parse_spec(spec_of(observed)) if observed else None
    except SpecError:
        return None  # Edited by hand beyond recognition: it is written anew.


def _belongs_to(poddnat: Manifest, pod_uid: str) -> bool:
    owner = controller_of(poddnat["metadata"])
    return owner is not None and owner.uid == pod_uid


def _is_current(observed: Manifest) -> bool:
    """Whether a PodDNAT's status speaks of its present spec."""
    status = observed.get("status") or {}
    return bool(status.get("observedGeneration") == observed["metadata"].get("generation"))


def _has_to_move(observed: Manifest | None) -> str:
    """Name the gateway or the address that a PodDNAT has to leave, if its own sync asks for it; else empty."""
    if observed is None or not _is_current(observed):
        return ""
    condition = observed_condition(observed.get("status") or {})
    if condition is None or condition.ready or condition.reason not in MOVE_AWAY:
        return ""
    leaves = {"ExternalAddressUnusable": "externalIP", "ExternalPortTaken": ""}
    return str(spec_of(observed).get(leaves.get(condition.reason, "tableId"), ""))


def _poddnat(grant: Grant, address: Address) -> PodDNAT:
    return PodDNAT(*grant.home, address.ip, grant.mappings, address.eni, address.vswitch, address.zone)


def _grant_of(current: PodDNAT) -> Grant:
    return Grant(current.gateway_id, current.external_ip, current.mappings)


def _takes_nothing_new(mappings: Sequence[PortMapping], current: PodDNAT) -> bool:
    had = {slot for mapping in current.mappings for slot in mapping.slots}
    return had.issuperset(slot for mapping in mappings for slot in mapping.slots)


def _needs(items: Sequence[ExposedPort]) -> str:
    """Tell what to look for on an address, however long the list."""
    wanted = Counter(
        f"{item.ports.size} {item.transport} ports in a row" if item.ports.size > 1 else f"{item.transport} port"
        for item in items
    )
    return port_list.brief([f"{count} x {what}" for what, count in sorted(wanted.items())], quote="")


def _as_desired(observed: Manifest) -> Manifest:
    metadata = observed["metadata"]
    return {
        "apiVersion": observed["apiVersion"],
        "kind": observed["kind"],
        "metadata": {"namespace": metadata["namespace"], "name": metadata["name"]},
        "spec": spec_of(observed),
    }


def _judged(pod: Manifest, desired: Manifest, observed: Manifest | None) -> dict[str, str | None]:
    """Tell on the pod what its PodDNAT's status says of what is desired now."""
    leaving = observed is not None and pod_facts.is_terminating(observed)
    if observed is None or leaving or spec_of(observed) != desired["spec"] or not _is_current(observed):
        if annotations.RESULT not in (pod_facts.annotations_of(pod)):
            return {}
        return _told(pod, annotations.format_status("Updating", "The public address is being changed."), None)
    condition = observed_condition(observed["status"])
    if condition is None:
        return {}
    if condition.ready:
        return _told(pod, annotations.READY, annotations.format_result(working_ports(observed["status"])))
    return _told(pod, annotations.format_status(condition.reason, condition.message), None)


def _told(pod: Manifest, status: str | None, result: str | None) -> dict[str, str | None]:
    """Give the annotations that differ from what the pod carries."""
    carried = pod_facts.annotations_of(pod)
    wanted = {annotations.STATUS: status, annotations.RESULT: result}
    return {key: value for key, value in wanted.items() if carried.get(key) != value}
