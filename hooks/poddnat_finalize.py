"""The finalize hook of the CompositeController for PodDNATs."""

from hooks.validation import Json
from poddnat import logs
from poddnat.api import spec_of
from poddnat.controllers import PodDNATReconciler, RequeueAfter
from poddnat.kube import LiveReader


def poddnat_finalize(reconciler: PodDNATReconciler, live: LiveReader, body: Json) -> Json | RequeueAfter:
    """Delete the PodDNAT's forward entries."""
    parent = live.terminating_poddnat(body["parent"])
    logs.add(gateway=str(spec_of(parent).get("tableId", "")))
    answer = reconciler.finalize(parent)
    if isinstance(answer, RequeueAfter):
        return answer
    return {
        "status": answer.status,
        "children": [],
        "finalized": answer.finalized,
        "resyncAfterSeconds": 0 if answer.finalized else answer.resync_after,
    }
