"""The calls of the API server that only taking poddnat out of a cluster needs."""

from collections.abc import Mapping
from typing import Any

from poddnat.api import RESYNC_TRIGGERED_AT, Installation, annotations
from poddnat.kube.client import KubeClient

_NOT_FOUND = 404
_CONFLICT = 409
_CONTROLLERS = ("metacontroller.k8s.io", "v1alpha1", "decoratorcontrollers")
SHOWN = (annotations.STATUS, annotations.RESULT, RESYNC_TRIGGERED_AT)
"""The annotations of ours that pods carry."""


class Uninstaller(KubeClient):
    """Writes with the rights of the person who takes poddnat out."""

    def stop_giving_ports(self, installation: Installation) -> bool:
        """Delete the DecoratorController by which an installation gives pods ports; False: there was none.

        Raises:
            KubeError: the API server did not do it, or it is not known whether.
        """
        _, name = installation.attached_by
        return self._call_unless((_NOT_FOUND,), self._custom.delete_cluster_custom_object, *_CONTROLLERS, name)

    def clear_pod(self, pod: Mapping[str, Any]) -> None:
        """Take our annotations off a pod.

        Raises:
            KubeError: the API server did not do it.
        """
        metadata = pod["metadata"]
        patch = {"metadata": {"uid": metadata["uid"], "annotations": dict.fromkeys(SHOWN)}}
        self._call_unless(
            (_NOT_FOUND, _CONFLICT),
            self._core.patch_namespaced_pod,
            metadata["name"],
            metadata["namespace"],
            patch,
            _content_type="application/merge-patch+json",
        )
