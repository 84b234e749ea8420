"""The calls of the API server; pods and PodDNATs are its JSON, brought down to what is read of them."""

import hashlib
import itertools
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import urllib3.exceptions
from cachetools import TTLCache
from kubernetes import client, watch
from kubernetes.client.exceptions import ApiException

from poddnat.api import (
    GROUP,
    PLURAL,
    RESYNC_TRIGGERED_AT,
    annotations,
    key_of,
    pod_as_read,
    poddnat_as_read,
    without_nulls,
)
from poddnat.error_texts import why_no_answer
from poddnat.kube.core_api import CoreApi
from poddnat.kube.errors import KubeError, NotServedError, error_of
from poddnat.kube.event_stream import stream_events
from poddnat.kube.intervals import EVENT_TTL, REQUEST_TIMEOUT
from poddnat.kube.warning_event import warning_event

log = logging.getLogger(__name__)

_VERSION = "v1"
_PAGE = 500
_NOT_FOUND = 404
_CONFLICT = 409

_MOST_EVENTS = 4096

# Of pods only the metadata is watched: a tenth of what they are.
_METADATA_OF_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

_WORKLOADS = {
    ("apps", "StatefulSet"): "statefulsets",
    ("apps.kruise.io", "StatefulSet"): "statefulsets",
    ("game.kruise.io", "GameServerSet"): "gameserversets",
}
"""Owners of pods that can be asked which pods they want; metacontroller/rbac.yaml allows these."""

Manifest = dict[str, Any]


