"""The finalize hook of the CompositeController for PodDNATs."""

from hooks.validation import Json
from poddnat import logs
from poddnat.api import preserved_status, spec_of
from poddnat.controllers import PodDNATAnswer, PodDNATReconciler, RequeueAfter
from poddnat.kube import AnothersError, LiveReader


def poddnat_finalize(reconciler: PodDNATReconciler, live: LiveReader, body: Json) -> Json | RequeueAfter:
    """Delete the PodDNAT's forward entries; one of another installation, which bore our label once, is let go."""
    try:
        parent = live.terminating_poddnat(body["parent"])
    except AnothersError:
        answer: PodDNATAnswer | RequeueAfter = PodDNATAnswer(
            preserved_status(body["parent"].get("status") or {}), finalized=True
        )
    else:
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
