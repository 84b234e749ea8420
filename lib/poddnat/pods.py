"""What an annotated pod should have: its PodDNAT, and the annotations that tell how it went.

Called for every event of a pod, often before the last answer took effect, so the same pod always gets the same
answer. Nothing here is exposed: that is the PodDNAT's own sync, which trusts nobody.
"""

import datetime as dt
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from poddnat import annotations, fixed, pod_facts, port_list, readiness
from poddnat.absences import TIME_FORMAT, Absences
from poddnat.annotations import AnnotationError
from poddnat.cluster import Cluster, ClusterError
from poddnat.fleet import Fleet
from poddnat.followed import PodDNATs
from poddnat.keeping import Keeping
from poddnat.ledger import Grant, Ledger
from poddnat.limits import LimitError
from poddnat.model import Address, ExposedPort, Exposure, PortMapping
from poddnat.namespaces import Namespaces
from poddnat.network import Located, Network
from poddnat.nodes import Nodes
from poddnat.placement import NoGatewayError, Place, tiers
from poddnat.poddnat_object import (
    PodDNAT,
    SpecError,
    controller_of,
    entry_ids,
    is_acks,
    manifest,
    observed_condition,
    parse_spec,
    spec_of,
    working_ports,
)
from poddnat.progress import Later, Trouble
from poddnat.release import Release
from poddnat.stopwatch import Stopwatch
from poddnat.troubles import ADDRESS, MOVE_AWAY, PORT_TAKEN, of_acks
from poddnat.waiting_list import Asking

log = logging.getLogger(__name__)

Manifest = dict[str, Any]

