"""What the logic needs of Kubernetes: the only module that knows its client.

Pods and nodes are read when somebody needs them; PodDNATs are followed by a watch, because ports in use have to be
known before one is given out.
"""

import datetime as dt
import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import urllib3.exceptions
import yaml
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException

from poddnat.poddnat_object import GROUP, NUDGED_AT, PLURAL

log = logging.getLogger(__name__)

_VERSION = "v1"
_PAGE = 500
_WATCH_SECONDS = 300
_RETRY_SECONDS = 1.0
_REQUEST_SECONDS = 5.0
_NOT_FOUND = 404
_CONFLICT = 409

Manifest = dict[str, Any]


class ClusterError(Exception):
    """The API server could not be asked, or refused."""


def connect(kubeconfig: Path | None) -> client.ApiClient:
    """Connect with a kubeconfig file, or with the pod's service account when there is none.

    Raises:
        ClusterError: neither tells where the API server is.
    """
    configuration = client.Configuration()
    # Whoever asks has a time limit, and decides about the next try.
    configuration.retries = False
    try:
        if kubeconfig is not None:
            config.load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except (config.ConfigException, yaml.YAMLError, OSError, TypeError, ValueError) as error:
        why = " ".join(str(error).split())
        if kubeconfig is None:
            raise ClusterError(
                f"there is no service account here; outside a cluster use --kubeconfig ({why})"
            ) from error
        raise ClusterError(f"{kubeconfig} is not a kubeconfig that can be used: {why}") from error
    return client.ApiClient(configuration)


def connect_as_user(kubeconfig: Path | None, context: str | None) -> client.ApiClient:
    """Connect as kubectl does: by the file given, or KUBECONFIG, or ~/.kube/config; in a pod, else, as its account.

    Raises:
        ClusterError: none of them tells where the API server is.
    """
    try:
        api: client.ApiClient = config.new_client_from_config(  # type: ignore[no-untyped-call]
            config_file=None if kubeconfig is None else str(kubeconfig), context=context
        )
    except (config.ConfigException, yaml.YAMLError, OSError, TypeError, ValueError) as error:
        if kubeconfig is None and context is None and "KUBERNETES_SERVICE_HOST" in os.environ:
            return connect(None)
        raise ClusterError(f"there is no kubeconfig that can be used: {' '.join(str(error).split())}") from error
    return api


def connect_to(url: str) -> client.ApiClient:
    """Connect to an API server that asks nobody who they are, such as one on loopback."""
    return client.ApiClient(client.Configuration(host=url))


