"""What the API server says of the objects that hooks are called with.

A caller may say what it likes about an object. What has consequences is therefore done for the object as the API
server has it; it is asked only when what is known from the watch is not what the caller shows.
"""

from collections.abc import Mapping
from typing import Any

from poddnat.api import POD_DNAT, annotations_of, is_terminating, key_of
from poddnat.kube.client import KubeClient
from poddnat.kube.informer import PodDNATInformer

Manifest = dict[str, Any]


class NoSuchObjectError(Exception):
    """The API server has no such object, or not in the state that the caller tells of."""


class LiveReader:
    """Tells what the API server has. Safe to use from several threads."""

    def __init__(self, cluster: KubeClient, poddnats: PodDNATInformer) -> None:
        self._cluster = cluster
        self._poddnats = poddnats

    def knows(self, shown: Manifest) -> bool:
        """Whether there is a PodDNAT of that uid, as far as the watch tells."""
        return self._poddnats.is_alive(shown["metadata"]["uid"])

    def poddnat(self, shown: Manifest) -> Manifest:
        """Give a PodDNAT as the API server has it.

        Raises:
            ClusterError: the API server did not tell.
            NoSuchObjectError: there is none of that name and uid.
        """
        namespace, name = shown["metadata"]["namespace"], shown["metadata"]["name"]
        known = self._poddnats.named(namespace, name)
        if known is None or _essence(known) != _essence(shown):
            known = self._cluster.poddnat(namespace, name)
        return _same("PodDNAT", shown, known)

    def terminating_poddnat(self, shown: Manifest) -> Manifest:
        """Give a PodDNAT that is being deleted as the API server has it.

        Raises:
            ClusterError: the API server did not tell.
            NoSuchObjectError: there is none of that name and uid, or it is not being deleted.
        """
        known = self.poddnat(shown)
        if not is_terminating(known):
            raise NoSuchObjectError(f"PodDNAT {key_of(known)} is not being deleted")
        return known

    def pod(self, shown: Manifest) -> Manifest:
        """Give a pod as the API server has it.

        Raises:
            ClusterError: the API server did not tell.
            NoSuchObjectError: there is none of that name and uid.
        """
        known = self._cluster.pod(shown["metadata"]["namespace"], shown["metadata"]["name"])
        return _same("pod", shown, known)

    def opted_out_pod(self, shown: Manifest) -> Manifest:
        """Give a pod that no longer asks for anything as the API server has it.

        Raises:
            ClusterError: the API server did not tell.
            NoSuchObjectError: there is none of that name and uid, or it asks for public ports.
        """
        known = self.pod(shown)
        if POD_DNAT in annotations_of(known):
            raise NoSuchObjectError(f"pod {key_of(known)} has the annotation {POD_DNAT}")
        return known


def _same(kind: str, shown: Manifest, known: Manifest | None) -> Manifest:
    """Give what is known, if it is what is shown, and not another object that has had its name since."""
    uid = shown["metadata"]["uid"]
    if known is None or known["metadata"]["uid"] != uid:
        raise NoSuchObjectError(f"the API server has no {kind} {key_of(shown)} with the uid {uid}")
    return known


def _essence(poddnat: Mapping[str, Any]) -> tuple[object, ...]:
    """Give what something may be done for, or because of."""
    metadata = poddnat["metadata"]
    kept = ("uid", "generation", "deletionTimestamp", "ownerReferences", "annotations", "labels", "finalizers")
    return (*(metadata.get(key) or None for key in kept), poddnat.get("spec"), poddnat.get("status"))
