"""Migration from ACK's own controller: its PodDNATs are adopted as they are, or released.

Its forward entries have no name, and the RAM policy does not let entries be renamed. So an adopted PodDNAT keeps its
entries, and the public ports go on working without a break: the ids in its status prove them to be its own. They get
names when the pod is replaced.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from typing import Any

from poddnat.api import (
    INSTALLATION,
    AnnotationError,
    Fixed,
    Installation,
    PodDNAT,
    ReleaseStrategy,
    SpecError,
    annotations,
    claimed_entries,
    fixed,
    key_of,
    made_by_another,
    parse_spec,
    pod_facts,
    spec_of,
    stable_owner_of,
)
from poddnat.cli.intervals import CONFLICT_TRIES, TASK_TIMEOUT
from poddnat.cli.site import Site, Snapshot, run_tasks
from poddnat.config import Values
from poddnat.gateway import Done, Fleet, OwnEntries, Ownership
from poddnat.model import ForwardEntry
from poddnat.timestamps import now, rfc3339

Manifest = dict[str, Any]

_KEPT_FINALIZERS = ("metacontroller.io/", "foregroundDeletion", "orphan")
"""How the finalizers begin that stay: ours, and those of Kubernetes' own deletion."""


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
    fixed: Fixed | None = None
    """For a fixed pod that has another IP by now: what its PodDNAT records until it has entries that lead there."""

    @property
    def deletes_entries(self) -> bool:
        """Whether its entries have to be deleted first."""
        return bool(self.entry_ids) and (self.action is Action.RELEASE or self.fixed is not None)

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
    snapshot: Snapshot, values: Values, pod_of: Callable[[str, str], Manifest | None], *, release: bool = False
) -> list[Move]:
    """Decide about every PodDNAT of ACK's controller whose pod is this installation's.

    ``pod_of`` finds a pod by namespace and name.

    Raises:
        KubeError: what ``pod_of`` raises.
    """
    known_pod = cache(pod_of)
    decision = _Decision(snapshot, values, known_pod, release=release)
    found = [
        decision.move(poddnat)
        for poddnat in (*snapshot.poddnats, *snapshot.of_others)
        if made_by_another(poddnat["metadata"]) and _is_for(values.installation, poddnat["metadata"], known_pod)
    ]
    return sorted(found, key=lambda move: (move.poddnat["metadata"]["namespace"], move.poddnat["metadata"]["name"]))


def _is_for(
    installation: Installation, metadata: Mapping[str, Any], pod_of: Callable[[str, str], Manifest | None]
) -> bool:
    """Whether it is for this installation to adopt a PodDNAT: its pod tells, or, where there is none, its own label."""
    pod = pod_of(metadata["namespace"], metadata["name"])
    return installation.serves((pod or {}).get("metadata") or metadata)


class _ForeignEntryError(Exception):
    """A PodDNAT names an entry that is not its own; the text says which, and what to do."""


class _Decision:
    """Decides about PodDNATs, one by one."""

    def __init__(
        self, snapshot: Snapshot, values: Values, pod_of: Callable[[str, str], Manifest | None], *, release: bool
    ) -> None:
        self._snapshot = snapshot
        self._values = values
        self._pod_of = pod_of
        self._release = release
        self._ownership = Ownership(values.cluster_id)

    def move(self, poddnat: Manifest) -> Move:
        """Decide about one PodDNAT."""
        try:
            desired, mistake = parse_spec(spec_of(poddnat)), ""
        except SpecError as error:
            desired, mistake = None, str(error)
        try:
            ids = tuple(entry.entry_id for entry in self._entries(poddnat, desired))
        except _ForeignEntryError as error:
            return Move(Action.LEAVE, poddnat, str(error))
        pod = _pod(poddnat, self._pod_of)
        fixed_elsewhere = _fixed_elsewhere(poddnat, pod)
        why = _not_needed(poddnat, pod, fixed_elsewhere) or ("as asked for" if self._release else None)
        if why is not None:
            return Move(Action.RELEASE, poddnat, why, pod, ids)
        or_release = f"or release it ({key_of(poddnat)} --release)"
        if desired is None:
            return Move(Action.LEAVE, poddnat, f"{mistake}; correct it, {or_release}", pod, ids)
        if pod is None:
            text = f"its pod is away; run this again when there is a new one, {or_release}"
            return Move(Action.LEAVE, poddnat, text, pod, ids)
        if (outside := self._outside_pool(desired)) is not None:
            text = f"{outside} is not in the values file's pool, so the pod would lose it"
            return Move(Action.LEAVE, poddnat, f"{text}; widen the pool, {or_release}", pod, ids)
        if fixed_elsewhere is not None:
            text = "its public ports are to lead to the pod's new IP"
            return Move(Action.ADOPT, poddnat, text, pod, ids, fixed_elsewhere)
        return Move(Action.ADOPT, poddnat, "its public ports go on working", pod, ids)

    def _entries(self, poddnat: Manifest, desired: PodDNAT | None) -> Iterable[ForwardEntry]:
        """List the entries that a PodDNAT's status names and that the cloud has.

        Whoever may write PodDNATs could name anybody's entry: it has to be what spec and status say.

        Raises:
            _ForeignEntryError: one of them is not.
        """
        table = self._snapshot.tables.get(str(spec_of(poddnat).get("tableId")), ())
        by_id = {entry.entry_id: entry for entry in table}
        for entry_id, rule in claimed_entries(poddnat.get("status") or {}).items():
            if (entry := by_id.get(entry_id)) is None:
                continue
            asked_for = desired is None or rule in desired.rules
            if entry.rule != rule or not asked_for or self._ownership.owner_in(entry.name) is not None:
                text = f"entry {entry_id} is not what the PodDNAT says: it leads {entry.rule}"
                raise _ForeignEntryError(f"{text}; correct or delete that entry")
            yield entry

    def _outside_pool(self, desired: PodDNAT) -> str | None:
        """Name a port that the values file's pool does not have; None: it has all."""
        for mapping in desired.mappings:
            if not self._values.allows(desired.gateway_id, desired.external_ip, mapping.external):
                return f"{desired.external_ip}:{mapping.external} on {desired.gateway_id}"
        return None