class Cluster:
    """Reads and writes through the API server. Safe to use from several threads."""

    def __init__(self, api: client.ApiClient, *, component: str = "poddnat") -> None:
        """``component`` is named as the source of events."""
        self._core = client.CoreV1Api(api)
        self._custom = client.CustomObjectsApi(api)
        self._component = component

    def pod(self, namespace: str, name: str) -> Manifest | None:
        """Read a pod; None: there is none.

        Raises:
            ClusterError: the API server did not tell.
        """
        return self._read(self._core.read_namespaced_pod, name, namespace)

    def node(self, name: str) -> Manifest | None:
        """Read a node; None: there is none.

        Raises:
            ClusterError: the API server did not tell.
        """
        return self._read(self._core.read_node, name)

    def namespace(self, name: str) -> Manifest | None:
        """Read a namespace; None: there is none.

        Raises:
            ClusterError: the API server did not tell.
        """
        return self._read(self._core.read_namespace, name)

    def poddnats(self) -> tuple[list[Manifest], str]:
        """List all PodDNATs, with the resource version to watch from.

        Raises:
            ClusterError: the API server did not tell.
        """
        items: list[Manifest] = []
        token: str | None = None
        while True:
            page = self._ask(
                self._custom.list_cluster_custom_object, GROUP, _VERSION, PLURAL, limit=_PAGE, _continue=token
            )
            items.extend(page["items"])
            token = page["metadata"].get("continue")
            if not token:
                return items, page["metadata"]["resourceVersion"]

    def delete_poddnat(self, namespace: str, name: str, uid: str) -> None:
        """Delete this very PodDNAT, if it is still there.

        Raises:
            ClusterError: the API server did not do it.
        """
        body = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid=uid))
        try:
            self._ask(self._custom.delete_namespaced_custom_object, GROUP, _VERSION, namespace, PLURAL, name, body=body)
        except ClusterError as error:
            cause = error.__cause__
            if not (isinstance(cause, ApiException) and cause.status in (_NOT_FOUND, _CONFLICT)):
                raise

    def nudge(self, namespace: str, name: str, now: str) -> None:
        """Have a PodDNAT synced at once: a changed annotation is noticed by Metacontroller. ``now`` is the time.

        Raises:
            ClusterError: the API server did not do it.
        """
        patch = {"metadata": {"annotations": {NUDGED_AT: now}}}
        self._ask(self._custom.patch_namespaced_custom_object, GROUP, _VERSION, namespace, PLURAL, name, patch)

    def warn(self, regarding: Mapping[str, Any], reason: str, message: str) -> None:
        """Attach a Warning event to an object, once for each different text; failing to do so is only logged."""
        metadata = regarding["metadata"]
        digest = hashlib.sha256(f"{metadata['uid']}/{reason}/{message}".encode()).hexdigest()[:16]
        namespace = metadata["namespace"]
        now = dt.datetime.now(dt.UTC)
        event = client.CoreV1Event(
            metadata=client.V1ObjectMeta(name=f"{metadata['name'][:230]}.{digest}", namespace=namespace),
            involved_object=client.V1ObjectReference(
                api_version=regarding["apiVersion"],
                kind=regarding["kind"],
                name=metadata["name"],
                namespace=namespace,
                uid=metadata["uid"],
            ),
            type="Warning",
            reason=reason,
            message=message[:1024],
            count=1,
            first_timestamp=now,
            last_timestamp=now,
            source=client.V1EventSource(component=self._component),
            reporting_component=self._component,
        )
        try:
            self._ask(self._core.create_namespaced_event, namespace, event)
        except ClusterError as error:
            cause = error.__cause__
            if not (isinstance(cause, ApiException) and cause.status == _CONFLICT):
                log.warning("no event for %s %s/%s: %s", regarding["kind"], namespace, metadata["name"], error)

    def watch_poddnats(self, resource_version: str, on_event: Callable[[str, Manifest], None]) -> str:
        """Follow PodDNATs for a few minutes; ``on_event`` gets ADDED, MODIFIED or DELETED and the object.

        Returns the resource version to go on from; empty: list again.

        Raises:
            ClusterError: the connection broke.
        """
        follow = watch.Watch()  # type: ignore[no-untyped-call]
        try:
            for event in follow.stream(  # type: ignore[no-untyped-call]
                self._custom.list_cluster_custom_object,
                GROUP,
                _VERSION,
                PLURAL,
                resource_version=resource_version,
                timeout_seconds=_WATCH_SECONDS,
                allow_watch_bookmarks=True,
                # A connection that has died in silence tells nothing, not even that the watch is over.
                _request_timeout=(_REQUEST_SECONDS, _WATCH_SECONDS + _REQUEST_SECONDS),
            ):
                resource_version = event["object"]["metadata"]["resourceVersion"]
                if event["type"] != "BOOKMARK":
                    on_event(event["type"], event["object"])
        except ApiException as error:
            if error.status == 410:  # noqa: PLR2004  # Gone: the version is too old to go on from
                return ""
            raise ClusterError(_reason(error)) from error
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise ClusterError(str(error)) from error
        return resource_version

    def _read(self, call: Callable[..., Any], *args: str) -> Manifest | None:
        try:
            answer = self._ask(call, *args, _preload_content=False)
        except ClusterError as error:
            if isinstance(error.__cause__, ApiException) and error.__cause__.status == _NOT_FOUND:
                return None
            raise
        content: Manifest = json.loads(answer.data)
        return content

    def _ask(self, call: Callable[..., Any], *args: object, **options: object) -> Any:
        try:
            return call(*args, _request_timeout=_REQUEST_SECONDS, **options)
        except ApiException as error:
            raise ClusterError(_reason(error)) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ClusterError(str(error)) from error


