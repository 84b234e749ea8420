"""What OpenKruiseGame's network plugin AlibabaCloud-NATGW reads of PodDNATs, and concludes from them.

It decodes v1beta1 into a type of Go whose fields are all strings, so a number would be an error. A pod's network is
ready when the PodDNAT lists as many entries as the annotation has items between its commas. `Plugin` is how it comes to
show that: it looks only when a pod itself is written, not its status, and finds the PodDNAT by its name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.unit.hooks.world import PORTS

Json = dict[str, Any]

VERSION = "alibabacloud.com/v1beta1"
SPEC = {
    *("vswitch", "eni", "zoneID", "externalIP", "externalPort", "internalIP", "internalPort"),
    *("protocol", "tableId", "entryId"),
}
MAPPING = {"externalPort", "internalPort"}
ENTRY = {"externalIP", "externalPort", "internalIP", "internalPort", "forwardEntryId", "ipProtocol"}


def asking(ports: str, protocol: str = "TCP") -> dict[str, str]:
    """Write the annotations that the plugin puts on a pod; ports and protocol are the user's, verbatim."""
    return {
        "k8s.aliyun.com/pod-dnat": "true",
        "k8s.aliyun.com/pod-dnat-expose-port": ports,
        "k8s.aliyun.com/pod-dnat-expose-protocol": protocol,
        "k8s.aliyun.com/pod-dnat-fixed": "false",
    }


def entries(poddnat: Json) -> list[dict[str, str]]:
    """Decode a PodDNAT as the plugin does, and return its entries; fields that it doesn't know are passed over."""
    assert poddnat["apiVersion"] == VERSION
    spec, status = poddnat.get("spec") or {}, poddnat.get("status") or {}
    _strings(spec, SPEC)
    for mapping in spec.get("portMapping") or []:
        _strings(mapping, MAPPING)
    return [_strings(entry, ENTRY) for entry in status.get("entries") or []]


def is_ready(pod: Json, poddnat: Json | None) -> bool:
    """Whether the plugin shows the pod's network as ready."""
    wanted = pod["metadata"]["annotations"][PORTS].split(",")
    return poddnat is not None and len(entries(poddnat)) == len(wanted)


def addresses(poddnat: Json) -> list[str]:
    """Tell what the plugin shows to players."""
    return [
        f"{entry['externalIP']}:{entry['externalPort']} {entry['ipProtocol'].upper()}" for entry in entries(poddnat)
    ]


@dataclass
class Plugin:
    """What the plugin shows of pods, by uid: their network's addresses, and whether it is ready."""

    shown: dict[str, list[str]] = field(default_factory=dict)
    ready: set[str] = field(default_factory=set)

    def pod_written(self, pod: Json, namesake: Json | None) -> None:
        """Look at a pod that was written; `namesake` is the PodDNAT of its name, whosever and on its way out or not.

        The first write only begins the waiting. A status without `entries` changes nothing, an empty list empties what
        is shown; ready once is ready for good.
        """
        uid = pod["metadata"]["uid"]
        if uid not in self.shown:
            self.shown[uid] = []
            return
        if namesake is None or (namesake.get("status") or {}).get("entries") is None:
            return
        self.shown[uid] = addresses(namesake)
        if is_ready(pod, namesake):
            self.ready.add(uid)


def _strings(content: Json, names: set[str]) -> dict[str, str]:
    known = {name: value for name, value in content.items() if name in names}
    for name, value in known.items():
        assert isinstance(value, str), f"{name} is {value!r}"
    return known