def _pod(poddnat: Manifest, pod_of: Callable[[str, str], Manifest | None]) -> Manifest | None:
    metadata = poddnat["metadata"]
    owners = _owning_pods(metadata)
    pod = pod_of(metadata["namespace"], metadata["name"])
    return pod if pod is not None and (not owners or pod["metadata"]["uid"] in owners) else None


def _owning_pods(metadata: Mapping[str, Any]) -> set[str]:
    return {owner["uid"] for owner in metadata.get("ownerReferences") or [] if owner["kind"] == "Pod"}


def _fixed_elsewhere(poddnat: Manifest, pod: Manifest | None) -> Fixed | None:
    """Find what a fixed pod's PodDNAT records whose public ports have to lead to another IP; None: they need not."""
    moved = pod is not None and pod_facts.address_of(pod) != spec_of(poddnat).get("internalIP")
    return _fixed(pod) if pod is not None and moved else None


def _not_needed(poddnat: Manifest, pod: Manifest | None, fixed_elsewhere: Fixed | None) -> str | None:
    """Say why nobody needs a PodDNAT any more; None: somebody does, or may."""
    metadata = poddnat["metadata"]
    if pod_facts.is_terminating(poddnat):
        return "its deletion waits for ACK's controller"
    if pod is None:
        return "its pod is gone" if _owning_pods(metadata) else None
    if fixed_elsewhere is None and pod_facts.address_of(pod) != spec_of(poddnat).get("internalIP"):
        return "its pod has another IP by now"
    try:
        asks = annotations.parse(pod_facts.annotations_of(pod)) is not None
    except AnnotationError:
        return None  # Who makes a mistake has not given up.
    return None if asks else "its pod asks for no public ports"