def _reason(error: ApiException) -> str:
    try:
        return str(json.loads(error.body or "")["message"])
    except (TypeError, ValueError, KeyError):
        return f"{error.status} {error.reason}"


class PodDNATs:
    """All PodDNATs as last seen, kept by a watch on a thread of its own. Safe to use from several threads."""

    def __init__(
        self, cluster: Cluster, on_seen: Callable[[Manifest], None], on_gone: Callable[[Manifest], None]
    ) -> None:
        """``on_seen`` gets every PodDNAT that is new or changed, ``on_gone`` those that are no longer there."""
        self._cluster = cluster
        self._on_seen = on_seen
        self._on_gone = on_gone
        self._lock = threading.Lock()
        self._uids: dict[str, Manifest] = {}
        self._names: dict[tuple[str, str], str] = {}
        self._turn = threading.Lock()
        self._stopping = threading.Event()
        self._synced = threading.Event()

    def start(self) -> None:
        """Start listing and watching; once more: list afresh, and take what was known only for what it is."""
        with self._turn:
            self._stopping.set()
            self._stopping, self._synced = threading.Event(), threading.Event()
            run = partial(self._run, self._stopping, self._synced)
        threading.Thread(target=run, name="poddnats", daemon=True).start()

    def stop(self) -> None:
        """Stop; the watch itself ends with the process."""
        with self._turn:
            self._stopping.set()

    @property
    def synced(self) -> bool:
        """Whether all PodDNATs have been listed since the last start."""
        return self._synced.is_set()

    def is_alive(self, uid: str) -> bool:
        """Whether a PodDNAT exists, as far as is known."""
        with self._lock:
            return uid in self._uids

    def is_gone(self, uid: str) -> bool:
        """Whether a PodDNAT surely doesn't exist: the API server is asked."""
        try:
            items, _ = self._cluster.poddnats()
        except ClusterError as error:
            log.warning("listing PodDNATs: %s", error)
            return False
        return all(item["metadata"]["uid"] != uid for item in items)

    def all(self) -> list[Manifest]:
        """List all PodDNATs as last seen."""
        with self._lock:
            return list(self._uids.values())

    def named(self, namespace: str, name: str) -> Manifest | None:
        """Find a PodDNAT by its name, as last seen."""
        with self._lock:
            uid = self._names.get((namespace, name))
            return None if uid is None else self._uids.get(uid)

    def _run(self, stopping: threading.Event, synced: threading.Event) -> None:
        version = ""
        event = partial(self._event, stopping)
        while not stopping.is_set():
            try:
                if not version:
                    items, version = self._cluster.poddnats()
                    self._replace(items, event)
                    synced.set()
                version = self._cluster.watch_poddnats(version, event)
            except ClusterError as error:
                if not stopping.is_set():
                    log.warning("following PodDNATs: %s", error)
                version = ""
                stopping.wait(_RETRY_SECONDS)

    def _replace(self, items: list[Manifest], event: Callable[[str, Manifest], None]) -> None:
        listed = {item["metadata"]["uid"] for item in items}
        with self._lock:
            gone = [known for uid, known in self._uids.items() if uid not in listed]
        for item in items:
            event("ADDED", item)
        for item in gone:
            event("DELETED", item)

    def _event(self, stopping: threading.Event, kind: str, item: Manifest) -> None:
        with self._turn:
            # A watch of before the last start may still have something old to tell.
            if not stopping.is_set():
                self._take(kind, item)

    def _take(self, kind: str, item: Manifest) -> None:
        metadata = item["metadata"]
        metadata.pop("managedFields", None)
        name = (metadata["namespace"], metadata["name"])
        with self._lock:
            if kind == "DELETED":
                self._uids.pop(metadata["uid"], None)
                if self._names.get(name) == metadata["uid"]:
                    del self._names[name]
            else:
                self._uids[metadata["uid"]] = item
                self._names[name] = metadata["uid"]
        try:
            (self._on_gone if kind == "DELETED" else self._on_seen)(item)
        except Exception:  # one odd object must not end the watch, or ports would be given out from a stale picture
            log.exception("PodDNAT %s/%s could not be taken notice of", *name)
