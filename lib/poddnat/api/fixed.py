"""Fixed pods: the record in the metadata of their PodDNATs, and which pods can be fixed.

Such a PodDNAT outlives its pod. While that lives, it is an attachment of the pod like any other, which Metacontroller
makes and puts right; what else owns it keeps it from going with the pod. While the pod is absent, it belongs to the
pod's owner. It holds all that decides about it meanwhile.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from poddnat.api.installation import UNNAMED, Installation, marked_by
from poddnat.api.pod_facts import Owner, controller_of
from poddnat.api.poddnat import PodDNAT, SpecError, manifest, parse_spec, spec_of
from poddnat.api.release_strategy import FOLLOW, ReleaseStrategy, ordinal_of, parse

OWNER = "poddnat.alibabacloud.com/owner"
"""API version, kind, name and uid of the pod's controller owner, separated by spaces."""
STRATEGY = "poddnat.alibabacloud.com/release-strategy"
POD_UID = "poddnat.alibabacloud.com/pod-uid"
"""The uid of the pod that has the ports now; there is none while the pod is absent."""
ABSENT_SINCE = "poddnat.alibabacloud.com/away-since"
"""Since when (RFC 3339) no pod has the ports."""

_RANDOM_NAMES = frozenset({"ReplicaSet", "ReplicationController", "Job", "DaemonSet", "CloneSet", "Node"})


@dataclass(frozen=True)
class Fixed:
    """The record on the PodDNAT of a fixed pod."""

    owner: Owner
    release_strategy: ReleaseStrategy
    pod_name: str
    pod_uid: str = ""
    """Empty while the pod is absent."""
    absent_since: str = ""

    @property
    def annotations(self) -> dict[str, str | None]:
        """Write it as annotations to merge into a PodDNAT's; what must not be there is None."""
        owner = self.owner
        return {
            OWNER: f"{owner.api_version} {owner.kind} {owner.name} {owner.uid}",
            STRATEGY: self.release_strategy.text,
            POD_UID: self.pod_uid or None,
            ABSENT_SINCE: self.absent_since or None,
        }

    @property
    def owners_while_absent(self) -> list[dict[str, Any]]:
        """Whose the PodDNAT is while the pod is absent: with ``Follow``, Kubernetes deletes it with the pod's owner."""
        owner = self.owner
        reference = {"apiVersion": owner.api_version, "kind": owner.kind, "name": owner.name, "uid": owner.uid}
        return [{**reference, "controller": True}] if self.release_strategy.follows else []

    @classmethod
    def read(cls, metadata: Mapping[str, Any]) -> Self | None:
        """Read it off a PodDNAT's metadata; None: it is not that of a fixed pod."""
        annotations = metadata.get("annotations") or {}
        match str(annotations.get(OWNER, "")).split(" "):
            case [api_version, kind, name, uid]:
                owner = Owner(api_version, kind, name, uid)
            case _:
                return None
        try:
            strategy = parse(annotations.get(STRATEGY, ""))
        except ValueError:
            strategy = FOLLOW  # Written by hand; the pod's sync corrects it.
        pod_uid, since = annotations.get(POD_UID, ""), annotations.get(ABSENT_SINCE, "")
        return cls(owner, strategy, metadata["name"], pod_uid, since)


def stable_owner_of(pod: Mapping[str, Any]) -> Owner | None:
    """Find the owner that gives a new pod the name of the one it replaces; None: there is none."""
    metadata = pod["metadata"]
    owner = controller_of(metadata)
    if owner is None or owner.kind in _RANDOM_NAMES:
        return None
    named_by_chance = metadata.get("generateName") and ordinal_of(metadata["name"], owner.name) is None
    return None if named_by_chance else owner


def made_by_another(metadata: Mapping[str, Any]) -> bool:
    """Whether a PodDNAT was made by somebody else, such as ACK's own controller: our mark is absent.

    Those of absent fixed pods may have their record alone. Such a one as has neither is left alone until it is adopted;
    what finalizers it has tells nothing.
    """
    return marked_by(metadata) is None and Fixed.read(metadata) is None