class KubeClient:
    """Reads and writes through the API server. Safe to use from several threads."""

    def __init__(
        self, api: client.ApiClient, *, component: str = "poddnat", clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``component`` is named as the source of events."""
        self._core = CoreApi(api)
        self._custom = client.CustomObjectsApi(api)
        self._coordination = client.CoordinationV1Api(api)
        self._apis = client.ApisApi(api)
        self._component = component
        self._lock = threading.Lock()
        self._warned: TTLCache[str, None, float] = TTLCache(_MOST_EVENTS, EVENT_TTL, timer=clock)

    def pod(self, namespace: str, name: str) -> Manifest | None:
        """Read a pod; None: there is none.

        Raises:
            KubeError: the API server did not answer, or refused.
        """
        return self._read(self._core.read_namespaced_pod, name, namespace)

    def poddnat(self, namespace: str, name: str) -> Manifest | None:
        """Read a PodDNAT; None: there is none.

        Raises:
            KubeError: the API server did not answer, or refused.
        """
        call = self._custom.get_namespaced_custom_object
        with _crd_named():
            found = self._read(call, GROUP, _VERSION, namespace, PLURAL, name)
        return None if found is None else poddnat_as_read(found)

    def node(self, name: str) -> Manifest | None:
        """Read a node; None: there is none.

        Raises:
            KubeError: the API server did not answer, or refused.
        """
        return self._read(self._core.read_node, name)

    def namespace(self, name: str) -> Manifest | None:
        """Read a namespace; None: there is none.

        Raises:
            KubeError: the API server did not answer, or refused.
        """
        return self._read(self._core.read_namespace, name)

    def poddnats(self, known: Mapping[str, Manifest] = MappingProxyType({})) -> tuple[list[Manifest], str]:
        """List all PodDNATs, with the resource version to watch from.

        ``known``: some by their uids, as read before; one that has not changed since is given as it was.

        Raises:
            KubeError: the API server did not answer, or refused.
        """
        items: list[Manifest] = []
        listing = self._custom.list_cluster_custom_object

        def on_poddnat(item: Manifest) -> None:
            before = known.get(item["metadata"].get("uid"))
            is_same = before is not None and _version_of(before) == _version_of(item)
            items.append(before if before is not None and is_same else poddnat_as_read(item))

        with _crd_named():
            version = self._list(listing, GROUP, _VERSION, PLURAL, on_item=on_poddnat)
        return items, version

    def poddnat_uids(self) -> set[str]:
        """List the uids of all PodDNATs.

        Raises:
            KubeError: the API server did not answer, or refused.
        """
        uids = set[str]()
        call, accepted = self._custom.list_cluster_custom_object, {"Accept": _METADATA_OF_LIST}
        with _crd_named():
            self._list(
                call, GROUP, _VERSION, PLURAL, on_item=lambda item: uids.add(item["metadata"]["uid"]), _headers=accepted
            )
        return uids

    def list_pods(self, on_pod: Callable[[Manifest], None]) -> str:
        """List the metadata of all pods, one page after the other: a cluster's pods are more than memory should hold.

        ``on_pod`` gets each. Returns the resource version to watch from. When a later page fails, some pods have been
        given already.

        Raises:
            KubeError: the API server did not answer, or refused.
        """
        accepted = {"Accept": _METADATA_OF_LIST}
        listing = self._core.list_pod_for_all_namespaces
        return self._list(listing, on_item=lambda item: on_pod(pod_as_read(item)), _headers=accepted)

    def workload(self, api_version: str, kind: str, namespace: str, name: str) -> Manifest | None:
        """Read a StatefulSet or its like, in this API version or, where it is no longer served, another; None: gone.

        Raises:
            KubeError: the API server did not answer, or refused.
            KeyError: such a kind can't be asked, or isn't served at present.
        """
        group, _, known = api_version.rpartition("/")
        plural = _WORKLOADS[group, kind]
        for version in itertools.chain([known], self._served_versions(group)):
            try:
                return self._read(self._custom.get_namespaced_custom_object, group, version, namespace, plural, name)
            except NotServedError:
                continue
        raise KeyError(f"{kind} of {group}")

    def _served_versions(self, group: str) -> Iterator[str]:
        for served in self._get(self._apis.get_api_versions)["groups"]:
            if served["name"] == group:
                yield from (version["version"] for version in served["versions"])

    def patch_poddnat(self, namespace: str, name: str, patch: Mapping[str, Any]) -> bool:
        """Merge a patch into a PodDNAT; False: it has gone, or is no longer the one that the patch names.

        Raises:
            KubeError: the API server did not do it, or it is not known whether.
        """
        return self._patch(self._custom.patch_namespaced_custom_object, namespace, name, patch)

    def patch_poddnat_status(self, namespace: str, name: str, patch: Mapping[str, Any]) -> bool:
        """Merge a patch into a PodDNAT's status; False: it has gone, or is no longer the one that the patch names.

        Raises:
            KubeError: the API server did not do it, or it is not known whether.
        """
        return self._patch(self._custom.patch_namespaced_custom_object_status, namespace, name, patch)

    def _patch(self, call: Callable[..., Any], namespace: str, name: str, patch: Mapping[str, Any]) -> bool:
        of = (GROUP, _VERSION, namespace, PLURAL, name, patch)
        return self._call_unless((_NOT_FOUND, _CONFLICT), call, *of, _content_type="application/merge-patch+json")

    def set_pod_condition(self, pod: Mapping[str, Any], condition: Mapping[str, str]) -> bool:
        """Set one condition of this very pod, beside the others; False: it has gone.

        Raises:
            KubeError: the API server did not do it, or it is not known whether.
        """
        metadata = pod["metadata"]
        return self._call_unless(
            (_NOT_FOUND, _CONFLICT),
            self._core.patch_namespaced_pod_status,
            metadata["name"],
            metadata["namespace"],
            {"metadata": {"uid": metadata["uid"]}, "status": {"conditions": [condition]}},
            _content_type="application/strategic-merge-patch+json",
        )

    def delete_poddnat(self, namespace: str, name: str, uid: str, *, resource_version: str | None = None) -> None:
        """Delete this very PodDNAT, if it is still there, and still what it was at that resource version.

        Raises:
            KubeError: the API server did not do it.
        """
        preconditions = client.V1Preconditions(uid=uid, resource_version=resource_version)
        self._call_unless(
            (_NOT_FOUND, _CONFLICT),
            self._custom.delete_namespaced_custom_object,
            GROUP,
            _VERSION,
            namespace,
            PLURAL,
            name,
            body=client.V1DeleteOptions(preconditions=preconditions),
        )

    def trigger_resync(self, namespace: str, name: str, now: str, annotation: str = RESYNC_TRIGGERED_AT) -> bool:
        """Have a PodDNAT synced at once: a changed annotation is noticed by Metacontroller. False: it has gone.

        ``now`` is the time. CHECK_ASKED_AT as the annotation has the server read the gateway's table again, too.

        Raises:
            KubeError: the API server did not do it.
        """
        patch = {"metadata": {"annotations": {annotation: now}}}
        call = self._custom.patch_namespaced_custom_object
        return self._call_unless((_NOT_FOUND,), call, GROUP, _VERSION, namespace, PLURAL, name, patch)

    def trigger_pod_resync(self, namespace: str, name: str, now: str) -> bool:
        """Have a pod synced at once, as ``trigger_resync`` does a PodDNAT; its status is all that may be written.

        Raises:
            KubeError: the API server did not do it.
        """
        return self._annotate_pod(namespace, name, {"annotations": {RESYNC_TRIGGERED_AT: now}})

    def show_nothing(self, pod: Mapping[str, Any]) -> None:
        """Take off this very pod what it shows of its ports: for one that no hook of ours is called for any more.

        Raises:
            KubeError: the API server did not do it.
        """
        metadata = pod["metadata"]
        shown = dict.fromkeys((annotations.STATUS, annotations.RESULT))
        self._annotate_pod(metadata["namespace"], metadata["name"], {"uid": metadata["uid"], "annotations": shown})

    def _annotate_pod(self, namespace: str, name: str, metadata: Mapping[str, Any]) -> bool:
        return self._call_unless(
            (_NOT_FOUND, _CONFLICT),
            self._core.patch_namespaced_pod_status,
            name,
            namespace,
            {"metadata": metadata},
            _content_type="application/merge-patch+json",
        )

    def warn(self, regarding: Mapping[str, Any], reason: str, message: str) -> None:
        """Attach a Warning event to an object, unless it has one of the same text; failing to do so is only logged."""
        metadata = regarding["metadata"]
        digest = hashlib.sha256(f"{metadata['uid']}/{reason}/{message}".encode()).hexdigest()[:16]
        with self._lock:
            if digest in self._warned:  # The API server would refuse another one, but that is a request each time.
                return
        name = f"{metadata['name'][:230]}.{digest}"
        event = warning_event(regarding, name, reason, message, component=self._component)
        try:
            self._call_unless((_CONFLICT,), self._core.create_namespaced_event, metadata["namespace"], event)
        except KubeError as error:
            log.warning("no event for %s %s: %s", regarding["kind"], key_of(regarding), error)
            return
        with self._lock:
            self._warned[digest] = None

    def warn_on_lease(self, namespace: str, name: str, reason: str, message: str) -> None:
        """Attach a Warning event to a Lease: for what concerns no other object; failing to do so is only logged."""
        try:
            lease = self._read(self._coordination.read_namespaced_lease, name, namespace)
        except KubeError as error:
            log.warning("no event for Lease %s/%s: %s", namespace, name, error)
            return
        if lease is not None:
            self.warn({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", **lease}, reason, message)

    def watch_poddnats(self, resource_version: str, on_event: Callable[[str, Manifest], None]) -> str:
        """Watch PodDNATs for a few minutes; ``on_event`` gets ADDED, MODIFIED or DELETED and the object.

        Returns the resource version to go on from; empty: list again.

        Raises:
            KubeError: the connection broke.
        """
        listing = self._custom.list_cluster_custom_object

        def on_poddnat(kind: str, item: Manifest) -> None:
            on_event(kind, poddnat_as_read(item))

        watching = watch.Watch()  # type: ignore[no-untyped-call]
        with _crd_named():
            return stream_events(watching, on_poddnat, resource_version, listing, GROUP, _VERSION, PLURAL)

    def watch_pods(self, resource_version: str, on_event: Callable[[str, Manifest], None]) -> str:
        """Watch the metadata of pods, as ``watch_poddnats`` does PodDNATs.

        Raises:
            KubeError: the connection broke.
        """

        def on_pod(kind: str, item: Manifest) -> None:
            on_event(kind, pod_as_read(item))

        pods = watch.Watch(return_type="object")  # type: ignore[no-untyped-call]
        listing = self._core.list_pod_for_all_namespaces
        return stream_events(pods, on_pod, resource_version, listing, _headers={"Accept": _METADATA})

    def _read(self, call: Callable[..., Any], *args: str) -> Manifest | None:
        try:
            return self._get(call, *args)
        except NotServedError:
            raise
        except KubeError as error:
            if isinstance(error.__cause__, ApiException) and error.__cause__.status == _NOT_FOUND:
                return None
            raise

    def _list(
        self, call: Callable[..., Any], *args: str, on_item: Callable[[Manifest], None], **options: object
    ) -> str:
        """List in pages, each handed on as served before the next one is asked for; gives the version to watch from."""
        token: str | None = None
        while True:
            page = self._call(_parsed, call, *args, limit=_PAGE, _continue=token, **options)
            for item in page.get("items") or []:  # an empty list of metadata comes as null
                on_item(item)
            token = page["metadata"].get("continue")
            if not token:
                version: str = page["metadata"]["resourceVersion"]
                return version

    def _get(self, call: Callable[..., Any], *args: object, **options: object) -> Manifest:
        """Read the API server's own JSON, which the client's models would only take apart and rename."""
        content: Manifest = without_nulls(self._call(_parsed, call, *args, **options))
        return content

    def _call_unless(
        self, statuses: tuple[int, ...], call: Callable[..., Any], *args: object, **options: object
    ) -> bool:
        """Make a call; False: the answer was one of these statuses, which only say that it came too late."""
        try:
            self._call(call, *args, **options)
        except KubeError as error:
            if isinstance(error.__cause__, ApiException) and error.__cause__.status in statuses:
                return False
            raise
        return True

    def _call(self, call: Callable[..., Any], *args: object, **options: object) -> Any:
        try:
            return call(*args, _request_timeout=REQUEST_TIMEOUT, **options)
        except ApiException as error:
            raise error_of(error) from error
        except (urllib3.exceptions.HTTPError, OSError, json.JSONDecodeError) as error:
            host = self._core.api_client.configuration.host
            raise KubeError(f"{host} gives no answer ({why_no_answer(str(error))})") from error


@contextmanager
def _crd_named() -> Iterator[None]:
    """Say what is missing where PodDNATs are not served: a bare 404 would leave that to the reader."""
    try:
        yield
    except NotServedError as error:
        text = f"the CRD {PLURAL}.{GROUP} is not installed; apply metacontroller/crd.yaml"
        raise NotServedError(text) from error.__cause__


def _version_of(manifest: Manifest) -> str | None:
    version: str | None = manifest["metadata"].get("resourceVersion")
    return version


def _parsed(call: Callable[..., Any], *args: object, **options: object) -> Any:
    return json.loads(call(*args, _preload_content=False, **options).data)