_MOVE_RETRY = 30.0
"""Seconds after which to look again for another gateway or address."""
_FIXED_RESYNC = 60.0
"""Seconds after which to look again at a fixed pod's PodDNAT: Metacontroller doesn't tell of its changes."""


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
        absences: Absences,
        fleet: Fleet,
        network: Network,
        ledger: Ledger,
        nodes: Nodes,
        namespaces: Namespaces,
        stopwatch: Stopwatch,
    ) -> None:
        self._cluster = cluster
        self._poddnats = poddnats
        self._keeping = Keeping(cluster, poddnats, absences)
        self._fleet = fleet
        self._network = network
        self._ledger = ledger
        self._nodes = nodes
        self._stopwatch = stopwatch
        self._namespaces = namespaces

    def sync(self, pod: Manifest, observed: Manifest | None) -> PodAnswer | Later:
        """Tell what a pod should have; ``observed`` is the PodDNAT that it owns.

        Raises:
            ClusterError: a fixed pod's PodDNAT, or the pod's readiness, could not be written.
        """
        if pod_facts.is_terminating(pod):
            # Its entries stay until it is gone: the PodDNAT goes with it. Metacontroller changes nothing by now.
            return PodAnswer([_as_desired(observed)] if observed else [])
        kept = self._keeping.kept_for(pod)
        try:
            answer = self._answer(pod, observed, kept)
        except AnnotationError as error:
            self._keep_ports(pod["metadata"]["uid"], observed)
            self._keeping.park(kept)
            answer = self._refused(pod, Trouble("InvalidAnnotation", f"{error}.", retry_after=0.0))
        except _TroubleError as error:
            self._keeping.park(kept)
            answer = self._refused(pod, error.trouble)
        except _LaterError:
            return Later(1.0)
        return self._with_readiness(pod, answer)

    def _answer(self, pod: Manifest, observed: Manifest | None, kept: Manifest | None) -> PodAnswer:
        exposure = annotations.parse(pod_facts.annotations_of(pod))
        if exposure is None:
            self._keeping.give_up(kept)
            return PodAnswer(annotations=_told(pod, None, None))
        self._check(pod)
        if (trouble := self._namespaces.refusal(pod["metadata"]["namespace"])) is not None:
            self._keep_ports(pod["metadata"]["uid"], observed)
            raise _TroubleError(trouble)
        ip = pod_facts.address_of(pod)
        owner = self._keeping.owner_for(pod, exposure, kept)
        if ip is None:
            self._keeping.park(kept)
            return PodAnswer(annotations=_told(pod, None, None))
        if owner is not None:
            return self._fixed(pod, ip, exposure, owner, kept, observed)
        if kept is not None:
            # No longer fixed: the ports go over to a PodDNAT of the pod's own.
            self._keep_ports(pod["metadata"]["uid"], kept)
            self._keeping.give_up(kept)
            raise _LaterError
        return self._exposed(pod, ip, exposure, observed)

    def _with_readiness(self, pod: Manifest, answer: PodAnswer) -> PodAnswer:
        """Set the pod's readiness, once its annotations say the same: two writers at once would only collide."""
        if answer.annotations or not readiness.asked_for(pod):
            return answer
        status = pod_facts.annotations_of(pod).get(annotations.STATUS)
        condition = readiness.due(pod, status, dt.datetime.now(dt.UTC).strftime(TIME_FORMAT))
        if condition is not None:
            self._cluster.set_pod_condition(pod, condition)
        return answer

    def opt_out(self, pod: Manifest) -> PodAnswer | Later:
        """Take back what a pod was given that no longer asks for anything."""
        metadata = pod["metadata"]
        known = self._poddnats.named(metadata["namespace"], metadata["name"])
        if known is not None and (_belongs_to(known, metadata["uid"]) or fixed.serves(known, metadata["uid"])):
            try:
                self._cluster.delete_poddnat(metadata["namespace"], metadata["name"], known["metadata"]["uid"])
            except ClusterError as error:
                log.warning("deleting PodDNAT %s/%s: %s", metadata["namespace"], metadata["name"], error)
                return Later(2.0)
        return self._with_readiness(pod, PodAnswer(annotations=_told(pod, None, None)))

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
            raise _in_the_way(namesake)
        if observed is not None and pod_facts.is_terminating(observed):
            self._keep_ports(metadata["uid"], observed)  # Somebody has deleted it: it comes back with the same ones.
        try:
            desired = self._desired(metadata["uid"], ip, exposure.items, observed, metadata["namespace"])
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
        return PodAnswer([attachment], _judged(pod, desired, observed), again)

    def _fixed(
        self,
        pod: Manifest,
        ip: str,
        exposure: Exposure,
        owner: fixed.Owner,
        kept: Manifest | None,
        observed: Manifest | None,
    ) -> PodAnswer:
        """See that a fixed pod has what it should: its PodDNAT is no attachment, and outlives it."""
        metadata = pod["metadata"]
        if observed is not None:
            # From before it was fixed: Metacontroller deletes that one, and the ports go over.
            self._keep_ports(metadata["uid"], observed)
            return PodAnswer(annotations=_judged(pod, None, None), resync_after=1.0)
        namesake = self._poddnats.named(metadata["namespace"], metadata["name"])
        if namesake is not None and kept is None:
            raise _in_the_way(namesake)
        if kept is not None and pod_facts.is_terminating(kept):
            self._keep_ports(metadata["uid"], kept)
            raise _LaterError
        trouble = None
        try:
            desired = self._desired(metadata["uid"], ip, exposure.items, kept, metadata["namespace"])
        except _TroubleError as error:
            remainder = self._remainder(metadata["uid"], ip, exposure.items, kept)
            if remainder is None:
                raise
            desired, trouble = remainder, error.trouble
        record = fixed.Fixed(owner, Release(exposure.release), metadata["name"], metadata["uid"])
        if kept is None:
            self._cluster.create_poddnat(fixed.new(metadata["namespace"], record, desired))
            raise _LaterError
        if spec_of(kept) != desired.spec() or not record.is_written(kept["metadata"]):
            self._keeping.tell_of_move(pod, kept, desired)
            self._cluster.patch_poddnat(metadata["namespace"], metadata["name"], fixed.change(kept, record, desired))
            raise _LaterError
        if trouble is not None:
            return self._refused(pod, trouble)
        told = _judged(pod, desired, kept)
        if not told and not _is_judged(kept):
            raise _LaterError
        return PodAnswer(annotations=told, resync_after=_FIXED_RESYNC if _is_judged(kept) else 1.0)

    def _has_to_leave(self, observed: Manifest | None) -> str:
        """Name the gateway or the address that a pod has to leave; else empty."""
        external_ip = str(spec_of(observed).get("externalIP", "")) if observed else ""
        return external_ip if external_ip and self._ledger.shuns(external_ip) else _has_to_move(observed)

    def _keep_ports(self, pod_uid: str, observed: Manifest | None) -> None:
        """Keep for a while what a pod had, so that mending its annotation gives it the same ports again."""
        current = _parsed(observed)
        if current is not None and observed is not None:
            self._ledger.promise(pod_uid, _grant_of(current), beyond=observed["metadata"]["uid"])

    def _remainder(
        self, pod_uid: str, ip: str, items: Sequence[ExposedPort], observed: Manifest | None
    ) -> PodDNAT | None:
        """Find what a pod has of the items that it asks for; None: nothing."""
        current = _parsed(observed)
        if current is None or observed is None or current.internal_ip != ip:
            return None
        had = [mapping.item for item in items for mapping in current.mappings if item.covers(mapping.item)]
        kept = self._kept(current, had, observed, pod_uid)
        mappings = tuple(mapping for mapping in kept if mapping is not None)
        return replace(current, mappings=mappings) if mappings else None

    def _kept(
        self, current: PodDNAT, items: Sequence[ExposedPort], observed: Manifest, pod_uid: str
    ) -> list[PortMapping | None]:
        ids = entry_ids(observed.get("status") or {})
        uid, taken = observed["metadata"]["uid"], _told_reason(observed) == PORT_TAKEN
        return self._ledger.kept(_grant_of(current), items, uid=uid, pod_uid=pod_uid, entry_ids=ids, taken_away=taken)

    def _desired(
        self, pod_uid: str, ip: str, items: Sequence[ExposedPort], observed: Manifest | None, namespace: str
    ) -> PodDNAT:
        current = _parsed(observed)
        leave = self._has_to_leave(observed)
        kept: list[PortMapping | None] = []
        if current is not None and observed is not None:
            kept = self._kept(current, items, observed, pod_uid)
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
        places, keep = self._places(located, avoid=leave), None
        if current is not None and leave not in (current.gateway_id, current.external_ip):
            # Replies of a pod that has moved to another vSwitch may leave by another gateway.
            keep = _grant_of(current).home if _is_among(places, current.gateway_id) else None
        asking = Asking(pod_uid, namespace, observed["metadata"]["uid"] if observed else "")
        try:
            grant = self._ledger.grant(asking, items, places, keep=keep, kept=kept)
        except LimitError as error:
            raise _TroubleError(error.trouble) from error
        if grant is None and leave and current is not None:
            # Nowhere better to go: stay and wait.
            return current
        if grant is None:
            text = f"No address of the pool's gateways has all that the pod needs free: {_needs(items)}"
            raise _TroubleError(
                Trouble("NoFreePorts", f"{text}; an operator has to widen a port range or add EIPs.", 15)
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
            log.warning("refused: %s: %s", trouble.reason, trouble.message)
            self._cluster.warn(pod, trouble.reason, trouble.message)
        return PodAnswer(annotations=told, resync_after=trouble.retry_after)


def _unknown(trouble: Trouble | None) -> Exception:
    """Say that something isn't known yet, or why it can't be."""
    return _LaterError() if trouble is None else _TroubleError(trouble)


def _parsed(observed: Manifest | None) -> PodDNAT | None:
    try:
        return parse_spec(spec_of(observed), away=True) if observed else None
    except SpecError:
        return None  # Edited by hand beyond recognition: it is written anew.


def _belongs_to(poddnat: Manifest, pod_uid: str) -> bool:
    owner = controller_of(poddnat["metadata"])
    return owner is not None and owner.uid == pod_uid


def _in_the_way(namesake: Manifest) -> Exception:
    """Say what becomes of a pod whose PodDNAT's name another one has, which is not its own."""
    metadata = namesake["metadata"]
    if is_acks(metadata):
        return _TroubleError(of_acks(metadata["name"]))
    owner, record = controller_of(metadata), fixed.Fixed.read(metadata)
    passing = record.release.follows if record is not None else owner is not None and owner.kind == "Pod"
    if passing or pod_facts.is_terminating(namesake):
        return _LaterError()  # That of an earlier pod of this name is still being cleaned up.
    whose = f"is kept for {record.owner} (release strategy {record.release.text})" if record else "is not this pod's"
    text = f"PodDNAT {metadata['name']} {whose}; the user has to delete it, or to give the pod another name"
    return _TroubleError(Trouble("NameTaken", f"{text}.", 10.0))


def _is_among(places: Iterable[Iterable[Place]], gateway_id: str) -> bool:
    return any(place.gateway_id == gateway_id for group in places for place in group)


def _is_current(observed: Manifest) -> bool:
    """Whether a PodDNAT's status speaks of its present spec."""
    status = observed.get("status") or {}
    return bool(status.get("observedGeneration") == observed["metadata"].get("generation"))


def _has_to_move(observed: Manifest | None) -> str:
    """Name the gateway or the address that a PodDNAT has to leave, if its own sync asks for it; else empty."""
    reason = _told_reason(observed)
    if observed is None or reason not in MOVE_AWAY:
        return ""
    leaves = {ADDRESS: "externalIP", PORT_TAKEN: ""}
    return str(spec_of(observed).get(leaves.get(reason, "tableId"), ""))


def _told_reason(observed: Manifest | None) -> str:
    """Read why a PodDNAT as it is now isn't Ready, if its own sync has said so; else empty."""
    if observed is None or not _is_current(observed):
        return ""
    condition = observed_condition(observed.get("status") or {})
    return "" if condition is None or condition.ready else condition.reason


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


def _is_judged(observed: Manifest) -> bool:
    """Whether a PodDNAT's status has something to say of its present spec."""
    return _is_current(observed) and observed_condition(observed["status"]) is not None


def _judged(pod: Manifest, desired: PodDNAT | None, observed: Manifest | None) -> dict[str, str | None]:
    """Tell on the pod what its PodDNAT's status says of what is desired now."""
    leaving = observed is not None and pod_facts.is_terminating(observed)
    spec = desired.spec() if desired is not None else None
    if observed is None or leaving or spec_of(observed) != spec or not _is_current(observed):
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
