"""The sync hook of the CompositeController for PodDNATs."""

from hooks.validation import Json
from poddnat import logs
from poddnat.api import spec_of
from poddnat.controllers import PodDNATQueue, RequeueAfter
from poddnat.kube import LiveReader


def poddnat_sync(queue: PodDNATQueue, live: LiveReader, body: Json) -> Json | RequeueAfter:
    """Bring the PodDNAT's forward entries to what it asks for."""
    parent = live.poddnat(body["parent"])
    logs.add(gateway=str(spec_of(parent).get("tableId", "")))
    answer = queue.sync(parent)
    if isinstance(answer, RequeueAfter):
        return answer
    return {"status": answer.status, "children": [], "resyncAfterSeconds": answer.resync_after}
