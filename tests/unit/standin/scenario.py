"""One pod's whole life under two decorators and a composite, with a hook that only plays along.

The same steps run over the stand-in and over Metacontroller itself, over the in-memory API and a real one.
The manifests are those of `tests/recordings`, so that the requests can be held against the recorded ones. The
kind has a group of its own here: on a shared API server it must not meet the project's CRD.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metacontroller_standin.api import Api, name_of
from metacontroller_standin.manifests import point_at
from metacontroller_standin.waiting import wait_until
from tests.unit.standin.hook_server import HookServer, Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from metacontroller_standin.kubelet import Kubelet

Json = dict[str, Any]

GROUP = "harness.example.com"
STATUS = "k8s.aliyun.com/pod-dnat-status"
SWITCH = "k8s.aliyun.com/pod-dnat"
RECORDINGS = Path(__file__).parents[2] / "recordings"

CRD: Json = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"poddnats.{GROUP}"},
    "spec": {
        "group": GROUP,
        "names": {"kind": "PodDNAT", "plural": "poddnats", "singular": "poddnat", "listKind": "PodDNATList"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": version,
                "served": True,
                "storage": version == "v1",
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
            for version in ("v1", "v1beta1")
        ],
    },
}

DEPLOYMENT: Json = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "example"},
    "spec": {
        "replicas": 1,
        "selector": {"matchLabels": {"app": "example"}},
        "template": {
            "metadata": {
                "labels": {"app": "example"},
                "annotations": {SWITCH: "", "k8s.aliyun.com/pod-dnat-expose-port": "80"},
            },
            "spec": {"containers": [{"name": "example", "image": "nginx"}]},
        },
    },
}


def recording(name: str) -> Json:
    """Read what Metacontroller sent, with the kind's group exchanged."""
    text = (RECORDINGS / f"{name}.json").read_text(encoding="utf-8")
    body: Json = json.loads(text.replace("alibabacloud.com", GROUP))
    return body


def manifests() -> list[Json]:
    """Return the controllers that the recordings were made with."""
    found = []
    for name in ("pod-sync-no-ip", "pod-optout", "poddnat-sync"):
        controller = recording(name)["controller"]
        metadata = {"name": controller["metadata"]["name"]}
        found.append({**controller, "metadata": metadata})
        del found[-1]["status"]
    return found


class Hook(HookServer):
    """A PodDNAT for every pod with an address, a status for every PodDNAT."""

    def __init__(self) -> None:
        super().__init__(self._play_along)
        self.may_finalize = True

    def _play_along(self, path: str, body: Json) -> Reply:
        match path:
            case "/sync-pod":
                return Reply(_pod_answer(body))
            case "/sync-optout":
                return Reply({"annotations": {STATUS: None}})
            case "/sync-poddnat" if len(self.seen(path)) == 1:
                return Reply({}, 429, {"Retry-After": "1"})
            case "/sync-poddnat":
                return Reply({"status": {"entries": [{"externalIP": "1.2.3.4", "forwardEntryId": "fwd-1"}]}})
            case "/finalize-poddnat":
                return Reply({"status": body["parent"].get("status", {}), "finalized": self.may_finalize})
        return Reply({"error": path}, 404)


def _pod_answer(body: Json) -> Json:
    pod = body["object"]
    address = (pod.get("status") or {}).get("podIP")
    children = list(body["attachments"][f"PodDNAT.{GROUP}/v1"].values())
    if not address:
        return {"annotations": {STATUS: "Pending"}, "attachments": []}
    ready = any((child.get("status") or {}).get("entries") for child in children)
    child = {
        "apiVersion": f"{GROUP}/v1",
        "kind": "PodDNAT",
        "metadata": {"name": pod["metadata"]["name"]},
        "spec": {
            "tableId": "ngw-1",
            "externalIP": "1.2.3.4",
            "internalIP": address,
            "protocol": "tcp",
            "portMapping": [{"externalPort": "512", "internalPort": "80"}],
        },
    }
    return {"annotations": {STATUS: "Ready" if ready else "Pending"}, "attachments": [child]}


@dataclass
class Setting:
    """Where the scenario runs."""

    api: Api
    namespace: str
    apply: Callable[[list[Json]], None]
    """Starts the controllers of these manifests."""
    create: Callable[[Json], object]
    """Creates a workload whose pods come by themselves."""
    kubelet: Callable[[], Kubelet]