def pod_uid_of(metadata: Mapping[str, Any]) -> str:
    """Read off any PodDNAT's metadata the uid of the pod that it is for; empty: there is none."""
    if (fixed := Fixed.read(metadata)) is not None:
        return fixed.pod_uid
    owner = controller_of(metadata)
    return owner.uid if owner is not None and owner.kind == "Pod" else ""


def desired_by(poddnat: Mapping[str, Any]) -> PodDNAT | None:
    """Read what a PodDNAT asks for, also one of a pod that is absent or has no IP; None: its spec makes no sense."""
    try:
        return parse_spec(spec_of(poddnat), absent=True)
    except SpecError:
        return None


def belongs_to(poddnat: Mapping[str, Any], pod_uid: str) -> bool:
    """Whether a fixed pod's PodDNAT belongs to this very pod at present."""
    fixed = Fixed.read(poddnat["metadata"])
    return fixed is not None and fixed.pod_uid == pod_uid


def is_attached(poddnat: Mapping[str, Any], pod_uid: str) -> bool:
    """Whether Metacontroller takes a PodDNAT for the attachment of this pod."""
    owner = controller_of(poddnat["metadata"])
    return owner is not None and owner.uid == pod_uid and marked_by(poddnat["metadata"]) is not None


def outlives_its_pod(poddnat: Mapping[str, Any]) -> bool:
    """Whether Kubernetes leaves a PodDNAT alone when its pod goes, because something else owns it as well."""
    return any(owner.get("kind") == "Namespace" for owner in poddnat["metadata"].get("ownerReferences") or [])


def namespace_reference(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Write the second, plain owner of a PodDNAT that is to outlive its pod: its namespace, which outlives both."""
    metadata = namespace["metadata"]
    return {"apiVersion": "v1", "kind": "Namespace", "name": metadata["name"], "uid": metadata["uid"]}


def attachment(
    namespace: str,
    name: str,
    poddnat: PodDNAT,
    fixed: Fixed | None,
    observed: Mapping[str, Any] | None = None,
    installation: Installation = UNNAMED,
) -> dict[str, Any]:
    """Write the object that a pod should have, with the record of a fixed one; ``observed`` is what it has."""
    made = manifest(namespace, name, poddnat, observed, installation)
    if fixed is not None:
        made["metadata"]["annotations"] = {key: value for key, value in fixed.annotations.items() if value is not None}
    return made


def handover_patch(
    observed: Mapping[str, Any],
    fixed: Fixed,
    poddnat: PodDNAT,
    namespace: Mapping[str, Any],
    installation: Installation = UNNAMED,
) -> dict[str, Any]:
    """Write the patch that makes of a retained PodDNAT the attachment of a pod, as Metacontroller knows its own."""
    pod = {"apiVersion": "v1", "kind": "Pod", "name": fixed.pod_name, "uid": fixed.pod_uid, "controller": True}
    metadata = {
        "annotations": {**fixed.annotations, **dict([installation.attached_by])},
        "ownerReferences": [pod, namespace_reference(namespace)],
        "resourceVersion": observed["metadata"]["resourceVersion"],
    }
    return {"metadata": metadata, "spec": poddnat.spec()}


def absence_patch(observed: Mapping[str, Any], absent_since: str) -> dict[str, Any]:
    """Write the patch that notes since when no pod has the ports; empty: there is a pod, which can't have them yet."""
    version = observed["metadata"]["resourceVersion"]
    return {"metadata": {"annotations": {ABSENT_SINCE: absent_since or None}, "resourceVersion": version}}


def suspension_patch(observed: Mapping[str, Any], fixed: Fixed, now: str) -> dict[str, Any]:
    """Write the patch that suspends a PodDNAT: it takes the pod's side off, and the external side stays."""
    suspended = replace(fixed, pod_uid="", absent_since=fixed.absent_since or now)
    metadata = {
        "annotations": suspended.annotations,
        "ownerReferences": suspended.owners_while_absent,
        "resourceVersion": observed["metadata"]["resourceVersion"],
    }
    return {"metadata": metadata, "spec": {"internalIP": "", "eni": "", "vswitch": "", "zoneID": ""}}
