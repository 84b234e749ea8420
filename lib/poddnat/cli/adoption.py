"""Moving from ACK's own controller: its PodDNATs are adopted as they are, or released.

Its forward entries have no name, and the RAM policy does not let entries be renamed. So an adopted PodDNAT keeps its
entries, and the public ports go on working without a break: the ids in its status prove them to be its own. They get
names when the pod is replaced.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from poddnat.api import (
    ACK_FINALIZER,
    AnnotationError,
    Fixed,
    Release,
    SpecError,
    annotations,
    claimed_entries,
    fixed,
    is_acks,
    key_of,
    parse_spec,
    pod_facts,
    spec_of,
    stable_owner_of,
)
from poddnat.cli.snapshot import Snapshot
from poddnat.cli.tasks import run_tasks
from poddnat.cloud import CloudClient
from poddnat.config import Values
from poddnat.gateway import Done, Fleet, OwnEntries, Ownership
from poddnat.kube import KubeClient
from poddnat.timestamps import now, rfc3339

Manifest = dict[str, Any]

DECORATOR = ("metacontroller.k8s.io/decorator-controller", "pod-dnat")
"""The annotation by which Metacontroller knows the attachments of our DecoratorController."""


class Action(StrEnum):
    """What to do with a PodDNAT of ACK's controller."""

    ADOPT = "adopt"
    """Its entries stay; from now on it is ours."""
    RELEASE = "release"
    """Its entries and the PodDNAT itself are deleted; a pod that still asks for ports gets others."""
    LEAVE = "leave"
    """Somebody has to decide; nothing is done."""


@dataclass(frozen=True)
class Move:
    """What to do with one PodDNAT, and why."""

    action: Action
    poddnat: Manifest
    why: str
    pod: Manifest | None = None
    entry_ids: tuple[str, ...] = ()
    """Its forward entries that the cloud has."""
    heir: Fixed | None = None
    """For a fixed pod that has another IP by now: what the PodDNAT is to remember until it leads there."""

    @property
    def doomed(self) -> bool:
        """Whether its entries have to go first."""
        return bool(self.entry_ids) and (self.action is Action.RELEASE or self.heir is not None)

    def as_dict(self) -> dict[str, Any]:
        """Write it for programs."""
        spec = spec_of(self.poddnat)
        return {
            "action": self.action.value,
            "podDNAT": key_of(self.poddnat),
            "gateway": spec.get("tableId", ""),
            "externalIP": spec.get("externalIP", ""),
            "ports": ",".join(str(m.get("externalPort", "")) for m in spec.get("portMapping") or []),
            "entries": list(self.entry_ids),
            "why": self.why,
        }


def moves(
    stock: Snapshot, values: Values, pod_of: Callable[[str, str], Manifest | None], *, release: bool = False
) -> list[Move]:
    """Decide about every PodDNAT of ACK's controller; ``pod_of`` finds a pod by namespace and name.

    Raises:
        ClusterError: what ``pod_of`` raises.
    """
    ownership = Ownership(values.cluster_id)
    found = [
        _move(one, stock, values, ownership, pod_of, release) for one in stock.poddnats if is_acks(one["metadata"])
    ]
    return sorted(found, key=lambda move: (move.poddnat["metadata"]["namespace"], move.poddnat["metadata"]["name"]))


def _move(
    poddnat: Manifest,
    stock: Snapshot,
    values: Values,
    ownership: Ownership,
    pod_of: Callable[[str, str], Manifest | None],
    release: bool,  # noqa: FBT001
) -> Move:
    try:
        wanted, wrong = parse_spec(spec_of(poddnat)), ""
    except SpecError as error:
        wanted, wrong = None, str(error)
    table = {entry.entry_id: entry for entry in stock.tables.get(str(spec_of(poddnat).get("tableId")), ())}
    there = []
    for entry_id, rule in claimed_entries(poddnat.get("status") or {}).items():
        if (entry := table.get(entry_id)) is None:
            continue
        # Whoever may write PodDNATs could name anybody's entry: it has to be what spec and status say.
        asked_for = wanted is None or rule in wanted.rules
        if entry.rule != rule or not asked_for or ownership.owner_in(entry.name) is not None:
            text = f"entry {entry_id} is not what the PodDNAT says: it leads {entry.rule}"
            return Move(Action.LEAVE, poddnat, f"{text}; correct or delete that entry")
        there.append(entry_id)
    ids = tuple(there)
    pod = _pod(poddnat, pod_of)
    heir = _heir(poddnat, pod)
    if (why := _unwanted(poddnat, pod, heir)) is not None:
        return Move(Action.RELEASE, poddnat, why, pod, ids)
    if release:
        return Move(Action.RELEASE, poddnat, "as asked for", pod, ids)
    or_release = f"or release it ({key_of(poddnat)} --release)"
    if wanted is None:
        return Move(Action.LEAVE, poddnat, f"{wrong}; correct it, {or_release}", pod, ids)
    if pod is None:
        text = f"its pod is away; run this again when there is a new one, {or_release}"
        return Move(Action.LEAVE, poddnat, text, pod, ids)
    for mapping in wanted.mappings:
        if not values.allows(wanted.gateway_id, wanted.external_ip, mapping.external):
            outside = f"{wanted.external_ip}:{mapping.external} on {wanted.gateway_id}"
            text = f"{outside} is not in the values file's pool, so the pod would lose it"
            return Move(Action.LEAVE, poddnat, f"{text}; widen the pool, {or_release}", pod, ids)
    why = "its public ports go on working" if heir is None else "its public ports are to lead to the pod's new IP"
    return Move(Action.ADOPT, poddnat, why, pod, ids, heir)


