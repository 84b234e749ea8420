"""Live reads: the objects that hooks are called with, as the API server has them.

A caller may claim what it likes about an object. What has consequences is therefore done for the authoritative object.
The API server is asked for it only where the informer's store doesn't have it just as the caller claims.
"""

from collections.abc import Mapping
from typing import Any

from poddnat.api import POD_DNAT, UNNAMED, Installation, annotations_of, installation, is_terminating, key_of
from poddnat.kube.client import KubeClient
from poddnat.kube.informer import PodDNATInformer, PodInformer

Manifest = dict[str, Any]


class NoSuchObjectError(Exception):
    """The API server has no such object, or not in the state that the caller claims."""


class AnothersError(NoSuchObjectError):
    """There is such a PodDNAT, and it is another installation's."""


class LiveReader:
    """Gives authoritative objects of an installation. Safe to use from several threads."""

    def __init__(
        self, kube: KubeClient, poddnats: PodDNATInformer, pods: PodInformer, installation: Installation = UNNAMED
    ) -> None:
        self._kube = kube
        self._poddnats = poddnats
        self._pods = pods
        self._installation = installation

    def check_pod(self, claimed: Manifest, observed: Manifest | None) -> None:
        """See that there is such a pod; it is asked for only where neither it nor its ``observed`` PodDNAT is stored.

        Raises:
            KubeError: the API server did not answer, or refused.
            NoSuchObjectError: there is none of that name and uid.
        """
        if observed is not None and self._poddnats.is_alive(observed["metadata"]["uid"]):
            return
        stored = self._pods.get(claimed["metadata"]["uid"])
        if stored is None or key_of(stored) != key_of(claimed):
            self.pod(claimed)

    def poddnat(self, claimed: Manifest) -> Manifest:
        """Give a PodDNAT as the API server has it.

        Raises:
            KubeError: the API server did not answer, or refused.
            NoSuchObjectError: there is none of that name and uid.
            AnothersError: there is, and it is another installation's.
        """
        namespace, name = claimed["metadata"]["namespace"], claimed["metadata"]["name"]
        live = self._poddnats.get(namespace, name)
        if live is None or _what_matters(live) != _what_matters(claimed):
            live = self._kube.poddnat(namespace, name)
        verified = _verified("PodDNAT", claimed, live)
        if not self._installation.has(verified["metadata"]):
            whose = installation.of_poddnat(verified["metadata"])
            raise AnothersError(f"PodDNAT {key_of(verified)} is that of {whose}")
        return verified

    def terminating_poddnat(self, claimed: Manifest) -> Manifest:
        """Give a PodDNAT that is being deleted as the API server has it.

        Raises:
            KubeError: the API server did not answer, or refused.
            NoSuchObjectError: there is none of that name and uid, or it is not being deleted.
            AnothersError: there is, and it is another installation's.
        """
        live = self.poddnat(claimed)
        if not is_terminating(live):
            raise NoSuchObjectError(f"PodDNAT {key_of(live)} is not being deleted")
        return live

    def pod(self, claimed: Manifest) -> Manifest:
        """Give a pod as the API server has it.

        Raises:
            KubeError: the API server did not answer, or refused.
            NoSuchObjectError: there is none of that name and uid.
        """
        live = self._kube.pod(claimed["metadata"]["namespace"], claimed["metadata"]["name"])
        return _verified("pod", claimed, live)

    def opted_out_pod(self, claimed: Manifest) -> Manifest:
        """Give a pod that no longer asks for anything as the API server has it.

        Raises:
            KubeError: the API server did not answer, or refused.
            NoSuchObjectError: there is none of that name and uid, or it asks for public ports.
        """
        live = self.pod(claimed)
        if POD_DNAT in annotations_of(live):
            raise NoSuchObjectError(f"pod {key_of(live)} has the annotation {POD_DNAT}")
        return live


def _verified(kind: str, claimed: Manifest, live: Manifest | None) -> Manifest:
    """Give the live object, if it is the one that is claimed, and not another that has had its name since."""
    uid = claimed["metadata"]["uid"]
    if live is None or live["metadata"]["uid"] != uid:
        raise NoSuchObjectError(f"the API server has no {kind} {key_of(claimed)} with the uid {uid}")
    return live


def _what_matters(poddnat: Mapping[str, Any]) -> tuple[object, ...]:
    """Give all of a PodDNAT that decides what is done for it."""
    metadata = poddnat["metadata"]
    fields = ("uid", "generation", "deletionTimestamp", "ownerReferences", "annotations", "labels", "finalizers")
    return (*(metadata.get(key) or None for key in fields), poddnat.get("spec"), poddnat.get("status"))
