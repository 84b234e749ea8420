"""What ACK's own controller leaves in a cluster and on a gateway, as its document shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.unit.hooks.world import EIP, GATEWAY, POD_IP

if TYPE_CHECKING:
    from vpc_emulator import Emulator, ForwardEntry

Json = dict[str, Any]

FINALIZER = "natgw-controller"


def entry(emulator: Emulator, *, ip: str = POD_IP, port: int = 512) -> ForwardEntry:
    """Add an entry without a name."""
    return emulator.add_entry(GATEWAY, external_ip=EIP, external_port=port, internal_ip=ip, internal_port=80)


OTHER_FINALIZER = "podnat-controller.alibabacloud.com/finalizer"
"""What it may be called today: the other name was seen in 2022."""


def poddnat(pod: Json, made: ForwardEntry, finalizer: str = FINALIZER) -> Json:
    """Write the PodDNAT of a pod; its status is to be written apart."""
    metadata = pod["metadata"]
    owner = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
    return {
        "apiVersion": "alibabacloud.com/v1",
        "kind": "PodDNAT",
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "finalizers": [finalizer] if finalizer else [],
            "ownerReferences": [{**owner, "blockOwnerDeletion": True}],
        },
        "spec": {
            "eni": "eni-1",
            "externalIP": made.external_ip,
            "internalIP": made.internal_ip,
            "portMapping": [{"externalPort": made.external_port, "internalPort": made.internal_port}],
            "protocol": made.protocol,
            "tableId": GATEWAY,
            "vswitch": "vsw-1",
            "zoneID": "cn-hangzhou-j",
        },
    }


def status(made: ForwardEntry) -> Json:
    """Write the status that names an entry."""
    reported = {
        "externalIP": made.external_ip,
        "externalPort": made.external_port,
        "forwardEntryId": made.id,
        "internalIP": made.internal_ip,
        "internalPort": made.internal_port,
        "ipProtocol": made.protocol,
    }
    return {"entries": [reported]}
