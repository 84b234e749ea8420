"""Whether a PodDNAT may have what it asks for: a PodDNAT is a request, not a permission.

Whoever may write PodDNATs could otherwise expose any address of the VPC. So before an entry is asked for, the pod
itself is read: it has to be the owner, have that IP, and ask for those ports; and the external side has to lie in the
configured pool.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from poddnat.api import AnnotationError, Fixed, PodDNAT, Problem, Reference, annotations, controller_of, pod_facts
from poddnat.config import Values
from poddnat.kube import KubeClient
from poddnat.placement import Namespaces

_VALID_SECONDS = 30.0
_ASK_AGAIN = 60.0


class Verdict(Enum):
    """What a pod's own word means for its PodDNAT."""

    ALLOWED = "allowed"
    LEAVING = "leaving"
    """The pod is terminating: what is there stays, nothing new is made."""
    OPTED_OUT = "opted out"
    """The pod no longer asks for anything: the PodDNAT should go."""
    AWAY = "away"
    """The fixed pod is gone, or has no address: its external side is kept, but nothing is exposed."""


@dataclass(frozen=True)
class _Granted:
    whose: tuple[Reference | None, Fixed | None]
    poddnat: PodDNAT
    verdict: Verdict
    until: float


class Authorizer:
    """Asks pods, and remembers for a moment what they said. Safe to use from several threads."""

    def __init__(
        self,
        values: Values,
        cluster: KubeClient,
        namespaces: Namespaces,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._values = values
        self._cluster = cluster
        self._namespaces = namespaces
        self._clock = clock
        self._lock = threading.Lock()
        self._granted: dict[str, _Granted] = {}

    def update(self, values: Values) -> None:
        """Go by other values from now on."""
        self._values = values

    def outside(self, metadata: Mapping[str, Any], wanted: PodDNAT) -> Problem | None:
        """Tell why the values file does not let a PodDNAT have what it wants; None: it does.

        Raises:
            ClusterError: the API server did not tell the namespace's labels.
        """
        return self._namespaces.refusal(metadata["namespace"]) or self._outside_pool(wanted)

    def check(self, metadata: Mapping[str, Any], wanted: PodDNAT) -> Verdict | Problem:
        """Tell whether its pod lets the PodDNAT with this metadata have what it wants; a refusal says why not.

        Raises:
            ClusterError: the API server did not tell.
        """
        uid, now = metadata["uid"], self._clock()
        granted = self._found(metadata, wanted)
        if granted is not None and now < granted.until:
            return granted.verdict
        answer = self._ask(metadata, wanted)
        with self._lock:
            if isinstance(answer, Verdict):
                self._granted[uid] = _Granted(_whose(metadata), wanted, answer, now + _VALID_SECONDS)
            else:
                self._granted.pop(uid, None)
        return answer

    def has_allowed(self, metadata: Mapping[str, Any], wanted: PodDNAT) -> bool:
        """Whether the same owner was asked about the same before, however long ago, and let it have that."""
        granted = self._found(metadata, wanted)
        return granted is not None and granted.verdict in {Verdict.ALLOWED, Verdict.LEAVING}

    def _found(self, metadata: Mapping[str, Any], wanted: PodDNAT) -> _Granted | None:
        with self._lock:
            granted = self._granted.get(metadata["uid"])
        same = granted is not None and (granted.whose, granted.poddnat) == (_whose(metadata), wanted)
        return granted if same else None

    def forget(self, uid: str) -> None:
        """Forget what was said for a PodDNAT."""
        with self._lock:
            self._granted.pop(uid, None)

    def _outside_pool(self, wanted: PodDNAT) -> Problem | None:
        for mapping in wanted.mappings:
            if not self._values.allows(wanted.gateway_id, wanted.external_ip, mapping.external):
                outside = f"{wanted.external_ip}:{mapping.external.shown} on {wanted.gateway_id}"
                text = f"{outside} is not in the values file's pool"
                act = "nobody has to act for a pod that gets another one, else the user has to delete this PodDNAT"
                return Problem("NotInPool", f"{text}; {act}.", _ASK_AGAIN)
        return None

    def _ask(self, metadata: Mapping[str, Any], wanted: PodDNAT) -> Verdict | Problem:
        if (fixed := Fixed.read(metadata)) is not None:
            return self._ask_fixed(metadata, fixed, wanted)
        owner = controller_of(metadata)
        if owner is None or owner.kind != "Pod":
            return _refusal("no pod owns it")
        if owner.name != metadata["name"]:  # One pod has one PodDNAT, whatever somebody writes by hand.
            return _refusal(f"it does not have the name of its pod {owner.name}")
        pod = self._cluster.pod(metadata["namespace"], owner.name)
        if pod is None or pod["metadata"]["uid"] != owner.uid:
            return _refusal(f"its pod {owner.name} (uid {owner.uid}) is gone")
        return _judge(pod, owner.name, wanted)

    def _ask_fixed(self, metadata: Mapping[str, Any], fixed: Fixed, wanted: PodDNAT) -> Verdict | Problem:
        name = metadata["name"]
        pod = self._cluster.pod(metadata["namespace"], name)
        if pod is None or pod["metadata"]["uid"] != fixed.pod_uid or pod_facts.address_of(pod) is None:
            return Verdict.AWAY
        return _judge(pod, name, wanted)


def _judge(pod: Mapping[str, Any], name: str, wanted: PodDNAT) -> Verdict | Problem:
    if pod_facts.shares_node_network(pod):
        return _refusal(f"pod {name} uses its node's network")
    if pod_facts.address_of(pod) != wanted.internal_ip:
        return _refusal(f"pod {name} does not have the IP {wanted.internal_ip}")
    try:
        exposure = annotations.parse(pod_facts.annotations_of(pod))
    except AnnotationError as error:
        return _refusal(f"pod {name} asks for something impossible: {error}")
    if exposure is None:
        return Verdict.OPTED_OUT
    asked = set(exposure.items)
    for item in (mapping.item for mapping in wanted.mappings):
        # Less than what is asked for is allowed too: the pod may have asked for more a moment ago.
        if item not in asked and not any(one.covers(item) for one in exposure.items):
            return _refusal(f"pod {name} does not ask for port {item}")
    return Verdict.LEAVING if pod_facts.is_terminating(pod) else Verdict.ALLOWED


def _whose(metadata: Mapping[str, Any]) -> tuple[Reference | None, Fixed | None]:
    return controller_of(metadata), Fixed.read(metadata)


def _refusal(why: str) -> Problem:
    act = "the user has to delete it, or to change the pod's annotations"
    return Problem("NotAllowed", f"Nothing is exposed for this PodDNAT, because {why}; {act}.", _ASK_AGAIN)