def _pod(poddnat: Manifest, pod_of: Callable[[str, str], Manifest | None]) -> Manifest | None:
    metadata = poddnat["metadata"]
    owners = _owning_pods(metadata)
    pod = pod_of(metadata["namespace"], metadata["name"])
    return pod if pod is not None and (not owners or pod["metadata"]["uid"] in owners) else None


def _owning_pods(metadata: Mapping[str, Any]) -> set[str]:
    return {owner["uid"] for owner in metadata.get("ownerReferences") or [] if owner["kind"] == "Pod"}


def _heir(poddnat: Manifest, pod: Manifest | None) -> Fixed | None:
    """Find the fixed pod that is to have a PodDNAT's public ports at another IP; None: there is none."""
    moved = pod is not None and pod_facts.address_of(pod) != spec_of(poddnat).get("internalIP")
    return _fixed(pod) if pod is not None and moved else None


def _unwanted(poddnat: Manifest, pod: Manifest | None, heir: Fixed | None) -> str | None:
    """Say why nobody needs a PodDNAT any more; None: somebody does, or may."""
    metadata = poddnat["metadata"]
    if pod_facts.is_terminating(poddnat):
        return "its deletion waits for ACK's controller"
    if pod is None:
        return "its pod is gone" if _owning_pods(metadata) else None
    if heir is None and pod_facts.address_of(pod) != spec_of(poddnat).get("internalIP"):
        return "its pod has another IP by now"
    try:
        asks = annotations.parse(pod_facts.annotations_of(pod)) is not None
    except AnnotationError:
        return None  # A mistake is not a wish to give up.
    return None if asks else "its pod asks for no public ports"


class Adoption:
    """Carries moves out. Killed anywhere and run again, it comes to the same end."""

    def __init__(self, values: Values, cloud: CloudClient, cluster: KubeClient) -> None:
        self._values = values
        self._cloud = cloud
        self._cluster = cluster
        self._ownership = Ownership(values.cluster_id)

    def run(self, todo: Sequence[Move], done: Callable[[Move, bool], None], *, patience: float = 600.0) -> None:
        """Do the moves; ``done`` is told of each how it went. No release is waited for longer than ``patience`` s.

        Raises:
            ClusterError: the API server did not take a change.
        """
        moves = [move for move in todo if move.action is not Action.LEAVE]
        for move, clear in self._cleared(moves, patience):
            carry_out = self._adopt if move.action is Action.ADOPT else self._let_go
            done(move, clear and carry_out(move))

    def _adopt(self, move: Move) -> bool:
        metadata = move.poddnat["metadata"]
        parting = fixed.suspend_patch(move.poddnat, move.heir, rfc3339(now())) if move.heir is not None else {}
        patch = {
            **(parting.get("metadata") or ours(move.pod or {})),
            "uid": metadata["uid"],
            # Whoever has changed it since it was looked at may have changed what was decided.
            "resourceVersion": metadata["resourceVersion"],
            "finalizers": _others(metadata),
        }
        return self._cluster.patch_poddnat(metadata["namespace"], metadata["name"], {**parting, "metadata": patch})

    def _let_go(self, move: Move) -> bool:
        metadata = move.poddnat["metadata"]
        namespace, name, uid = metadata["namespace"], metadata["name"], metadata["uid"]
        # Deleted first: without ACK's finalizer and not yet deleted, it would be taken for one written by hand.
        self._cluster.delete_poddnat(namespace, name, uid)
        self._cluster.patch_poddnat(namespace, name, {"metadata": {"uid": uid, "finalizers": _others(metadata)}})
        return True

    def _cleared(self, moves: Sequence[Move], patience: float) -> Iterator[tuple[Move, bool]]:
        """Have the doomed entries deleted."""
        yield from ((move, True) for move in moves if not move.doomed)
        doomed = [move for move in moves if move.doomed]
        fleet = Fleet(self._values, self._cloud, self._ownership, _Everybody(), lambda _gateway, _entries: None)
        yield from run_tasks(fleet, doomed, lambda move: self._is_released(move, fleet), patience=patience)

    def _is_released(self, move: Move, fleet: Fleet) -> bool:
        uid = move.poddnat["metadata"]["uid"]
        gateway = fleet.get(str(spec_of(move.poddnat).get("tableId")))
        if gateway is None or not gateway.loaded:
            return False
        return isinstance(gateway.release(OwnEntries(uid, self._ownership.name_of(uid), move.entry_ids)), Done)


class _Everybody:
    """No PodDNAT is taken for gone: nothing but what was decided is deleted."""

    def is_alive(self, uid: str) -> bool:  # noqa: ARG002
        return True

    def gone_of(self, uids: Collection[str]) -> set[str]:  # noqa: ARG002
        return set()


def _others(metadata: Mapping[str, Any]) -> list[str]:
    return [finalizer for finalizer in metadata.get("finalizers") or [] if finalizer != ACK_FINALIZER]


def ours(pod: Manifest) -> Manifest:
    """Write what makes a PodDNAT that of a pod, as metadata to merge: its owner, and marks."""
    if (kept := _fixed(pod)) is not None:
        return kept.metadata()
    metadata = pod["metadata"]
    owner = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
    owners = [{**owner, "controller": True, "blockOwnerDeletion": True}]
    return {"ownerReferences": owners, "annotations": dict([DECORATOR])}


def _fixed(pod: Manifest) -> Fixed | None:
    """Tell what the PodDNAT of a fixed pod remembers; None: the pod is not fixed."""
    try:
        exposure = annotations.parse(pod_facts.annotations_of(pod))
    except AnnotationError:
        return None
    keeper = stable_owner_of(pod)
    if exposure is None or not exposure.fixed or keeper is None:
        return None
    return Fixed(keeper, Release(exposure.release), pod["metadata"]["name"], pod["metadata"]["uid"])
