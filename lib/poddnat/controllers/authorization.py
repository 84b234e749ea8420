"""Whether a PodDNAT may have what it asks for: a PodDNAT is a request, not a permission.

Whoever may write PodDNATs could otherwise expose any address of the VPC. So before an entry is asked for, the pod
itself is read: it has to be the owner, have that IP, and ask for those ports; and the external side has to lie in the
configured pool.
"""

import bisect
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from poddnat.api import (
    UNNAMED,
    AnnotationError,
    Fixed,
    Installation,
    Owner,
    PodDNAT,
    Problem,
    annotations,
    controller_of,
    pod_facts,
)
from poddnat.config import Values
from poddnat.controllers.intervals import PERMISSION_RETRY, PERMISSION_VALID
from poddnat.kube import KubeClient
from poddnat.model import HIGHEST_PORT, ExposedPort, Exposure, Ports, Protocol
from poddnat.placement import Namespaces


class Verdict(Enum):
    """What a pod allows its PodDNAT."""

    ALLOWED = "allowed"
    LEAVING = "leaving"
    """The pod is terminating: what is there stays, nothing new is made."""
    OPTED_OUT = "opted out"
    """The pod no longer asks this installation for anything: the PodDNAT should go."""
    AWAY = "away"
    """The fixed pod is gone, or has no address: its external side is retained, but nothing is exposed."""


@dataclass(frozen=True)
class _Permission:
    owner: tuple[Owner | None, Fixed | None]
    poddnat: PodDNAT
    verdict: Verdict
    until: float