def live_and_die(setting: Setting, hook: Hook) -> dict[str, Json]:
    """Take one pod from creation to deletion; return one request of each kind, named as the recordings."""
    api, namespace = setting.api, setting.namespace
    pods, poddnats = api.resource("v1", "pods"), api.resource(f"{GROUP}/v1", "poddnats")
    setting.apply(point_at(manifests(), hook.url))
    setting.create({**DEPLOYMENT, "metadata": {"name": "example", "namespace": namespace}})
    wait_until(lambda: hook.seen("/sync-pod"), 30, "a pod without address to be synced")
    name = name_of(hook.seen("/sync-pod")[0]["object"])

    def annotation() -> str | None:
        values: dict[str, str] = api.get(pods, name, namespace)["metadata"].get("annotations", {})
        return values.get(STATUS)

    wait_until(lambda: annotation() == "Pending", 30, "the pod's first annotation")
    with setting.kubelet():
        wait_until(lambda: annotation() == "Ready", 30, "the pod's annotation to say Ready")
    _check_poddnat(api.get(poddnats, name, namespace), api.get(pods, name, namespace))
    _opt_out_and_in(setting, hook, name)
    deployments = api.resource("apps/v1", "deployments")
    api.delete(deployments, "example", namespace)
    wait_until(lambda: _terminating(hook), 30, "the terminating pod to be synced")
    hook.may_finalize = False
    with setting.kubelet():
        wait_until(lambda: hook.seen("/finalize-poddnat"), 30, "finalize to be called")
    assert "deletionTimestamp" in api.get(poddnats, name, namespace)["metadata"]
    hook.may_finalize = True
    # `finalized: false` alone brings no further call; any event does.
    api.patch(poddnats, name, {"metadata": {"labels": {"again": "yes"}}}, namespace)
    wait_until(lambda: not api.exists(poddnats, name, namespace), 30, "the PodDNAT to be gone")
    return _one_of_each(hook)


def _check_poddnat(poddnat: Json, pod: Json) -> None:
    metadata = poddnat["metadata"]
    assert metadata["ownerReferences"] == [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": name_of(pod),
            "uid": pod["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    assert metadata["finalizers"] == ["metacontroller.io/compositecontroller-poddnat"]
    assert poddnat["status"]["observedGeneration"] == metadata["generation"] == 1


def _opt_out_and_in(setting: Setting, hook: Hook, name: str) -> None:
    api, pods = setting.api, setting.api.resource("v1", "pods")

    def annotate(values: dict[str, str | None]) -> None:
        api.patch(pods, name, {"metadata": {"annotations": values}}, setting.namespace)

    annotate({SWITCH: None})
    wait_until(lambda: hook.seen("/sync-optout"), 30, "the second decorator to see the pod")

    def status_is_gone() -> bool:
        return STATUS not in api.get(pods, name, setting.namespace)["metadata"].get("annotations", {})

    wait_until(status_is_gone, 30, "the second decorator to remove the annotation")
    annotate({SWITCH: "true"})
    wait_until(lambda: not status_is_gone(), 30, "the first decorator to write its annotation again")


def _terminating(hook: Hook) -> list[Json]:
    return [body for body in hook.seen("/sync-pod") if "deletionTimestamp" in body["object"]["metadata"]]


def _one_of_each(hook: Hook) -> dict[str, Json]:
    syncs = hook.seen("/sync-pod")
    with_child = [body for body in syncs if body["attachments"][f"PodDNAT.{GROUP}/v1"]]
    without = [body for body in syncs if not body["attachments"][f"PodDNAT.{GROUP}/v1"]]
    return {
        "pod-sync-no-ip": syncs[0],
        "pod-sync-running-no-poddnat": next(body for body in without if "podIP" in body["object"]["status"]),
        "pod-sync-with-poddnat": with_child[0],
        "pod-sync-terminating": _terminating(hook)[0],
        "pod-optout": hook.seen("/sync-optout")[0],
        "poddnat-sync": hook.seen("/sync-poddnat")[0],
        "poddnat-finalize": hook.seen("/finalize-poddnat")[0],
    }
