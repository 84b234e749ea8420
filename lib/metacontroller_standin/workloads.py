"""Makes of Deployments, StatefulSets and their like what a cluster's controllers would: their pods.

For the in-memory API, which has no such controllers. Names look as they do in a cluster, and owner references
are as there, so that deleting the Deployment deletes its pods.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from typing import TYPE_CHECKING, Any

from metacontroller_standin.api import name_of, namespace_of
from metacontroller_standin.apply import owner_reference
from metacontroller_standin.memory_store import SUFFIX_ALPHABET, random_suffix

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from metacontroller_standin.api import Api

Json = dict[str, Any]

DEFAULT_NODE = "node-1"


def create(api: Api, manifest: Json, *, namespace: str = "default", node: str = DEFAULT_NODE) -> list[Json]:
    """Create one object, in `namespace` if it names none, and what follows from it; return its pods."""
    resource = api.resource_of(manifest)
    if resource.namespaced:
        manifest = {**manifest, "metadata": {"namespace": namespace, **manifest["metadata"]}}
    match manifest["kind"]:
        case "Deployment":
            return _create_deployment(api, manifest, node)
        case "StatefulSet":
            return _create_stateful_set(api, manifest, node)
        case "ReplicaSet":
            return add_pods(api, api.create(resource, manifest), manifest["spec"].get("replicas", 1), node=node)
        case "DaemonSet":  # As in a cluster of one node.
            return add_pods(api, api.create(resource, manifest), 1, node=node)
        case "Job":
            return add_pods(api, api.create(resource, manifest), manifest["spec"].get("parallelism", 1), node=node)
        case "CronJob":
            return create(api, _job_of(api.create(resource, manifest)), node=node)
        case "Pod":
            return [api.create(resource, _on_node(manifest, node))]
    api.create(resource, manifest)
    return []


def add_pods(api: Api, owner: Json, count: int, *, node: str = DEFAULT_NODE) -> list[Json]:
    """Create more pods for a ReplicaSet, or for a StatefulSet the next ones in order."""
    if owner["kind"] == "StatefulSet":
        pods = [_ordered_pod(owner, ordinal) for ordinal in _free_ordinals(api, owner, count)]
    else:
        pods = [_pod(owner, f"{name_of(owner)}-{random_suffix()}", {}) for _ in range(count)]
        for pod in pods:
            pod["metadata"]["generateName"] = f"{name_of(owner)}-"
    resource = api.resource("v1", "pods")
    return [api.create(resource, _on_node(pod, node)) for pod in pods]


def add_ordered_pods(api: Api, stateful_set: Json, ordinals: Iterable[int], *, node: str = DEFAULT_NODE) -> None:
    """Create those pods of a StatefulSet that have these numbers."""
    resource = api.resource("v1", "pods")
    for ordinal in ordinals:
        api.create(resource, _on_node(_ordered_pod(stateful_set, ordinal), node))


def _job_of(cron_job: Json) -> Json:
    """Make the first Job of a CronJob."""
    template = cron_job["spec"]["jobTemplate"]
    metadata = {
        **(template.get("metadata") or {}),
        "name": f"{name_of(cron_job)}-1",
        "namespace": namespace_of(cron_job),
        "ownerReferences": [owner_reference(cron_job)],
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template["spec"]}


def _create_deployment(api: Api, manifest: Json, node: str) -> list[Json]:
    deployment = api.create(api.resource_of(manifest), manifest)
    replica_set = ensure_replica_set(api, deployment)
    return add_pods(api, replica_set, deployment["spec"].get("replicas", 1), node=node)


def ensure_replica_set(api: Api, deployment: Json) -> Json:
    """Find the ReplicaSet of a Deployment's present template, or create it."""
    digest = template_hash(deployment["spec"]["template"])
    resource, name = api.resource("apps/v1", "replicasets"), f"{name_of(deployment)}-{digest}"
    if api.exists(resource, name, namespace_of(deployment)):
        return api.get(resource, name, namespace_of(deployment))
    hash_label = {"pod-template-hash": digest}
    spec = deployment["spec"]
    template = spec["template"]
    metadata = template.get("metadata") or {}
    labels = {**(metadata.get("labels") or {}), **hash_label}
    return api.create(
        resource,
        {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": name,
                "namespace": namespace_of(deployment),
                "labels": labels,
                "ownerReferences": [owner_reference(deployment)],
            },
            "spec": {
                "replicas": spec.get("replicas", 1),
                "selector": {"matchLabels": {**(spec["selector"].get("matchLabels") or {}), **hash_label}},
                "template": {**template, "metadata": {**metadata, "labels": labels}},
            },
        },
    )


def _create_stateful_set(api: Api, manifest: Json, node: str) -> list[Json]:
    stateful_set = api.create(api.resource_of(manifest), manifest)
    return add_pods(api, stateful_set, stateful_set["spec"].get("replicas", 1), node=node)


def _free_ordinals(api: Api, stateful_set: Json, count: int) -> list[int]:
    """Find the lowest free numbers, so that a pod that was deleted comes back under its name."""
    pods = api.list(api.resource("v1", "pods"), namespace_of(stateful_set))["items"]
    taken = {name_of(pod) for pod in pods}
    spec = stateful_set["spec"]
    taken |= {f"{name_of(stateful_set)}-{number}" for number in _reserved_ordinals(spec)}
    start = (spec.get("ordinals") or {}).get("start") or 0
    free = (number for number in itertools.count(start) if f"{name_of(stateful_set)}-{number}" not in taken)
    return list(itertools.islice(free, count))


def _reserved_ordinals(spec: Json) -> Iterator[int]:
    """Give the numbers that OpenKruise's Advanced StatefulSet leaves out: numbers, or texts such as ``"3-5"``."""
    for reserved in spec.get("reserveOrdinals") or ():
        first, _, last = str(reserved).partition("-")
        yield from range(int(first), int(last or first) + 1)


def _ordered_pod(stateful_set: Json, ordinal: int) -> Json:
    name = f"{name_of(stateful_set)}-{ordinal}"
    digest = template_hash(stateful_set["spec"]["template"])
    labels = {
        "apps.kubernetes.io/pod-index": str(ordinal),
        "controller-revision-hash": f"{name_of(stateful_set)}-{digest}",
        "statefulset.kubernetes.io/pod-name": name,
    }
    pod = _pod(stateful_set, name, labels)
    pod["spec"]["hostname"] = name
    pod["spec"]["subdomain"] = stateful_set["spec"].get("serviceName", "")
    return pod


def _pod(owner: Json, name: str, labels: dict[str, str]) -> Json:
    template = owner["spec"]["template"]
    metadata = template.get("metadata") or {}
    pod: Json = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace_of(owner),
            "labels": {**(metadata.get("labels") or {}), **labels},
            "annotations": dict(metadata.get("annotations") or {}),
            "ownerReferences": [owner_reference(owner)],
        },
        "spec": dict(template.get("spec") or {}),
    }
    return pod


def _on_node(pod: Json, node: str) -> Json:
    return {**pod, "spec": {"nodeName": node, **(pod.get("spec") or {})}}


def template_hash(template: Json) -> str:
    """Make the part of a ReplicaSet's name that tells its template; not as in a cluster, but alike."""
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).digest()
    return "".join(SUFFIX_ALPHABET[byte % len(SUFFIX_ALPHABET)] for byte in digest[:10])