class Authorizer:
    """Asks pods, and caches for a moment what they allow. Safe to use from several threads."""

    def __init__(
        self,
        values: Values,
        client: KubeClient,
        namespaces: Namespaces,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._values = values
        self._client = client
        self._namespaces = namespaces
        self._clock = clock
        self._lock = threading.Lock()
        self._permissions: dict[str, _Permission] = {}

    def update(self, values: Values) -> None:
        """Go by other values from now on."""
        self._values = values

    def denied_by_values(self, metadata: Mapping[str, Any], desired: PodDNAT) -> Problem | None:
        """Tell why the values file does not let a PodDNAT have what it asks for; None: it does.

        Raises:
            KubeError: the API server did not tell the namespace's labels.
        """
        return self._namespaces.refusal(metadata["namespace"]) or outside_pool(self._values, desired)

    def is_draining(self, external_ip: str) -> bool:
        """Whether pods are to move off an address."""
        return self._values.is_draining(external_ip)

    def check(self, metadata: Mapping[str, Any], desired: PodDNAT) -> Verdict | Problem:
        """Tell whether its pod lets the PodDNAT with this metadata have what it asks for; a refusal says why not.

        Raises:
            KubeError: the API server did not tell.
        """
        uid, now = metadata["uid"], self._clock()
        permission = self._found(metadata, desired)
        if permission is not None and now < permission.until:
            return permission.verdict
        answer = self._ask(metadata, desired)
        with self._lock:
            if isinstance(answer, Verdict):
                self._permissions[uid] = _Permission(_owner(metadata), desired, answer, now + PERMISSION_VALID)
            else:
                self._permissions.pop(uid, None)
        return answer

    def has_allowed(self, metadata: Mapping[str, Any], desired: PodDNAT) -> bool:
        """Whether the same owner was asked about the same before, however long ago, and let it have that."""
        permission = self._found(metadata, desired)
        return permission is not None and permission.verdict in {Verdict.ALLOWED, Verdict.LEAVING}

    def _found(self, metadata: Mapping[str, Any], desired: PodDNAT) -> _Permission | None:
        with self._lock:
            permission = self._permissions.get(metadata["uid"])
        same = permission is not None and (permission.owner, permission.poddnat) == (_owner(metadata), desired)
        return permission if same else None

    def forget(self, uid: str) -> None:
        """Forget what a PodDNAT was allowed."""
        with self._lock:
            self._permissions.pop(uid, None)

    def _ask(self, metadata: Mapping[str, Any], desired: PodDNAT) -> Verdict | Problem:
        if (fixed := Fixed.read(metadata)) is not None:
            return self._ask_fixed(metadata, fixed, desired)
        owner = controller_of(metadata)
        if owner is None or owner.kind != "Pod":
            return _refusal("no pod owns it")
        if owner.name != metadata["name"]:  # One pod has one PodDNAT, whatever somebody writes by hand.
            return _refusal(f"it does not have the name of its pod {owner.name}")
        pod = self._client.pod(metadata["namespace"], owner.name)
        if pod is None or pod["metadata"]["uid"] != owner.uid:
            return _refusal(f"its pod {owner.name} (uid {owner.uid}) is gone")
        return check_pod(pod, desired, self._values.installation)

    def _ask_fixed(self, metadata: Mapping[str, Any], fixed: Fixed, desired: PodDNAT) -> Verdict | Problem:
        name = metadata["name"]
        pod = self._client.pod(metadata["namespace"], name)
        if pod is None or pod["metadata"]["uid"] != fixed.pod_uid or pod_facts.address_of(pod) is None:
            return Verdict.AWAY
        return check_pod(pod, desired, self._values.installation)


def outside_pool(values: Values, desired: PodDNAT) -> Problem | None:
    """Tell which port of a PodDNAT is none that the values file gives to pods; None: all are."""
    for mapping in desired.mappings:
        if not values.allows(desired.gateway_id, desired.external_ip, mapping.external):
            outside = f"{desired.external_ip}:{mapping.external.shown} on {desired.gateway_id}"
            text = f"{outside} is not in the values file's pool"
            act = "nobody has to act for a pod that gets another one, else the user has to delete this PodDNAT"
            return Problem("NotInPool", f"{text}; {act}.", PERMISSION_RETRY)
    return None


def check_pod(pod: Mapping[str, Any], desired: PodDNAT, installation: Installation = UNNAMED) -> Verdict | Problem:
    """Tell whether a pod, as the API server has it, lets its PodDNAT, an installation's, have what that asks for."""
    name = pod["metadata"]["name"]
    if not installation.serves(pod["metadata"]):
        return Verdict.OPTED_OUT
    if pod_facts.shares_node_network(pod):
        return _refusal(f"pod {name} uses its node's network")
    if desired.internal_ip and pod_facts.address_of(pod) != desired.internal_ip:
        return _refusal(f"pod {name} does not have the IP {desired.internal_ip}")
    try:
        exposure = annotations.parse(pod_facts.annotations_of(pod))
    except AnnotationError as error:
        return _refusal(f"pod {name} asks for something impossible: {error}")
    if exposure is None:
        return Verdict.OPTED_OUT
    if (item := unasked_item(exposure, desired)) is not None:
        return _refusal(f"pod {name} does not ask for port {item}")
    return Verdict.LEAVING if pod_facts.is_terminating(pod) else Verdict.ALLOWED


def unasked_item(exposure: Exposure, desired: PodDNAT) -> ExposedPort | None:
    """Find what a PodDNAT exposes though its pod does not ask for it; None: there is nothing of the kind.

    Less than what is asked for is fine: the pod may have asked for more a moment ago.
    """
    asked = {
        protocol: sorted(item.ports for item in exposure.items if protocol in item.transport.protocols)
        for protocol in (Protocol.TCP, Protocol.UDP)
    }
    for item in (mapping.item for mapping in desired.mappings):
        if not all(_is_within(item.ports, asked[protocol]) for protocol in item.transport.protocols):
            return item
    return None


def _is_within(ports: Ports, asked: Sequence[Ports]) -> bool:
    """Whether ports lie in one of these ranges, which are in order and don't overlap."""
    index = bisect.bisect_right(asked, (ports.first, HIGHEST_PORT)) - 1
    return index >= 0 and asked[index].contains(ports)


def _owner(metadata: Mapping[str, Any]) -> tuple[Owner | None, Fixed | None]:
    return controller_of(metadata), Fixed.read(metadata)


def _refusal(why: str) -> Problem:
    act = "the user has to delete it, or to change the pod's annotations"
    return Problem("NotAllowed", f"Nothing is exposed for this PodDNAT, because {why}; {act}.", PERMISSION_RETRY)