class Adoption:
    """Carries moves out. Killed anywhere and run again, it comes to the same end."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._kube = site.kube
        self._ownership = site.ownership

    def run(
        self, moves: Sequence[Move], on_done: Callable[[Move, bool], None], *, timeout: float = TASK_TIMEOUT
    ) -> None:
        """Do the moves; ``on_done`` gets each of them, and whether it succeeded.

        Entries that are not deleted after ``timeout`` seconds have failed.

        Raises:
            KubeError: the API server did not take a change.
        """
        for move, ready in self._after_deletions([m for m in moves if m.action is not Action.LEAVE], timeout):
            carry_out = self._adopt if move.action is Action.ADOPT else self._release
            on_done(move, ready and carry_out(move))

    def _adopt(self, move: Move) -> bool:
        """Make a PodDNAT ours; False: it has gone, or what was decided by has changed.

        The server writes its status at the same time. So a conflict is tried again with what is there by now.
        """
        metadata = move.poddnat["metadata"]
        is_fixed = move.pod is not None and _fixed(move.pod) is not None
        namespace = self._kube.namespace(metadata["namespace"]) if is_fixed else None
        for _ in range(CONFLICT_TRIES):
            patch = _adoption_patch(move, namespace, self._site.values.installation)
            if self._kube.patch_poddnat(metadata["namespace"], metadata["name"], patch):
                return True
            present = self._kube.poddnat(metadata["namespace"], metadata["name"])
            if present is None or _decided_by(present) != _decided_by(move.poddnat):
                return False
            move = replace(move, poddnat=present)
        return False

    def _release(self, move: Move) -> bool:
        metadata = move.poddnat["metadata"]
        namespace, name, uid = metadata["namespace"], metadata["name"], metadata["uid"]
        # Deleted first: without its finalizers, ACK's controller switched on again would take it for a new one.
        self._kube.delete_poddnat(namespace, name, uid)
        self._kube.patch_poddnat(namespace, name, {"metadata": {"uid": uid, "finalizers": _kept_finalizers(metadata)}})
        return True

    def _after_deletions(self, moves: Sequence[Move], timeout: float) -> Iterator[tuple[Move, bool]]:
        """Yield each move when its entries are deleted, if they have to be, with whether they are."""
        yield from ((move, True) for move in moves if not move.deletes_entries)
        deleting = [move for move in moves if move.deletes_entries]
        fleet = self._site.make_fleet(_AllAlive())
        yield from run_tasks(fleet, deleting, lambda move: self._is_deleted(move, fleet), timeout=timeout)

    def _is_deleted(self, move: Move, fleet: Fleet) -> bool:
        uid = move.poddnat["metadata"]["uid"]
        gateway = fleet.get(str(spec_of(move.poddnat).get("tableId")))
        if gateway is None or not gateway.loaded:
            return False
        return isinstance(gateway.release(OwnEntries(uid, self._ownership.name_of(uid), move.entry_ids)), Done)


class _AllAlive:
    """No PodDNAT is taken for gone: nothing but what was decided is deleted."""

    has_synced = True

    def is_alive(self, uid: str) -> bool:  # noqa: ARG002
        return True

    def is_of_another(self, uid: str) -> bool:  # noqa: ARG002
        return False

    def gone_of(self, uids: Collection[str]) -> set[str]:  # noqa: ARG002
        return set()


def _adoption_patch(move: Move, namespace: Manifest | None, installation: Installation) -> Manifest:
    """Write the patch that makes a PodDNAT an installation's, unless somebody changes it first.

    ``namespace``: a fixed pod's.
    """
    metadata = move.poddnat["metadata"]
    suspended = fixed.suspension_patch(move.poddnat, move.fixed, rfc3339(now())) if move.fixed is not None else {}
    patch = {
        **(suspended.get("metadata") or _owned_metadata(move.pod or {}, namespace, installation)),
        "labels": {INSTALLATION: installation.label},
        "uid": metadata["uid"],
        "resourceVersion": metadata["resourceVersion"],
        "finalizers": _kept_finalizers(metadata),
    }
    return {**suspended, "metadata": patch}


def _decided_by(poddnat: Manifest) -> tuple[object, ...]:
    """Give what was read of a PodDNAT to decide about it."""
    metadata = poddnat["metadata"]
    kept = (metadata["uid"], _owning_pods(metadata), pod_facts.is_terminating(poddnat), made_by_another(metadata))
    return (*kept, spec_of(poddnat), claimed_entries(poddnat.get("status") or {}))


def _kept_finalizers(metadata: Mapping[str, Any]) -> list[str]:
    """Leave the finalizers out that ACK's controller may have put there, whatever it calls them: nobody would go on."""
    return [one for one in metadata.get("finalizers") or [] if one.startswith(_KEPT_FINALIZERS)]


def _owned_metadata(pod: Manifest, namespace: Manifest | None, installation: Installation) -> Manifest:
    """Write the metadata to merge by which a PodDNAT is that of a pod: its owners and annotations.

    A fixed pod's PodDNAT works already, so it must outlive the pod from now on.
    """
    record = _fixed(pod)
    recorded = record.annotations if record is not None else {}
    metadata = pod["metadata"]
    owner = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
    owners = [{**owner, "controller": True, "blockOwnerDeletion": True}]
    if namespace is not None:
        owners.append(fixed.namespace_reference(namespace))
    return {"ownerReferences": owners, "annotations": {**recorded, **dict([installation.attached_by])}}


def _fixed(pod: Manifest) -> Fixed | None:
    """Tell what the PodDNAT of a fixed pod records; None: the pod is not fixed."""
    try:
        exposure = annotations.parse(pod_facts.annotations_of(pod))
    except AnnotationError:
        return None
    owner = stable_owner_of(pod)
    if exposure is None or not exposure.fixed or owner is None:
        return None
    return Fixed(owner, ReleaseStrategy(exposure.release), pod["metadata"]["name"], pod["metadata"]["uid"])
