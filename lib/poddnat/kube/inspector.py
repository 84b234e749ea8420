"""The reads of the API server that only explaining a pod needs: who calls the hooks for it, and who answers them."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from poddnat.api import Installation
from poddnat.kube.client import KubeClient

_METACONTROLLER = ("metacontroller.k8s.io", "v1alpha1")
_CONTROLLERS = {
    "pod-dnat": "decoratorcontrollers",
    "pod-dnat-opt-out": "decoratorcontrollers",
    "poddnat": "compositecontrollers",
}
_SERVER = "poddnat"
"""The name of the Lease that the active replica holds, as metacontroller/deployment.yaml gives it."""

Manifest = dict[str, Any]


class Held(NamedTuple):
    """A Lease at one moment: who holds it, and which renewal it is."""

    holder: str
    renewal: str


class Inspector(KubeClient):
    """Reads with the rights of the person who asks."""

    def controllers(self, installation: Installation) -> dict[str, Manifest | None]:
        """Read Metacontroller's controllers that call an installation's hooks, by name; None: it is missing.

        Raises:
            NotServedError: Metacontroller is not installed.
            KubeError: the API server did not answer, or refused.
        """
        call = self._custom.get_cluster_custom_object
        named = {installation.named(name): plural for name, plural in _CONTROLLERS.items()}
        return {name: self._read(call, *_METACONTROLLER, plural, name) for name, plural in named.items()}

    def lease(self, namespace: str) -> Held | None:
        """Read who holds the server's Lease; None: there is none.

        Raises:
            KubeError: the API server did not answer, or refused.
        """
        found = self._read(self._coordination.read_namespaced_lease, _SERVER, namespace)
        spec = (found or {}).get("spec") or {}
        return None if found is None else Held(str(spec.get("holderIdentity") or ""), str(spec.get("renewTime")))

    def sync_errors(self, namespace: str, name: str) -> list[str]:
        """Read what Metacontroller says of its last failed calls for the pod and the PodDNAT of a name, newest last.

        Raises:
            KubeError: the API server did not answer, or refused.
        """
        where = f"involvedObject.name={name},reason=SyncError"
        events: list[Manifest] = []
        self._list(self._core.list_namespaced_event, namespace, on_item=events.append, field_selector=where)
        newest = sorted(events, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))
        return [str(event.get("message", "")) for event in newest]


def namespace_of_server(controllers: Mapping[str, Manifest | None]) -> str:
    """Tell from the address of a hook in which namespace the server is; empty: it is outside the cluster."""
    hooks = [(found or {}).get("spec", {}).get("hooks", {}).get("sync", {}) for found in controllers.values()]
    for webhook in (hook.get("webhook") or {} for hook in hooks):
        host = (urlsplit(str(webhook.get("url", ""))).hostname or "").split(".")
        if len(host) > 2 and host[2] == "svc":  # noqa: PLR2004  # SERVICE.NAMESPACE.svc
            return host[1]
    return ""
